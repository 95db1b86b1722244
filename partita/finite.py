"""Checks for NaN and infinity: in what is given to a model, and in the loss while it trains.

check_finite("x", x)                                   before the training
model.fit(x, callbacks=[StopOnNonFinite()])            during the training
"""

import math
import numbers
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.backend import is_known

_NUMBERS = (numbers.Number, np.number, np.bool_)  # Decimal and Fraction among them
_SCALARS = (numbers.Number, str, np.generic)


def check_finite(name: str, value: Any) -> None:
    """Raise unless every number in `value` is finite.

    Arrays, tensors, lists of numbers, DataFrames, Series and sparse matrices are looked at, also those inside
    lists, tuples and dicts, which are named `name[0]`, `name['key']`. None, tensors without values
    (placeholders) and datasets are passed over: `StopOnNonFinite` watches what comes out of those.

    Args:
        name: The name of the argument, for the message.
        value: What was given for it.

    Raises:
        ValueError: if a number is NaN or infinite, or if there are no numbers: text, dates, categories of a
            DataFrame.

    Example:
        >>> check_finite("x", {"a": [1.0, 2.0], "b": None})
        >>> check_finite("x", [[1.0, 2.0], [3.0, float("nan")]])
        Traceback (most recent call last):
        ValueError: x must be finite: expected numbers, got nan at index (1, 1)
    """
    for label, array, columns in _leaves(name, value):
        _check(label, array, columns)


def as_numbers(name: str, value: Any) -> np.ndarray:
    """Return a table, list, tensor or array as a NumPy array of numbers; NaN and infinity stay.

    Args:
        name: The name of the argument, for the message.
        value: An array or what can become one. The columns of a DataFrame become the last axis; its missing
            values become NaN.

    Returns:
        The array, of a boolean, integer, floating or complex dtype.

    Raises:
        ValueError: if it does not hold numbers, or the parts of a list differ in length.

    Example:
        >>> as_numbers("x", [[1, 2], [3, 4]]).shape
        (2, 2)
        >>> as_numbers("x", ["a", "b"])
        Traceback (most recent call last):
        ValueError: x must hold numbers: expected numbers, got 'a' at index (0,)
    """
    if _is_table(value):
        return _from_table(name, value)
    if not isinstance(value, list | tuple):
        return _numbers(name, _to_numpy(name, value))
    leaves = keras.tree.flatten(value)
    if all(isinstance(leaf, _SCALARS) for leaf in leaves):
        if _shape(value) is None:
            raise ValueError(
                f"{name} must be an array: expected rows of one length, got a list of rows of several"
            )
        return _numbers(
            name, np.asarray(value, object if any(isinstance(leaf, str) for leaf in leaves) else None)
        )
    parts = [as_numbers(f"{name}[{place}]", part) for place, part in enumerate(value)]
    if len({part.shape for part in parts}) > 1:
        raise ValueError(
            f"{name} must be an array: expected parts of one shape, got "
            f"{', '.join(sorted({str(p.shape) for p in parts}))}"
        )
    return np.stack(parts)


class StopOnNonFinite(keras.callbacks.Callback):
    """Callback that stops `fit` with a `FloatingPointError` on a NaN or infinite loss of the training.

    It puts the last good weights back.

    A copy of the weights and of the optimizer's state is made when the training begins, and after each epoch
    with finite losses. The error names the loss, the epoch and the batch, and what to try. Looks at the log
    `loss` and those that end in `_loss`, not at those of the validation. With `steps_per_execution` it sees
    the logs of the last step of each execution only. On TensorFlow a model without an input shape has no
    weights to copy before its first batch: build it first.

    Args:
        restore: Whether to put the weights of the last epoch with finite losses back. Without it no copies
            are made, and the weights stay as they are.

    Raises:
        FloatingPointError: out of `fit`, if a loss is not finite, or if a weight is not at the end of an
            epoch.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(1e30), "mse")
        >>> try:
        ...     _ = model.fit(
        ...         np.ones((64, 2)), np.ones((64, 1)), verbose=0, epochs=9, callbacks=[StopOnNonFinite()]
        ...     )
        ... except FloatingPointError as error:
        ...     print("restored" in str(error), np.isfinite(model.get_weights()[0]).all())
        True True
    """

    async_safe = True  # in a thread of Keras's it only takes notes
    _broken: str | None
    _kept: tuple[str, list[tuple[Any, np.ndarray]]] | None

    def __init__(self, *, restore: bool = True):
        super().__init__()
        self.restore = restore
        self._broken: str | None = None
        self._kept: tuple[str, list[tuple[Any, np.ndarray]]] | None = None
        self._forget()

    def on_train_begin(self, logs=None):
        self._forget()
        self._thread = threading.get_ident()
        model = self.model
        if self.restore and model.built:
            optimizer = getattr(model, "optimizer", None)
            if optimizer is not None and not optimizer.built:  # on TensorFlow; elsewhere `fit` has done so
                optimizer.build(model.trainable_variables)
            self._keep("from before the training")

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self._stop_if_broken()

    def on_train_batch_end(self, batch, logs=None):
        self._look(logs, f"epoch {self._epoch + 1}, batch {batch + 1}")
        if threading.get_ident() == self._thread:
            self._stop_if_broken()

    def on_epoch_end(self, epoch, logs=None):
        self._look(logs, f"the end of epoch {epoch + 1}")
        self._stop_if_broken()
        # The last update of an epoch can ruin weights after a loss that was finite.
        bad = next(
            (weight for weight in self.model.weights if not _all_finite(ops.convert_to_numpy(weight))), None
        )
        if bad is not None:
            self._broken = f"the weight {bad.path} is not finite at the end of epoch {epoch + 1}"
            self._stop_if_broken()
        if self.restore:
            self._keep(f"of the end of epoch {epoch + 1}")

    def on_train_end(self, logs=None):
        self._forget()

    def _look(self, logs, when):
        if self._broken is None:
            for name, value in (logs or {}).items():
                if (
                    (name == "loss" or name.endswith("_loss"))
                    and not name.startswith("val_")
                    and not math.isfinite(float(value))
                ):
                    self._broken = f"{name} is {float(value)} at {when}"
                    return

    def _stop_if_broken(self):
        if self._broken is None:
            return
        message = f"{self._broken}: the training diverged, or was given data that are not finite"
        model = self.model
        if self._kept is not None:
            kept_when, values = self._kept
            for variable, value in values:
                variable.assign(value)
            message += f"; the weights {kept_when} are restored"
        elif self.restore:
            message += "; no weights are restored, for the model was built by its first batch: make it anew"
        model.stop_training = True
        self._forget()
        raise FloatingPointError(f"{message}; try a smaller learning rate, or clipnorm=1.0 in the optimizer")

    def _keep(self, when):
        model = self.model
        optimizer = getattr(model, "optimizer", None)
        variables = [*model.weights, *(optimizer.variables if optimizer is not None else [])]
        self._kept = when, [(variable, np.array(ops.convert_to_numpy(variable))) for variable in variables]

    def _forget(self):
        self._epoch, self._thread = 0, 0
        self._broken, self._kept = None, None


