"""Stop a training in rounds on a non-finite loss or a saturated discriminator, with a hint on what to try.

loss = NaN, ±∞,   or   |2 D − 1| = 1 for many rounds
"""

import threading
import warnings

import keras

from partita.finite import StopOnNonFinite


class TrainingStoppedWarning(RuntimeWarning):
    """Training was stopped before its last epoch; the message says why, and what to try.

    Example:
        >>> issubclass(TrainingStoppedWarning, RuntimeWarning)
        True
    """


class Watchdog(keras.callbacks.Callback):
    """Callback that stops `fit` on a non-finite loss or a saturated discriminator.

    It raises a `FloatingPointError` when a loss is not finite, and stops with a `TrainingStoppedWarning` when
    D stays pinned at 0 or 1.

    A `partita.finite.StopOnNonFinite`, which puts the last good weights back, and a look at the discriminator
    D. The models that train in rounds bring one along unless they are given another.

    Args:
        patience: Rounds in a row that the discriminator may be sure of everything (mean of |2 D − 1| above
            0.998) before it counts as pinned.
        every: Batches from one look at the discriminator to the next; there is one at the end of each epoch,
            too. Losses are looked at after each batch.
        restore: Whether to put the weights of the last epoch with finite losses back; see
            `partita.finite.StopOnNonFinite`.

    Raises:
        ValueError: if an argument is below 1.
        FloatingPointError: out of `fit`, if a loss is not finite.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> watchdog = Watchdog(patience=1000)
    """

    async_safe = True  # in a thread of Keras's it only takes notes

    def __init__(self, patience: int = 500, every: int = 25, *, restore: bool = True):
        super().__init__()
        if patience < 1 or every < 1:
            raise ValueError(f"patience and every must be at least 1, got {patience} and {every}")
        self.patience, self.every = patience, every
        self._finite = StopOnNonFinite(restore=restore)
        self._next, self._main = 0, 0
        self._sure: str | None = None

    def set_params(self, params):
        super().set_params(params)
        self._finite.set_params(params)

    def set_model(self, model):
        super().set_model(model)
        self._finite.set_model(model)

    def on_train_begin(self, logs=None):
        self._main, self._sure = threading.get_ident(), None
        self._finite.on_train_begin(logs)

    def on_epoch_begin(self, epoch, logs=None):
        self._next = self.every
        self._finite.on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._finite.on_train_batch_begin(batch, logs)
        self._stop_if_sure()

    def on_train_batch_end(self, batch, logs=None):
        self._finite.on_train_batch_end(batch, logs)
        if batch + 1 >= self._next:
            self._next = batch + 1 + self.every
            self._watch(logs, f"at batch {batch}")
            if threading.get_ident() == self._main:
                self._stop_if_sure()

    def on_epoch_end(self, epoch, logs=None):
        self._finite.on_epoch_end(epoch, logs)
        self._watch(logs, f"in epoch {epoch + 1}")
        self._stop_if_sure()

    def on_train_end(self, logs=None):
        self._finite.on_train_end(logs)

    def _watch(self, logs, when):
        rounds = float((logs or {}).get("pinned", 0))
        if rounds >= self.patience and self._sure is None:
            self._sure = f"{rounds:.0f} rounds {when}"

    def _stop_if_sure(self):
        if self._sure is None:
            return
        model, rounds, self._sure = self.model, self._sure, None
        if model.stop_training:
            return
        model.stop_training = True
        warnings.warn(
            f"training was stopped: the discriminator has been sure of everything for {rounds}: the "
            f"generator learns nothing from it. "
            "Try a lower learning rate for the discriminator or a smaller one, fewer discriminator_steps, "
            "or penalty=1.",
            TrainingStoppedWarning,
            stacklevel=2,
        )
