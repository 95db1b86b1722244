"""Files made to do harm, or merely broken: refused with a reason, and nothing in them is run or followed."""

import base64
import copy
import json
import marshal
import sys
import warnings
import zipfile
from pathlib import Path
from typing import ClassVar

import h5py
import keras
import numpy as np
import pytest

from partita import crf, flows
from tests.trust.families import FAMILIES, mlp

REFUSED = (AttributeError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile)
SAVED = [
    family for family in FAMILIES if family.__name__ != "mixed_samples"
]  # which is a model of Keras's own


class Watch:
    """What leaves the process while it is `on`, but for Python's own files, of which imports are made."""

    on = False
    seen: ClassVar[list[str]] = []

    @staticmethod
    def note(event, arguments):
        if not Watch.on:
            return
        if event == "open" and not str(arguments[0]).endswith((".py", ".pyc", ".so")):
            Watch.seen.append(str(arguments[0]))
        elif event.split(".")[0] in ("socket", "subprocess", "pickle", "urllib") or event in (
            "os.system",
            "os.exec",
            "os.fork",
        ):
            Watch.seen.append(event)


sys.addaudithook(Watch.note)


def refusal(load, *arguments, **options):
    """What loading raises, having followed nothing; None if it is done."""
    Watch.seen.clear()
    Watch.on = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(*arguments, **options)
    except REFUSED as error:
        return error
    finally:
        Watch.on = False
    return None


def bytecode(canary):
    code = compile(f"def harm(*a, **k): open({str(canary)!r}, 'w').close()", "<file>", "exec").co_consts[0]
    return base64.b64encode(marshal.dumps(code)).decode()


def hostile(canary):
    """What stands in the place of a layer."""
    function = {"class_name": "__lambda__", "config": {"value": [bytecode(canary), None, None]}}
    touch = {"args": ["touch", str(canary)]}
    return {
        "lambda": function,
        "Lambda layer": {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {"function": function},
            "registered_name": None,
        },
        "function of Python": {
            "module": "os",
            "class_name": "function",
            "config": "system",
            "registered_name": "system",
        },
        "class of Python": {
            "module": "subprocess",
            "class_name": "Popen",
            "config": touch,
            "registered_name": "Popen",
        },
        "function of Keras": {
            "module": "keras.utils",
            "class_name": "function",
            "config": "get_file",
            "registered_name": "get_file",
        },
        "unknown class": {
            "module": "nowhere",
            "class_name": "Nobody",
            "config": {},
            "registered_name": "nowhere>Nobody",
        },
        "path": str(canary),
        "address": "http://127.0.0.1:9/model.keras",
        "hub": "hf://nobody/model",
    }


def parts(config, path=()):
    """Yield the places of all layers, nets, laws and functions in a config.

    Numbers' precision and initial values are left out.
    """
    if isinstance(config, dict):
        if (
            path
            and "class_name" in config
            and path[-1] != "dtype"
            and not str(path[-1]).endswith("_initializer")
            and "kwargs" not in path
        ):
            yield path
        for key, value in config.items():
            yield from parts(value, (*path, key))
    elif isinstance(config, list):
        for index, value in enumerate(config):
            yield from parts(value, (*path, index))


