"""Losses that belong to a layer, as Keras saves them: by the layer's name.

Under that name the layer is found again when a model is loaded.
"""

import threading
import weakref
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from partita.backend import is_known

Tensor = Any


class HasLoss(Protocol):
    """A layer that knows the loss of what it gives."""

    name: str

    def _loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor: ...


class _Newest(threading.local):  # a model is loaded by one thread
    def __init__(self):
        self.layers: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


_newest = _Newest()


def announce(layer: Any) -> None:
    """Let losses that are loaded find the layer by its name.

    Keras makes a model's layers before its losses.
    """
    _newest.layers[layer.name] = layer


class Owner:
    """The layer that a loss belongs to.

    Args:
        layer: The layer, or the name of one that was announced: the newest of that name.

    Example:
        >>> Owner("nobody").layer
        Traceback (most recent call last):
        ValueError: this loss belongs to a layer called 'nobody', which was not there when the loss was made
    """

    def __init__(self, layer: Any):
        self.name: str = layer if isinstance(layer, str) else layer.name
        self._layer = _newest.layers.get(layer) if isinstance(layer, str) else layer

    @property
    def layer(self) -> Any:
        """The layer itself.

        Raises:
            ValueError: if there was none of that name.
        """
        if self._layer is None:
            raise ValueError(
                f"this loss belongs to a layer called {self.name!r}, which was not there when the loss was "
                f"made"
            )
        return self._layer


@keras.saving.register_keras_serializable(package="partita")
class LayerLoss:
    """What `layer.loss` is: called on targets and what the model gives, for `compile(loss=layer.loss)`.

    Args:
        layer: The layer, or the name of one that was announced.

    Raises:
        ValueError: when called, if there was no layer of that name.

    Example:
        >>> import numpy as np
        >>> from partita.crf import CRF
        >>> layer = CRF(3, name="chain")
        >>> again = LayerLoss.from_config(layer.loss.get_config())
        >>> tuple(
        ...     again(np.array([[0, 1]]), np.zeros((1, 2, 3), "float32")).shape
        ... )  # one loss for each sentence
        (1,)
    """

    def __init__(self, layer: HasLoss | str):
        self._owner = Owner(layer)
        self.__name__ = f"{self._owner.name}_loss"

    def __call__(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self._owner.layer._loss(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """The layer's name."""
        return {"layer": self._owner.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LayerLoss":
        """The loss of the newest layer of that name."""
        return cls(**config)


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


def class_ids(labels: Tensor, size: int, mask: Tensor = None) -> tuple[Tensor, Tensor, Tensor]:
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
