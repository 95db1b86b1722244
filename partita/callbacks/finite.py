"""The guard of a training against losses that are not finite."""

import math
import threading
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.data.numbers import all_finite


class StopOnNonFinite(keras.callbacks.Callback):
    """Callback that stops `fit` on a NaN or infinite loss of the training, with the last good weights.

    A copy of the weights and of the optimizer's state is made when the training begins, and after each epoch
    with finite losses. The message names the loss, the epoch and the batch, and what to try. The callback
    looks at the log `loss` and those that end in `_loss`, not at those of the validation. With
    `steps_per_execution` it sees the logs of the last step of each execution only. On TensorFlow a model
    without an input shape has no weights to copy before its first batch: build it first.

    Args:
        restore: Whether to put the weights of the last epoch with finite losses back. Without it no copies
            are made, and the weights stay as they are.
        every: Batches from one look to the next, each of which waits for the loss to be computed.
        validation: Whether a validation loss of NaN stops the training, too.
        action: `"raise"` a `FloatingPointError`, or `"warn"`: end the training with a `RuntimeWarning`.
        advice: What to try, for the message.

    Raises:
        ValueError: if an argument is out of range.
        FloatingPointError: out of `fit`, if a loss is not finite, or if a weight is not at the end of an
            epoch.

    Warns:
        RuntimeWarning: the same, where that is the action.

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

    def __init__(
        self,
        *,
        restore: bool = True,
        every: int = 1,
        validation: bool = False,
        action: str = "raise",
        advice: str = "try a smaller learning rate, or clipnorm=1.0 in the optimizer",
    ):
        super().__init__()
        if every < 1 or action not in ("raise", "warn"):
            raise ValueError(
                f"every must be at least 1 and action 'raise' or 'warn', got {every} and {action!r}"
            )
        self.restore, self.validation, self.action, self.advice = restore, validation, action, advice
        self._every = every
        self._next = 0
        self._forget()

    def on_train_begin(self, logs=None):
        self._forget()
        model = self.model
        if self.restore and model.built:
            optimizer = getattr(model, "optimizer", None)
            if optimizer is not None and not optimizer.built:  # on TensorFlow; elsewhere `fit` has done so
                optimizer.build(model.trainable_variables)
            self._keep("from before the training")

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._next = epoch, self._every

    def on_train_batch_begin(self, batch, logs=None):
        self._stop_if_broken()

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 < self._next:
            return
        self._next = batch + 1 + self._every
        self._look(logs, f"epoch {self._epoch + 1}, batch {batch + 1}")
        if threading.get_ident() == self._thread:
            self._stop_if_broken()

    def on_epoch_end(self, epoch, logs=None):
        self._look(logs, f"the end of epoch {epoch + 1}")
        if self._broken is None:
            # The last update of an epoch can ruin weights after a loss that was finite.
            weights = ((weight.path, ops.convert_to_numpy(weight)) for weight in self.model.weights)
            bad = next((path for path, numbers in weights if not all_finite(numbers)), None)
            if bad is not None:
                self._broken = f"the weight {bad} is not finite at the end of epoch {epoch + 1}"
        if self._broken is not None:
            self._stop_if_broken()
        elif self.restore:
            self._keep(f"of the end of epoch {epoch + 1}")

    def on_train_end(self, logs=None):
        self._forget()

    def _look(self, logs, when):
        if self._broken is not None:
            return
        for name, value in (logs or {}).items():
            if name != "loss" and not name.endswith("_loss"):
                continue
            is_held_out, loss = name.startswith("val_"), float(value)
            if (self.validation and math.isnan(loss)) if is_held_out else not math.isfinite(loss):
                self._broken = f"{name} is {loss} at {when}"
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
        message += f"; {self.advice}"
        has_stopped, model.stop_training = model.stop_training, True
        self._forget()
        if self.action == "raise":
            raise FloatingPointError(message)
        if not has_stopped:
            warnings.warn(f"training was stopped: {message}", RuntimeWarning, stacklevel=2)

    def _keep(self, when):
        model = self.model
        optimizer = getattr(model, "optimizer", None)
        variables = [*model.weights, *(optimizer.variables if optimizer is not None else [])]
        self._kept = when, [(variable, np.array(ops.convert_to_numpy(variable))) for variable in variables]

    def _forget(self):
        self._epoch, self._thread = 0, threading.get_ident()
        self._broken, self._kept = None, None
