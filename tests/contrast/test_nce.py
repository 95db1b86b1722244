import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from partita.contrast import EnergyModel, Normal, Uniform

spec = importlib.util.spec_from_file_location("densities", Path(__file__).with_name("densities.py"))
densities = importlib.util.module_from_spec(spec)
spec.loader.exec_module(densities)
A, B, LOG_Z, Given, Quartic, quartic = (
    getattr(densities, name) for name in ("A", "B", "LOG_Z", "Given", "Quartic", "quartic")
)


def number(tensor):
    return float(ops.convert_to_numpy(tensor))


class Foreign:
    """Noise of another kind: two methods of NumPy, nothing else."""

    def sample(self, n, seed=None):
        return np.random.default_rng(seed).laplace(size=(n, 1))

    def log_prob(self, x):
        return -np.abs(np.asarray(x)[:, 0]) - np.log(2)


def fitted(x, noise, epochs=8, rate=0.1, **kwargs):
    model = EnergyModel(Quartic(), noise, **kwargs)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, epochs * -(-len(x) // 200)))
    )
    model.fit(x, batch_size=200, epochs=epochs, verbose=0)
    return model


@pytest.mark.parametrize(
    ("loss", "noise"),
    [
        ("nce", Normal([0], [[0.5]])),
        ("nce", Foreign()),
        ("article", Uniform(-4, 4)),
        ("ranking", Normal([0], [[0.5]])),
    ],
    ids=["nce", "nce-foreign", "article", "ranking"],
)
def test_the_parameters_and_log_z_are_found(loss, noise):
    model = fitted(quartic(4000, seed=0), noise, loss=loss)
    # the errors of 4000 points are 0.08, 0.035 and 0.02: five of them
    assert number(model.energy.a) == pytest.approx(A, abs=0.4)
    assert number(model.energy.b) == pytest.approx(B, abs=0.18)
    assert model.log_partition == pytest.approx(LOG_Z, abs=0.1)
    x = np.array([[0.0], [1.0]])
    np.testing.assert_allclose(
        model.log_prob(x), ops.convert_to_numpy(model(x)) - model.log_partition, rtol=1e-4, atol=1e-5
    )


def test_negative_sampling_learns_the_ratio():
    """G → log p/U − log ν: so the noise must be known to get p back."""
    x = np.random.default_rng(0).normal(size=(2000, 1))
    model = EnergyModel(Shift(), Normal([0], [[1]]), num_noise=4, loss="negative_sampling")
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(x, batch_size=200, epochs=8, verbose=0)
    assert number(model.energy.shift) == pytest.approx(-np.log(4), abs=0.1)
    np.testing.assert_allclose(model.log_prob(x[:5]), Normal([0], [[1]]).log_prob(x[:5]), atol=1e-5)
    with pytest.raises(ValueError, match="this model learned log p/U, and exp"):
        model.sample(3)


