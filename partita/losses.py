"""A layer's own loss as Keras saves it: by the layer's name, under which it is found again when a model is loaded."""

import weakref
from typing import Any, Protocol

import keras

Tensor = Any


class HasLoss(Protocol):
    """A layer that knows the loss of what it gives."""

    name: str

    def _loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor: ...


_newest: "weakref.WeakValueDictionary[str, Any]" = weakref.WeakValueDictionary()


def announce(layer: Any) -> None:
    """Let losses that are loaded find the layer by its name: Keras makes a model's layers before its losses."""
    _newest[layer.name] = layer


def layer_called(name: str) -> Any:
    """The newest layer of that name, or None."""
    return _newest.get(name)


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
        self.name = layer if isinstance(layer, str) else layer.name
        self.__name__ = f"{self.name}_loss"
        self._layer = layer_called(layer) if isinstance(layer, str) else layer

    def __call__(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if self._layer is None:
            raise ValueError(f"this loss belongs to a layer called {self.name!r}, which was not there when the loss was made")
        return self._layer._loss(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """The layer's name."""
        return {"layer": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LayerLoss":
        """The loss of the newest layer of that name."""
        return cls(**config)
