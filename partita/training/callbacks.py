"""Callbacks that see the model from outside: trace it, and look ahead.

Lookahead:  φ ← φ + α (θ − φ),  θ ← φ     every k steps, and at the end of each epoch
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from partita.backend.derivatives import gradients_of_loss
from partita.callbacks.steps import Steps
from partita.extras import current_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Lookahead(keras.callbacks.Callback):
    """Lookahead: slow weights that follow the fast ones.

    Every `period` steps, and at the end of each epoch, the model is set back to the slow weights.

    A training that `BackupAndRestore` resumes after an epoch goes on as if it had not stopped: the two are
    the same there.

    Args:
        period: k, steps of the optimizer between two moves of the slow weights.
        rate: α, how far they go towards the fast ones, above 0 and at most 1.

    Raises:
        ValueError: if an argument is out of range.

    Source: Zhang, Lucas, Hinton, Ba 2019.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> _ = model.fit(
        ...     np.ones((8, 2)),
        ...     np.zeros((8, 1)),
        ...     epochs=2,
        ...     verbose=0,
        ...     callbacks=[Lookahead(period=5, rate=0.5)],
        ... )
    """

    def __init__(self, period: int = 5, rate: float = 0.5):
        super().__init__()
        if period < 1 or not 0 < rate <= 1:
            raise ValueError(
                f"period must be at least 1 and rate above 0 and at most 1, got {period} and {rate}"
            )
        self.period, self.rate = period, rate
        self._slow: list[np.ndarray] | None = None
        self._steps = Steps()

    def on_train_begin(self, logs=None):
        self._slow = None

    def on_epoch_begin(self, epoch, logs=None):
        self._steps.begin_epoch(self.model)
        # After all callbacks have begun, one of which may have loaded weights.
        if self._slow is None and self.model.built:
            self._slow = self._fast()

    def on_train_batch_end(self, batch, logs=None):
        # The last step of an epoch comes before everything that looks at its end: validation, backups, other
        # callbacks.
        self._moved = batch + 1 == self.params.get("steps")
        if self._steps.passed(batch, self.period) or self._moved:
            self._move()

    def on_epoch_end(self, epoch, logs=None):
        if not self._moved:
            self._move()

    def _fast(self):
        return [np.array(keras.ops.convert_to_numpy(variable)) for variable in self.model.trainable_variables]

    def _move(self):
        fast = self._fast()
        slow = fast if self._slow is None else self._slow
        self._slow = [phi + self.rate * (theta - phi) for phi, theta in zip(slow, fast, strict=True)]
        for variable, value in zip(self.model.trainable_variables, self._slow, strict=True):
            variable.assign(value)


class Trace(keras.callbacks.Callback):
    """Callback that records statistics of every trained weight while training, for plots.

    The statistics are norms, norms of gradients, or any others.

    Args:
        statistics: Name → function of one array. By default the Euclidean norm.
        of: `"weights"`, or `"gradients"`: those of the loss on `data`.
        data: `(x, y)` on which gradients are taken, a batch that fits into memory.
        every: `"epoch"`, or a number of steps.

    Attributes:
        steps: When each row was recorded, in epochs or steps.
        records: Statistic → path of the weight → values, as many as steps.

    Raises:
        ValueError: if an argument does not fit.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")])
        >>> model.compile("sgd", "mse")
        >>> x, y, trace = np.ones((8, 2)), np.zeros((8, 1)), Trace(every="epoch")
        >>> _ = model.fit(x, y, epochs=3, verbose=0, callbacks=[trace])
        >>> [len(values) for values in trace.records["norm"].values()]
        [3, 3]
    """

    def __init__(
        self,
        statistics: Mapping[str, Callable[[np.ndarray], float]] | None = None,
        of: str = "weights",
        data: tuple[Any, Any] | None = None,
        every: int | str = "epoch",
    ):
        super().__init__()
        if of not in ("weights", "gradients") or (of == "gradients") != (data is not None):
            raise ValueError(
                f"of must be 'weights', or 'gradients' with data (x, y) to take them on, got {of!r} and "
                f"data {type(data)}"
            )
        if every != "epoch" and not (isinstance(every, int) and every > 0):
            raise ValueError(f"every must be 'epoch' or a number of steps, got {every!r}")
        self.statistics = dict(statistics or {"norm": lambda array: float(np.linalg.norm(array))})
        self.of, self.data, self.every = of, data, every
        self._period = every if isinstance(every, int) else 0
        self.steps: list[int] = []
        self.records: dict[str, dict[str, list[float]]] = {name: {} for name in self.statistics}
        self._steps = Steps()

    def on_epoch_begin(self, epoch, logs=None):
        self._steps.begin_epoch(self.model)

    def on_train_batch_end(self, batch, logs=None):
        if self._period and self._steps.passed(batch, self._period):
            self._record(self._steps.total)

    def on_epoch_end(self, epoch, logs=None):
        if not self._period:
            self._record(epoch + 1)

    def _record(self, step):
        model = self.model
        self.steps.append(step)
        variables = model.trainable_variables
        tensors = variables if self.data is None else gradients_of_loss(model, *self.data)
        for variable, tensor in zip(variables, tensors, strict=True):
            array = keras.ops.convert_to_numpy(tensor)
            for name, function in self.statistics.items():
                self.records[name].setdefault(variable.path, []).append(float(function(array)))

    def plot(self, statistic: str | None = None, axes: "Axes | None" = None) -> "Axes":
        """One line for each weight, into Matplotlib's current axes or the given ones.

        Raises:
            ImportError: if matplotlib is missing.
        """
        axes = current_axes() if axes is None else axes
        statistic = statistic or next(iter(self.statistics))
        for path, values in self.records[statistic].items():
            axes.plot(self.steps, values, label=path)
        axes.set(xlabel="epoch" if self.every == "epoch" else "step", ylabel=statistic)
        return axes