def _leaves(name: str, value: Any) -> Iterator[tuple[str, np.ndarray, list[Any] | None]]:
    """The arrays within a nest, with their names and, for a DataFrame, the names of the columns."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(f"{name}[{key!r}]", part)
    elif isinstance(value, list | tuple):
        if (
            all(isinstance(leaf, _SCALARS) for leaf in keras.tree.flatten(value))
            and _shape(value) is not None
        ):
            yield name, as_numbers(name, value), None
        else:
            for place, part in enumerate(value):
                yield from _leaves(f"{name}[{place}]", part)
    elif _is_table(value):
        yield name, _from_table(name, value), [*value.columns]
    elif hasattr(value, "tocoo"):
        yield f"{name}.data", np.asarray(value.tocoo().data), None
    elif isinstance(value, _SCALARS) or (
        hasattr(value, "__array__") and not isinstance(value, keras.KerasTensor) and is_known(value)
    ):
        yield name, _numbers(name, _to_numpy(name, value)), None


def _check(name, array, columns):
    if _all_finite(array):
        return
    where = tuple(int(place) for place in np.argwhere(~np.isfinite(array))[0])
    column = f", column {columns[where[-1]]!r}" if columns is not None else ""
    place = f" at index {where}" if where else ""
    raise ValueError(f"{name} must be finite: expected numbers, got {_written(array[where])}{place}{column}")


def _all_finite(array):
    if array.dtype.kind in "biu" or not array.size:
        return True
    if array.dtype.kind == "f":
        return bool(
            np.isfinite(array.min()) and np.isfinite(array.max())
        )  # NaN passes through both, and nothing is allocated
    return bool(np.isfinite(array).all())


def _numbers(name, array):
    """The array, if it holds numbers; those that stand in an array of objects as floats."""
    if array.dtype.kind in "biufc":
        return array
    if array.dtype.kind == "V" and array.dtype.names is None:  # bfloat16 and its like
        return array.astype("float32")
    where: tuple[int, ...] | None
    if array.dtype.kind == "O":
        for where in np.ndindex(array.shape):
            if not isinstance(array[where], _NUMBERS) and not _is_missing(array[where]):
                break
        else:
            values = (np.nan if _is_missing(value) else value for value in array.ravel())
            try:
                return np.array(
                    [complex(value) if isinstance(value, complex) else float(value) for value in values]
                ).reshape(array.shape)
            except OverflowError:
                raise ValueError(
                    f"{name} must hold numbers: expected some that fit float64, got a larger one"
                ) from None
    else:
        where = next(iter(np.ndindex(array.shape)), None)
    got = f"an array of {array.dtype}" if where is None else f"{_written(array[where])} at index {where}"
    raise ValueError(f"{name} must hold numbers: expected numbers, got {got}")


def _is_table(value):
    return hasattr(value, "columns") and hasattr(value, "to_numpy") and hasattr(value, "__getitem__")


def _from_table(name, table):
    """Return the columns of a DataFrame side by side.

    Each is converted by itself, for those of several dtypes would become objects.
    """
    columns = []
    for place, column in enumerate(table.columns):
        series = table.iloc[:, place] if hasattr(table, "iloc") else table[column]
        try:
            columns.append(_numbers(name, _to_numpy(name, series)))
        except ValueError as error:
            raise ValueError(f"{error}, column {column!r}: encode that column or leave it out") from None
    return np.stack(columns, axis=-1) if columns else np.empty((len(table), 0))


def _is_missing(value):
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _to_numpy(name, value):
    if str(getattr(value, "dtype", "")) in ("category", "Categorical"):
        raise ValueError(f"{name} must hold numbers: expected numbers, got categories")
    value = value.detach() if hasattr(value, "detach") else value
    return ops.convert_to_numpy(value) if ops.is_tensor(value) else np.asarray(value)


def _shape(value):
    """The shape of nested lists of numbers; None if they are ragged."""
    if not isinstance(value, list | tuple):
        return ()
    shapes = {_shape(part) for part in value}
    return None if len(shapes) > 1 or None in shapes else (len(value), *(shapes.pop() if shapes else ()))


def _written(value):
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else f"{text[:57]}…"
