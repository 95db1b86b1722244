"""Losses that ask a layer.

LayerLoss:    loss(y, ŷ) = layer._loss(y, ŷ)
CarriedLoss:  loss(y, ŷ) = layer.carry(inner, y, ŷ)

Keras hands a loss y and ŷ and nothing else. But the layer's call and the loss belong to one step, so what the
call remembered is there, as a tensor of the same step, when the loss is computed: on every backend, compiled
or not. Keras saves such a loss by the layer's name, under which the layer is found again when a model is
loaded.
"""

import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import keras
from keras import ops

from partita.backend import uncompiled
from partita.types import Tensor


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
    """Loss of a layer, called on targets and the model's output, for `compile(loss=layer.loss)`.

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
        return uncompiled(self._owner.layer._loss)(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """The layer's name."""
        return {"layer": self._owner.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LayerLoss":
        """The loss of the newest layer of that name."""
        return cls(**config)


class Carrier(ABC):
    """A layer that a loss asks."""

    name: str

    def loss(self, inner: Any) -> keras.losses.Loss:
        """The inner loss, a Keras loss or its name, as this layer carries it; for `compile`."""
        return CarriedLoss(self, inner)

    @abstractmethod
    def carry(
        self,
        inner: Callable[[Tensor, Tensor], Tensor],
        y_true: Tensor,
        y_pred: Tensor,
        ignored: int | None = None,
    ) -> Tensor:
        """Return the loss of each sample, given the inner one.

        `ignored` is the label of those whose class is not known.
        """

    @abstractmethod
    def counted(
        self, y_true: Tensor, y_pred: Tensor, ignored: int | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """Return how much of each loss there is, and how much of it has a known label.

        How much there is follows from the mask of the layer's features. None stands for all of it.
        """


@keras.saving.register_keras_serializable(package="partita")
class CarriedLoss(keras.losses.Loss):
    """Loss that `layer.loss(inner)` of a `Carrier` returns.

    It is saved with the model, and finds the layer of that name again.
    """

    def __init__(self, layer: Carrier | str, inner: Any, name: str | None = None, **kwargs: Any):
        self._owner, self.inner = Owner(layer), keras.losses.get(inner)
        super().__init__(name=name or f"{self._owner.name}_loss", **kwargs)
        if self.inner is None:
            raise ValueError("the inner loss must be a Keras loss, its name or a function, got None")

    def call(self, y_true, y_pred):
        ignored = getattr(self.inner, "ignore_class", None)
        losses = self._owner.layer.carry(self._of_each, y_true, y_pred, ignored)
        counted = self._owner.layer.counted(y_true, y_pred, ignored)
        if counted is None or self.reduction not in ("sum_over_batch_size", "mean"):
            return losses
        # Keras leaves labels that are not known out of the mean by a mask on the losses, which a sum of
        # losses has not.
        real, known = (ops.sum(ops.cast(part, losses.dtype)) for part in counted)
        return losses * ops.where(known > 0, real / ops.where(known > 0, known, 1), 0)

    def _of_each(self, y_true, y_pred):
        if isinstance(self.inner, keras.losses.Loss):
            return self.inner.call(y_true, y_pred)
        y_true = ops.convert_to_tensor(y_true)
        if y_true.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1:
            y_true = y_true[..., None]
        return self.inner(y_true, y_pred)

    def get_config(self):
        return {
            **super().get_config(),
            "layer": self._owner.name,
            "inner": keras.losses.serialize(self.inner),
        }
