"""Batches of mixtures: their order, their number, the kinds of data they come from, and what is refused."""

import itertools

import keras
import numpy as np
import pytest

from partita.training import Mixup, SamplePairing, mixup, sample_pairing

RNG = np.random.default_rng(0)
X = RNG.normal(size=(37, 2)).astype("float32")
Y = np.arange(37) % 3
SEEDS = itertools.count()


class Indexed(keras.utils.PyDataset):
    """Ten batches, the last of one sample."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        rows = slice(4 * index, 4 * index + 4)
        return X[rows], Y[rows]


def batches():
    for index in range(10):
        yield Indexed()[index]


def loader(**options):
    data, torch = pytest.importorskip("torch.utils.data"), pytest.importorskip("torch")
    return data.DataLoader(data.TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=4, **options)


def tf_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


KINDS = {
    "arrays": lambda: (X, Y),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "PyDataset": Indexed,
    "tf.data": tf_data,
    "DataLoader": loader,
    "generator": batches,
}


def made(kind, data=Mixup, **options):
    data_options = {"arrays": {"batch_size": 4}, "lists": {"batch_size": 4}, "generator": {"steps": 10}}.get(
        kind, {}
    )
    return data(
        KINDS[kind](), seed=3, **data_options, **options, **({"num_classes": 3} if data is Mixup else {})
    )


def trained(data, **options):
    """The weights that a model ends with, which follow from the order of its batches."""
    keras.utils.set_random_seed(next(SEEDS))  # the order must not follow from it
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(data, epochs=2, verbose=0, **options)
    return model.get_weights()


@pytest.mark.parametrize("kind", ["arrays", "PyDataset"])
@pytest.mark.parametrize(
    "options", [{}, {"workers": 2}, {"workers": 5, "max_queue_size": 3}, {"workers": 16}], ids=str
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_workers_and_the_shuffling_of_fit_have_no_say(kind, options, shuffle):
    alone = trained(made(kind), shuffle=True)
    several = trained(made(kind, **options), shuffle=shuffle)
    for one, other in zip(alone, several, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_takes_each_sample_once_and_one_alone_is_mixed_with_itself(kind, workers):
    if workers > 1 and kind not in ("arrays", "lists", "PyDataset"):
        pytest.skip("data that come one after the other have one worker")
    data = made(kind, SamplePairing, end=0, **({"workers": workers} if workers > 1 else {}))
    taken, inner = [], data._mix
    data._mix = lambda *given: taken.append((data.epoch, given[0][1])) or inner(*given)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(data, epochs=1 if kind == "generator" else 3, verbose=0)
    for epoch in range(1 if kind == "generator" else 3):
        ids = np.concatenate([y for number, y in taken if number == epoch][-10:])
        np.testing.assert_array_equal(np.sort(ids), np.sort(Y))


def test_batches_of_a_dataset_are_shuffled_by_our_seed_alone():
    orders = []
    for seed in (1, 1, 2):
        data = Mixup(Indexed(), num_classes=3, seed=seed)
        data.on_epoch_begin()
        orders.append([len(data[index][0]) for index in np.random.default_rng(len(orders)).permutation(10)])
    assert orders[0] == orders[1] != orders[2]
    still = Mixup(Indexed(), num_classes=3, seed=1, shuffle=False)
    still.on_epoch_begin()
    assert [len(still[index][0]) for index in (3, 1, 2, 0, 9, 8, 7, 6, 5, 4)] == [4] * 9 + [1]


def test_short_epochs_go_through_all_batches_in_turn():
    data = SamplePairing((X[:8], Y[:8]), batch_size=2, shuffle=False, end=0, seed=0)
    taken, inner = [], data._mix
    data._mix = lambda *given: taken.append(given[0][1][0]) or inner(*given)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(data, steps_per_epoch=2, epochs=2, verbose=0)
    assert {*taken[-4:]} == {*Y[:8:2]}


@pytest.mark.parametrize("kind", KINDS)
def test_the_length_is_that_of_an_epoch(kind):
    assert len(made(kind)) == made(kind).num_batches == 10


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_mixtures_of_probabilities(kind):
    data = made(kind)
    for index in range(10):
        x, y = data[index]
        assert x.shape == (4 if index < 9 else 1, 2)
        assert x.dtype == ("float64" if kind == "lists" else "float32")
        np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)


PARTS = [
    (X[:4],),
    X[:4],
    {"left": X[:4], "right": X[:4]},
    (X[:4], X[:4]),
    (X[:4], X[:4], np.ones(4)),
    (X[:4], None, np.ones(4)),
    (X[:4], X[:4], None),
    [X[:4], X[:4]],
    ({"a": X[:4]}, {"b": X[:4]}, {"b": np.ones(4)}),
]


@pytest.mark.parametrize("batch", PARTS, ids=lambda batch: type(batch).__name__)
def test_batches_of_any_form(batch):
    mixed = Mixup((batch for _ in range(2)), steps=2, seed=0)[0]
    parts = batch if isinstance(batch, (tuple, list)) else (batch,)
    while parts[-1] is None:
        parts = parts[:-1]
    assert len(mixed) == len(parts)
    for given, got in zip(parts, mixed, strict=True):
        assert (given is None) == (got is None)
        if given is not None:
            keras.tree.map_structure(
                lambda a, b: np.testing.assert_array_equal(np.shape(a), np.shape(b)), given, got
            )


BAD = {
    "nan in x": (np.where(np.arange(37)[:, None] == 5, np.nan, X), Y),
    "infinity in x": (np.where(np.arange(37)[:, None] == 5, -np.inf, X), Y),
    "nan in y": (X, np.where(np.arange(37) == 5, np.nan, 1.0)),
    "nan in the weights": (X, Y, np.where(np.arange(37) == 5, np.nan, 1.0)),
    "nan in one-hot": (X, np.where(np.arange(37)[:, None] == 5, np.nan, np.eye(3)[Y])),
    "masked": (np.ma.masked_greater(X, 1.0), Y),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("data", [Mixup, SamplePairing])
def test_arrays_with_nan_are_refused_at_once(bad, data):
    name = "sample_weight" if "weights" in bad else "y" if bad in ("nan in y", "nan in one-hot") else "x"
    with pytest.raises(
        ValueError, match=f"^{name} must be finite: expected numbers, got (nan|-inf) at index"
    ):
        data(BAD[bad], **({"num_classes": 3} if data is Mixup else {}))
    with pytest.raises(ValueError, match=f"^{name} must be finite"):
        (mixup if data is Mixup else sample_pairing)(*BAD[bad])


@pytest.mark.parametrize("table", [True, False])
def test_tables_and_lists_with_nan_are_refused(table):
    x = X.copy()
    x[5, 1] = np.nan
    given = pytest.importorskip("pandas").DataFrame(x, columns=["a", "b"]) if table else x.tolist()
    with pytest.raises(ValueError, match="x must be finite"):
        Mixup((given, Y), num_classes=3)


class Broken(Indexed):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return (x * np.nan if index == 7 else x), y


def broken_loader():
    torch = pytest.importorskip("torch")
    x = torch.tensor(X)
    x[29] = float("nan")
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.tensor(Y)), batch_size=4)


def broken_tf_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((np.where(np.arange(37)[:, None] == 29, np.nan, X), Y)).batch(4)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (Broken, {}),
        (Broken, {"workers": 2}),
        (broken_loader, {}),
        (broken_tf_data, {}),
        (lambda: (Broken()[i] for i in range(10)), {"steps": 10}),
    ],
    ids=["PyDataset", "threads", "DataLoader", "tf.data", "generator"],
)
def test_a_batch_with_nan_is_refused_by_its_number(make, options):
    data = Mixup(make(), num_classes=3, seed=0, shuffle=False, **options)
    data.on_epoch_begin()
    for index in range(7):
        assert np.isfinite(data[index][0]).all()
    with pytest.raises(ValueError, match="batch 7 of the data: x must be finite: expected numbers, got nan"):
        data[7]


class Empty(Indexed):
    def __len__(self):
        return 0


class Endless(Indexed):
    num_batches = None


class Unsaid(keras.utils.PyDataset):
    def __getitem__(self, index):
        return X[:4], Y[:4]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mixup(Empty()), "data must hold at least one batch, got a Empty without any"),
        (lambda: Mixup((X[:0], Y[:0])), "of two samples at least, got \\[0\\]"),
        (lambda: Mixup((), steps=3), "got 0 of them"),
        (lambda: Mixup(iter(()), steps=3)[0], "the data end before batch 0 of 3"),
        (lambda: Mixup(iter([(X[:0], Y[:0])]), steps=1)[0], "a batch must hold samples, got one without any"),
        (lambda: Mixup(Endless()), "steps must be given for a PyDataset without an end"),
        (lambda: Mixup(Unsaid()), "steps must be given for a PyDataset without an end"),
        (lambda: Mixup((X, Y), steps=0), "steps must be a whole number of at least 1, got 0"),
        (lambda: Mixup((X, Y), steps=2.5), "steps must be a whole number of at least 1, got 2.5"),
        (lambda: Mixup((X, Y), use_multiprocessing=True, workers=2), "use_multiprocessing must be False"),
        (lambda: Mixup((X, Y), max_queue_size=0, workers=2), "max_queue_size must be at least 1, got 0"),
    ],
)
def test_data_without_batches_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_an_index_beyond_the_epoch_is_refused():
    with pytest.raises(IndexError, match="index must be from 0 to 9, got 10"):
        made("arrays")[10]


def test_steps_may_go_round_a_dataset():
    data = SamplePairing(Indexed(), steps=15, end=0, shuffle=False)
    np.testing.assert_array_equal(data[12][1], Indexed()[2][1])
