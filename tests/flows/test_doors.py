"""Tests of data at every door of a flow: arrays, tables, lists, tensors and datasets.

They also test a number in them that is not finite.
"""

import re

import keras
import numpy as np
import pytest
from keras import ops

from partita import flows

pandas = pytest.importorskip("pandas")
X = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
C = np.ones((64, 1), "float32")


def flow(context=None, **options):
    made = flows.real_nvp(2, couplings=2, hidden=(8,), context=context, **options)
    made.compile(keras.optimizers.SGD(1e-3))
    return made


def spoilt(value=float("nan"), row=40):
    x = X.copy()
    x[row, 1] = value
    return x


class Batches(keras.utils.PyDataset):
    def __init__(self, x, **options):
        super().__init__(**options)
        self.x = x

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return (self.x[16 * index : 16 * index + 16],)


def generator(x):
    while True:
        for start in range(0, 64, 16):
            yield (x[start : start + 16],)


def frame(x, **more):
    return pandas.DataFrame({"a": x[:, 0], "b": x[:, 1]}).assign(**more)


KINDS = [
    pytest.param(lambda x: x, id="array"),
    pytest.param(lambda x: x.astype("float64"), id="float64"),
    pytest.param(frame, id="table"),
    pytest.param(lambda x: x.tolist(), id="list"),
    pytest.param(ops.convert_to_tensor, id="tensor"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rows_trains_and_is_scored_alike(kind):
    made, expected = flow(), None
    expected = made.log_prob(X)
    np.testing.assert_allclose(ops.convert_to_numpy(made.log_prob(kind(X))), expected, rtol=1e-5)
    np.testing.assert_allclose(made.bits_per_dim(kind(X)).mean(), -expected.mean() / 2 / np.log(2), rtol=1e-4)
    loss = made.evaluate(kind(X), verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(loss, -expected.mean(), rtol=1e-4)
    history = made.fit(kind(X), validation_data=(kind(X),), verbose=0).history
    np.testing.assert_allclose(history["val_loss"], history["loss"], rtol=0.05)


DOORS = [
    pytest.param(lambda made, x: made.fit(x, verbose=0), id="fit"),
    pytest.param(lambda made, x: made.fit(X, validation_data=(x,), verbose=0), id="validation"),
    pytest.param(lambda made, x: made.fit(X, None, 16, 1, 0, None, 0.0, x), id="validation-by-place"),
    pytest.param(lambda made, x: made.evaluate(x, verbose=0), id="evaluate"),
    pytest.param(lambda made, x: made.train_on_batch(x), id="train_on_batch"),
    pytest.param(lambda made, x: made.bits_per_dim(x), id="bits_per_dim"),
]


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_not_finite_are_refused_before_a_step(kind, door, value):
    made = flow()
    before = made.get_weights()
    with pytest.raises(ValueError, match=f"must hold finite numbers, got {value:g} in row 40, feature 1"):
        door(made, kind(spoilt(value)))
    for weight, kept in zip(made.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def loader(x):
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(x)), batch_size=16)


def tf_data(x):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x,)).batch(16)


DATASETS = {
    "PyDataset": Batches,
    "workers": lambda x: Batches(x, workers=2),
    "generator": generator,
    "DataLoader": loader,
    "tf.data": tf_data,
}


@pytest.mark.parametrize("make", DATASETS.values(), ids=DATASETS)
def test_datasets_that_are_not_finite_are_refused_at_their_batch(make):
    made = flow()
    named = (
        "x must be finite, got a"
        if make is tf_data
        else "x must hold finite numbers, got nan in row 8, feature 1"
    )
    with pytest.raises(ValueError, match=f"batch 2 of the data: {named}"):
        made.fit(make(spoilt()), steps_per_epoch=4, epochs=2, verbose=0, shuffle=False)
    assert all(np.isfinite(weight).all() for weight in made.get_weights())
    assert np.isfinite(made.log_prob(X)).all()


