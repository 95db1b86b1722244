import pytest

from partita.backend import double_precision


@pytest.fixture
def float64():
    with double_precision():
        yield
