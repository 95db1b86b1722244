"""Mixtures of samples: what they are made of, whatever the data come from."""

import re

import keras
import numpy as np
import pytest

from partita.training import Mixup, SamplePairing, mixup, sample_pairing

X = np.arange(20, dtype="float32")[:, None] * np.array([1, 10], "float32")  # (20, 2)
Y = np.arange(20) % 3


def test_inputs_targets_and_weights_are_mixed_alike():
    x, y, weight = mixup(X, X * 3 + 1, X[:, 0], seed=1)
    np.testing.assert_allclose(y, 3 * x + 1, rtol=1e-5)
    np.testing.assert_allclose(weight, x[:, 0], rtol=1e-5)
    assert x.dtype == np.float32
    assert not np.isin(x[:, 0], X[:, 0]).any()  # nobody is mixed with itself


@pytest.mark.parametrize(("alpha", "variance"), [(0.2, 1 / (4 * 1.4)), (1.0, 1 / 12), (5.0, 1 / 44)])
def test_shares_are_beta(alpha, variance):
    """The variance of 20,000 shares is that of Beta(α, α), ¼ / (2α + 1), within 5 standard errors at most."""
    x = mixup(np.repeat([[0.0], [1.0]], 10_000, axis=0), alpha=alpha, seed=0)
    pairs = np.sort(np.concatenate([x, 1 - x]).ravel())
    shares = pairs[(pairs > 0) & (pairs < 1)]
    assert np.var(shares) == pytest.approx(variance, rel=0.05)


def test_one_share_for_a_batch():
    x = mixup(np.array([[0.0], [1.0]]), per="batch", seed=3)
    np.testing.assert_allclose(x.sum(), 1.0)


def test_classes_become_probabilities():
    for y in (Y, Y[:, None]):
        _, mixed = mixup(X, y, num_classes=3, seed=0)
        assert mixed.shape == (20, 3)
        np.testing.assert_allclose(mixed.sum(axis=1), 1.0, rtol=1e-6)
    _, sequences = mixup(X, np.tile(Y[:, None], (1, 4)), num_classes=3, seed=0)
    assert sequences.shape == (20, 4, 3)


def test_any_nest_masks_and_pixels():
    x = {"image": np.full((4, 2, 2, 1), 200, "uint8"), "steps": (X[:4], np.eye(4, dtype=bool))}
    mixed, y = mixup(x, [X[:4], X[:4, :1]], seed=0)
    np.testing.assert_allclose(mixed["image"], 200.0, rtol=1e-6)
    assert mixed["image"].dtype == np.float32
    assert (mixed["steps"][1].sum(axis=1) == 2).all()  # real where either is
    np.testing.assert_allclose(y[0][:, :1], y[1])


@pytest.mark.parametrize("kind", ["float16", "bfloat16", ">f4", "float64", "longdouble"])
def test_any_float_in_any_layout(kind):
    kind = np.dtype(getattr(pytest.importorskip("ml_dtypes"), kind)) if kind == "bfloat16" else np.dtype(kind)
    x = np.asfortranarray(np.linspace(0, 1, 24).reshape(4, 3, 2)).astype(kind)[:, ::-1]
    for mixed in (mixup(x, seed=0), Mixup((x,), batch_size=4, seed=0)[0][0]):
        assert mixed.dtype == (kind if kind.kind == "f" else "float32")
        steps = np.diff(np.asarray(mixed, "float64").reshape(4, 6))  # straight lines stay straight
        np.testing.assert_allclose(
            steps, np.tile(np.diff(np.asarray(x[0], "float64").ravel()), (4, 1)), atol=0.01
        )


