"""The progress of a training: a line for each epoch, and on a terminal a bar while it runs."""

import sys
import time
from collections.abc import Callable, Mapping

import keras

from partita.progress import Progress
from partita.quoting import printable


class Epochs(keras.callbacks.Callback):
    """Callback that prints a line for each epoch on standard error.

    Args:
        line: The logs of an epoch → what the line says of them.
        check: Called after each batch; ends the training by an exception.

    Example:
        >>> lines = Epochs(lambda logs: f"loss {logs['loss']:.3f}", check=lambda: None)
        >>> lines.line({"loss": 0.5})
        'loss 0.500'
    """

    def __init__(self, line: Callable[[Mapping[str, float]], str], check: Callable[[], None]):
        super().__init__()
        self.line, self.check = line, check

    def on_epoch_begin(self, epoch, logs=None):
        self._begin, self._progress = time.monotonic(), None
        if sys.stderr.isatty() and self.params.get("steps"):
            self._progress = Progress(self.params["steps"], "batches")

    def on_train_batch_end(self, batch, logs=None):
        self.check()
        if self._progress is not None:
            self._progress.tell(batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        words = self.line(logs or {})
        said = f"epoch {epoch + 1}/{self.params['epochs']}  {words}  {time.monotonic() - self._begin:.0f} s"
        said = printable(said)
        print(said if self._progress is None else f"\r{said:<79}", file=sys.stderr, flush=True)
