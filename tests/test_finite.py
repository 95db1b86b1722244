"""Tests of numbers that are not finite: they are named wherever they stand.

A training that meets them stops with its last good weights.
"""

import re
from decimal import Decimal
from fractions import Fraction

import keras
import numpy as np
import pytest
from keras import ops

from partita.callbacks.finite import StopOnNonFinite
from partita.data.numbers import as_numbers, check_finite

pandas = pytest.importorskip("pandas")
NAN, INF = float("nan"), float("inf")
FRAME = pandas.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})


def spoilt(value, *where, shape=(5, 3), dtype="float32"):
    array = np.ones(shape, dtype)
    array[where] = value
    return array


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (spoilt(NAN, 3, 1), "x must be finite: expected numbers, got nan at index (3, 1)"),
        (spoilt(INF, 4, 2), "got inf at index (4, 2)"),
        (spoilt(-INF, 0, 0, dtype="float64"), "got -inf at index (0, 0)"),
        (spoilt(NAN, 2, 0, dtype="float16"), "got nan at index (2, 0)"),
        (spoilt(complex(0, NAN), 2, 0, dtype="complex64"), "at index (2, 0)"),
        (lambda: ops.convert_to_tensor(spoilt(NAN, 3, 1)), "got nan at index (3, 1)"),
        (lambda: ops.cast(ops.convert_to_tensor(spoilt(NAN, 3, 1)), "bfloat16"), "got nan at index (3, 1)"),
        (NAN, "x must be finite: expected numbers, got nan"),
        ([1.0, INF], "got inf at index (1,)"),
        ([[1.0, 2.0], [NAN, 2.0]], "got nan at index (1, 0)"),
        ([[1.0], [NAN, 2.0]], "x[1] must be finite: expected numbers, got nan at index (0,)"),
        ((np.ones(3), spoilt(NAN, 1, 1)), "x[1] must be finite"),
        ({"x": np.ones(3), "condition": spoilt(INF, 1, 1)}, "x['condition'] must be finite"),
        ([np.ones(2), {"a": [0.0, NAN]}], "x[1]['a'] must be finite"),
        (FRAME.replace(4.0, NAN), "got nan at index (1, 1), column 'b'"),
        (FRAME.replace(1.0, INF), "got inf at index (0, 0), column 'a'"),
        (FRAME.assign(c=pandas.array([1, None], "Int64")), "got nan at index (1, 2), column 'c'"),
        (FRAME.assign(c=[True, False]).replace(2.0, NAN), "got nan at index (1, 0), column 'a'"),
        (FRAME["a"].replace(2.0, NAN), "got nan at index (1,)"),
        (np.array([[1.0, None]], object), "got nan at index (0, 1)"),
        (
            FRAME.assign(c=["u", "v"]),
            "x must hold numbers: expected numbers, got 'u' at index (0,), column 'c': encode that column",
        ),
        (FRAME.assign(c=pandas.Categorical([1, 2])), "expected numbers, got categories, column 'c'"),
        (FRAME.assign(c=pandas.to_datetime(["2024-01-01", "2024-01-02"])), "column 'c'"),
        (["a", "b"], "x must hold numbers: expected numbers, got 'a' at index (0,)"),
        ([1.0, "b"], "got 'b' at index (1,)"),
        (np.array(["2024-01-01"], "datetime64[D]"), "x must hold numbers"),
        ("text", "x must hold numbers: expected numbers, got 'text'"),
    ],
)
def test_what_is_not_finite_is_named(value, message):
    value = value() if callable(value) else value
    with pytest.raises(ValueError, match=re.escape(message)):
        check_finite("x", value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        np.ones((3, 2)),
        np.full((3, 2), 3e38, "float32"),
        np.full((3, 2), -1.7e308),
        np.empty((0, 2)),
        np.arange(4),
        np.array([True, False]),
        FRAME,
        FRAME.assign(c=[True, False], d=[1, 2]),
        {"a": np.ones(2), "b": None},
        [[1.0], [2.0, 3.0]],
        (np.ones(2), [1, 2]),
        3,
        iter([1.0, NAN]),
        keras.KerasTensor((None, 2)),
    ],
)
def test_what_is_finite_passes(value):
    check_finite("x", value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (FRAME.assign(c=[True, False]), [[1, 3, 1], [2, 4, 0]]),
        (FRAME["a"], [1, 2]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ([np.array([1, 2]), np.array([3, 4])], [[1, 2], [3, 4]]),
        (FRAME.assign(c=pandas.array([1, None], "Int64")), [[1, 3, 1], [2, 4, NAN]]),
    ],
)
def test_tables_and_lists_become_arrays(value, expected):
    np.testing.assert_array_equal(as_numbers("x", value), expected)


@pytest.mark.parametrize("value", [[[1, 2], [3]], [np.ones(2), np.ones(3)]])
def test_ragged_rows_are_no_array(value):
    with pytest.raises(ValueError, match="x must be an array: expected"):
        as_numbers("x", value)


def model(rate):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), "mse")
    return model


