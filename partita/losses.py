"""A layer's own loss as Keras saves it: by the layer's name, under which it is found again when a model is loaded."""

import threading
import weakref
from typing import Any, Protocol

import keras

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
    """Let losses that are loaded find the layer by its name: Keras makes a model's layers before its losses."""
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
            raise ValueError(f"this loss belongs to a layer called {self.name!r}, which was not there when the loss was made")
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
        >>> tuple(again(np.array([[0, 1]]), np.zeros((1, 2, 3), "float32")).shape)  # one loss for each sentence
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
