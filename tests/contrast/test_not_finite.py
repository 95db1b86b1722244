"""NaN and infinity at every door of the part: refused by name, or NaN in the answer."""

import keras
import numpy as np
import pytest
from keras import ops

from partita.contrast import EnergyModel, LogUniform, Normal, SkipGram, Uniform, Unigram, mala, objectives
from partita.contrast.alias import alias_table

X = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
BAD = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "beyond float32": 1e300}


def model_of(noise=None, loss="nce"):
    net = keras.Sequential([keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    model = EnergyModel(net, noise or Normal([0, 0], np.eye(2)), num_noise=2, loss=loss)
    model.compile("sgd", run_eagerly=True)
    return model


def broken(value):
    x = X.astype(float)
    x[33, 1] = value
    return x


class Batches(keras.utils.PyDataset):
    def __init__(self, x, weight=None):
        super().__init__()
        self.x, self.weight = x, weight

    def __len__(self):
        return 2

    def __getitem__(self, index):
        rows = slice(20 * index, 20 * index + 20)
        return (self.x[rows],) if self.weight is None else (self.x[rows], None, self.weight[rows])


def frame(x):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(x, columns=["a", "b"])


DOORS = {
    "fit": lambda model, x: model.fit(x, verbose=0),
    "fit, a table": lambda model, x: model.fit(frame(x), verbose=0),
    "fit, a dataset": lambda model, x: model.fit(Batches(x), verbose=0),
    "fit, validation": lambda model, x: model.fit(X, validation_data=x, verbose=0),
    "fit, validation in a tuple": lambda model, x: model.fit(
        X, validation_data=(x, None, np.ones(40)), verbose=0
    ),
    "fit, a dataset for validation": lambda model, x: model.fit(X, validation_data=Batches(x), verbose=0),
    "fit, split": lambda model, x: model.fit(x, validation_split=0.5, verbose=0),
    "fit, contexts": lambda model, x: model.fit([x, X], verbose=0),
    "fit, weights": lambda model, x: model.fit(X, sample_weight=x[:, 1], verbose=0),
    "fit, weights of a dataset": lambda model, x: model.fit(Batches(X, x[:, 1]), verbose=0),
    "fit, weights of validation": lambda model, x: model.fit(
        X, validation_data=(X, None, x[:, 1]), verbose=0
    ),
    "evaluate": lambda model, x: model.evaluate(x, verbose=0),
    "evaluate, a dataset": lambda model, x: model.evaluate(Batches(x), verbose=0),
    "train_on_batch": lambda model, x: model.train_on_batch(x),
    "test_on_batch": lambda model, x: model.test_on_batch(x),
    "estimate": lambda model, x: model.estimate(x),
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())
def test_an_energy_refuses_what_is_not_finite(door, value):
    with pytest.raises(
        ValueError,
        match=r"(x|x\[0\]|validation_data|sample_weight) must be finite: .*got (nan|inf|-inf) at index "
        r"\((33|13)",
    ):
        door(model_of(), broken(value))


class Noise:
    """Normal noise, one point of which, or log U of it, is broken."""

    def __init__(self, point=0.0, log_u=0.0):
        self.point, self.log_u = point, log_u

    def sample(self, n, seed=None):
        x = np.random.default_rng(seed).normal(size=(n, 2))
        x[n // 2, 0] += self.point
        return x

    def log_prob(self, x):
        found = Normal([0, 0], np.eye(2)).log_prob(x)
        found[len(x) // 2] += self.log_u if len(x) > len(X) else 0
        return found


def test_an_energy_is_whole_after_data_that_it_refused():
    """Compiled, for it is there that JAX has the weights somewhere else meanwhile."""
    model = model_of()
    model.compile("sgd")
    before = model.evaluate(X, verbose=0)
    for refused in (
        lambda x: model.evaluate(Batches(x), verbose=0),
        lambda x: model.fit(Batches(x), verbose=0),
    ):
        with pytest.raises(ValueError, match="finite"):
            refused(broken(np.nan))
        assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert np.isfinite([before, model.evaluate(X, verbose=0)]).all()


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (Noise(point=np.nan), r"noise.sample\(\d+\) must be finite"),
        (Noise(point=np.inf), r"noise.sample\(\d+\) must be finite"),
        (Noise(log_u=np.nan), "noise.log_prob must be finite at the noise's own samples, got nan at 1 of"),
        (Noise(log_u=-np.inf), "noise.log_prob must be finite at the noise's own samples, got -inf at 1 of"),
        (Uniform([-1, -1], [1, 1]), "noise must reach all data, but log U is -inf at"),
    ],
)
@pytest.mark.parametrize(
    "door",
    [name for name in DOORS if name in ("fit", "fit, a dataset", "evaluate", "train_on_batch", "estimate")],
)
def test_an_energy_refuses_noise_that_is_not_finite(noise, message, door):
    with pytest.raises(ValueError, match=message):
        DOORS[door](model_of(noise), X)


@pytest.mark.parametrize("loss", ["nce", "ranking", "negative_sampling", "article"])
def test_nan_comes_out_of_log_prob(loss):
    model = model_of(Uniform([-9, -9], [9, 9]), loss)
    x = X.copy()
    x[1, 0] = np.nan
    assert np.isnan(model.log_prob(x)).tolist() == [False, True, *[False] * 38]


@pytest.mark.parametrize("place", ["data", "noise"])
def test_nan_comes_out_of_the_losses(place):
    data, noise = np.zeros(3, "float32"), np.zeros((3, 2), "float32")
    (data if place == "data" else noise[:, 1])[1] = np.nan
    data, noise = ops.convert_to_tensor(data), ops.convert_to_tensor(noise)
    for losses in (objectives.binary(data, noise, 2.0), objectives.ranking(data, noise)):
        assert np.isnan(ops.convert_to_numpy(losses)).tolist() == [False, True, False]


@pytest.mark.parametrize("noise", [Uniform([0, 0], [1, 1]), Normal([0, 0], np.eye(2))])
def test_nan_comes_out_of_a_density(noise):
    assert np.isnan(noise.log_prob(np.array([[0.5, np.nan], [np.nan, 7.0]]))).all()
    assert noise.log_prob(np.array([[np.inf, 0.5]])).tolist() == [-np.inf]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal([np.nan], [[1]]), "mean"),
        (lambda: Normal([np.inf], [[1]]), "mean"),
        (lambda: Normal([0], [[np.nan]]), "covariance"),
        (lambda: Normal([0, 0], [[1, np.nan], [0, 1]]), "covariance"),
        (lambda: Normal([0, 0], [[1, 0.9], [0, 1]]), "covariance must be symmetric"),
        (lambda: Uniform(np.nan, 1), "low must lie below high"),
        (lambda: Unigram([1, np.nan]), "counts must be"),
        (lambda: Unigram([1, 2], power=np.nan), "power must be finite"),
        (lambda: Unigram([1, 2], power=np.inf), "power must be finite"),
        (lambda: LogUniform(2.5), "size must be a whole number from 1"),
        (lambda: LogUniform(np.nan), "size must be a whole number from 1"),
        (lambda: alias_table(np.array([0.5, np.nan])), "probabilities must be"),
        (lambda: alias_table(np.array([0.0, 0.0])), "probabilities must be"),
        (lambda: alias_table(np.array([1.5, -0.5])), "probabilities must be"),
        (lambda: alias_table(np.array([0.2, 0.2])), "probabilities must be"),
        (lambda: alias_table(np.array([])), "probabilities must be"),
        (lambda: alias_table(np.ones((1, 1))), "probabilities must be"),
    ],
)
def test_noise_of_no_numbers_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_has_no_probability_is_in_no_alias_table():
    rng = np.random.default_rng(0)
    for size in rng.integers(2, 300, 200):
        p = rng.random(size) ** rng.integers(1, 40) * (rng.random(size) < 0.6)
        p[rng.integers(size)] = 1.0
        p /= p.sum()
        thresholds, others = alias_table(p)
        assert not thresholds[p == 0].any()
        assert (p[others[thresholds < 1]] > 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": [[0.0], [np.nan]]}, "start must be finite"),
        ({"start": np.zeros((0, 1))}, "start must be points"),
        ({"step_size": np.nan}, "step_size must be above 0 and finite"),
        ({"step_size": 0}, "step_size must be above 0"),
        ({"steps": 2.5}, "steps an integer"),
        (
            {"energy": lambda x: ops.log(x[:, 0])},
            "energy and its gradient must be finite at all points of the start",
        ),
        (
            {"energy": lambda x: ops.sqrt(x[:, 0])},
            "energy and its gradient must be finite at all points of the start",
        ),
        ({"log_support": lambda x: np.full(len(x), -np.inf)}, "within the support"),
    ],
)
def test_chains_that_cannot_begin_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        mala(
            **{
                "energy": lambda x: -ops.sum(x**2, axis=-1),
                "start": np.zeros((5, 1)),
                "steps": 3,
                **arguments,
            }
        )


def test_a_chain_never_goes_where_the_energy_or_its_gradient_is_no_number():
    """The gradient of −√x is infinite at 0 and NaN below: an exponential law of √x, whose mean is 6."""
    points, accepted = mala(lambda x: -ops.sqrt(x[:, 0]), np.full((400, 1), 5.0), steps=60, seed=0)
    assert (points > 0).all()
    assert accepted > 0.1


@pytest.mark.parametrize("rate", [1e3, 1e10, 1e30])
@pytest.mark.parametrize("threads", [1, 2])
def test_vectors_that_diverge_stop_with_a_word(rate, threads):
    sentences = [["a", "b", "c", "a"], ["c", "b", "d", "a"]] * 500
    with pytest.raises(ValueError, match=r"vectors diverged in epoch .*: lower learning_rate"):
        SkipGram(dim=8, min_count=1, sample=0, epochs=20, learning_rate=rate, threads=threads).fit(sentences)


@pytest.mark.parametrize(
    "name", ["learning_rate", "min_learning_rate", "sample", "power", "dim", "epochs", "window"]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, "5", None])
def test_settings_of_word_vectors_are_numbers(name, value):
    with pytest.raises(ValueError, match=f"{name} must"):
        SkipGram(**{name: value})
