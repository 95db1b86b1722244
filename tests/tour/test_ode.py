"""The study of two species: all paths end alike, and the fit is as good as rounding allows."""

import keras
import numpy as np
import pytest

from partita.tour import lynx
from partita.tour.ode import START, TRUE, study
from partita.tour.page import page

pytestmark = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="without compilation the study's fits take minutes"
)


@pytest.fixture(scope="module")
def made():
    return study(seed=1)


def test_the_fit_is_that_of_the_article(made):
    numbers = made.numbers
    assert numbers["rmse"] == pytest.approx(0.194, abs=0.002)
    assert numbers["largest_error"] < 0.5
    assert all(numbers["parameters"][name] == pytest.approx(value, rel=0.06) for name, value in TRUE.items())
    assert all(
        START[name] / value in (pytest.approx(3), pytest.approx(1 / 3)) for name, value in TRUE.items()
    )


def test_all_paths_end_where_neither_species_changes(made):
    ends = np.array(made.numbers["end_of_all_paths"])
    assert np.ptp(ends, axis=0).max() < 10
    assert ends.min() > 100


def test_the_page_shows_it(made):
    html = page("A tour", "Introduction.", {"ode": (made, 1.0)}, "Footer.")
    assert html.count("<svg") == (3 if made.numbers["lynx_and_hare"] else 2)
    assert "Backward: training is inference" in html


def test_lynx_and_hare_are_fitted_where_the_record_is(made, data_folder):
    assert made.numbers["lynx_and_hare"]["rates"] == pytest.approx(
        {"α": 0.55, "β": 0.028, "γ": 0.80, "δ": 0.024}, rel=0.15
    )


def test_without_the_record_the_page_says_how_to_come_by_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PARTITA_DATA", str(tmp_path))
    (said,), numbers = lynx.blocks()
    assert "PARTITA_DATA" in said.html("x")
    assert numbers == {}
