import keras
import numpy as np
import pytest

from partita import variational
from tests.variational.players import aae, data, mlp, pair


def test_it_reconstructs_and_its_latents_become_the_priors():
    """Distances of the latents' law from the prior's fall, and so do those of reconstructions.

    The data are points on a plane in four dimensions.
    """
    rng = np.random.default_rng(0)
    x = (rng.uniform(-2, 2, size=(512, 2)) @ rng.normal(size=(2, 4))).astype("float32")
    prior = variational.GaussianMixture(2).fit(
        rng.normal(size=(200, 2)) + np.where(np.arange(200) % 2, 3.0, -3.0)[:, None]
    )
    keras.utils.set_random_seed(0)
    model = aae(prior=prior, reconstruction=0.3)
    model.compile(keras.optimizers.Adam(5e-3, beta_1=0.5), keras.optimizers.Adam(5e-3, beta_1=0.5))
    z = prior.sample(512, seed=0)
    before = variational.mmd(model.encode(x), z, 2.0), np.square(model.reconstruct(x) - x).mean()
    model.fit(x, batch_size=128, epochs=60, verbose=0)
    after = variational.mmd(model.encode(x), z, 2.0), np.square(model.reconstruct(x) - x).mean()
    assert after[0] < 0.3 * before[0]
    assert after[1] < 0.2 * before[1]


def test_a_stochastic_encoder():
    model = variational.AAE(
        mlp(8, 4, first=4), mlp(8, 4, first=2), mlp(8, 1), penalty=1.0, loss="relativistic"
    )
    x = data(4)
    model.compile()
    model.fit(x, verbose=0)
    assert model.encode(x).shape == (64, 2)
    np.testing.assert_array_equal(model.encode(x), model.encode(x))
    np.testing.assert_array_equal(model.encode(x, seed=1), model.encode(x, seed=1))
    assert not np.array_equal(model.encode(x, seed=1), model.encode(x))


def test_labels(tmp_path):
    model = variational.AAE(pair(4, 3, outputs=2), pair(2, 3, outputs=4), pair(2, 3), seed=0)
    x, label = data(4), np.eye(3, dtype="float32")[np.arange(64) % 3]
    model.compile()
    history = model.fit([x, label], verbose=0).history
    assert history["reconstruction"][0] > 0
    assert model.encode([x, label]).shape == (64, 2)
    assert model.reconstruct([x, label]).shape == model.sample(64, condition=label).shape == (64, 4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.encode([x, label]), model.encode([x, label]))
    with pytest.raises(ValueError, match="x must be a pair"):
        model.encode(x)
    with pytest.raises(ValueError, match="condition is missing"):
        model.sample(3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: variational.AAE(mlp(3, first=4), mlp(4, first=2), mlp(1)),
            r"encoder must end in \(None, 2\), or \(None, 4\)",
        ),
        (
            lambda: variational.AAE(mlp(2, first=4), mlp(5, first=2), mlp(1)),
            r"decoder must end in \(None, 4\), what the encoder takes",
        ),
        (
            lambda: variational.AAE(mlp(2, first=4), mlp(4, first=2), mlp(1, first=3)),
            r"discriminator must take \(batch, 2\)",
        ),
        (
            lambda: variational.AAE(mlp(2, first=4), mlp(4), mlp(1)),
            "decoder must know the shape of its input",
        ),
        (lambda: aae(reconstruction=-1.0), "reconstruction and penalty must be 0 or more, got -1.0"),
    ],
)
def test_what_does_not_fit_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
