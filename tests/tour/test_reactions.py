"""The study of the article's gene: what it measures must agree with the exact law."""

import math

import pytest

from partita.tour.page import page
from partita.tour.reactions import study


@pytest.fixture(scope="module")
def small():
    return study(seed=1, trajectories=2000)


def test_the_numbers_are_those_of_the_article(small):
    numbers = small.numbers
    exact = {"m": (20, 1.0), "n": (50, 2.25)}
    for name, (mean, fano) in exact.items():
        assert numbers["exact"][name] == pytest.approx({"mean": mean, "fano": fano}, rel=1e-5)
        assert numbers["rate_equation"][name] == pytest.approx(mean, rel=1e-5)
        # Four standard errors, four figures: 1 false alarm in 4000 seeds.
        for key, value in (("mean", mean), ("fano", fano)):
            assert abs(numbers[name][key] - value) < 4 * numbers[name][f"{key}_error"]
    assert numbers["probability_outside"] < 1e-9
    assert numbers["distance"] < 0.15


def test_the_errors_are_those_of_independent_trajectories(small):
    numbers = small.numbers
    assert numbers["m"]["mean_error"] == pytest.approx(math.sqrt(20 / 2000), rel=0.1)
    assert numbers["m"]["fano_error"] == pytest.approx(math.sqrt(2 / 2000), rel=0.15)  # of a Poisson law


def test_the_page_shows_it(small):
    html = page("A tour", "Introduction.", {"reactions": (small, 1.0)}, "Footer.")
    assert html.count("<svg") == 3
    assert "Z is a clock" in html
