"""Checks of the data given to a flow, each before a model sees it.

Data are arrays, tables, lists, tensors, pairs of them, or datasets.

x   or   (x, context)   →   arrays of finite real numbers
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.data.numbers import as_numbers, check_finite

Limits = tuple[float, float]
_NUMBERS = (bool, int, float, np.generic)


def is_data(x: Any) -> bool:
    """Return whether x is data itself, and no dataset that gives it.

    Data are an array, a table, a tensor, a list, or a pair.
    """
    return isinstance(x, list | tuple) or hasattr(x, "__array__") or ops.is_tensor(x)


def parts(x: Any) -> tuple[Any, Any]:
    """Return the data and the context, or None, of what `fit` was given.

    A list of numbers is data, a tuple or list of two arrays a pair.

    Raises:
        ValueError: if it is neither.

    Example:
        >>> parts([[1.0, 2.0], [3.0, 4.0]])
        ([[1.0, 2.0], [3.0, 4.0]], None)
        >>> parts((np.ones((2, 3)), np.zeros((2, 1))))[1].shape
        (2, 1)
    """
    if isinstance(x, dict):
        got = f"a dict with the keys {', '.join(map(repr, x))}"
        raise ValueError(f"x must be rows of data, or a pair (x, context), got {got}")
    if not isinstance(x, list | tuple):
        return x, None
    if isinstance(x, list) and all(isinstance(leaf, _NUMBERS) for leaf in keras.tree.flatten(x)):
        return x, None
    if len(x) not in (1, 2):
        raise ValueError(f"x must be rows of data, or a pair (x, context), got {len(x)} of them")
    return x[0], x[1] if len(x) == 2 else None


def checked_rows(name: str, x: Any, dtype: str, limits: Limits = (-math.inf, math.inf)) -> np.ndarray:
    """Rows of finite real numbers within limits, as an array of that dtype.

    Raises:
        ValueError: if they are none: the row and the feature are named.

    Example:
        >>> checked_rows("x", [[0, 1], [2, 3]], "float32").dtype
        dtype('float32')
        >>> checked_rows("x", [[0, 1], [2, 3]], "float32", (0, 1))
        Traceback (most recent call last):
        ValueError: x must hold finite numbers from 0 to 1, got 2 in row 1, feature 0
    """
    given = as_numbers(name, x)
    if given.ndim < 2 or not len(given):
        wanted = "rows (rows, features) or (rows, height, width, channels)"
        raise ValueError(f"{name} must hold {wanted}, got the shape {given.shape}")
    if given.dtype.kind == "c":
        remedy = "give the real and imaginary parts as two features"
        raise ValueError(f"{name} must hold real numbers, got {given.dtype}: {remedy}")
    with np.errstate(over="ignore"):
        x = given.astype(dtype, copy=False)
    low, high = limits
    ends = (x.min(initial=math.inf), x.max(initial=-math.inf))
    if not x.size or (np.isfinite(ends).all() and low <= ends[0] and ends[1] <= high):
        return x
    row, *place = (int(i) for i in np.argwhere(~(np.isfinite(x) & (x >= low) & (x <= high)))[0])
    bad = given[row, *place]
    limited = f" from {low:g} to {high:g}" if math.isfinite(low) or math.isfinite(high) else ""
    beyond = f", which is beyond {dtype}" if np.isfinite(bad) and not np.isfinite(x[row, *place]) else ""
    where = f"row {row}, feature {', '.join(map(str, place))}"
    raise ValueError(f"{name} must hold finite numbers{limited}, got {float(bad):g} in {where}{beyond}")


def checked_context(context: Any, dtype: str) -> np.ndarray | None:
    """Return a context as an array of that dtype, or None where there is none.

    Raises:
        ValueError: if it holds no numbers, or one that is not finite.
    """
    if context is None:
        return None
    check_finite("context", context)
    return as_numbers("context", context).astype(dtype)


def check_shapes(x: Any, context: Any, shape: tuple, context_shape: tuple | None) -> None:
    """Raise unless rows and their context have the shapes that a flow was built for.

    Args:
        x: Rows, with a first axis of rows.
        context: The same, or None.
        shape: Of a row.
        context_shape: Of a row of the context; None for a flow without.

    Raises:
        ValueError: if they do not.
    """
    if tuple(x.shape[1:]) != tuple(shape):
        raise ValueError(
            f"rows must have the shape {tuple(shape)} that this flow was built for, got {tuple(x.shape[1:])}"
        )
    if context is None:
        if context_shape is not None:
            raise ValueError(f"context is missing: this flow was built with one of the shape {context_shape}")
        return
    rows, got = x.shape[0], tuple(context.shape)
    wanted = "none" if context_shape is None else (rows, *context_shape)
    if got != wanted:
        raise ValueError(f"context must have the shape {wanted} beside {rows} rows, got {got}")
