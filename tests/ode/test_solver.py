"""Solutions against closed forms and SciPy, their gradients, and what is refused."""

import re

import keras
import numpy as np
import pytest
from keras import ops
from scipy.integrate import solve_ivp

from partita import ode
from tests.autodiff import gradients
from tests.ode.fields import coupled, nonlinear

BACKEND = keras.backend.backend()
TIMES = np.array([0.0, 0.4, 1.0, 1.5])
METHODS = {
    "fixed": {"method": "rk4", "num_steps": 20},
    "fixed-dt": {"method": "rk4", "dt": 0.03},
    "rodas4": {"method": "rodas4", "num_steps": 20},
    "dopri5": {"rtol": 1e-8},
    "dopri5-each": {"rtol": 1e-8, "each": True},
    "rodas4-controlled": {"method": "rodas4", "rtol": 1e-6},
}
STARTS = np.array([[1.0, 2.0], [0.5, 0.3], [2.0, 1.0]])


def truth(starts=STARTS, times=TIMES):
    """SciPy's solutions of `coupled`, `(batch, time, state)`."""

    def field(t, y):
        return [y[0] * (1.5 - y[1]) + 0.3 * np.sin(t), y[1] * (y[0] - 1.5)]

    paths = [
        solve_ivp(field, (times[0], times[-1]), y, t_eval=times, method="DOP853", rtol=1e-11, atol=1e-11).y.T
        for y in starts
    ]
    return np.stack(paths)


def solved(*args, **options):
    return ops.convert_to_numpy(ode.solve(*args, **options))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("direction", [1, -1])
def test_agrees_with_scipy(method, direction):
    times = TIMES[::direction]
    np.testing.assert_allclose(
        solved(coupled, STARTS, times, **METHODS[method]), truth(times=times), rtol=3e-6, atol=3e-6
    )


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("method", METHODS)
def test_gradients_agree_with_finite_differences(method):
    """Gradients of a weighted sum of all states agree, in the start and in a parameter.

    Step sizes move little enough at these tolerances.
    """
    weights = np.random.default_rng(0).normal(size=(1, 4, 2))
    options = METHODS[method] | ({"rtol": 1e-10} if "dopri5" in method else {})
    tolerance = 1e-6 if "controlled" not in method else 1e-4

    def value(y0, a):
        return ops.convert_to_tensor(weights) * ode.solve(lambda t, y: coupled(t, y, a), y0, TIMES, **options)

    inputs = [STARTS[:1], np.array(1.5)]
    _, (in_start, in_parameter) = gradients(value, *inputs)

    def total(y0, a):
        return float(ops.sum(value(*(ops.convert_to_tensor(np.asarray(x, "float64")) for x in (y0, a)))))

    nudge = np.array([[1e-4, 0.0]])
    assert in_start[0, 0] == pytest.approx(
        (total(STARTS[:1] + nudge, 1.5) - total(STARTS[:1] - nudge, 1.5)) / 2e-4, rel=tolerance
    )
    assert in_parameter == pytest.approx(
        (total(STARTS[:1], 1.5 + 1e-4) - total(STARTS[:1], 1.5 - 1e-4)) / 2e-4, rel=tolerance
    )


