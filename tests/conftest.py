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
