"""Tests of each step: its order, its gradient, its stability.

The gradient is tested against finite differences, the stability against a stiff field.
"""

from itertools import pairwise

import numpy as np
import pytest
from keras import ops

from partita import ode
from partita.backend import is_known
from partita.ode.steps import EMBEDDED, STEPS
from tests.autodiff import gradients
from tests.ode.fields import coupled

ORDERS = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4, "dopri5": 5, "rosenbrock_euler": 1, "rodas4": 4}

pytestmark = pytest.mark.usefixtures("float64")


def tensor(values):
    return ops.convert_to_tensor(np.asarray(values, "float64"))


def walk(step, field, y, start, end, count):
    dt = (end - start) / count
    for i in range(count):
        y = step(field, tensor(start + i * dt), y, tensor(dt))
    return y


@pytest.mark.parametrize("name", STEPS)
def test_order_of_convergence(name):
    """Halving the step divides the error by 2^order, within 0.25 of the order.

    The field follows the time.
    """
    count = {1: 64, 2: 32, 4: 32, 5: 16}[ORDERS[name]]
    ends = [
        ops.convert_to_numpy(
            ode.solve(coupled, tensor([1.0, 2.0]), [0.0, 0.8], method=name, num_steps=n, check=False)[-1]
        )
        for n in (count, 2 * count, 4 * count)
    ]
    errors = [np.abs(end - finer).max() for end, finer in pairwise(ends)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(ORDERS[name], abs=0.25)


@pytest.mark.parametrize("name", STEPS)
def test_backwards_returns_to_the_start(name):
    start = tensor([1.0, 2.0])
    there = walk(STEPS[name], coupled, start, 0.0, 0.2, 64)
    back = walk(STEPS[name], coupled, there, 0.2, 0.0, 64)
    tolerance = 0.1 if ORDERS[name] == 1 else 1e-3 if ORDERS[name] == 2 else 1e-6
    np.testing.assert_allclose(ops.convert_to_numpy(back), [1.0, 2.0], atol=tolerance)


@pytest.mark.parametrize("name", STEPS)
def test_gradients_agree_with_finite_differences(name):
    weights = np.array([[0.7, -1.3], [0.4, 0.9]])

    def value(y, a, dt):
        return ops.convert_to_tensor(weights) * STEPS[name](lambda t, x: coupled(t, x, a), tensor(0.3), y, dt)

    inputs = [np.array([[1.0, 2.0], [0.5, 0.3]]), np.array(1.5), np.array(0.2)]
    _, grads = gradients(value, *inputs)
    for position, grad in enumerate(grads):
        for place in np.ndindex(inputs[position].shape):
            sides = []
            for shift in (1e-5, -1e-5):
                moved = [x.copy() for x in inputs]
                moved[position][place] += shift
                sides.append(float(ops.sum(value(*map(tensor, moved)))))
            assert grad[place] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", STEPS)
def test_any_batch_shape(name):
    states = np.linspace(0.5, 2.0, 12).reshape(2, 3, 2)
    together = ops.convert_to_numpy(STEPS[name](coupled, tensor(0.1), tensor(states), tensor(0.05)))
    alone = ops.convert_to_numpy(STEPS[name](coupled, tensor(0.1), tensor(states[1, 2]), tensor(0.05)))
    assert together.shape == (2, 3, 2)
    np.testing.assert_allclose(together[1, 2], alone, rtol=1e-12)


@pytest.mark.parametrize(("name", "order"), [(name, order) for name, (_, order) in EMBEDDED.items()])
def test_the_error_estimate_is_of_the_order_below(name, order):
    embedded = EMBEDDED[name][0]
    sizes = [
        np.abs(
            ops.convert_to_numpy(embedded(coupled, tensor(0.1), tensor([1.0, 2.0]), tensor(dt)).error)
        ).max()
        for dt in (0.04, 0.02)
    ]
    assert np.log2(sizes[0] / sizes[1]) == pytest.approx(order, abs=0.3)


@pytest.mark.parametrize(("name", "middle_order"), [("dopri5", 5), ("rodas4", 4)])
def test_the_middle_and_the_slope_belong_to_the_solution(name, middle_order):
    embedded = EMBEDDED[name][0]
    start = tensor([1.0, 2.0])
    errors = []
    for dt in (0.2, 0.1):
        taken = embedded(coupled, tensor(0.1), start, tensor(dt), coupled(tensor(0.1), start))
        truth = ops.convert_to_numpy(walk(ode.dopri5, coupled, start, 0.1, 0.1 + dt / 2, 20))
        errors.append(np.abs(ops.convert_to_numpy(taken.middle) - truth).max())
        np.testing.assert_allclose(
            ops.convert_to_numpy(taken.slope),
            ops.convert_to_numpy(coupled(tensor(0.1 + dt), taken.y)),
            rtol=1e-12,
        )
    assert np.log2(errors[0] / errors[1]) > middle_order - 0.5


@pytest.mark.parametrize("name", ["rosenbrock_euler", "rodas4"])
def test_stiff_fields_are_followed_with_large_steps(name):
    """y' = −10⁵ (y − cos t): a step of 0.1 is 10⁴ times beyond what an explicit method survives."""
    y = walk(STEPS[name], lambda t, y: -1e5 * (y - ops.cos(t)), tensor([2.0]), 0.0, 2.0, 20)
    np.testing.assert_allclose(
        ops.convert_to_numpy(y), [np.cos(2.0)], atol=3e-3 if ORDERS[name] == 1 else 1e-4
    )


def test_numbers_are_known():
    assert is_known(tensor([1.0]))
