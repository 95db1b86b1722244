import keras
import numpy as np
import pytest
from keras import ops

from partita import variational
from partita.backend.derivatives import gradient_norms
from partita.variational.adversary import ADVERSARIES
from tests.variational.players import data, gan, mlp, pair

SCORES = np.array([[0.3], [-1.2]], "float32"), np.array([[0.8], [-0.4]], "float32")


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        (
            "non-saturating",
            lambda r, f: softplus(-r).mean() + softplus(f).mean(),
            lambda r, f: softplus(-f).mean(),
        ),
        (
            "hinge",
            lambda r, f: np.maximum(1 - r, 0).mean() + np.maximum(1 + f, 0).mean(),
            lambda r, f: -f.mean(),
        ),
        ("wasserstein", lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
        ("relativistic", lambda r, f: softplus(f - r).mean(), lambda r, f: softplus(r - f).mean()),
    ],
)
def test_the_losses_are_their_formulas(name, discriminator, generator):
    rule = ADVERSARIES[name]
    assert float(rule.discriminator(*SCORES)) == pytest.approx(discriminator(*SCORES), rel=1e-5)
    assert float(rule.generator(*SCORES)) == pytest.approx(generator(*SCORES), rel=1e-5)
    assert 0 <= float(rule.certainty(*SCORES)) <= 1


@pytest.mark.parametrize("loss", ["wasserstein", "relativistic"])  # each kind of penalty, and a loss of pairs
def test_losses_train_with_a_penalty(loss):
    model = gan(loss=loss, penalty=None if loss == "wasserstein" else 0.5)
    model.compile()
    assert np.isfinite([*model.fit(data(2), batch_size=32, verbose=0).history.values()]).all()


def test_gradients_of_the_score():
    x = data(3)
    slope = np.array([[1.0], [2.0], [-2.0]], "float32")
    found = gradient_norms(lambda x: ops.tanh(ops.matmul(x, slope)), ops.convert_to_tensor(x))
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), 9 * (1 - np.tanh(x @ slope)[:, 0] ** 2) ** 2, rtol=1e-4, atol=1e-6
    )


def test_the_first_step_of_a_round_does_not_feel_inertia():
    with pytest.raises(
        ValueError, match=r"generator_steps must be at least 2 with inertia, got 1: .* no gradient"
    ):
        gan(inertia=0.1, generator_steps=1)
    assert gan().players["generator"].steps == 1
    assert gan(inertia=0.1).players["generator"].steps >= 2


def test_inertia_slows_the_generator_within_a_round():
    moved = []
    for inertia in (0.0, 5.0):
        keras.utils.set_random_seed(0)
        model = gan(inertia=inertia, generator_steps=8)
        model.compile(keras.optimizers.SGD(0.02), keras.optimizers.SGD(0.0))
        before = model.sample(100, seed=0)
        model.fit(data(2), batch_size=64, verbose=0)
        moved.append(np.square(model.sample(100, seed=0) - before).mean())
    assert moved[1] < 0.3 * moved[0]


def test_draws_have_seeds_and_any_prior():
    model = gan(prior=variational.GaussianMixture(2).fit(data(3) + 5))
    np.testing.assert_array_equal(model.sample(4, seed=1), model.sample(4, seed=1))
    assert not np.array_equal(model.sample(4, seed=1), model.sample(4, seed=2))
    assert model.draw_prior(1000, 0).mean() == pytest.approx(5, abs=0.3)
    model.compile()
    model.fit(data(2), verbose=0)

    class Wrong:
        def sample(self, n, seed=None):
            return np.zeros((n, 7))

    with pytest.raises(ValueError, match=r"prior must give latents of the shape \(2, 3\), got \(2, 7\)"):
        gan(prior=Wrong()).sample(2)


def test_images_go_through():
    layers = keras.layers
    generator = keras.Sequential(
        [keras.Input((4,)), layers.Dense(16), layers.Reshape((4, 4, 1)), layers.Conv2D(1, 3, padding="same")]
    )
    discriminator = keras.Sequential([layers.Conv2D(2, 3, strides=2), layers.Flatten(), layers.Dense(1)])
    model = variational.GAN(generator, discriminator, penalty=1.0, inertia=0.1)
    model.compile()
    model.fit(data(16, 8).reshape(8, 4, 4, 1), batch_size=4, verbose=0)
    assert model.sample(3).shape == (3, 4, 4, 1)


def test_a_condition_says_what_to_generate():
    """Points at ±3, by label: after a short training the sign is right for each of 200."""
    label = np.random.default_rng(0).integers(0, 2, (512, 1)).astype("float32")
    x = (6 * label - 3 + 0.3 * data(1, 512)).astype("float32")
    keras.utils.set_random_seed(0)
    model = variational.GAN(pair(2, 1), pair(1, 1), seed=0, penalty=0.1)
    model.compile(keras.optimizers.Adam(1e-2, beta_1=0.5), keras.optimizers.Adam(1e-2, beta_1=0.5))
    model.fit([x, label], batch_size=128, epochs=30, verbose=0)
    ones = np.repeat([[0.0], [1.0]], 100, axis=0)
    assert ((model.sample(200, seed=0, condition=ones) > 0) == (ones > 0.5)).mean() > 0.95
    with pytest.raises(ValueError, match="a condition"):
        model.sample(3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: variational.GAN(mlp(4, 2, first=3), mlp(4, 1, first=5)),
            r"discriminator must take \(batch, 2\), got a net that takes \(batch, 5\)",
        ),
        (
            lambda: variational.GAN(mlp(4, 2, first=3), mlp(4, 3)),
            r"discriminator must end in one score, \(batch, 1\), got \(batch, 3\)",
        ),
        (
            lambda: variational.GAN(mlp(4, 2, first=3), keras.Sequential([keras.layers.Dense(1, "sigmoid")])),
            "without activation, got sigmoid",
        ),
        (
            lambda: variational.GAN(mlp(4, 2, first=3), lambda x: x),
            "discriminator must be a Keras model or layer",
        ),
        (
            lambda: gan(loss="least squares"),
            "loss must be one of non-saturating, hinge, wasserstein, relativistic, got 'least squares'",
        ),
        (lambda: gan(inertia=-1.0), "inertia must be 0 or more, got -1.0"),
    ],
)
def test_what_does_not_fit_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