@keras.saving.register_keras_serializable(package="partita_tests")
class Shift(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.shift = self.add_weight(name="shift", shape=(), initializer="zeros")

    def call(self, x):
        return self.shift + 0 * x[:, 0]


@pytest.mark.parametrize(("loss", "noise"), [("nce", Normal([0], [[0.5]])), ("article", Uniform(-4, 4))])
def test_refined_estimates_are_within_their_errors(loss, noise):
    """Outside of four standard errors: 1 in 16,000 for each number."""
    x = quartic(3000, seed=1)
    model = EnergyModel(Quartic(), noise, loss=loss)
    found = model.estimate(x, refine=True)
    for value, error, truth in (
        (found.parameters["a"], found.errors["a"], A),
        (found.parameters["b"], found.errors["b"], B),
        (found.log_partition, found.log_partition_error, LOG_Z),
    ):
        assert 0 < error < 0.3
        assert abs(float(value) - truth) < 4 * error
    assert number(model.energy.a) == pytest.approx(float(found.parameters["a"]), rel=1e-5)
    again = model.estimate(x)
    assert again.errors["a"] == pytest.approx(float(found.errors["a"]), rel=1e-2)


def test_errors_are_those_of_gutmann_and_hyvarinen():
    """For a true model and c = ν: I⁻¹ − (1 + 1/ν) I⁻¹ E[P g] E[P g]ᵀ I⁻¹, here by quadrature."""
    noise, many = Normal([0], [[0.5]]), 5
    grid, weight = densities.GRID, densities.WEIGHT
    p = weight / weight.sum()
    u = np.exp(noise.log_prob(grid[:, None])) * (grid[1] - grid[0])
    slopes = np.stack([-(grid**2), -(grid**4), -np.ones_like(grid)], axis=1)
    share = many * u / (p + many * u)
    information = np.einsum("n,ni,nj->ij", share * p, slopes, slopes)
    inverse = np.linalg.inv(information)
    middle = (share * p) @ slopes
    n = 5000
    expected = np.sqrt(np.diag(inverse - (1 + 1 / many) * inverse @ np.outer(middle, middle) @ inverse) / n)
    model = EnergyModel(Quartic(), noise, num_noise=many)
    found = model.estimate(quartic(n, seed=2), refine=True)
    errors = [float(found.errors["a"]), float(found.errors["b"]), found.log_partition_error]
    np.testing.assert_allclose(errors, expected, rtol=0.1)


def test_contexts():
    """y = 2 c + noise of variance 1: Z is the same in all contexts."""
    rng = np.random.default_rng(0)
    context = rng.normal(size=(2000, 1))
    y = 2 * context + rng.normal(size=(2000, 1))
    for loss in ("nce", "ranking"):
        model = EnergyModel(Given(), Normal.fit(y), num_noise=5, loss=loss)
        model.compile(keras.optimizers.Adam(0.05))
        model.fit([context, y], batch_size=200, epochs=6, verbose=0)
        assert number(model.energy.w) == pytest.approx(2, abs=0.25)
        if loss == "nce":
            truth = -0.5 * (y - 2 * context)[:50, 0] ** 2 - 0.5 * np.log(2 * np.pi)
            assert np.abs(model.log_prob([context[:50], y[:50]]) - truth).mean() < 0.4
        else:
            with pytest.raises(ValueError, match="Z of each context open"):
                model.log_prob([context, y])
        with pytest.raises(ValueError, match="without contexts"):
            _ = model.log_partition


def test_a_normalizer_gives_each_context_its_own_z():
    context, y = np.ones((64, 2), "float32"), np.zeros((64, 1), "float32")
    model = EnergyModel(Pair(), Normal([0], [[1]]), normalizer=keras.layers.Dense(1))
    model.compile("adam")
    model.fit([context, y], verbose=0)
    model.normalizer.set_weights([np.array([[1.0], [2.0]]), np.array([0.5])])
    expected = ops.convert_to_numpy(model([context, y])) - number(model.gamma) - 3.5
    np.testing.assert_allclose(model.log_prob([context, y]), expected, rtol=1e-5)


@keras.saving.register_keras_serializable(package="partita_tests")
class Pair(keras.layers.Layer):
    def call(self, inputs):
        return -0.5 * inputs[1][:, 0] ** 2 + 0 * inputs[0][:, 0]


def net():
    return keras.Sequential([keras.layers.Dense(8, "silu"), keras.layers.Dense(1)])


@pytest.mark.parametrize("loss", ["nce", "ranking"])
def test_saved_and_loaded_it_is_the_same(tmp_path, loss):
    x = np.random.default_rng(0).normal(size=(100, 2))
    model = EnergyModel(net(), Normal.fit(x), num_noise=3, loss=loss, learning_rate_factor=4.0)
    model.compile("adam")
    model.fit(x, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.log_prob(x), model.log_prob(x))
    assert again.log_partition == model.log_partition
    assert again.evaluate(x, verbose=0) == pytest.approx(model.evaluate(x, verbose=0), rel=1e-5)
    again.fit(x, verbose=0)


def test_noise_that_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(ValueError, match="noise must be a Keras model or a class registered"):
        EnergyModel(net(), Foreign()).get_config()


def test_a_model_as_noise_stays_as_it_is_and_is_saved(tmp_path):
    @keras.saving.register_keras_serializable(package="partita_tests")
    class Learned(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.mean = self.add_weight(name="mean", shape=(), initializer="zeros")

        def sample(self, n, seed=None):
            return self.mean + keras.random.normal((n, 1), seed=seed)

        def log_prob(self, x):
            return -0.5 * ops.sum((x - self.mean) ** 2, axis=-1) - 0.919

    noise = Learned()
    noise.mean.assign(0.25)
    model = EnergyModel(Quartic(), noise, num_noise=2)
    model.compile("adam")
    model.fit(quartic(64, 0), verbose=0)
    assert len(model.trainable_variables) == 3
    model.save(tmp_path / "model.keras")
    assert number(keras.saving.load_model(tmp_path / "model.keras").noise.mean) == number(noise.mean) == 0.25


def test_all_the_ways_of_training():
    x = quartic(90, seed=0)
    model = EnergyModel(Quartic(), Normal([0], [[0.5]]), num_noise=2)
    model.compile("adam")
    history = model.fit(
        x, validation_split=0.2, epochs=2, verbose=0, sample_weight=np.ones(90), batch_size=20
    )
    assert set(history.history) == {"loss", "val_loss"}
    model.fit(x, validation_data=(x[:10], None), verbose=0, callbacks=keras.callbacks.TerminateOnNaN())
    nothing = np.repeat([1.0, 0.0], [72, 18])
    held = model.fit(x, validation_split=0.2, verbose=0, sample_weight=nothing).history["val_loss"]
    held += model.fit(x, validation_data=(x[:10], None, np.zeros(10)), verbose=0).history["val_loss"]
    assert held == [0.0, 0.0]
    assert np.isfinite(model.train_on_batch(x[:20]))
    assert np.isfinite(model.test_on_batch(x[:20]))
    assert model.predict(x, verbose=0).shape == (90,)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return (x[30 * index : 30 * index + 30],)

    ended = []
    Batches.on_epoch_end = lambda self: ended.append(1)
    model.fit(Batches(), epochs=2, verbose=0)
    assert len(ended) == 2
    assert np.isfinite(model.evaluate(Batches(), verbose=0))


def test_the_same_seed_trains_the_same():
    losses = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = EnergyModel(net(), Normal([0], [[0.5]]), num_noise=2)
        model.compile("adam")
        losses.append(model.fit(quartic(100, 0), epochs=2, verbose=0).history["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_gamma_learns_faster_by_its_factor():
    moved = []
    for factor in (1.0, 10.0):
        model = EnergyModel(Quartic(), Normal([0], [[0.5]]), num_noise=2, learning_rate_factor=factor)
        model.compile(keras.optimizers.SGD(1e-3))
        model.build((None, 1))
        model.optimizer.build(model.trainable_variables)
        keras.utils.set_random_seed(0)
        model.train_on_batch(quartic(50, 0))
        moved.append(number(model.gamma))
    assert moved[1] == pytest.approx(10 * moved[0], rel=1e-3)


def test_samples_follow_the_density():
    model = EnergyModel(Quartic(), Uniform(-4, 4))
    model.energy.set_weights([np.array(A), np.array(B)])
    points = model.sample(1000, seed=0, steps=60)
    variance = (densities.GRID**2 * densities.WEIGHT).sum() / densities.WEIGHT.sum()
    assert points.shape == (1000, 1)
    assert abs(points.mean()) < 4 * np.sqrt(variance / 1000)  # four standard errors
    assert points.var() == pytest.approx(variance, rel=0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": object()}, "noise must have sample"),
        ({"num_noise": 0}, "num_noise must be at least 1"),
        ({"loss": "infonce"}, "loss must be one of nce"),
        ({"learning_rate_factor": 0}, "learning_rate_factor must be above 0"),
        ({"energy": 3}, "energy must be"),
        ({"loss": "ranking", "normalizer": keras.layers.Dense(1)}, "normalizer is for"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        EnergyModel(**{"energy": Quartic(), "noise": Uniform(0, 1), **change})


@keras.saving.register_keras_serializable(package="partita_tests")
class Broken(keras.layers.Layer):
    def call(self, x):
        return ops.log(x[:, 0])


@pytest.mark.parametrize(
    ("model", "x", "message"),
    [
        (
            lambda: EnergyModel(Quartic(), Uniform(-1, 1)),
            [[0.0], [5.0]],
            r"noise must reach all data, but log U is -inf at 1 of 2 points",
        ),
        (
            lambda: EnergyModel(Broken(), Uniform(-2, 2)),
            [[1.0], [-1.0]],
            r"energy must be finite where there is data, got nan at x\[1\]",
        ),
        (
            lambda: EnergyModel(Quartic(), Normal([0], [[1]]), loss="article"),
            [[0.0]],
            "loss 'article' needs uniform noise",
        ),
        (
            lambda: EnergyModel(keras.layers.Dense(2), Normal([0], [[1]])),
            [[0.0]],
            r"energy must give \(batch,\)",
        ),
        (lambda: EnergyModel(Quartic(), Normal([0], [[1]])), [], "holds no points|x must"),
        (lambda: EnergyModel(Quartic(), Normal([0, 0], np.eye(2))), [[0.0]], r"points \(n, 2\)"),
    ],
)
def test_bad_data_is_named(model, x, message):
    model = model()
    model.compile("adam")
    with pytest.raises(ValueError, match=message):
        model.fit(np.array(x), verbose=0)


def test_an_energy_that_goes_astray_stops_the_training_before_it_is_saved(tmp_path):
    model = EnergyModel(Quartic(), Normal([0], [[0.5]]))
    model.compile(keras.optimizers.SGD(1e38))
    with pytest.raises(FloatingPointError, match=r"loss is .*; try a smaller learning rate, or bound G"):
        model.fit(
            quartic(100, 0),
            epochs=3,
            verbose=0,
            callbacks=keras.callbacks.ModelCheckpoint(tmp_path / "model.keras"),
        )
    if (tmp_path / "model.keras").exists():
        again = keras.saving.load_model(tmp_path / "model.keras")
        assert all(np.isfinite(number(weight)) for weight in again.weights)


def test_targets_are_refused():
    model = EnergyModel(Quartic(), Normal([0], [[1]]))
    model.compile("adam")
    with pytest.raises(ValueError, match="no targets"):
        model.fit(np.zeros((3, 1)), np.zeros(3))
