"""Labels as ids that can be looked up, and which of them are known."""

import keras
import numpy as np
from keras import ops

from partita.backend import is_known
from partita.types import Tensor


def not_unknown(labels: Tensor) -> Tensor:
    """Return where labels `(...)` are not negative, booleans of the same shape. NaN is none that is unknown.

    Example:
        >>> ops.convert_to_numpy(not_unknown(ops.array([1.0, -1.0, float("nan")]))).tolist()
        [True, False, True]
    """
    known = labels >= 0
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(labels.dtype)):
        return known  # where a shape is not known, TensorFlow looks for no NaN in integers
    # Said without a "not", for TensorFlow makes of "not below 0" an "at least 0", which NaN is not.
    return ops.logical_or(known, ops.isnan(labels))


def class_ids(labels: Tensor, size: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return labels as ids that can be looked up, and which of them are known and which are valid.

    A loss is to be 0, and left out of the mean, where a label is not known, and NaN where it is known but not
    valid: on some backends a look-up beyond the end of a table gives NaN, which then reaches the weights, on
    others the last row, or nothing that is noticed.

    Args:
        labels: Integers, or floats that hold integers, of any shape. Negative ones are unknown.
        size: How many ids there are.
        mask: Booleans of the same shape, False where a label does not count. None: all count.

    Returns:
        The ids int32, 0 where there is none; True where a label counts and is not negative; True where it is
        from 0 to size − 1.

    Raises:
        ValueError: if a label that counts is not an integer below `size`, where the numbers are known: not in
            a compiled step.

    Example:
        >>> ids, known, valid = class_ids(np.array([2, -1]), 3)
        >>> (
        ...     ops.convert_to_numpy(ids).tolist(),
        ...     ops.convert_to_numpy(known).tolist(),
        ...     ops.convert_to_numpy(valid).tolist(),
        ... )
        ([2, 0], [True, False], [True, False])
        >>> class_ids(np.array([0, 3]), 3)
        Traceback (most recent call last):
        ValueError: labels must be ids: expected integers from 0 to 2, or negative ones for unknown, got 3
        at index (1,)
    """
    if is_known(labels) and (mask is None or is_known(mask)):
        numbers = np.asarray(ops.convert_to_numpy(labels))
        wrong = (
            ~(numbers < size) | (np.floor(numbers) != numbers)
            if numbers.dtype.kind == "f"
            else numbers >= size
        )
        if mask is not None:
            wrong = wrong & np.asarray(ops.convert_to_numpy(mask)).astype(bool)
        if wrong.any():
            where = tuple(int(place) for place in np.argwhere(wrong)[0])
            raise ValueError(
                f"labels must be ids: expected integers from 0 to {size - 1}, or negative ones for unknown, "
                f"got {numbers[where]} at index {where}"
            )
    labels = ops.convert_to_tensor(labels)
    if keras.backend.standardize_dtype(labels.dtype) in ("bool", "int8", "int16", "uint8", "uint16"):
        labels = ops.cast(labels, "int32")  # `size` may be more than these hold
    known = not_unknown(labels)
    valid = ops.logical_and(labels >= 0, labels < size)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(labels.dtype)):
        valid = ops.logical_and(valid, labels == ops.floor(labels))
    if mask is not None:
        known = ops.logical_and(known, ops.cast(mask, "bool"))
    return ops.cast(ops.where(valid, labels, ops.zeros_like(labels)), "int32"), known, valid
