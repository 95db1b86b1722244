import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from partita.backend import choose

os.environ.setdefault("JAX_PLATFORMS", "cpu")
choose()  # for tests whose first import is keras itself

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