X, Y = np.ones((64, 2), "float32"), np.ones((64, 1), "float32")


@pytest.mark.parametrize("verbose", [0, 2])
def test_a_training_that_diverges_stops_with_the_last_good_weights(verbose):
    diverging = model(1e30)
    with pytest.raises(
        FloatingPointError,
        match=r"loss is (nan|inf) at epoch 1, batch 2: .*from before the training.*clipnorm",
    ):
        diverging.fit(X, Y, epochs=3, verbose=verbose, callbacks=[StopOnNonFinite()])
    np.testing.assert_array_equal(diverging.get_weights()[0], np.ones((2, 1)))
    assert all(
        np.isfinite(ops.convert_to_numpy(variable)).all() for variable in diverging.optimizer.variables
    )
    diverging.optimizer.learning_rate = 1e-2
    history = diverging.fit(X, Y, epochs=2, verbose=0, callbacks=[StopOnNonFinite()]).history
    assert np.isfinite(history["loss"]).all()


def test_the_weights_of_the_last_good_epoch_come_back():
    learning, seen = model(1e-2), []

    def look(epoch, logs):
        seen.append(learning.get_weights()[0].copy())
        if epoch == 1:
            learning.optimizer.learning_rate = 1e30

    callbacks = [StopOnNonFinite(), keras.callbacks.LambdaCallback(on_epoch_end=look)]
    with pytest.raises(
        FloatingPointError, match=r"at epoch 3, batch \d: .*; the weights of the end of epoch 2 are restored"
    ):
        learning.fit(X, Y, epochs=9, verbose=0, batch_size=16, callbacks=callbacks)
    assert len(seen) == 2
    np.testing.assert_array_equal(learning.get_weights()[0], seen[-1])


def test_an_update_that_ruins_the_weights_after_a_finite_loss_is_seen():
    ruined = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")]
    )
    ruined.compile(keras.optimizers.SGD(1e38), "mse")
    with pytest.raises(
        FloatingPointError,
        match=r"the weight .*kernel is not finite at the end of epoch 1: .*before the training are restored",
    ):
        ruined.fit(1e3 * X, Y, batch_size=64, epochs=3, verbose=0, callbacks=[StopOnNonFinite()])
    np.testing.assert_array_equal(ruined.get_weights()[0], np.ones((2, 1)))


def test_data_that_are_not_finite_are_named_as_a_cause():
    with pytest.raises(
        FloatingPointError,
        match="loss is nan at epoch 1, batch 1: the training diverged, or was given data that are not",
    ):
        model(0.1).fit(spoilt(NAN, 0, 0, shape=(4, 2)), Y[:4], verbose=0, callbacks=[StopOnNonFinite()])


def test_without_restoring_the_weights_stay():
    diverging = model(1e30)
    with pytest.raises(FloatingPointError, match=r"not finite; try a smaller"):
        diverging.fit(X, Y, epochs=3, verbose=0, callbacks=[StopOnNonFinite(restore=False)])
    assert np.abs(diverging.get_weights()[0]).max() > 1e9


def test_a_validation_loss_does_not_stop_a_training():
    validation = (np.full((4, 2), NAN), Y[:4])
    history = (
        model(1e-2)
        .fit(X, Y, validation_data=validation, epochs=2, verbose=0, callbacks=[StopOnNonFinite()])
        .history
    )
    assert np.isnan(history["val_loss"]).all()


def test_exact_numbers_are_numbers():
    """As SQL gives them to a table."""
    found = as_numbers("x", [Decimal("1.5"), Fraction(1, 4), 2])
    assert found.tolist() == [1.5, 0.25, 2.0]
    with pytest.raises(
        ValueError, match="x must hold numbers: expected some that fit float64, got a larger one"
    ):
        as_numbers("x", [10**400, 1])


@pytest.mark.parametrize(
    ("logs", "name"),
    [
        ({"loss": np.nan}, "loss is nan"),
        ({"loss": np.inf}, "loss is inf"),
        ({"loss": 0.5, "val_loss": np.nan}, "val_loss is nan"),
    ],
)
def test_a_validation_loss_stops_a_training_where_it_is_asked_to(logs, name):
    guard = StopOnNonFinite(restore=False, validation=True, advice="bound G")
    guard.set_model(model(1e-2))
    guard.on_epoch_end(0, {"loss": 0.5, "val_loss": np.inf})
    with pytest.raises(FloatingPointError, match=f"{name} at the end of epoch 2: .*; bound G"):
        guard.on_epoch_end(1, logs)


def test_a_training_may_end_with_a_warning_instead():
    diverging = model(1e30)
    with pytest.warns(RuntimeWarning, match="training was stopped: loss is .* are restored; try"):
        diverging.fit(X, Y, epochs=9, verbose=0, callbacks=[StopOnNonFinite(action="warn")])
    np.testing.assert_array_equal(diverging.get_weights()[0], np.ones((2, 1)))
    with pytest.raises(ValueError, match="action 'raise' or 'warn', got 1 and 'stop'"):
        StopOnNonFinite(action="stop")
