import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import partita
from partita import backend
from partita.backend import choosing

KEPT = Path(__file__).parent / "trust" / "kept"
UNASKED = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}


def loaded_after(statement):
    """The top-level modules a fresh Python holds after `statement`."""
    code = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_is_light():
    assert loaded_after("import partita; dir(partita)").isdisjoint(
        {"keras", "numba", "numpy", *choosing._BACKENDS}
    )


@pytest.mark.parametrize("part", partita.PARTS)
def test_parts_load_on_first_use(part):
    assert getattr(partita, part) is sys.modules[f"partita.{part}"]


def test_parts_are_listed():
    assert set(dir(partita)) == {*partita.PARTS, "load", "__version__"}


def test_an_unknown_part_is_named():
    with pytest.raises(AttributeError, match=r"no attribute 'flow'; its parts are: contrast, crf"):
        partita.flow  # noqa: B018


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Provide a world without Keras imported, without a choice.

    It has exactly the backends one adds to the returned set.
    """
    names = set()
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(choosing, "_is_installed", names.__contains__)
    return names


@pytest.mark.parametrize(
    ("packages", "taken"),
    [
        ({"jax", "torch", "tensorflow"}, "jax"),
        ({"torch", "tensorflow"}, "torch"),
        ({"tensorflow"}, "tensorflow"),
    ],
)
def test_first_installed_backend_is_taken(installed, packages, taken):
    installed |= packages
    backend.choose()
    assert os.environ["KERAS_BACKEND"] == taken


def test_no_backend_says_what_to_install(installed):
    with pytest.raises(
        ImportError, match=r"pip install 'partita\[jax\]'.*'partita\[torch\]'.*'partita\[tensorflow\]'"
    ):
        backend.choose()


def test_the_environment_wins(installed, monkeypatch):
    installed.add("jax")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    backend.choose()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


def test_keras_already_imported_wins(installed, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", object())
    backend.choose()
    assert os.environ["KERAS_BACKEND"] == ""


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        pytest.param(json.dumps({"backend": "torch"}), "torch", id="torch"),
        pytest.param(json.dumps({"backend": "tensorflow"}), "tensorflow", id="tensorflow-written-by-hand"),
        pytest.param(
            json.dumps(UNASKED | {"floatx": "float64"}), "tensorflow", id="tensorflow-kept-in-an-edited-file"
        ),
        pytest.param(
            json.dumps(UNASKED | {"backend": "openvino"}), "openvino", id="not-installed-but-asked-for"
        ),
        pytest.param(json.dumps(UNASKED), "jax", id="as-keras-writes-it"),
        pytest.param(json.dumps({"floatx": "float64"}), "jax", id="without-a-backend"),
        pytest.param("[]", "jax", id="not-an-object"),
        pytest.param("{", "jax", id="broken"),
    ],
)
def test_a_choice_in_keras_json_wins(installed, tmp_path, content, taken):
    installed.add("jax")
    (tmp_path / "keras.json").write_text(content)
    backend.choose()
    assert os.environ["KERAS_BACKEND"] == taken


def test_keras_json_is_sought_in_the_home_folder(installed, monkeypatch, tmp_path):
    installed.add("jax")
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"backend": "torch"}')
    assert backend.choice() == ("torch", f"by {tmp_path / '.keras' / 'keras.json'}")
    backend.choose()
    assert os.environ["KERAS_BACKEND"] == "torch"


def test_only_a_real_package_counts_as_installed(monkeypatch, tmp_path):
    (tmp_path / "left_behind").mkdir()
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert [choosing._is_installed(name) for name in ("whole", "left_behind", "absent")] == [
        True,
        False,
        False,
    ]


def test_a_part_finds_a_backend_where_keras_left_its_own_default(monkeypatch, tmp_path):
    """A part is imported twice, each time in a fresh process.

    The first import makes Keras write its file, which the second must not take for a choice.
    """
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    code = "from partita.crf import CRF; import keras; print(keras.backend.backend())"
    used = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert json.loads((tmp_path / "keras.json").read_text()) == UNASKED
    assert used == [f"{next(filter(choosing._is_installed, choosing._BACKENDS))}\n"] * 2


def said_by(code, **environment):
    """What a fresh Python without a choice of backend prints."""
    inherited = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=inherited | environment
    ).stdout.split()


@pytest.mark.parametrize(
    "first", ["import partita, keras", "import keras, partita", "from partita import reactions; import keras"]
)
def test_keras_knows_our_classes_without_a_part_being_used(first, tmp_path):
    (tmp_path / "keras.json").write_text(
        json.dumps({"backend": os.environ["KERAS_BACKEND"]})
    )  # for where Keras comes first
    models = [
        str(KEPT / f"{name}.keras")
        for name in ("tagger", "flow", "energy", "vae", "sampled_softmax", "centers", "mixture")
    ]
    code = (
        f"{first}\nfor path in {models}: print(type(keras.saving.load_model(path, compile=False)).__name__)"
    )
    names = ["Tagger", "Flow", "EnergyModel", "VAE", "Sequential", "Functional", "GaussianMixture"]
    assert said_by(code, KERAS_HOME=str(tmp_path)) == names


def test_keras_after_partita_takes_an_installed_backend(tmp_path):
    code = "import partita, keras; print(keras.backend.backend(), type(keras.__spec__.loader).__name__)"
    installed = next(filter(choosing._is_installed, choosing._BACKENDS))
    assert said_by(code, KERAS_HOME=str(tmp_path)) == [installed, "SourceFileLoader"]


def test_keras_is_loaded_again_after_it_failed_for_want_of_tensorflow(tmp_path):
    code = """
