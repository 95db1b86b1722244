"""Tests that every bijection inverts, has the right log-determinant, and saves and reloads.

The log-determinant is that of automatic differentiation.
"""

import threading

import keras
import numpy as np
import pytest
from keras import ops

from partita import flows
from partita.backend import compiled, double_precision
from partita.flows.bijection import build
from tests.autodiff import jacobian


@pytest.fixture
def in_float64():
    with double_precision():
        keras.config.set_dtype_policy("float64")
        yield
        keras.config.set_dtype_policy("float32")


def dense(outputs):
    return keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(outputs)])


def convolution(outputs):
    return keras.Sequential(
        [keras.layers.Conv2D(4, 3, padding="same", activation="tanh"), keras.layers.Conv2D(outputs, 1)]
    )


def chain():
    return flows.Chain(
        [flows.Reverse(), flows.AffineCoupling(dense(4), "odd"), flows.ActNorm(), flows.Scaling()]
    )


def two_scales():
    inner = flows.Chain([flows.AffineCoupling(convolution(4), "black"), flows.Flatten()])
    return flows.Chain([flows.Squeeze(), flows.InvertibleConv1x1(seed=0), flows.FactorOut(inner)])


# A new bijection joins by a row: how it is made, the shape of x, and the width of a context if it can take
# one.
BIJECTIONS = [
    pytest.param(lambda: flows.AdditiveCoupling(dense(2), "even"), (4,), 3, id="additive-even"),
    pytest.param(
        lambda: flows.AdditiveCoupling(convolution(2), "first"), (2, 2, 4), 3, id="additive-channels"
    ),
    pytest.param(lambda: flows.AffineCoupling(dense(4), "odd"), (4,), 3, id="affine-odd"),
    pytest.param(lambda: flows.AffineCoupling(dense(4), "first"), (5,), 0, id="affine-first"),
    pytest.param(lambda: flows.AffineCoupling(dense(6), "second"), (5,), 0, id="affine-second"),
    pytest.param(lambda: flows.AffineCoupling(convolution(4), "black"), (3, 2, 2), 3, id="affine-black"),
    pytest.param(lambda: flows.AffineCoupling(convolution(2), "white"), (2, 2, 1), 0, id="affine-white"),
    pytest.param(lambda: flows.SplineCoupling(dense(22), "first", bins=4), (4,), 3, id="spline"),
    pytest.param(
        lambda: flows.SplineCoupling(convolution(11), "white", bins=4, bound=2.0),
        (2, 3, 1),
        0,
        id="spline-image",
    ),
    pytest.param(lambda: flows.MaskedAutoregressive((8, 8), "tanh"), (4,), 3, id="autoregressive"),
    pytest.param(lambda: flows.MaskedAutoregressive((4,)), (1,), 0, id="autoregressive-1"),
    pytest.param(
        lambda: flows.Inverse(flows.MaskedAutoregressive((8,), "tanh")), (3,), 2, id="inverse-autoregressive"
    ),
    pytest.param(flows.Reverse, (3,), 0, id="reverse"),
    pytest.param(lambda: flows.Permutation(seed=1), (5,), 0, id="permutation"),
    pytest.param(lambda: flows.Permutation([2, 0, 1]), (2, 2, 3), 0, id="permutation-channels"),
    pytest.param(lambda: flows.InvertibleConv1x1(seed=1), (2, 2, 3), 0, id="conv1x1"),
    pytest.param(lambda: flows.InvertibleConv1x1(seed=1), (4,), 0, id="conv1x1-vector"),
    pytest.param(lambda: flows.InvertibleDense(seed=1), (4,), 0, id="dense"),
    pytest.param(flows.ActNorm, (4,), 0, id="actnorm"),
    pytest.param(flows.ActNorm, (2, 2, 2), 0, id="actnorm-image"),
    pytest.param(flows.Scaling, (4,), 0, id="scaling"),
    pytest.param(lambda: flows.Logit(0.05), (3,), 0, id="logit"),
    pytest.param(flows.Sigmoid, (3,), 0, id="sigmoid"),
    pytest.param(lambda: flows.Inverse(flows.Sigmoid()), (3,), 0, id="inverse-sigmoid"),
    pytest.param(lambda: flows.Standardize([1.0, 2.0, 3.0], [0.5, 2.0, 1.0]), (3,), 0, id="standardize"),
    pytest.param(flows.Squeeze, (2, 4, 1), 0, id="squeeze"),
    pytest.param(flows.Flatten, (2, 2, 1), 0, id="flatten"),
    pytest.param(lambda: flows.FactorOut(flows.Scaling()), (2, 2, 2), 0, id="factor-out"),
    pytest.param(chain, (4,), 3, id="chain"),
    pytest.param(two_scales, (2, 4, 1), 2, id="two-scales"),
]


def made(make, shape, width):
    """The bijection with random weights, rows of x, and rows of a context or None."""
    rng = np.random.default_rng(0)
    bijection = make()
    x = rng.uniform(0.05, 0.95, (3, *shape))
    context = rng.normal(size=(3, width)) if width else None
    build(bijection, x.shape, None if context is None else context.shape)
    for weight in bijection.trainable_weights:
        value = ops.convert_to_numpy(weight)
        weight.assign(value + (0.04 if "log_scale" in weight.path else 0.4) * rng.normal(size=value.shape))
    return bijection, x, context


