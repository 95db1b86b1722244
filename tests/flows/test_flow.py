"""Tests of the model: training, densities, samples, bits per dimension, saving, mixed precision.

They also test what is refused.
"""

import re

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from partita import flows
from tests.autodiff import gradients

MOONS = np.random.default_rng(0).normal(size=(256, 2)).astype("float32")
MOONS[:, 1] = 0.3 * MOONS[:, 1] + MOONS[:, 0] ** 2 / 2 - 0.5


def small(features=2, **options):
    return flows.real_nvp(features, couplings=2, hidden=(16,), **options)


def test_trains_under_plain_fit_and_reloads_exactly(tmp_path):
    flow = small()
    flow.compile(keras.optimizers.Adam(0.02))
    history = flow.fit(MOONS, validation_data=MOONS[:64], epochs=6, batch_size=64, verbose=0).history
    assert set(history) == {"loss", "bits_per_dim", "val_loss", "val_bits_per_dim"}
    assert history["val_loss"][-1] < history["loss"][0] - 0.1
    np.testing.assert_allclose(
        history["val_bits_per_dim"][-1], history["val_loss"][-1] / (2 * np.log(2)), rtol=1e-5
    )
    np.testing.assert_allclose(-flow.log_prob(MOONS[:64]).mean(), history["val_loss"][-1], rtol=1e-4)
    flow.save(tmp_path / "flow.keras")
    reloaded = keras.saving.load_model(tmp_path / "flow.keras")
    np.testing.assert_array_equal(reloaded.log_prob(MOONS), flow.log_prob(MOONS))
    np.testing.assert_array_equal(reloaded.sample(5, 0.7, seed=3), flow.sample(5, 0.7, seed=3))


def test_what_is_compiled_follows_the_weights():
    flow = small()
    before = flow.log_prob(MOONS)
    flow.weights[-1].assign(np.ones(2))
    assert np.abs(flow.log_prob(MOONS) - before).max() > 0.01


def test_rows_are_cut_into_batches():
    flow = flows.Flow(flows.Scaling())
    x = np.random.default_rng(0).normal(size=(70001, 5)).astype("float32")
    np.testing.assert_allclose(flow.log_prob(x), stats.norm.logpdf(x).sum(1), rtol=1e-4)
    assert flow.sample(70001, seed=0).shape == (70001, 5)


@pytest.mark.parametrize(
    ("base", "law"),
    [
        (flows.Normal(), stats.norm),
        (flows.Logistic(), stats.logistic),
        (flows.StudentT(4.0), stats.t(4.0)),
    ],
)
def test_base_distributions(base, law):
    z = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_allclose(ops.convert_to_numpy(base.log_prob(z)), law.logpdf(z).sum(1), rtol=1e-4)
    # Kolmogorov–Smirnov with a false alarm in 1000.
    drawn = ops.convert_to_numpy(base.sample((4000, 1), seed=1)).ravel()
    assert stats.kstest(drawn, law.cdf).pvalue > 1e-3


def test_a_trained_scale():
    base = flows.Normal(trained_scale=True)
    base.build((None, 2))
    base.log_scale.assign(np.log([2.0, 0.5]))
    z = np.array([[1.0, -1.0], [0.0, 3.0]], "float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(base.log_prob(z)), stats.norm(0, [2.0, 0.5]).logpdf(z).sum(1), rtol=1e-5
    )
    drawn = ops.convert_to_numpy(base.sample((4000, 2), seed=0, temperature=0.5))
    np.testing.assert_allclose(drawn.std(0), [1.0, 0.25], rtol=0.06)  # five standard errors


def test_the_density_integrates_to_one():
    flow = flows.neural_spline(2, couplings=2, hidden=(8,), bins=4)
    rng = np.random.default_rng(0)
    for weight in flow.trainable_weights:
        weight.assign(ops.convert_to_numpy(weight) + 0.3 * rng.normal(size=weight.shape))
    line = np.linspace(-9, 9, 301)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    np.testing.assert_allclose(np.exp(flow.log_prob(grid)).sum() * (line[1] - line[0]) ** 2, 1.0, atol=0.01)