import sys
sys.modules["tensorflow"] = None  # as if it were not installed
try:
    import keras
except ImportError:
    print("failed")
del sys.modules["tensorflow"]
import partita, keras
print(keras.backend.backend())
"""
    installed = next(filter(choosing._is_installed, choosing._BACKENDS))
    assert said_by(code, KERAS_HOME=str(tmp_path)) == ["failed", installed]


def test_a_choice_between_the_two_imports_is_kept(tmp_path):
    code = """
import os, partita
os.environ["KERAS_BACKEND"] = "nonsense"
try:
    import keras
except Exception as error:
    print("nonsense" in str(error))
"""
    assert said_by(code, KERAS_HOME=str(tmp_path)) == ["True"]


def test_looking_for_keras_does_not_import_it():
    assert "keras" not in loaded_after("import partita, importlib.util; importlib.util.find_spec('keras')")


def test_load_gives_models_and_vectors(tmp_path):
    assert type(partita.load(KEPT / "tagger.keras")).__name__ == "Tagger"
    assert partita.load(KEPT / "flow.keras").optimizer is not None
    assert not partita.load(KEPT / "flow.keras", compile=False).compiled
    vectors = partita.contrast.WordVectors(["cat", "dog"], np.eye(2, dtype="float32"))
    vectors.save(tmp_path / "words.npz")
    assert partita.load(tmp_path / "words.npz").words == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "error"),
    [("missing.keras", FileNotFoundError), ("text.keras", ValueError), ("text.npz", ValueError)],
)
def test_load_names_the_file_that_it_cannot_read(tmp_path, name, error):
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "text.npz").write_text("no vectors")
    with pytest.raises(error, match=name):
        partita.load(tmp_path / name)


BESIDE_THE_PARTS = [
    path.stem for path in Path(partita.__file__).parent.glob("*.py") if not path.stem.startswith("__")
]


@pytest.mark.parametrize("module", BESIDE_THE_PARTS)
def test_each_module_can_be_imported_first_and_the_parts_are_registered_all_the_same(module):
    code = (
        f"import partita.{module}\nimport keras, "
        f"sched\nprint(keras.saving.get_registered_object('partita>Flow') is not None)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.stdout.split(), found.returncode) == (["True"], 0), found.stderr