def there_and_back(bijection, x, context):
    """y, log|det|, x again, and the other log|det|, as arrays."""

    @compiled
    def run(x, context):
        y, forward = bijection.forward_and_log_det(x, context)
        return y, forward, *bijection.inverse_and_log_det(y, context)

    dtype = bijection.compute_dtype
    tensors = (
        ops.convert_to_tensor(x, dtype),
        None if context is None else ops.convert_to_tensor(context, dtype),
    )
    return [ops.convert_to_numpy(tensor) for tensor in run(*tensors)]


@pytest.mark.parametrize(("make", "shape", "width"), BIJECTIONS)
def test_inverts_in_float32(make, shape, width):
    bijection, x, context = made(make, shape, width)
    _, forward, back, inverse = there_and_back(bijection, x, context)
    assert forward.shape == (3,)
    assert {forward.dtype.name, back.dtype.name} == {"float32"}
    np.testing.assert_allclose(back, x, atol=1e-4)
    np.testing.assert_allclose(inverse, -forward, atol=1e-4)


@pytest.mark.parametrize(("make", "shape", "width"), BIJECTIONS)
def test_inverts_and_agrees_with_differentiation_in_float64(make, shape, width, in_float64):
    bijection, x, context = made(make, shape, width)
    _, forward, back, inverse = there_and_back(bijection, x, context)
    assert {forward.dtype.name, back.dtype.name} == {"float64"}
    np.testing.assert_allclose(back, x, atol=1e-10)
    np.testing.assert_allclose(inverse, -forward, atol=1e-10)

    def as_vector(flat):
        y, _ = bijection.forward_and_log_det(
            ops.reshape(flat, (1, *shape)), None if context is None else context[:1]
        )
        return ops.reshape(y, (-1,))

    log_det = np.linalg.slogdet(jacobian(as_vector, x[0].ravel()))[1]
    np.testing.assert_allclose(forward[0], log_det, atol=1e-8)


@pytest.mark.parametrize(("make", "shape", "width"), BIJECTIONS)
def test_saves_and_reloads(make, shape, width, tmp_path):
    bijection, x, context = made(make, shape, width)
    flow = flows.Flow(bijection)
    expected = flow.log_prob(x, context)
    flow.save(tmp_path / "flow.keras")
    reloaded = keras.saving.load_model(tmp_path / "flow.keras")
    np.testing.assert_array_equal(reloaded.log_prob(x, context), expected)


@pytest.fixture
def policy_of_float64():
    """As a user has it: without `jax_enable_x64`, and with what Keras makes of float64 on each backend."""
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(("make", "shape", "width"), BIJECTIONS)
def test_a_layer_of_float64_keeps_it(make, shape, width, policy_of_float64):
    rng = np.random.default_rng(0)
    bijection = make()
    x = rng.uniform(0.05, 0.95, (3, *shape))
    context = rng.normal(size=(3, width)) if width else None
    y, forward = bijection.forward_and_log_det(x, context)
    back, inverse = bijection.inverse_and_log_det(y, context)
    assert {keras.backend.standardize_dtype(part.dtype) for part in (y, forward, back, inverse)} == {
        "float64"
    }
    np.testing.assert_allclose(ops.convert_to_numpy(back), x, atol=1e-10)
    with double_precision():
        np.testing.assert_allclose(ops.convert_to_numpy(inverse + forward), 0, atol=1e-10)


@pytest.mark.parametrize("make", [flows.InvertibleDense, flows.InvertibleConv1x1, flows.Scaling, flows.Logit])
def test_one_layer_of_float64_beside_others_of_float32(make):
    x = np.random.default_rng(0).uniform(size=(3, 4))
    bijection = make(dtype="float64")
    y, log_det = bijection(x)
    back, _ = bijection.inverse_and_log_det(y)
    assert {keras.backend.standardize_dtype(part.dtype) for part in (y, log_det)} == {"float64"}
    np.testing.assert_allclose(ops.convert_to_numpy(back), x, atol=1e-12)


@pytest.mark.parametrize("base", [flows.Normal, flows.Logistic, flows.StudentT])
def test_a_flow_of_float64_trains_draws_and_reloads(base, policy_of_float64, tmp_path):
    flow = flows.neural_spline(3, couplings=3, hidden=(8,), bins=4, base=base())
    x = np.random.default_rng(0).normal(size=(64, 3))
    flow.compile("adam")
    assert np.isfinite(flow.fit(x, batch_size=32, verbose=0, validation_data=(x,)).history["val_loss"]).all()
    found, drawn = flow.log_prob(x), flow.sample(5, seed=0)
    assert {found.dtype.name, drawn.dtype.name} == {"float64"}
    np.testing.assert_allclose(flow.decode(flow.encode(x)), x, atol=1e-10)


def test_double_precision_ends_with_its_last_thread():
    before = keras.backend.standardize_dtype(ops.cos(np.ones(2)).dtype)
    begun, ended = threading.Barrier(3, timeout=10), threading.Event()

    def work():
        with double_precision():
            begun.wait()
            ended.wait(10)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait()
    with double_precision():
        ended.set()  # others leave first
        for thread in threads:
            thread.join()
        assert keras.backend.standardize_dtype(ops.cos(np.ones(2)).dtype) == "float64"
    assert keras.backend.standardize_dtype(ops.cos(np.ones(2)).dtype) == before
