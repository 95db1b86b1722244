"""Training that has gone wrong and will not come back is stopped, with a word on what to try.

loss = NaN, ±∞,   or   |2 D − 1| = 1 for many rounds
"""

import math
import warnings

import keras


class TrainingStoppedWarning(RuntimeWarning):
    """Training was stopped before its last epoch; the message says why, and what to try.

    Example:
        >>> issubclass(TrainingStoppedWarning, RuntimeWarning)
        True
    """


class Watchdog(keras.callbacks.Callback):
    """Stop `fit`, with a `TrainingStoppedWarning`, when a loss is not finite or a discriminator stays pinned at 0 or 1.

    The models that train in rounds bring one along unless they are given another.

    Args:
        patience: Rounds in a row that the discriminator may be sure of everything (mean of |2 D − 1| above 0.998)
            before it counts as pinned.
        every: Batches from one look to the next; there is one at the end of each epoch, too.

    Raises:
        ValueError: if an argument is below 1.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> watchdog = Watchdog(patience=1000)
    """

    def __init__(self, patience: int = 500, every: int = 25):
        super().__init__()
        if patience < 1 or every < 1:
            raise ValueError(f"patience and every must be at least 1, got {patience} and {every}")
        self.patience, self.every = patience, every
        self._next = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._next = self.every

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 >= self._next:
            self._next = batch + 1 + self.every
            self._look(logs, f"at batch {batch}")

    def on_epoch_end(self, epoch, logs=None):
        self._look(logs, f"in epoch {epoch + 1}")

    def _look(self, logs, when):
        if self.model.stop_training:
            return
        values = {name: float(value) for name, value in (logs or {}).items()}
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            self._stop(
                f"{broken[0]} became {values[broken[0]]} {when}. Try a lower learning rate, `clipnorm` in the optimizers, or data scaled "
                "to unit size; with a gradient penalty, a smaller one."
            )
        elif values.get("pinned", 0) >= self.patience:
            self._stop(
                f"the discriminator has been sure of everything for {values['pinned']:.0f} rounds {when}: the generator learns nothing "
                "from it. Try a lower learning rate for the discriminator or a smaller one, fewer discriminator_steps, or penalty=1."
            )

    def _stop(self, why):
        self.model.stop_training = True
        warnings.warn(f"training was stopped: {why}", TrainingStoppedWarning, stacklevel=2)