def test_more_steps_raise_the_accuracy():
    exact = 1 / (1 + TIMES**2)
    errors = [
        np.abs(
            solved(nonlinear, np.ones(2), TIMES, method="heun", num_steps=n, check=False)[:, 0] - exact
        ).max()
        for n in (2, 16)
    ]
    assert errors[1] < errors[0] / 30


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "options", [{"method": "rk4", "num_steps": 5}, {}, {"each": True}, {"method": "rodas4"}]
)
def test_inputs_drive_the_field(options):
    """y' = u with u linear between the times: the trapezoid rule is exact."""
    inputs = np.random.default_rng(1).normal(size=(3, 4, 2))
    path = solved(lambda t, y, u: u + 0 * y, STARTS, TIMES, inputs=inputs, **options)
    exact = STARTS[:, None] + np.concatenate(
        [
            np.zeros((3, 1, 2)),
            np.cumsum(np.diff(TIMES)[:, None] * (inputs[:, 1:] + inputs[:, :-1]) / 2, axis=1),
        ],
        axis=1,
    )
    np.testing.assert_allclose(path, exact, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("float64")
def test_samples_at_their_own_pace_do_not_disturb_one_another():
    calm, wild = np.array([[0.1, 0.0]]), np.array([[3.0, -6.0]])

    def van_der_pol(t, y):
        return ops.stack([y[..., 1], 5.0 * (1 - y[..., 0] ** 2) * y[..., 1] - y[..., 0]], axis=-1)

    options = {"rtol": 1e-6, "each": True} if BACKEND == "jax" else {"rtol": 1e-9}
    both = solved(van_der_pol, np.concatenate([calm, wild]), TIMES, **options)
    np.testing.assert_allclose(both[:1], solved(van_der_pol, calm, TIMES, **options), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"times": [0.0, 1.0, 1.0]},
            "times must rise, or fall, throughout and be finite, got 1 before 1 at 2",
        ),
        ({"times": [0.0, 2.0, 1.0]}, "got 2 before 1 at 2"),
        ({"times": [0.0]}, "times must be a row of two or more, got the shape (1,)"),
        ({"times": [0.0, np.nan]}, "times must rise"),
        ({"times": 3.0}, "times must be a row of two or more, got the shape ()"),
        ({"times": []}, "times must be a row of two or more, got the shape (0,)"),
        ({"times": [0, 1j]}, "times must be real numbers, got complex numbers"),
        (
            {"times": np.array(["2024-01-01", "2024-01-02"], "datetime64[D]")},
            "times must be real numbers, got dates",
        ),
        ({"times": ["a", "b"]}, "times must be real numbers, got dtype <U1"),
        ({"method": "rk5"}, "method must be one of dopri5, rodas4, got 'rk5'"),
        (
            {"method": "rk4"},
            "method must be one of dopri5, rodas4 where steps are controlled: give num_steps= or dt= for "
            "fixed steps, got",
        ),
        ({"method": "rk5", "dt": 0.1}, "method must be one of euler, midpoint"),
        ({"rtol": -1.0}, "rtol must be above 0 and finite, got -1.0"),
        ({"rtol": np.nan}, "rtol must be above 0"),
        ({"atol": -1.0}, "atol must be at least 0"),
        ({"max_steps": 0}, "max_steps must be a whole number, at least 1, got 0"),
        ({"max_step": 0.0}, "max_step must be above 0, got 0.0"),
        ({"num_steps": 0}, "num_steps must be a whole number, at least 1, got 0"),
        ({"num_steps": 1.5}, "num_steps must be a whole number"),
        ({"dt": -0.1}, "dt must be above 0 and finite, got -0.1"),
        ({"dt": 0.1, "num_steps": 2}, "dt and num_steps exclude one another"),
        (
            {"dt": 0.1, "rtol": 1e-3},
            "rtol is for steps that are controlled, and fixed ones were asked for by dt",
        ),
        ({"num_steps": 2, "max_step": 0.1}, "max_step is for steps that are controlled"),
        ({"dt": 1e-12}, "dt and num_steps must ask for 100,000,000 steps at most, got 1e+12"),
        ({"dt": 1e-7}, "are too short for float32"),
        ({"break_points": [np.nan]}, "break_points must be finite, got nan"),
        ({"break_points": 1j}, "break_points must be real numbers, got complex numbers"),
        ({"y0": np.array([1.0, np.nan])}, "y0 must be finite, got nan at [1]"),
        ({"y0": np.array([[1.0], [np.inf]])}, "y0 must be finite, got inf at [1, 0]"),
        ({"y0": np.ones(2, "complex64")}, "y0 must be real, got complex64"),
        ({"inputs": np.ones((2, 1), "complex64")}, "inputs must be real, got complex64"),
        ({"inputs": np.full((2, 1), np.nan)}, "inputs must be finite, got nan at [0, 0]"),
        ({"field": lambda t, y: ops.cast(y, "complex64")}, "what field returns must be real, got complex64"),
        (
            {"field": lambda t, y: None},
            "field must return a tensor (stack its parts: ops.stack([...], axis=-1)), got a NoneType",
        ),
        ({"y0": 1.0}, "y0 must be (..., state), got a number"),
        ({"field": 3}, "field must be a function, a Keras layer or a model, got 3"),
        ({"field": lambda t, y: y[..., :1]}, "field must return the shape of y, (2,), got (1,)"),
        ({"field": lambda t, y: [y[0], y[1]]}, "field must return a tensor (stack its parts"),
        ({"inputs": np.ones((3, 1))}, "inputs must be (..., 2 times, features) for a y0 of (2,), got (3, 1)"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ode.solve(**({"field": lambda t, y: -y, "y0": np.ones(2, "float32"), "times": [0.0, 1.0]} | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"method": "rk4", "num_steps": 50},
            "the solution stops at t = 0.5: it is not finite at the next of the times; the fixed steps of",
        ),
        (
            {},
            "the solution stops at t = 1: its steps fall below 1e-07 of the time since the first, which "
            "float32 cannot tell apart",
        ),
        ({"rtol": 1e-5, "each": True}, "the solution stops at t = 1: its steps fall below"),
        ({"method": "rodas4"}, "its steps fall below"),
        (
            {"max_steps": 3},
            "max_steps = 3 ran out there; give a larger max_steps=, a larger rtol=, or method='rodas4' if "
            "the field is stiff",
        ),
        (
            {"method": "rodas4", "max_steps": 3},
            "max_steps = 3 ran out there; give a larger max_steps=, a larger rtol=",
        ),
    ],
)
def test_a_solution_that_ends_says_when(options, message):
    """y' = y² from 1 is 1 / (1 − t)."""
    with pytest.raises(FloatingPointError, match=re.escape(message)):
        ode.solve(lambda t, y: y * y, np.ones((1, 1), "float32"), [0.0, 0.5, 2.0, 3.0], **options)
    unchecked = solved(
        lambda t, y: y * y, np.ones((1, 1), "float32"), [0.0, 0.5, 2.0, 3.0], check=False, **options
    )
    assert not np.isfinite(unchecked[0, 2:]).any()