def test_samples_follow_the_density():
    flow = small()
    flow.compile(keras.optimizers.Adam(0.02))
    flow.fit(MOONS, epochs=3, batch_size=64, verbose=0)
    drawn = flow.sample(2000, seed=0)
    np.testing.assert_allclose(flow.decode(flow.encode(drawn)), drawn, atol=1e-4)
    z = flow.encode(drawn)  # a false alarm in 1000
    assert stats.kstest(z.ravel(), stats.norm.cdf).pvalue > 1e-3


def test_draws_without_a_seed_are_others_each_time(tmp_path):
    flow = small()
    flow.save(tmp_path / "flow.keras")
    one, other = (keras.saving.load_model(tmp_path / "flow.keras") for _ in range(2))
    assert len({each.sample(1)[0, 0].item() for each in (flow, flow, one, other)}) == 4


def test_seeds_and_temperature():
    flow = small()
    np.testing.assert_array_equal(flow.sample(5, seed=1), flow.sample(5, seed=1))
    assert np.abs(flow.sample(5) - flow.sample(5)).max() > 0
    np.testing.assert_allclose(
        flow.sample(5, temperature=0.5, seed=1), 0.5 * flow.sample(5, seed=1), rtol=1e-5
    )  # it begins as the identity
    assert np.ptp(flow.sample(5, temperature=0.0, seed=1), axis=0).max() == 0


def test_a_tensor_gives_a_tensor_that_can_be_differentiated():
    flow = small()
    flow.log_prob(MOONS[:4])
    _, (gradient,) = gradients(flow.log_prob, MOONS[:4])
    np.testing.assert_allclose(gradient, -MOONS[:4], rtol=1e-4)


@pytest.mark.parametrize(("dequantize", "levels"), [(256, 256.0), ((-0.01, 0.0), 100.0), (None, 1.0)])
def test_bits_per_dimension(dequantize, levels):
    """A flow that is the identity on a wide base: what it should give is known."""
    flow = flows.Flow(flows.Scaling(), dequantize=dequantize)
    x = np.random.default_rng(0).integers(0, 256, (8, 4)) / 255
    flow.compile("adam")
    shifted = x * 255 / 256 + 1 / 512 if dequantize == 256 else x - 0.005 if dequantize else x
    expected = -stats.norm.logpdf(shifted).mean() / np.log(2) + np.log2(levels)
    np.testing.assert_allclose(flow.bits_per_dim(x, seed=0).mean(), expected, atol=2e-3)
    np.testing.assert_allclose(
        flow.evaluate(x, verbose=0, return_dict=True)["bits_per_dim"], expected, atol=2e-3
    )
    np.testing.assert_array_equal(flow.bits_per_dim(x, seed=0), flow.bits_per_dim(x, seed=0))
    np.testing.assert_allclose(
        flow.log_prob(x), stats.norm.logpdf(x).sum(1), rtol=1e-4
    )  # as it is, without noise


def test_a_conditional_flow(tmp_path):
    rng = np.random.default_rng(0)
    context = rng.integers(0, 2, (512, 1)).astype("float32")
    x = (rng.normal(size=(512, 2)) * 0.3 + 4 * context - 2).astype("float32")
    flow = small(context=1)
    flow.compile(keras.optimizers.Adam(0.03))
    history = flow.fit(
        (x, context), validation_data=((x, context),), epochs=6, batch_size=64, verbose=0
    ).history
    assert (
        history["val_loss"][-1] < 2.2
    )  # the marginal law has 2.9 nats at the least for a flow without context
    assert (
        flow.sample(50, seed=0, context=[0.0]).mean()
        < -1
        < 1
        < flow.sample(50, seed=0, context=np.ones((50, 1))).mean()
    )
    flow.save(tmp_path / "flow.keras")
    reloaded = keras.saving.load_model(tmp_path / "flow.keras")
    np.testing.assert_array_equal(reloaded.log_prob(x, context), flow.log_prob(x, context))
    with pytest.raises(ValueError, match="context is missing"):
        flow.log_prob(x)
    with pytest.raises(ValueError, match="context is missing"):
        flow.sample(3)
    with pytest.raises(ValueError, match="context is missing"):
        flow.fit(x, verbose=0)
    with pytest.raises(
        ValueError, match=re.escape("context must have the shape (512, 1) beside 512 rows, got (512, 2)")
    ):
        flow.log_prob(x, x)
    with pytest.raises(ValueError, match="context must have the shape none"):
        small().log_prob(x, context)


