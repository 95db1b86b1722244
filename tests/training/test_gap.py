"""The gap to linear: none for a linear model, a known one for a square, and what does not fit."""

import keras
import numpy as np
import pytest

from partita.training import linearity

A, B = np.zeros((6, 2)), np.ones((6, 2))


def test_a_square_bends_by_a_known_amount():
    found = linearity(lambda x: x**2, A, B, shares=[0.0, 0.25, 0.5])
    np.testing.assert_allclose(found.gaps, np.sqrt(2) * np.array([0.0, 0.25 * 0.75, 0.25]))


def test_a_linear_model_has_none():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    assert linearity(model, A, B).gap < 1e-6


def test_nests_go_in_and_out():
    assert linearity(lambda x: {"s": x[0] + x[1], "t": x[0]}, [A, B], [B, A]).gap == pytest.approx(
        0, abs=1e-12
    )


def test_the_picture():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    assert linearity(lambda x: x**2, A, B).plot("square").lines[0].get_label() == "square"
    plt.close("all")


@pytest.mark.parametrize(
    ("x_a", "x_b", "shares", "message"),
    [
        (A, B[:2], [0.5], "must be of one shape"),
        (A.astype(int), B.astype(int), [0.5], "must hold floats"),
        (A, B, [1.5], "shares must be numbers from 0 to 1"),
        (A, B, [np.nan], "shares must be numbers from 0 to 1"),
        (A * np.nan, B, [0.5], "x_a must be finite: expected numbers, got nan"),
        ({"a": A, "b": A}, {"a": A, "b": B + np.inf}, [0.5], r"x_b\['b'\] must be finite"),
        (A[:0], B[:0], [0.5], "x_a and x_b must hold samples"),
    ],
)
def test_what_does_not_fit_is_refused(x_a, x_b, shares, message):
    with pytest.raises(ValueError, match=message):
        linearity(lambda x: x, x_a, x_b, shares)


def test_a_model_that_gives_nan_has_no_gap():
    assert np.isnan(linearity(lambda x: x * np.nan, A, B).gap)
