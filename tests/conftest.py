import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from partita.backend import choose

os.environ.setdefault("JAX_PLATFORMS", "cpu")
choose()  # for tests whose first import is keras itself

# What computes nothing with Keras is the same on every backend, and tested with JAX alone.
WITHOUT_KERAS = {
    "contrast": ("command", "neighbours", "tokens", "vectors", "word_files"),
    "crf": ("corpus", "lexicon", "metrics", "tags"),
    "reactions": (
        *("bounds", "command", "dsmts", "ensemble", "guard", "interrupts", "laws", "limits"),
        *("master", "parse", "sbml", "streams", "thinning"),
    ),
    "trust": ("kernel_cache", "nothing_left"),
}
# Long ways through several parts, each of which has tests of its own on every backend.
LONG_WAYS = {
    "": ("examples", "files"),
    "crf": ("command", "tagging"),
    "flows": ("command",),
    "reactions": ("fitting",),
    "tour": ("contrast", "crf", "flows", "ode", "reactions", "training", "variational"),
    "trust": ("bombs",),
}
if os.environ.get("KERAS_BACKEND") != "jax":
    collect_ignore = [
        f"{folder}/test_{name}.py".lstrip("/")
        for rooms in (WITHOUT_KERAS, LONG_WAYS)
        for folder, names in rooms.items()
        for name in names
    ]

settings.register_profile("partita", derandomize=True, deadline=None)
settings.load_profile("partita")


@pytest.fixture(autouse=True)
def seeds():
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(scope="session")
def data_folder():
    """Real data, which stays outside the project."""
    folder = Path(os.environ.get("PARTITA_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}: set PARTITA_DATA")
    return folder


@pytest.fixture
def run(capsys):
    """What a command line ends with: exit code, standard output, standard error."""

    from partita import cli

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main([*map(str, arguments)])
        return (stop.value.code or 0, *capsys.readouterr())

    return run
