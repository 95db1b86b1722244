"""Time that keeps its digits, fields that jump, and inputs that are not skipped."""

import contextlib
import re

import keras
import numpy as np
import pytest
from keras import ops

from partita import ode
from partita.ode.clock import Clock

JULIAN, UNIX = 2459000.5, 1.7e9
METHODS = {
    "dopri5": {},
    "rk4": {"method": "rk4", "num_steps": 20},
    "rk4-dt": {"method": "rk4", "dt": 0.01},
    "rodas4": {"method": "rodas4"},
    "rodas4-fixed": {"method": "rodas4", "num_steps": 20},
}


def solved(*args, **options):
    return ops.convert_to_numpy(ode.solve(*args, **options))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_field_sees_the_digits_of_a_julian_day(method, precision):
    """y' = cos 2πt is sin(2πt) / 2π, which is 0 at a day that ends in .5."""
    times = JULIAN + np.array([0.0, 0.1, 0.25])
    path = solved(
        lambda t, y: ops.cos(2 * np.pi * t) + 0 * y, np.zeros(1, precision), times, **METHODS[method]
    )
    np.testing.assert_allclose(
        path[:, 0], -np.sin(2 * np.pi * np.array([0.0, 0.1, 0.25])) / (2 * np.pi), atol=3e-7
    )


def test_the_field_computes_in_the_precision_of_float64_states():
    """The field computes in float64 where JAX was told of 64 bits, and Keras of nothing.

    A user may have it so; `keras.ops` alone would compute cosines in float32.
    """
    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "jax":
            import jax

            stack.enter_context(jax.enable_x64(True))
        times = np.linspace(0, 2, 5)
        path = solved(lambda t, y: ops.cos(t) + 0 * ops.exp(y), np.zeros(1), times, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(path[:, 0], np.sin(times), atol=1e-9)


@pytest.mark.parametrize(
    "times",
    [
        [UNIX, UNIX + 1, UNIX + 2],
        [UNIX + 2, UNIX + 1.5, UNIX],
        [2024, 2024.005, 2024.01],
        [JULIAN, JULIAN + 1e-3],
        [-1e8, -1e8 + 0.5],
        [0.0, 1e-9, 2e-9],
        [0.0, 1e-6, 1.0],
    ],
    ids=str,
)
def test_a_field_without_time_knows_only_differences(times):
    elapsed = np.array(times) - times[0]
    path = solved(lambda t, y: -y, np.ones(1, "float32"), times)
    np.testing.assert_allclose(path[:, 0], np.exp(-elapsed), rtol=3e-6)


def test_the_layer_sees_the_digits_of_a_julian_day():
    layer = ode.Solve(
        lambda t, y, p: p["a"] * ops.cos(2 * np.pi * t) + 0 * y,
        [JULIAN, JULIAN + 0.25],
        parameters={"a": 2.0},
    )
    path = ops.convert_to_numpy(layer(np.zeros((2, 1), "float32")))
    assert path[1, 1, 0] == pytest.approx(-1 / np.pi, abs=1e-6)


def test_a_layer_that_would_round_the_time_is_refused():
    class Season(keras.layers.Layer):
        def call(self, t, y):
            return ops.cos(t) + 0 * y

    with pytest.raises(
        ValueError,
        match=r"field must be a layer of dtype='float64' to tell times like 2459000\.5 apart over 1, got one "
        r"of",
    ):
        ode.solve(Season(), np.ones((1, 1), "float32"), [JULIAN, JULIAN + 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"times": [0.0, 1e6, 1e6 + 0.01]},
            "float32 cannot tell 1000000.01 from 1000000.0, 1e+06 after the first of the times",
        ),
        (
            {"times": [0.0, 2.0], "break_points": [1.0, 1.0 + 1e-9]},
            "float32 cannot tell 1.000000001 from 1.0",
        ),
        ({"times": [0.0, 1e6], "method": "rk4", "dt": 0.05}, "steps of 0.05 are too short for float32"),
    ],
)
def test_times_too_close_for_the_precision_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ode.solve(lambda t, y: -y, np.ones(1, "float32"), **options)


