"""The study of digits: what it measures holds together, whatever the law that comes out best."""

import math
import sys

import numpy as np
import pytest

from partita.tour.flows import LEVELS, study
from partita.tour.page import page


@pytest.fixture(scope="module")
def made():
    return study(seed=1, epochs=8)


def test_the_flow_learns(made):
    bits = made.numbers["bits_per_pixel"]
    assert len(bits) == 5
    assert all(2.3 < value < math.log2(LEVELS) + 1 for value in bits.values())
    assert made.numbers["reach_largest"] > made.numbers["reach_smallest"] > 0


def test_the_page_shows_it(made):
    html = page("A tour", "Introduction.", {"flows": (made, 1.0)}, "Footer.")
    assert html.count("<svg") == 3
    assert "Which dimensions matter" in html
    assert np.isfinite(made.numbers["train_bits_per_pixel"])


def test_without_its_digits_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'partita\[cli\]'"):
        study()