@pytest.mark.parametrize(
    ("field", "exact"),
    [
        (lambda t, y: -50 * y, lambda t: np.exp(-50 * t)),
        (lambda t, y: -y, lambda t: np.exp(-t)),
        (lambda t, y: 1 - y, np.ones_like),
        (lambda t, y: t + 0 * y, lambda t: 1 + t**2 / 2),
        (lambda t, y: -1000 * (y - ops.cos(t)) - ops.sin(t), np.cos),
        (lambda t, y: y * (1 - y / 100), lambda t: 100 / (1 + 99 * np.exp(-t))),
    ],
    ids=["fast", "decay", "rest", "time", "stiff", "logistic"],
)
def test_without_options_a_solution_is_right(field, exact):
    times = [0.0, 1.0, 2.0]
    path = solved(field, np.ones((1, 1), "float32"), times)
    np.testing.assert_allclose(path[0, :, 0], exact(np.array(times)), rtol=2e-5, atol=1e-7)


def test_a_very_stiff_field_is_told_which_method_to_take():
    def field(t, y):
        return -1e6 * (y - ops.cos(t))

    with pytest.raises(FloatingPointError, match="or method='rodas4' if the field is stiff"):
        ode.solve(field, np.ones(1, "float32"), [0.0, 2.0], max_steps=500)
    assert solved(field, np.ones(1, "float32"), [0.0, 2.0], method="rodas4")[1, 0] == pytest.approx(
        np.cos(2), rel=1e-4
    )


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (lambda t, y: 1e3 * y, "just beyond it the field or the state is not finite"),
        (lambda t, y: ops.log(-y), "the solution stops at t = 0: just beyond it the field"),
        (lambda t, y: -1 / (2 * y), "the solution stops at t = 1: "),
    ],
    ids=["overflow", "domain", "root"],
)
def test_the_cause_is_named(field, message):
    with pytest.raises(FloatingPointError, match=re.escape(message)):
        ode.solve(field, np.ones(1, "float32"), [0.0, 2.0])


