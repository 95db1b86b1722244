"""Splines of any parameters: inverses of one another to what float32 can show, with finite gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from partita import flows
from partita.flows import splines
from tests.autodiff import gradients

BOUND = 4.0


def parameters(bins, rng, rows=200):
    """Raw parameters without a limit: normal ones, mixed signs, single ones far out."""
    count = splines.num_parameters(bins)
    single = np.zeros((rows, count))
    single[np.arange(rows), rng.integers(0, count, rows)] = 1.0
    pairs = single + np.roll(single, bins, axis=1)
    kinds = [
        rng.normal(size=(rows, count)),
        rng.choice([-1.0, 1.0], (rows, count)),
        rng.choice([-1.0, 0.0, 1.0], (rows, count)),
        single,
        pairs,
    ]
    return np.concatenate([size * kind for size in (1.0, 50.0, 1e4) for kind in kinds]).astype("float32")


def edges(raw, bins):
    """Where the bins of x end, by the formula of the module."""
    least = min(splines.MIN_BIN, 0.5 / bins)
    across, up = (
        least + (1 - least * bins) * ops.convert_to_numpy(ops.softmax(part, axis=-1))
        for part in (raw[:, :bins], raw[:, bins : 2 * bins])
    )
    return 2 * BOUND * np.cumsum((1 - splines.MIXED) * across + splines.MIXED * up, axis=1) - BOUND


@pytest.mark.parametrize("bins", [2, 3, 8, 16, 31, 50, 64])
def test_any_spline_inverts_in_float32(bins):
    rng = np.random.default_rng(bins)
    raw = parameters(bins, rng)
    rows = np.arange(len(raw))
    knots = edges(raw, bins)[rows, rng.integers(0, bins, len(raw))]
    near = knots + rng.normal(size=len(raw)) * 10.0 ** rng.uniform(-7, -1, len(raw))
    end = np.where(rng.uniform(size=len(raw)) < 0.5, -1, 1) * np.nextafter(np.float32(BOUND), np.float32(0))
    for x in (
        rng.uniform(-BOUND, BOUND, len(raw)),
        knots,
        near,
        end,
        np.sign(end) * BOUND,
        np.sign(end) * 1e6,
    ):
        x32 = x.astype("float32")
        for there, back in ((splines.forward, splines.inverse), (splines.inverse, splines.forward)):
            y, log_slope = there(x32, raw, bins, BOUND)
            again, inverse = back(y, raw, bins, BOUND)
            assert np.isfinite(ops.convert_to_numpy(log_slope)).all()
            np.testing.assert_allclose(ops.convert_to_numpy(again), x32, atol=1e-4)
            np.testing.assert_allclose(ops.convert_to_numpy(log_slope + inverse), 0, atol=1e-3)


@pytest.mark.parametrize("bins", [2, 8, 50])
def test_a_spline_rises_between_its_ends(bins):
    raw = parameters(bins, np.random.default_rng(0), rows=4)
    x = np.linspace(-BOUND, BOUND, 401, dtype="float32")
    for row in raw:
        y = ops.convert_to_numpy(splines.forward(x, np.broadcast_to(row, (len(x), len(row))), bins, BOUND)[0])
        assert (np.diff(y) > 0).all()
        np.testing.assert_allclose(y[[0, -1]], [-BOUND, BOUND])


@pytest.mark.parametrize("function", [splines.forward, splines.inverse])
def test_gradients_of_any_spline_are_finite(function):
    bins = 5
    raw = parameters(bins, np.random.default_rng(0), rows=20)
    x = np.random.default_rng(1).uniform(-BOUND, BOUND, len(raw)).astype("float32")
    x[:3] = 0.0, BOUND, 9.0
    _, found = gradients(lambda x, raw: ops.sum(ops.add(*function(x, raw, bins, BOUND))), x, raw)
    assert all(np.isfinite(gradient).all() for gradient in found)


def test_without_parameters_it_is_the_identity():
    x = np.linspace(-6, 6, 49, dtype="float32")
    y, log_slope = splines.forward(x, np.zeros((49, 23), "float32"), 8, BOUND)
    np.testing.assert_allclose(ops.convert_to_numpy(y), x, atol=2e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(log_slope), 0, atol=2e-6)


@pytest.mark.parametrize("size", [50.0, 1e4])
def test_a_coupling_of_a_wild_net_inverts(size):
    coupling = flows.SplineCoupling(
        keras.layers.Dense(3 * 23, kernel_initializer=keras.initializers.RandomNormal(stddev=size)), "first"
    )
    x = np.random.default_rng(0).uniform(-5, 5, (500, 6)).astype("float32")
    y, log_det = coupling.forward_and_log_det(x)
    again, inverse = coupling.inverse_and_log_det(y)
    np.testing.assert_allclose(ops.convert_to_numpy(again), x, atol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(log_det + inverse), 0, atol=1e-3)
