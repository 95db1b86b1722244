"""Numbers in what is given to a model: as NumPy arrays, and checked for NaN and infinity."""

import numbers
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


def all_finite(array: np.ndarray) -> bool:
    """Return whether all numbers of an array are finite.

    Example:
        >>> all_finite(np.array([1.0, float("inf")]))
        False
    """
    if array.dtype.kind in "biu" or not array.size:
        return True
    if array.dtype.kind == "f":  # NaN passes through both, and nothing is allocated
        return bool(np.isfinite(array.min()) and np.isfinite(array.max()))
    return bool(np.isfinite(array).all())


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
    if all_finite(array):
        return
    where = tuple(int(place) for place in np.argwhere(~np.isfinite(array))[0])
    column = f", column {columns[where[-1]]!r}" if columns is not None else ""
    place = f" at index {where}" if where else ""
    raise ValueError(f"{name} must be finite: expected numbers, got {_written(array[where])}{place}{column}")


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
