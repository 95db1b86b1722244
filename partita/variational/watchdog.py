"""Stop a training in rounds on a non-finite loss or a saturated discriminator, with a hint on what to try.

loss = NaN, ±∞,   or   |2 D − 1| = 1 for many rounds
"""

import threading
import warnings

from partita.callbacks.finite import StopOnNonFinite


class TrainingStoppedWarning(RuntimeWarning):
    """Training was stopped before its last epoch; the message says why, and what to try.

    Example:
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("error", TrainingStoppedWarning)  # fail instead
    """


class Watchdog(StopOnNonFinite):
    """Callback that stops `fit` on a non-finite loss or a saturated discriminator.

    It raises a `FloatingPointError` when a loss is not finite, and stops with a `TrainingStoppedWarning` when
    D stays pinned at 0 or 1.

    It is a `partita.callbacks.StopOnNonFinite`, which puts the last good weights back, with a look at the
    discriminator D. The models that train in rounds bring one along unless they are given another.

    Args:
        patience: Rounds in a row that the discriminator may be sure of everything (mean of |2 D − 1| above
            0.998) before it counts as pinned.
        every: Batches from one look at the discriminator to the next; there is one at the end of each epoch,
            too. Losses are looked at after each batch.
        restore: Whether to put the weights of the last epoch with finite losses back; see
            `partita.callbacks.StopOnNonFinite`.

    Raises:
        ValueError: if an argument is below 1.
        FloatingPointError: out of `fit`, if a loss is not finite.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> watchdog = Watchdog(patience=20)
        >>> watchdog.set_model(model)
        >>> watchdog.on_train_begin()
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     watchdog.on_epoch_end(0, {"pinned": 25.0})  # D was sure of everything for 25 rounds
        >>> model.stop_training
        True
    """

    def __init__(self, patience: int = 500, every: int = 25, *, restore: bool = True):
        if patience < 1 or every < 1:
            raise ValueError(f"patience and every must be at least 1, got {patience} and {every}")
        super().__init__(restore=restore)
        self.patience, self.every = patience, every
        self._next_look = 0
        self._sure: str | None = None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._sure = None

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._next_look = self.every

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch, logs)
        self._stop_if_sure()

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if batch + 1 >= self._next_look:
            self._next_look = batch + 1 + self.every
            self._watch(logs, f"at batch {batch}")
            if threading.get_ident() == self._thread:
                self._stop_if_sure()

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._watch(logs, f"in epoch {epoch + 1}")
        self._stop_if_sure()

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
            "generator learns nothing from it. Try a lower learning rate for the discriminator or a smaller "
            "one, fewer discriminator_steps, or penalty=1.",
            TrainingStoppedWarning,
            stacklevel=2,
        )