def replaced(config, path, value):
    config = copy.deepcopy(config)
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return config


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file of each family."""
    folder = tmp_path_factory.mktemp("families")

    def save(family):
        path = folder / f"{family.__name__}.keras"
        if not path.exists():
            model, x, y = family()
            if not model.built or family.__name__ == "tagger":
                model.evaluate(x, y, verbose=0)
            model.save(path)
        return path

    return save


def rewritten(path, to, change):
    """Write the file with another content.

    `change` maps a member's name and bytes to bytes, or None to leave it out.
    """
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            if (content := change(name, old.read(name))) is not None:
                new.writestr(name, content)
    return to


@pytest.mark.parametrize("family", SAVED, ids=lambda family: family.__name__)
def test_no_part_of_a_config_is_run_or_followed(family, saved, tmp_path):
    canary = tmp_path / "canary"
    with zipfile.ZipFile(saved(family)) as file:
        config = json.loads(file.read("config.json"))
    config["compile_config"] = None
    places = [*parts(config["config"], ("config",))]
    assert places
    keras.saving.deserialize_keras_object(copy.deepcopy(config))
    for place in places:
        for kind, harmful in hostile(canary).items():
            said = refusal(
                keras.saving.deserialize_keras_object, replaced(config, place, harmful), safe_mode=True
            )
            assert str(said or ""), (place, kind)
            assert not Watch.seen, (place, kind)
    assert not canary.exists()


@pytest.mark.parametrize("family", SAVED, ids=lambda family: family.__name__)
def test_nothing_in_how_it_was_compiled_is_run_or_followed(family, saved, tmp_path):
    """Optimizers, losses and metrics: what would be code is refused."""
    canary = tmp_path / "canary"
    with zipfile.ZipFile(saved(family)) as file:
        config = json.loads(file.read("config.json"))
    places = [("compile_config", key) for key in config["compile_config"]]
    places += [place for place in parts(config["compile_config"], ("compile_config",)) if place not in places]
    assert places
    keras.saving.deserialize_keras_object(copy.deepcopy(config))
    for place in places:
        for kind, harmful in hostile(canary).items():
            said = refusal(
                keras.saving.deserialize_keras_object, replaced(config, place, harmful), safe_mode=True
            )
            assert said or isinstance(harmful, str), (place, kind)
            assert not Watch.seen, (place, kind)
    assert not canary.exists()


def test_the_lambda_of_these_tests_would_run(tmp_path):
    """Else the test above shows nothing."""
    function = hostile(tmp_path / "canary")["lambda"]
    keras.saving.deserialize_keras_object(function, safe_mode=False)()
    assert (tmp_path / "canary").exists()


def with_arrays(change):
    """Every array of the weights, given by its shape, replaced by what `change` makes of it."""

    def rewrite(name, content):
        if not name.endswith(".h5"):
            return content
        path = Path("weights.h5")
        path.write_bytes(content)
        with h5py.File(path, "r+") as file:
            arrays = {}
            file.visititems(
                lambda name, item: (
                    arrays.update({name: item.shape}) if isinstance(item, h5py.Dataset) else None
                )
            )
            for array, shape in arrays.items():
                del file[array]
                file[array] = change(shape)
        return path.read_bytes()

    return rewrite


BAD_WEIGHTS = {
    "another shape": with_arrays(lambda shape: np.zeros((*shape, 2))),
    "in another file": with_arrays(lambda shape: h5py.ExternalLink("secret.h5", "/secret")),
    "none": lambda name, content: None if name.endswith(".h5") else content,
}


@pytest.mark.parametrize("family", SAVED, ids=lambda family: family.__name__)
def test_weights_that_do_not_fit_are_refused(family, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved(family)
    keras.saving.load_model(path, compile=False)
    with h5py.File("secret.h5", "w") as file:
        file["secret"] = np.ones(3)
    for kind, change in BAD_WEIGHTS.items():
        bad = rewritten(path, tmp_path / f"{kind}.keras", change)
        assert str(refusal(keras.saving.load_model, bad, compile=False) or ""), kind
        assert {*Watch.seen} <= {str(bad), "/proc/meminfo"}  # whether the weights fit into memory
    content = path.read_bytes()
    for share in (0.0, 0.3, 0.9, 0.999):
        (tmp_path / "short.keras").write_bytes(content[: int(share * len(content))])
        assert str(refusal(keras.saving.load_model, tmp_path / "short.keras", compile=False) or ""), share


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """What each command that reads models is called with, and a model that it takes."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "text.txt").write_text("abc\n", "utf-8")
    lexicon = crf.Lexicon(["character"], [crf.Vocabulary("abc")], ["s", "b", "m", "e"], "bmes")
    tagger = crf.Tagger(keras.layers.Embedding(10, 5), crf.CRF(4, lexicon.constraints), lexicon=lexicon)
    tagger(np.ones((1, 3), "int32"))
    tagger.save(folder / "tag.keras")
    flow = flows.Flow(flows.Chain([flows.AdditiveCoupling(mlp(2, inputs=2))]))
    flow.build((None, 4))
    flow.save(folder / "flow.keras")
    tag = ["tag", "apply", "{}", folder / "text.txt"]
    return {"tag": (folder / "tag.keras", tag), "flow": (folder / "flow.keras", ["flow", "sample", "{}"])}


@pytest.mark.parametrize("name", ["tag", "flow"])
def test_a_command_says_in_one_line_why_it_refuses_a_file(name, commands, run, tmp_path):
    path, arguments = commands[name]

    def said(file):
        code, out, err = run(*[file if argument == "{}" else argument for argument in arguments])
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert err.startswith(f"partita: {file} is no model file that can be read: ")
        assert len(err) < 600
        return err

    with zipfile.ZipFile(path) as file:
        config = json.loads(file.read("config.json"))
    part = "encoder" if name == "tag" else "bijection"
    for kind, harmful in hostile(tmp_path / "canary").items():
        bad = json.dumps(replaced(config, ("config", part), harmful)).encode()
        err = said(
            rewritten(
                path,
                tmp_path / "bad.keras",
                lambda name, content, bad=bad: bad if name == "config.json" else content,
            )
        )
        if kind in ("lambda", "Lambda layer"):
            assert "safe_mode" in err
        if kind in ("path", "address", "hub"):
            assert harmful in err
    assert not (tmp_path / "canary").exists()
    (tmp_path / "short.keras").write_bytes(path.read_bytes()[:-100])
    assert "zip file" in said(tmp_path / "short.keras")


def test_safe_mode_reaches_the_parts_and_can_be_left(tmp_path):
    """A Lambda layer inside a net inside a model of ours is refused.

    It is read if whoever loads it says that the file is trusted.
    """
    doubled = keras.layers.Lambda(lambda x: 2 * x, output_shape=lambda shape: shape)
    model = flows.Flow(flows.Chain([flows.AdditiveCoupling(keras.Sequential([keras.Input((2,)), doubled]))]))
    model.build((None, 4))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe_mode=False"):
        keras.saving.load_model(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=False)
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(again.log_prob(x), model.log_prob(x))