def test_sample_weights():
    flow = small()
    flow.compile("sgd")
    x = np.concatenate([MOONS[:32], np.full((32, 2), 30.0)])
    weighted = flow.evaluate(
        x, sample_weight=np.repeat([1.0, 0.0], 32), batch_size=64, verbose=0, return_dict=True
    )
    np.testing.assert_allclose(
        weighted["loss"], -flow.log_prob(MOONS[:32]).mean() / 2, rtol=1e-4
    )  # Keras divides by all rows


@pytest.mark.parametrize("context", [None, 1])
def test_weights_of_arrays_reach_training_and_validation(context):
    x = MOONS[:64] if context is None else (MOONS[:64], MOONS[:64, :1])
    flow = small(context=context)
    flow.compile(keras.optimizers.SGD(0.0))
    weight = np.repeat([1.0, 0.0], 32)
    history = flow.fit(
        x, sample_weight=weight, validation_data=(x, None, weight), batch_size=64, verbose=0
    ).history
    log_prob = flow.log_prob(x) if context is None else flow.log_prob(*x)
    for loss in (history["loss"][0], history["val_loss"][0], flow.train_on_batch(x, sample_weight=weight)[0]):
        np.testing.assert_allclose(loss, -log_prob[:32].sum() / 64, rtol=1e-4)


def test_mixed_precision_keeps_log_determinants_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        flow = flows.neural_spline(2, couplings=1, hidden=(8,), bins=4)
        net = flow.bijection.bijections[0].net
        flow.compile("adam")
        flow.fit(MOONS, batch_size=128, verbose=0)
        _, log_det = flow.bijection.forward_and_log_det(MOONS)
    finally:
        keras.config.set_dtype_policy("float32")
    assert net.layers[0].compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(log_det.dtype) == "float32"
    np.testing.assert_allclose(flow.decode(flow.encode(MOONS)), MOONS, atol=1e-3)


