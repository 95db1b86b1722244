"""A flow accepts every draw of its own: inside its domain, of finite density, and back from its latent."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special

from partita import flows
from tests.flows.test_recipes import RECIPES


def wide(*links, features=3, log_scale=0.0, **options):
    """A flow whose draws, before the links, are far out: a scaling of exp(−log_scale) of the latent."""
    scaling = flows.Scaling()
    flow = flows.Flow(flows.Chain([*links, scaling]), **options)
    flow.build((None, features))
    scaling.weights[0].assign(np.full(features, -log_scale / 10))  # it learns ten times as fast
    return flow


RANGES = [
    pytest.param(lambda: wide(flows.Logit(0.05)), id="logit"),
    pytest.param(lambda: wide(flows.Logit(1e-6), log_scale=3.0), id="logit-1e-6"),
    pytest.param(lambda: wide(flows.Logit(1e-9), log_scale=5.0), id="logit-1e-9"),
    pytest.param(lambda: wide(flows.Logit(0.4), log_scale=3.0), id="logit-0.4"),
    pytest.param(lambda: wide(flows.Logit(), dequantize=256, log_scale=2.0), id="logit-256"),
    pytest.param(lambda: wide(flows.Logit(), dequantize=(-0.01, 0.0), log_scale=2.0), id="logit-pair"),
    pytest.param(lambda: wide(dequantize=256, log_scale=1.0), id="line-256"),
    pytest.param(lambda: wide(flows.Inverse(flows.Sigmoid()), log_scale=2.5), id="sigmoid"),
    pytest.param(lambda: wide(flows.Inverse(flows.Sigmoid()), log_scale=6.0), id="sigmoid-far"),
    pytest.param(
        lambda: wide(flows.Reverse(), flows.Inverse(flows.Sigmoid()), log_scale=3.0), id="reverse-sigmoid"
    ),
    pytest.param(lambda: wide(flows.Logit(), base=flows.Logistic(), log_scale=2.0), id="logit-logistic"),
    pytest.param(lambda: wide(flows.Logit(), base=flows.StudentT(1.0)), id="logit-student"),
    pytest.param(lambda: wide(base=flows.StudentT(0.5)), id="student"),
    pytest.param(lambda: wide(flows.Standardize([1e3, 0, -2], [1e-1, 1, 1e3])), id="standardize"),
    pytest.param(
        lambda: flows.neural_spline(3, couplings=2, hidden=(8,), first=flows.Logit()), id="spline-logit"
    ),
    pytest.param(
        lambda: flows.nice((4, 4, 1), couplings=2, hidden=(8,), first=flows.Logit(), dequantize=256),
        id="nice-logit",
    ),
]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize(
    "make", [*RANGES, *(pytest.param(*row.values[:1], id=f"recipe-{row.id}") for row in RECIPES)]
)
def test_a_flow_accepts_its_own_draws(make, temperature):
    flow = make()
    drawn = flow.sample(1000, temperature, seed=0)
    low, high = flow.bijection.domain
    assert ((drawn >= low) & (drawn <= high)).all()
    assert np.isfinite(flow.log_prob(drawn)).all()
    again = flow.decode(flow.encode(drawn))
    np.testing.assert_allclose(again, drawn, rtol=2e-3, atol=2e-3 * drawn.std())
    assert np.isfinite(flow.log_prob(again)).all()


def test_the_draws_of_mixed_precision_too():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        flow = flows.real_nvp((4, 4, 1), couplings=1, hidden=(4,), dequantize=256)
        drawn = flow.sample(200, temperature=2.0, seed=0)
        assert 0 <= drawn.min() < 1e-6
        assert 1 - 1e-6 < drawn.max() <= 1
        assert np.isfinite(flow.log_prob(drawn)).all()
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [1e-9, 1e-4, 0.05, 0.3])
def test_logit_at_the_ends(alpha, dtype):
    logit = flows.Logit(alpha, dtype=dtype)
    x = np.array([[0.0, 1.0, 0.25, 0.5]])
    y, log_det = (ops.convert_to_numpy(part) for part in logit.forward_and_log_det(x))
    u = alpha + (1 - 2 * alpha) * x
    rest = alpha + (1 - 2 * alpha) * (1 - x)
    np.testing.assert_allclose(y, np.log(u) - np.log(rest), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        log_det, np.sum(np.log1p(-2 * alpha) - np.log(u) - np.log(rest), axis=1), rtol=1e-5
    )
    back, inverse = (ops.convert_to_numpy(part) for part in logit.inverse_and_log_det(y))
    np.testing.assert_allclose(back, x, atol=1e-6)
    np.testing.assert_allclose(inverse, -log_det, rtol=1e-4)
    assert np.isnan(ops.convert_to_numpy(logit.forward_and_log_det([[float("nan"), 0.5]])[1])).all()
    assert np.isnan(ops.convert_to_numpy(logit.forward_and_log_det([[-0.5, 1.5]])[0])).all()
    beyond, edge = (ops.convert_to_numpy(part) for part in logit.inverse_and_log_det([[-90.0, 90.0]]))
    np.testing.assert_allclose(beyond, [[0.0, 1.0]], atol=2e-7)
    np.testing.assert_allclose(edge, 2 * (np.log(alpha) + np.log1p(-alpha) - np.log1p(-2 * alpha)), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_far_out(dtype):
    sigmoid = flows.Sigmoid(dtype=dtype)
    x = np.array([[-1e4, -50.0, 0.0, 5.0, 50.0, 1e4]])
    y, log_det = (ops.convert_to_numpy(part) for part in sigmoid.forward_and_log_det(x))
    assert ((y > 0) & (y < 1)).all()
    np.testing.assert_allclose(y, special.expit(x), atol=1e-6)
    np.testing.assert_allclose(
        log_det, np.sum(special.log_expit(x) + special.log_expit(-x), axis=1), rtol=1e-5
    )
    for given in (y, np.array([[0.0, 1.0]])):
        back, inverse = (ops.convert_to_numpy(part) for part in sigmoid.inverse_and_log_det(given))
        assert np.isfinite(back).all()
        assert np.isfinite(inverse).all()
    outside, _ = sigmoid.inverse_and_log_det([[-0.1, 1.1, float("nan")]])
    assert np.isnan(ops.convert_to_numpy(outside)).all()


@pytest.mark.parametrize(
    ("bijection", "domain", "image"),
    [
        (flows.Logit, (0, 1), (-np.inf, np.inf)),
        (lambda: flows.Inverse(flows.Logit()), (-np.inf, np.inf), (0, 1)),
        (lambda: flows.Inverse(flows.Sigmoid()), (0, 1), (-np.inf, np.inf)),
        (
            lambda: flows.Chain([flows.Permutation(), flows.Flatten(), flows.Logit(), flows.Scaling()]),
            (0, 1),
            (-np.inf, np.inf),
        ),
        (lambda: flows.Chain([flows.Scaling(), flows.Sigmoid(), flows.Reverse()]), (-np.inf, np.inf), (0, 1)),
        (lambda: flows.Chain([flows.Reverse()]), (-np.inf, np.inf), (-np.inf, np.inf)),
    ],
)
def test_where_data_and_latents_lie(bijection, domain, image):
    bijection = bijection()
    assert bijection.domain == domain
    assert bijection.image == image


def test_data_outside_the_domain():
    flow = flows.Flow(flows.Inverse(flows.Sigmoid()))
    with pytest.raises(ValueError, match=r"from 0 to 1, got 1\.5 in row 1, feature 0"):
        flow.log_prob([[0.5, 0.5], [1.5, 0.5]])
    flow = flows.Flow(flows.Logit())
    flow.build((None, 2))
    given = ops.convert_to_tensor(np.array([[0.5, 0.5], [-0.01, 0.5], [0.5, 1.01]], "float32"))
    found = ops.convert_to_numpy(flow.log_prob(given))
    np.testing.assert_array_equal(np.isneginf(found), [False, True, True])


def test_a_flow_that_ends_between_0_and_1_draws_nothing():
    flow = flows.Flow(flows.Sigmoid())
    flow.build((None, 2))
    with pytest.raises(ValueError, match="sample needs a bijection onto all numbers"):
        flow.sample(3)
    with pytest.raises(ValueError, match="z must hold finite numbers from 0 to 1, got 2 in row 0"):
        flow.decode([[2.0, 0.5]])


@pytest.mark.parametrize("degrees", [0.5, 5.0])
def test_a_heavy_tail_does_not_overflow(degrees):
    z = np.array([[0.0], [1.0], [1e6], [1e12], [1e25], [-1e37]])
    expected = np.array(
        [special.gammaln((degrees + 1) / 2) - special.gammaln(degrees / 2) - 0.5 * np.log(degrees * np.pi)]
        - (degrees + 1)
        / 2
        * np.logaddexp(0, 2 * np.log(np.maximum(np.abs(z[:, 0]), 1e-300)) - np.log(degrees))
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(flows.StudentT(degrees).log_prob(z)), expected, rtol=1e-5, atol=1e-5
    )


def random_chain(links, size, **options):
    """Affine couplings of linear nets with large weights; the deeper, the fewer digits are left of x."""
    rng = np.random.default_rng(0)
    pieces = [flows.AffineCoupling(keras.layers.Dense(4), ("even", "odd")[k % 2]) for k in range(links)]
    flow = flows.Flow(flows.Chain(pieces), **options)
    flow.build((None, 4))
    for weight in flow.trainable_weights:
        weight.assign(size * rng.normal(size=weight.shape))
    return flow


def test_a_chain_that_loses_its_inverse_warns_once_for_the_same_weights():
    flow = random_chain(40, 3.0)
    with pytest.warns(flows.LostInverseWarning, match=r"lost its inverse in float32: .* Try fewer couplings"):
        flow.sample(5, seed=0)
    flow.sample(5, seed=0)
    for weight in flow.trainable_weights:
        weight.assign(1.1 * ops.convert_to_numpy(weight))
    with pytest.warns(flows.LostInverseWarning):
        flow.decode(np.ones((2, 4)))


def test_an_autoregressive_chain_that_loses_its_inverse_warns():
    links = [link for _ in range(12) for link in (flows.MaskedAutoregressive((16,)), flows.Reverse())]
    flow = flows.Flow(flows.Chain(links))
    flow.build((None, 4))
    rng = np.random.default_rng(0)
    for weight in flow.trainable_weights:
        weight.assign(4 * rng.normal(size=weight.shape))
    with pytest.warns(flows.LostInverseWarning):
        flow.sample(2, seed=0)


def test_a_chain_that_keeps_its_inverse_is_silent():
    random_chain(4, 0.3).sample(5, seed=0)
    flows.neural_spline(3, couplings=2, hidden=(8,), context=2).sample(2, seed=0, context=[0.0, 1.0])