@pytest.mark.parametrize("make", DATASETS.values(), ids=DATASETS)
def test_a_flow_is_whole_after_data_that_it_refused_to_evaluate(make):
    made = flow()
    before = made.log_prob(X)
    with pytest.raises(ValueError, match="batch 2 of the data"):
        made.evaluate(make(spoilt()), steps=4, verbose=0)
    np.testing.assert_array_equal(made.log_prob(X), before)


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}, {"jit_compile": False}])
def test_what_goes_wrong_late_does_not_undo_the_training(options):
    """Where steps are not compiled, nothing tells by itself that one has happened."""
    made = flow()
    made.compile(keras.optimizers.Adam(0.01), **options)
    before = made.get_weights()
    with pytest.raises(ValueError, match="batch 2 of the data"):
        made.fit(generator(spoilt()), steps_per_epoch=4, verbose=0, shuffle=False)
    assert any((weight != kept).any() for weight, kept in zip(made.get_weights(), before, strict=True))


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            lambda: flow(context=1).fit((X, spoilt()[:, 1:]), verbose=0),
            "context must be finite: expected numbers, got nan at index (40, 0)",
        ),
        (lambda: flow(context=1).log_prob(X, spoilt()[:, 1:]), "context must be finite"),
        (lambda: flow(context=1).sample(64, context=spoilt()[:, 1:]), "context must be finite"),
        (
            lambda: flow(context=1).fit((X, C), validation_data=((X, spoilt()[:, 1:]),), verbose=0),
            "context must be finite",
        ),
        (
            lambda: flow().fit(X, sample_weight=spoilt()[:, 1], verbose=0),
            "sample_weight must be finite: expected numbers, got nan at index (40,)",
        ),
        (
            lambda: flow().fit(frame(X, b=["u"] * 64), verbose=0),
            "x must hold numbers: expected numbers, got 'u' at index (0,), column 'b'",
        ),
        (
            lambda: flow().fit(frame(X, b=pandas.Categorical(["u"] * 64)), verbose=0),
            "got categories, column 'b'",
        ),
        (lambda: flow().log_prob(frame(X, b=["u"] * 64)), "x must hold numbers"),
        (
            lambda: flow().fit({"x": X}, verbose=0),
            "x must be rows of data, or a pair (x, context), got a dict with the keys 'x'",
        ),
        (lambda: flow().fit((X, C, C), verbose=0), "or a pair (x, context), got 3 of them"),
        (lambda: flow().log_prob(X * 1j), "x must hold real numbers, got complex64"),
        (
            lambda: flow().log_prob([[1e39, 0.0]]),
            "x must hold finite numbers, got 1e+39 in row 0, feature 0, which is beyond float32",
        ),
        (lambda: flow().log_prob([[1.0, 2.0], [3.0]]), "x must be an array: expected rows of one length"),
        (lambda: flow().fit(np.empty((0, 2)), verbose=0), "x must hold rows"),
        (
            lambda: flows.Standardize.fit(spoilt()),
            "table must be finite: expected numbers, got nan at index (40, 1)",
        ),
        (lambda: flows.Standardize.fit(frame(X, b=["u"] * 64)), "table must hold numbers"),
        (
            lambda: flows.Standardize.fit(X[:1]),
            "table must be (rows, features) with 2 rows or more, got the shape (1, 2)",
        ),
        (lambda: flows.Standardize.fit(frame(X, b=0.1), ["a", "b"]), "for feature 'b'"),
        (
            lambda: flows.Standardize([2459000.5], [0.05]),
            "subtract a number near 2.459e+06 from that column beforehand",
        ),
    ],
)
def test_what_is_no_data_is_refused(action, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        action()


@pytest.mark.parametrize(
    "column", [[True, False] * 32, np.arange(64), pandas.array(range(64), "Int64"), np.full(64, 2**62)]
)
def test_columns_of_other_numbers_are_taken(column):
    table = frame(X, b=column)
    np.testing.assert_allclose(
        flow().log_prob(table)[0],
        flow().log_prob(np.stack([X[:, 0], np.asarray(column, float)], 1))[0],
        rtol=1e-5,
    )


def test_a_training_that_diverges_stops_with_finite_weights():
    made = flow()
    made.compile(keras.optimizers.SGD(1e8))
    before = made.get_weights()
    with pytest.raises(
        FloatingPointError,
        match=r"is (nan|inf|not finite) .*; the weights .* are restored; try a smaller learning rate",
    ):
        made.fit(100 * X, epochs=20, batch_size=16, verbose=0)
    assert all(np.isfinite(weight).all() for weight in made.get_weights())
    assert len(before) == len(made.get_weights())


def test_activation_normalisation_is_not_spoilt_by_a_first_batch():
    made = flows.Flow(flows.Chain([flows.ActNorm(), flows.Scaling()]))
    made.build((None, 2))
    made.compile("sgd")
    with pytest.raises(ValueError, match="batch 0 of the data: x"):
        made.fit(Batches(spoilt(row=3)), verbose=0, shuffle=False)
    np.testing.assert_allclose(made.encode(X), X, rtol=1e-5)
