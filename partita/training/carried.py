"""Losses that need more than targets and predictions: a layer remembers what it saw, and wraps the loss.

loss(y, ŷ) = layer.carry(inner, y, ŷ)

Keras hands a loss y and ŷ and nothing else. But the layer's call and the loss belong to one step, so what the
call remembered is there, as a tensor of the same step, when the loss is computed: on every backend, compiled
or not.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from partita.losses import Owner

Tensor = Any


class Carrier(ABC):
    """A layer that a loss asks."""

    name: str

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