@pytest.mark.parametrize("each", [False, True])
def test_the_sample_that_ends_is_named_and_the_others_are_kept(each):
    starts, times = np.array([[0.1], [1.0], [0.2]], "float32"), [0.0, 0.5, 2.0]
    with pytest.raises(FloatingPointError, match="the solution stops at t = 1 in sample 1: its steps fall"):
        ode.solve(lambda t, y: y * y, starts, times, each=each)
    ended = ode.solve(lambda t, y: y * y, starts, times, each=each, throw=False)
    path, elapsed, status = map(ops.convert_to_numpy, ended)
    assert status.tolist() == ([0, 2, 0] if each else [4, 2, 4])
    np.testing.assert_allclose(elapsed, [2, 1, 2] if each else [1, 1, 1], rtol=1e-5)
    np.testing.assert_allclose(path[:, 1, 0], starts[:, 0] / (1 - starts[:, 0] / 2), rtol=1e-5)
    assert np.isnan(path[:, 2, 0]).tolist() == ([False, True, False] if each else [True] * 3)


def test_fixed_steps_return_what_was_reached():
    ended = ode.solve(
        lambda t, y: y * y, np.ones(1, "float32"), [0.0, 0.5, 3.0], method="rk4", num_steps=50, throw=False
    )
    assert (int(ended.status), float(ended.elapsed)) == (3, 0.5)


@pytest.mark.parametrize(
    ("field", "options", "coarse"),
    [
        (lambda t, y: -50 * y, {"num_steps": 1}, True),
        (lambda t, y: -y, {"num_steps": 1}, True),
        (lambda t, y: -y, {"dt": 1.0}, True),
        (lambda t, y: -y, {"dt": 0.2}, False),
        (lambda t, y: 0 * y, {"num_steps": 1}, False),
        (
            lambda t, y: 0 * y + ops.convert_to_tensor(np.array([1.0, 0.0], "float32")),
            {"num_steps": 1},
            False,
        ),
    ],
    ids=["unstable", "one step", "long steps", "short steps", "constant", "zero beside one"],
)
def test_fixed_steps_that_are_too_long_warn(field, options, coarse):
    options = {"method": "rk4", **options}
    start = np.array([1.0, 0.0], "float32")
    if not coarse:
        solved(field, start, [0.0, 1.0, 2.0], **options)
        return
    with pytest.warns(
        ode.CoarseStepWarning, match="half as long steps change the solution by .* of its size: take more"
    ):
        solved(field, start, [0.0, 1.0, 2.0], **options)
    solved(field, start, [0.0, 1.0, 2.0], check=False, **options)


def test_a_tolerance_that_cannot_be_met_is_raised():
    with pytest.warns(
        ode.ToleranceWarning, match="rtol = 1e-09 is below what float32 can meet and is raised to 9.5e-07"
    ):
        path = solved(lambda t, y: -y, np.ones(1, "float32"), [0.0, 1.0], rtol=1e-9)
    assert path[1, 0] == pytest.approx(np.exp(-1), rel=3e-6)


@pytest.mark.parametrize(
    ("dtype", "out"),
    [("int32", "float32"), ("bool", "float32"), ("float16", "float16"), ("bfloat16", "bfloat16")],
)
def test_other_kinds_of_numbers(dtype, out):
    path = ode.solve(lambda t, y: -y, ops.ones((1, 1), dtype), [0.0, 1.0])
    assert keras.backend.standardize_dtype(path.dtype) == out
    assert float(ops.cast(path[0, 1, 0], "float32")) == pytest.approx(
        np.exp(-1), rel=1e-5 if out == "float32" else 4e-3
    )


def test_a_batch_may_have_parameters_of_its_own():
    rates = np.array([[1.0], [2.0], [3.0]], "float32")
    path = solved(lambda t, y: -ops.convert_to_tensor(rates) * y, np.ones((3, 1), "float32"), [0.0, 1.0])
    np.testing.assert_allclose(path[:, 1], np.exp(-rates), rtol=1e-5)


@pytest.mark.skipif(BACKEND != "jax", reason="jax.jacfwd and jax.hessian")
def test_derivatives_go_forwards_too():
    """y' = −p y² from 1 is 1 / (1 + p t)."""
    import jax

    def end(p):
        return ode.solve(lambda t, y: -p * y * y, np.ones(1, "float32"), [0.0, 1.0])[1, 0]

    assert float(jax.jacfwd(end)(2.0)) == pytest.approx(-1 / 9, rel=1e-5)
    assert float(jax.hessian(end)(2.0)) == pytest.approx(2 / 27, rel=1e-4)
