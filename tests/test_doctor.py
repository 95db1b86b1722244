"""What `partita doctor` says in whatever state a machine is."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from partita.backend import choosing
from partita.cli import doctor

PACKAGES = {
    "scikit-learn": "sklearn",
    "python-libsbml": "libsbml",
}  # imported under another name than installed
BUILT_WITH = {"all", "bench", "dev", "docs"}


def test_it_knows_the_extras():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    names = {
        extra: tuple(
            PACKAGES.get(name, name)
            for name in (requirement.partition(">")[0] for requirement in requirements)
        )
        for extra, requirements in project["optional-dependencies"].items()
    }
    assert {extra: packages for extra, packages in names.items() if extra not in BUILT_WITH} == {
        extra: packages for extra, (_, packages) in doctor.EXTRAS.items()
    }
    assert (*doctor.NEEDED,) == tuple(name.partition(">")[0] for name in project["dependencies"])


def test_one_screen(run):
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) <= 24
    assert lines[0].startswith("partita ")
    assert lines[1].startswith("needed      keras 3.")
    assert lines[2].startswith(f"backend     {os.environ['KERAS_BACKEND']}, chosen by KERAS_BACKEND")
    assert lines[3].startswith("devices     cpu")


def test_an_extra_that_is_missing(monkeypatch):
    here = doctor.find_spec
    monkeypatch.setattr(
        doctor, "find_spec", lambda name: None if name in ("libsbml", "torch") else here(name)
    )
    lines = [" ".join(line.split()) for line in doctor.report()]
    assert any(
        line.startswith("sbml libsbml missing: pip install 'partita[sbml]' adds read_sbml") for line in lines
    )
    assert "torch missing: pip install 'partita[torch]' adds PyTorch as Keras's backend" in lines


def test_without_a_backend(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(choosing, "_is_installed", lambda name: False)
    assert any(line.startswith("backend     none: pip install 'partita[jax]'") for line in doctor.report())


def test_a_backend_that_does_not_load():
    code = "from partita.cli import main; main(['doctor'])"
    environment = os.environ | {"KERAS_BACKEND": "nonsense"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert (
        "backend     nonsense, chosen by KERAS_BACKEND\ndevices     none, for the backend does not load: "
        in done.stdout
    )


def test_a_folder_that_cannot_be_written(monkeypatch):
    def refuse(dir):
        raise PermissionError

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert doctor._state(Path("/no/such/folder")) == "/no/such/folder cannot be written"


def test_the_cache_of_jax(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "choice", lambda: ("jax", "by a test"))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    assert f"  JAX         {tmp_path}  (JAX_COMPILATION_CACHE_DIR)" in [*doctor.report()]
