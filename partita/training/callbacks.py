"""Callbacks that see the model from outside: evaluate it, trace it, and look ahead.

Lookahead:  φ ← φ + α (θ − φ),  θ ← φ     every k steps, and at the end of each epoch
"""

import json
import math
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from partita.backend.derivatives import gradients_of_loss
from partita.doctor import need
from partita.files import replacing
from partita.training.steps import Steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODES = ("max", "min")


class Evaluate(keras.callbacks.Callback):
    """Callback that calls any function of the model while it trains, and puts the value into `logs`.

    It keeps the best weights by that value.

    History, EarlyStopping, ModelCheckpoint and the progress bar see the value under its name if they come
    after this callback.

    A value that is NaN or infinite is never the best. Of equal values the one with the lower loss is better:
    `val_loss` where the logs have it, else `loss`; the first, where they have neither.

    Args:
        function: Model → number.
        name: Of the value in `logs`.
        mode: Whether `"max"` or `"min"` is best.
        restore_best: Whether the model ends with the weights of the best value.
        path: If given, the model is saved there, `.keras`, whenever it is the best so far; the value is noted
            beside it, in `.json`, so that a training that `BackupAndRestore` resumes goes on from it.
        every: `"epoch"`, or a number of steps; the value of an epoch is then the last one.
        on_error: What happens when the function fails: `"raise"`, or `"warn"` and go on.

    Attributes:
        best, best_epoch: The best value, and in which epoch, counted from 0, it was found; None before the
            first.
        values: All values in turn.

    Raises:
        ValueError: if an argument does not fit; while training, if the function returns no single number.

    Warns:
        UserWarning: at the end of a training, if no value was finite: there are no best weights then, and the
            model keeps its last.

    Example:
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> norm = Evaluate(lambda model: float(np.abs(model.get_weights()[0]).sum()), "norm", mode="min")
        >>> history = model.fit(np.ones((8, 2)), np.zeros((8, 1)), epochs=3, verbose=0, callbacks=[norm])
        >>> norm.best == min(history.history["norm"])
        True
    """

    def __init__(
        self,
        function: Callable[[keras.Model], float],
        name: str = "score",
        mode: str = "max",
        restore_best: bool = True,
        path: str | Path | None = None,
        every: int | str = "epoch",
        on_error: str = "raise",
    ):
        super().__init__()
        if not callable(function):
            raise ValueError(f"function must be a function of the model, got {function!r}")
        if mode not in MODES or on_error not in ("raise", "warn"):
            raise ValueError(
                f"mode must be 'max' or 'min' and on_error 'raise' or 'warn', got {mode!r} and {on_error!r}"
            )
        if every != "epoch" and not (isinstance(every, int) and every > 0):
            raise ValueError(f"every must be 'epoch' or a number of steps, got {every!r}")
        if path is not None and Path(path).suffix != ".keras":
            raise ValueError(f"path must end in .keras, got {path}")
        self.function, self.name, self.mode, self.restore_best = function, name, mode, restore_best
        self.path, self.every, self.on_error = None if path is None else Path(path), every, on_error
        self._period = every if isinstance(every, int) else 0  # 0: at the end of an epoch
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.values: list[float] = []
        self._weights: list[np.ndarray] | None = None
        self._loss: tuple[str, float] | None = None  # of the best
        self._steps = Steps()

    def on_train_begin(self, logs=None):
        self.best, self.best_epoch, self.values, self._weights, self._epoch, self._loss = (
            None,
            None,
            [],
            None,
            None,
            None,
        )
        self._has_failed = False

    def on_epoch_begin(self, epoch, logs=None):
        if (
            self._epoch is None and epoch > 0 and self.path is not None and _note(self.path).exists()
        ):  # resumed
            noted = json.loads(_note(self.path).read_text(encoding="utf-8"))
            self.best, self.best_epoch = noted["value"], noted["epoch"]
            self._loss = None if noted.get("loss") is None else (noted["loss"][0], noted["loss"][1])
        self._epoch = epoch
        self._steps.begin_epoch(self.model)

    def on_train_batch_end(self, batch, logs=None):
        if self._period and self._steps.passed(batch, self._period):
            self._evaluate(logs)
            if logs is not None and self.values:
                logs[self.name] = self.values[-1]

    def on_epoch_end(self, epoch, logs=None):
        if not self._period:
            self._evaluate(logs)
        if logs is not None and self.values:
            logs[self.name] = self.values[-1]

    def on_train_end(self, logs=None):
        if self.restore_best and self.best is None and self.values and not self._has_failed:
            warnings.warn(
                f"{self.name} was never finite: the model keeps its last weights, for none are the best",
                stacklevel=2,
            )
        if self.restore_best and self.best is not None:
            if self._weights is not None:
                self.model.set_weights(self._weights)
            elif self.path is not None:
                self.model.set_weights(keras.saving.load_model(self.path, compile=False).get_weights())

    def _evaluate(self, logs):
        model = self.model
        try:
            value = self.function(model)
        except Exception as error:
            if self.on_error == "raise":
                raise
            where = traceback.extract_tb(error.__traceback__)[-1]
            warnings.warn(
                f"{self.name} failed in epoch {self._epoch}: {error!r} ({where.filename}:{where.lineno})",
                stacklevel=2,
            )
            value, self._has_failed = math.nan, True
        number = np.asarray(keras.ops.convert_to_numpy(value) if hasattr(value, "shape") else value)
        if number.ndim or number.dtype.kind not in "biuf":
            raise ValueError(
                f"the function of {self.name} must return one number, got an array of shape {number.shape}"
            )
        self.values.append(float(number))
        loss = next(
            ((name, float(logs[name])) for name in ("val_loss", "loss") if name in (logs or {})), None
        )
        if self._is_better(self.values[-1], loss):
            self._loss = loss
            self.best, self.best_epoch = self.values[-1], self._epoch
            if self.restore_best:
                self._weights = model.get_weights()
            if self.path is not None:
                with replacing(self.path) as beside:
                    model.save(beside)
                with replacing(_note(self.path)) as beside:
                    noted = {
                        "name": self.name,
                        "value": self.best,
                        "epoch": self.best_epoch,
                        "loss": self._loss,
                    }
                    beside.write_text(json.dumps(noted), encoding="utf-8")

    def _is_better(self, value, loss):
        if not math.isfinite(value):
            return False
        if self.best is None or value != self.best:
            return self.best is None or (value > self.best) == (self.mode == "max")
        # Of equals the one of lower loss; losses of two kinds say nothing of each other, and NaN is not
        # lower.
        return (
            loss is not None
            and self._loss is not None
            and loss[0] == self._loss[0]
            and loss[1] < self._loss[1]
        )


def _note(path: Path) -> Path:
    """Where the value of the best model is noted."""
    return path.with_suffix(".json")


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
        if (
            self._slow is None and self.model.built
        ):  # after all callbacks have begun, one of which may have loaded weights
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
        self._batch: Any = data
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
        tensors = (
            model.trainable_variables if self.of == "weights" else gradients_of_loss(model, *self._batch)
        )
        for variable, tensor in zip(model.trainable_variables, tensors, strict=True):
            array = keras.ops.convert_to_numpy(tensor)
            for name, function in self.statistics.items():
                self.records[name].setdefault(variable.path, []).append(float(function(array)))

    def plot(self, statistic: str | None = None, axes: "Axes | None" = None) -> "Axes":
        """One line for each weight, into Matplotlib's current axes or the given ones.

        Raises:
            ImportError: if matplotlib is missing.
        """
        if axes is None:
            need("matplotlib", "plot")
            import matplotlib.pyplot as plt

            axes = plt.gca()
        statistic = statistic or next(iter(self.statistics))
        for path, values in self.records[statistic].items():
            axes.plot(self.steps, values, label=path)
        axes.set(xlabel="epoch" if self.every == "epoch" else "step", ylabel=statistic)
        return axes