def test_pairs_keep_the_target_and_the_weight():
    x, y, weight = sample_pairing(X, Y, X[:, 0], share=0.75, seed=0)
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(weight, X[:, 0])
    partner = (x - 0.75 * X) / 0.25
    np.testing.assert_allclose(np.sort(partner[:, 0]), X[:, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mixup(X, alpha=0), "alpha must be above 0, got 0"),
        (lambda: mixup(X, per="epoch"), "per must be 'sample' or 'batch'"),
        (lambda: mixup(X[:1]), "a batch must have two samples at least to be mixed, got 1"),
        (lambda: mixup(X, Y), "y holds whole numbers (int64): give num_classes"),
        (lambda: mixup(X, Y, num_classes=2), "classes must be from 0 to num_classes − 1 = 1, got 0 to 2"),
        (
            lambda: mixup(Y),
            "x holds whole numbers (int64): ids cannot be mixed. Mix their embeddings, with MixHidden",
        ),
        (lambda: mixup(X * 1j), "only real numbers can be mixed, got complex64"),
        (lambda: sample_pairing(X.astype(str)), "only real numbers can be mixed, got <U32"),
        (lambda: mixup(X, X[:4]), "all arrays of a batch must have one length, got [4, 20]"),
        (lambda: sample_pairing(X, share=1), "share must be between 0 and 1, got 1"),
        (lambda: Mixup((X, Y), alpha=-1), "alpha must be above 0, got -1"),
        (lambda: Mixup((X, X[:3])), "all arrays must have one length, of two samples at least, got [3, 20]"),
        (
            lambda: Mixup(batch for batch in ()),
            "steps must be given: a generator does not know how many batches it holds",
        ),
        (
            lambda: Mixup(7),
            "data must be arrays, a PyDataset, a tf.data.Dataset, a DataLoader or a generator, got int",
        ),
        (lambda: Mixup((X,), batch_size=0), "batch_size must be at least 1, got 0"),
        (
            lambda: Mixup(iter([(X, X)]), steps=1, workers=2),
            "workers must be 1 for data that come one after the other, got 2",
        ),
        (lambda: SamplePairing((X, Y), cycle=(0, 2)), "begin, cycle and end must be epochs"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


class Indexed(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return X[4 * index : 4 * index + 4], X[4 * index : 4 * index + 4, :1]


def batches():
    for index in range(5):
        yield Indexed()[index]


def loader():
    data = pytest.importorskip("torch.utils.data")
    torch = pytest.importorskip("torch")
    return data.DataLoader(data.TensorDataset(torch.tensor(X), torch.tensor(X[:, :1])), batch_size=4)


def tf_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, X[:, :1])).batch(4)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        pytest.param(lambda: (X, X[:, :1]), {"batch_size": 4}, id="arrays"),
        pytest.param(Indexed, {}, id="PyDataset"),
        pytest.param(Indexed, {"workers": 2}, id="threads"),
        pytest.param(tf_data, {}, id="tf.data"),
        pytest.param(loader, {}, id="DataLoader"),
        pytest.param(lambda: (batch for _ in range(3) for batch in batches()), {"steps": 5}, id="generator"),
    ],
)
def test_whatever_fit_takes(make, options):
    seen = []

    class Watch(keras.layers.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((2,)), Watch(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    data = Mixup(make(), seed=0, **options)
    inner = data._mix
    data._mix = lambda *given: seen.append(inner(*given)) or seen[-1]
    model.fit(data, epochs=2, verbose=0)
    assert data.num_batches == 5
    assert len(seen) >= 10
    for x, y in seen:
        assert x.shape == (4, 2)
        np.testing.assert_allclose(x[:, :1], y, rtol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("batches", [1, 2, 4])
@pytest.mark.parametrize("workers", [1, 2])
def test_epochs_are_those_of_fit(compiled, batches, workers):
    """However often Keras looks at the data beforehand, and again in the next call of fit."""
    seen, points = [], np.random.default_rng(0).normal(size=(24, 2)).astype("float32")
    data = SamplePairing((points, points[:, :1]), batch_size=24 // batches, begin=2, seed=0, workers=workers)
    inner = data._mix
    data._mix = lambda *given: seen.append((data.epoch, inner(*given)[0])) or inner(*given)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    if compiled:
        model.train_on_batch(points, points[:, :1])
    model.fit(data, epochs=3, verbose=0)
    assert data.epoch == 3
    model.fit(data, epochs=1, verbose=0)
    assert data.epoch == 4
    assert {epoch for epoch, _ in seen} == {0, 1, 2, 3}
    for epoch, x in seen:
        assert (epoch < 2) == np.isin(x, points).all()


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_no_batch_of_a_generator_is_lost(epochs, steps):
    def numbered():
        for index in range(steps * epochs):
            yield np.full((4, 2), index, "float32"), np.zeros((4, 1), "float32")

    data = Mixup(numbered(), steps=steps, seed=0)
    first, inner = [], data._mix
    data._mix = lambda *given: first.append(int(given[0][0][0, 0])) or inner(*given)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(data, epochs=epochs, verbose=0)
    assert [*dict.fromkeys(first)] == [*range(steps * epochs)]


def test_data_that_end_too_soon_are_named():
    data = Mixup(batches(), steps=6, seed=0)
    with pytest.raises(ValueError, match="the data end before batch 5 of 6"):
        [data[index] for index in range(6)]


def test_the_same_seed_gives_the_same_batches_in_any_order():
    first, second = (Mixup((X, Y), num_classes=3, batch_size=6, seed=5) for _ in range(2))
    assert first.num_batches == 4
    ones, others = [first[i] for i in range(4)], [second[i] for i in (3, 2, 1, 0)][::-1]
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    first.on_epoch_end()
    assert not np.array_equal(first[0][0], ones[0][0])


def test_an_epoch_of_arrays_holds_everyone_once():
    data = SamplePairing((X, Y), batch_size=6, begin=1, seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate([data[i][0] for i in range(4)])[:, 0]), X[:, 0])
    data.on_epoch_end()
    assert data.mixes(1)
    assert not np.isin(data[0][0][:, 0], X[:, 0]).all()


@pytest.mark.parametrize("weights", [None, "own"])
@pytest.mark.parametrize("kind", [int, float, "one-hot"])
@pytest.mark.parametrize("per", ["sample", "batch"])
def test_the_weight_of_a_mixture_is_that_of_its_classes(weights, kind, per):
    """The weight of a mixture is Σ_c ỹ_c w_c; with weights of the samples, it is those mixed.

    All of them are read from the shares, which x gives away.
    """
    of_class, own = np.array([1.0, 10.0, 0.25]), RNG_WEIGHTS if weights else np.ones(20)
    y = np.eye(3)[Y] if kind == "one-hot" else Y.astype(kind)
    eye = np.eye(20)
    shares, mixed, weight = mixup(
        eye,
        y,
        own if weights else None,
        num_classes=3,
        class_weight={1: 10.0, 2: 0.25},
        per=per,
        alpha=0.4,
        seed=4,
    )
    np.testing.assert_allclose(weight, shares @ (own * of_class[Y]), rtol=1e-5)
    np.testing.assert_allclose(mixed, shares @ np.eye(3)[Y], rtol=1e-5)
    if weights is None:
        np.testing.assert_allclose(weight, mixed @ of_class, rtol=1e-5)


RNG_WEIGHTS = np.random.default_rng(5).uniform(0.1, 2, 20)


def test_weights_of_classes_in_fit_and_in_sequences():
    batches = Mixup((X, Y), num_classes=3, class_weight={0: 0.0}, batch_size=5, seed=0)
    _, y, weight = batches[0]
    np.testing.assert_allclose(weight, y[:, 1] + y[:, 2], rtol=1e-6)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "categorical_crossentropy")
    assert np.isfinite(model.fit(batches, verbose=0).history["loss"]).all()
    tags = np.tile(Y[:, None], (1, 4))
    _, y, weight = mixup(X, tags, np.linspace(0, 1, 20), num_classes=3, class_weight={0: 2.0}, seed=0)
    assert weight.shape == (20, 4)
    _, _, weight = mixup(X, tags, num_classes=3, class_weight={0: 2.0}, seed=0)
    np.testing.assert_allclose(weight, y @ [2.0, 1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: mixup(X, Y.astype(str), num_classes=3),
            "y must hold numbers, got <U21: number the classes, np.unique",
        ),
        (
            lambda: mixup(X, Y + 0.5, num_classes=3),
            "y must hold class ids from 0 to 2, or probabilities with 3 columns",
        ),
        (
            lambda: mixup(X, Y.astype(float), num_classes=2),
            "classes must be from 0 to num_classes − 1 = 1, got 0 to 2",
        ),
        (
            lambda: mixup(X, Y - 1, num_classes=3),
            "classes must be from 0 to num_classes − 1 = 2, got -1 to 1",
        ),
        (lambda: mixup(X, Y, class_weight={0: 1.0}), "class_weight must come with num_classes"),
        (
            lambda: Mixup((X, Y), num_classes=3, class_weight={3: 1.0}),
            "class_weight must map classes from 0 to 2",
        ),
        (
            lambda: Mixup((X, Y), num_classes=3, class_weight={0: float("nan")}),
            "class_weight must map classes from 0 to 2",
        ),
        (
            lambda: Mixup((X, Y), num_classes=3, class_weight={0: -1.0}),
            "class_weight must map classes from 0 to 2",
        ),
        (
            lambda: mixup(X, [Y, X], num_classes=3, class_weight={0: 1.0}),
            "class_weight must come with one array of targets, got several",
        ),
        (
            lambda: mixup(X, num_classes=3, class_weight={0: 1.0}),
            "class_weight must come with one array of targets, got none",
        ),
        (lambda: mixup(X, alpha=float("nan")), "alpha must be above 0, got nan"),
        (lambda: sample_pairing(X, share=float("nan")), "share must be between 0 and 1, got nan"),
    ],
)
def test_targets_and_weights_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_class_ids_may_be_floats_beside_other_targets():
    _, mixed = mixup(X, Y.astype("float32"), num_classes=3, seed=0)
    np.testing.assert_array_equal(mixed, mixup(X, Y, num_classes=3, seed=0)[1])
    _, (ids, number) = mixup(X, [Y, X[:, 0]], num_classes=3, seed=0)  # floats beside ids are numbers
    assert ids.shape == (20, 3)
    assert number.shape == (20,)
