"""Count of the optimizer's steps, for callbacks.

Several steps may be done in one execution, and a resumed training has done some before.
"""

import keras


class Steps:
    """Steps done since the model was made.

    Attributes:
        total: How many, as of the last call.
    """

    def __init__(self):
        self.total, self._last = 0, -1

    def begin_epoch(self, model: keras.Model) -> None:
        """Ask the optimizer, and count batches from 0 again."""
        self.total, self._last = int(keras.ops.convert_to_numpy(model.optimizer.iterations)), -1

    def passed(self, batch: int, period: int) -> bool:
        """Return whether a multiple of the period lies among the steps since the last call.

        `batch` is the last batch done.
        """
        before, self.total = self.total, self.total + batch - self._last
        self._last = batch
        return self.total // period > before // period
