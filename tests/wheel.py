"""Test what a wheel holds: `python -I tests/wheel.py WHEEL BACKEND`.

It also tests that the wheel does what README says, in the venv that this Python is of.

wheel → names, metadata        venv → versions, commands, quick starts, in an empty folder
"""

import os
import re
import subprocess
import sys
import tempfile
from email import message_from_bytes
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {"all", "bench", "cli", "dask", "dev", "docs", "jax", "save", "sbml", "tensorflow", "torch"}


def look_into(wheel: Path) -> None:
    """All of the package, its licence and its types, and nothing beside it."""
    with ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
        about = {name.partition(".dist-info/")[2]: name for name in file.namelist() if ".dist-info/" in name}
        metadata = message_from_bytes(file.read(about["METADATA"]))
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "partita").rglob("*")
        if path.suffix in (".py", ".typed", ".html", ".css")
    }
    assert names == package, names ^ package
    assert "licenses/LICENSE" in about, about
    assert {*metadata.get_all("Provides-Extra", [])} == EXTRAS
    assert metadata["Requires-Python"] == ">=3.11"
    classifiers = metadata.get_all("Classifier", [])
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= {*classifiers}
    assert "Typing :: Typed" in classifiers


def call(*arguments: str) -> str:
    """What the installed command prints."""
    command = [str(Path(sys.prefix) / "bin" / "partita"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def use(backend: str) -> None:
    """The installed package, with this backend and no other."""
    import partita

    assert Path(partita.__file__).is_relative_to(sys.prefix), partita.__file__
    assert [name for name in ("jax", "tensorflow", "torch") if find_spec(name)] == [backend]
    assert call("--version") == f"partita {partita.__version__}\n"
    report = call("doctor")
    print(report)
    assert f"backend     {backend}, chosen as the first of" in report
    assert "1,000 finished" in call(
        "simulate", "-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1", "--until", "10"
    )
    quick_start = (
        (ROOT / "README.md")
        .read_text(encoding="utf-8")
        .partition("\n## Quick start\n")[2]
        .partition("\n## ")[0]
    )
    blocks = re.findall(r"^```(python|console)\n(.*?)^```", quick_start, re.MULTILINE | re.DOTALL)
    assert {language for language, _ in blocks} == {"python", "console"}, "README has no quick start"
    os.environ["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    for language, block in blocks:
        if language == "python":
            exec(block, {"__name__": "__main__"})
        else:
            subprocess.run(["bash", "-ec", block], check=True)


if __name__ == "__main__":
    look_into(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["KERAS_HOME"] = folder  # no choice of backend from elsewhere
        os.environ.pop("KERAS_BACKEND", None)
        use(sys.argv[2])
        os.chdir("/")
    print(
        f"{Path(sys.argv[1]).name} holds what it should, and works with {sys.argv[2]} on Python "
        f"{sys.version.split()[0]}"
    )
