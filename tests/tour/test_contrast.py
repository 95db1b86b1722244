"""The study of noise: what is found agrees with what is known."""

import pytest

from partita.tour.contrast import study
from partita.tour.page import page


@pytest.fixture(scope="module")
def made():
    return study(seed=0, num_points=4000, num_sentences=1500, epochs=4)


def test_the_density_agrees_with_quadrature(made):
    """Off by more than four standard errors: 1 in 16,000 for each of three numbers."""
    numbers = made.numbers
    for name, truth in numbers["truth"].items():
        assert abs(numbers["found"][name] - truth) < 4 * numbers["errors"][name]


def test_more_noise_costs_less(made):
    """The estimates of variances are themselves off by a few percent on 1000 points."""
    ratios = made.numbers["variance_ratios"]
    assert all(few > many for few, many in zip(ratios[1], ratios[10], strict=True))
    assert all(0.75 < ratio < 1.25 for ratio in ratios[100])


def test_the_landscape_holds_about_all_mass(made):
    assert made.numbers["moons_mass"] == pytest.approx(1, abs=0.25)
    assert made.numbers["moons_held_out"] > -2.5


def test_scores_follow_the_mutual_information(made):
    assert made.numbers["correlation"] > 0.5
    assert all(len(others) == 5 for others in made.numbers["nearest"].values())


def test_the_page_shows_it(made):
    html = page("A tour", "Introduction.", {"contrast": (made, 1.0)}, "Footer.")
    assert html.count("<svg") == 3
    assert "A landscape" in html