def test_activation_normalisation_starts_from_the_first_batch():
    flow = flows.Flow(flows.ActNorm())
    flow.compile(keras.optimizers.SGD(0.0))
    x = 3.0 + 5.0 * MOONS
    flow.evaluate(x, verbose=0)
    np.testing.assert_allclose(flow.encode(x), x, rtol=1e-5)
    flow.fit(x, batch_size=256, verbose=0)
    np.testing.assert_allclose(flow.encode(x).mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(flow.encode(x).std(0), 1, rtol=1e-4)
    flow.fit(100 * x, batch_size=256, verbose=0)
    np.testing.assert_allclose(flow.encode(x).std(0), 1, rtol=1e-4)


def with_nan(x, row):
    x = x.copy()
    x[row, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            lambda: small().log_prob(with_nan(MOONS, 17)),
            "x must hold finite numbers, got nan in row 17, feature 1",
        ),
        (lambda: small().fit(with_nan(MOONS, 200)), "got nan in row 200, feature 1"),
        (lambda: small().fit(MOONS, validation_data=with_nan(MOONS, 3)), "got nan in row 3"),
        (lambda: small().decode(with_nan(MOONS, 3)), "z must hold finite numbers, got nan in row 3"),
        (lambda: flows.Flow(flows.Logit()).log_prob(MOONS), "x must hold finite numbers from 0 to 1, got"),
        (
            lambda: flows.Flow(flows.Logit()).fit(np.array([[0.5, 0.5], [0.5, 1.5]])),
            "from 0 to 1, got 1.5 in row 1, feature 1",
        ),
        (
            lambda: flows.Flow(flows.Scaling(), dequantize=256).fit(np.array([[0, 255]])),
            "from 0 to 1, got 255 in row 0, feature 1",
        ),
        (
            lambda: small().log_prob(np.ones((2, 3))),
            "rows must have the shape (2,) that this flow was built for, got (3,)",
        ),
        (lambda: small().log_prob(np.ones(2)), "x must hold rows"),
        (lambda: flows.nice(5), "split 'even' needs an even number of features, got 5"),
        (lambda: flows.real_nvp(1), "needs 2 features or more, got 1"),
        (lambda: flows.glow((7, 8, 1)), "Squeeze needs an even height and width, got 7 × 8"),
        (lambda: flows.Flow(flows.Reverse()).sample(3), "knows no shape yet"),
        (lambda: small().sample(0), "n must be at least 1, got 0"),
        (lambda: small().sample(1, temperature=-1.0), "temperature must be 0 or more, got -1.0"),
        (
            lambda: flows.Flow(flows.Reverse(), dequantize=1),
            "dequantize must be a number of levels, at least 2",
        ),
        (
            lambda: flows.Flow(flows.Reverse(), dequantize=(1.0, 0.0)),
            "dequantize must be a number of levels, at least 2",
        ),
        (lambda: flows.Chain([]), "bijections must be one Bijection or more"),
        (
            lambda: flows.AffineCoupling(keras.layers.Dense(3)).forward_and_log_det(MOONS),
            "net must map (None, 1) to (None, 2)",
        ),
        (lambda: flows.AffineCoupling(3), "net must be a Keras model or layer, got 3"),
        (lambda: flows.AdditiveCoupling(keras.layers.Dense(1), "left"), "split must be one of even, odd"),
        (
            lambda: flows.AdditiveCoupling(keras.layers.Dense(1), "black").forward_and_log_det(MOONS),
            "is for images",
        ),
        (lambda: flows.Permutation([0, 0]).forward_and_log_det(MOONS), "order must hold 0 to 1 once each"),
        (lambda: flows.Logit(alpha=0.5), "alpha must be above 0 and below 0.5"),
        (
            lambda: flows.Squeeze().inverse_and_log_det(np.ones((1, 2, 2, 4))),
            "build it on that of x before it inverts",
        ),
        (
            lambda: flows.Inverse(flows.Flatten()).forward_and_log_det(np.ones((1, 2, 2, 4))),
            "bijection must keep the shape",
        ),
        (
            lambda: flows.FactorOut(flows.Reverse()).forward_and_log_det(np.ones((1, 3))),
            "needs an even number of channels, got 3",
        ),
        (
            lambda: flows.MaskedAutoregressive(hidden=()),
            "hidden must be one width or more, each at least 1, got ()",
        ),
        (lambda: flows.MaskedAutoregressive(max_log_scale=0.0), "max_log_scale must be above 0"),
        (
            lambda: flows.MaskedAutoregressive().forward_and_log_det(np.ones((1, 2, 2, 4))),
            "MaskedAutoregressive wants x (batch, features)",
        ),
        (
            lambda: flows.AffineCoupling(keras.layers.Dense(2), max_log_scale=0.0),
            "max_log_scale must be above 0",
        ),
        (lambda: flows.SplineCoupling(keras.layers.Dense(2), bins=1), "bins must be 2 to 50, got 1"),
        (lambda: flows.SplineCoupling(keras.layers.Dense(2), bound=0.0), "bound must be above 0"),
        (lambda: flows.Scaling(learning_rate_factor=0.0), "learning_rate_factor must be above 0"),
        (
            lambda: flows.Scaling().forward_and_log_det(np.ones(3)),
            "Scaling wants (batch, ...) with one axis of features or more",
        ),
        (
            lambda: flows.Standardize([0.0, 1.0], [1.0]),
            "mean, deviation and names must belong to the same features, got 2 and 1",
        ),
        (lambda: flows.Standardize([0.0], [1.0]).forward_and_log_det(MOONS), "holds the means of 1 features"),
        (lambda: flows.Standardize.fit(np.ones((3, 2)), ["a", "b"]), "got 0.0 for feature 'a'"),
        (lambda: flows.importance(small()), "importance reads the Scaling of a flow"),
        (lambda: flows.interpolate(small(), [0, 0], [1, 1], steps=1), "steps must be at least 2"),
        (lambda: flows.image_grid(np.ones((3, 5))), "images must be (n, height, width)"),
        (lambda: flows.image_grid(np.ones((3, 5, 5)), gap=-1), "gap must not be negative, got -1"),
    ],
)
def test_what_does_not_fit_is_refused(action, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        action()


def test_targets_are_refused():
    flow = small()
    flow.compile("adam")
    with pytest.raises(ValueError, match="fit takes no targets"):
        flow.fit(MOONS, MOONS, verbose=0)