def pulse(t, y):
    """y' = −y + 20 from t = 1 to 1.05."""
    return -y + 20 * ops.cast(ops.logical_and(t > 1, t < 1.05), y.dtype)


@pytest.mark.parametrize("start", [0.0, 2024.0], ids=["near", "far"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"each": True},
        {"method": "rodas4"},
        {"method": "rk4", "num_steps": 7},
        {"method": "rk4", "dt": 0.3},
    ],
    ids=str,
)
def test_steps_end_where_the_field_jumps(options, start):
    """20 (e^0.05 − 1) e^−1 at t = 2; without break points only a method that sees the pulse gives it."""
    path = solved(
        lambda t, y: pulse(t - start, y),
        np.zeros((2, 1), "float32"),
        [start, start + 2],
        break_points=start + np.array([1, 1.05]),
        **options,
    )
    tolerance = 1e-4 if "rk4" in options.values() else 3e-6
    np.testing.assert_allclose(path[:, 1, 0], 20 * (np.exp(0.05) - 1) * np.exp(-1), rtol=tolerance)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("options", [{}, {"max_step": 0.01}, {"method": "rodas4"}], ids=str)
def test_a_pulse_of_a_fortieth_of_the_time_is_not_jumped_over(options):
    path = solved(pulse, np.zeros(1), [0.0, 2.0], **options)
    assert path[1, 0] == pytest.approx(20 * (np.exp(0.05) - 1) * np.exp(-1), rel=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_field_is_asked_on_the_right_side_of_a_jump(sign):
    """y' = 1 before t = 1, 3 from there on, whichever side t = 1 belongs to, forwards and backwards."""
    for jump in (lambda t: t >= 1, lambda t: t > 1):
        path = solved(
            lambda t, y, jump=jump: 1 + 2 * ops.cast(jump(t), y.dtype) + 0 * y,
            np.zeros(1, "float32"),
            [0.0, 0.5, 1.0, 2.0][::sign],
            break_points=[1.0, 7.0],
        )
        exact = np.array([0.0, 0.5, 1.0, 4.0])
        np.testing.assert_allclose(path[:, 0], exact if sign > 0 else exact[::-1] - 4.0, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"each": True}, {"method": "rodas4"}, {"max_step": np.inf}], ids=str)
def test_no_input_is_skipped(options):
    """One sample among a hundred: y' = u is the area of a triangle, .2 wide and 5 high."""
    times = np.linspace(0.0, 10.0, 101)
    inputs = np.zeros((1, 101, 1), "float32")
    inputs[0, 71] = 5.0
    path = solved(lambda t, y, u: u + 0 * y, np.zeros((1, 1), "float32"), times, inputs=inputs, **options)
    np.testing.assert_allclose(path[0, [0, 70, 71, 72, 100], 0], [0, 0, 0.25, 0.5, 0.5], rtol=1e-4, atol=1e-6)


def test_the_layer_skips_no_input():
    times = np.linspace(0.0, 1.0, 101)
    inputs = np.zeros((1, 101, 1), "float32")
    inputs[0, 50] = 1.0
    path = ops.convert_to_numpy(
        ode.Solve(lambda t, y, u: u + 0 * y, times)([np.zeros((1, 1), "float32"), inputs])
    )
    assert path[0, -1, 0] == pytest.approx(1 / 100, rel=1e-4)


def test_a_clock_counts_from_the_first_time():
    clock = Clock([5.0, 3.0], "float32", [4.0, 9.0])
    assert (clock.span, clock.sign, clock.wide, clock.breaks.tolist(), clock.stops().tolist()) == (
        2.0,
        -1.0,
        False,
        [1.0],
        [1.0, 2.0],
    )
