"""Evaluation of a model by any function while it trains, and its best weights."""

import json
import math
import os
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from partita.callbacks.steps import Steps
from partita.files.whole import replacing


class Evaluate(keras.callbacks.Callback):
    """Callback that calls any function of the model while it trains, and puts the value into `logs`.

    It keeps the best weights by that value.

    History, EarlyStopping, ModelCheckpoint and the progress bar see the value under its name if they come
    after this callback.

    A value that is NaN or infinite is never the best. Of equal values the one with the lower loss is better:
    `val_loss` where the logs have it, else `loss`; the first, where they have neither.

    Args:
        function: Model → number. None: the value that `logs` already has under `name`.
        name: Of the value in `logs`.
        mode: Whether `"max"` or `"min"` is best.
        restore_best: Whether the model ends with the weights of the best value.
        path: If given, the model is saved there, `.keras`, whenever it is the best so far.
        note: Whether its value is noted beside that file, in `.json`, so that a training that
            `BackupAndRestore` resumes goes on from it.
        every: `"epoch"`, or a number of steps; the value of an epoch is then the last one.
        on_error: What happens when the function fails: `"raise"`, or `"warn"` and go on.

    Attributes:
        best, best_epoch, best_loss: The best value, in which epoch, counted from 0, it was found, and the
            loss of that epoch; None before the first.
        values: All values in turn.

    Raises:
        ValueError: if an argument does not fit; while training, if the function returns no single number, or
            there is no log of that name.

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

    best: float | None
    best_epoch: int | None
    values: list[float]
    _lowest: tuple[str, float] | None  # the loss of the best, and what it is of
    _weights: list[np.ndarray] | None
    _epoch: int | None

    def __init__(
        self,
        function: Callable[[keras.Model], float] | None,
        name: str = "score",
        *,
        mode: str = "max",
        restore_best: bool = True,
        path: str | os.PathLike[str] | None = None,
        note: bool = True,
        every: int | str = "epoch",
        on_error: str = "raise",
    ):
        super().__init__()
        if not callable(function) and function is not None:
            raise ValueError(f"function must be a function of the model, got {function!r}")
        if mode not in ("max", "min") or on_error not in ("raise", "warn"):
            raise ValueError(
                f"mode must be 'max' or 'min' and on_error 'raise' or 'warn', got {mode!r} and {on_error!r}"
            )
        if every != "epoch" and not (isinstance(every, int) and every > 0):
            raise ValueError(f"every must be 'epoch' or a number of steps, got {every!r}")
        if path is not None and Path(path).suffix != ".keras":
            raise ValueError(f"path must end in .keras, got {path}")
        self.function, self.name, self.mode, self.restore_best = function, name, mode, restore_best
        self.path, self.note = None if path is None else Path(path), note
        self.every, self.on_error = every, on_error
        self._period = every if isinstance(every, int) else 0  # 0: at the end of an epoch
        self._steps = Steps()
        self._forget()

    @property
    def best_loss(self) -> float | None:
        """The loss of the epoch of the best value; None before the first, or where the logs have none."""
        return None if self._lowest is None else self._lowest[1]

    def on_train_begin(self, logs=None):
        self._forget()

    def on_epoch_begin(self, epoch, logs=None):
        if self._epoch is None and epoch > 0 and (noted := self._noted()) is not None:  # resumed
            self.best, self.best_epoch = noted["value"], noted["epoch"]
            self._lowest = None if noted.get("loss") is None else (noted["loss"][0], noted["loss"][1])
        self._epoch = epoch
        self._steps.begin_epoch(self.model)

    def on_train_batch_end(self, batch, logs=None):
        if self._period and self._steps.passed(batch, self._period):
            self._evaluate(logs)

    def on_epoch_end(self, epoch, logs=None):
        if not self._period:
            self._evaluate(logs)
        elif logs is not None and self.values:
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

    def _forget(self):
        self.best, self.best_epoch, self.values = None, None, []
        self._lowest, self._weights = None, None
        self._epoch, self._has_failed = None, False

    def _evaluate(self, logs):
        value = self._value(logs)
        self.values.append(value)
        if logs is not None:
            logs[self.name] = value
        is_first = self.best is None
        if not math.isfinite(value) or not (is_first or value == self.best or self._is_better(value)):
            return
        loss = self._loss(logs or {})
        if is_first or value != self.best or _is_lower(loss, self._lowest):
            self.best, self.best_epoch, self._lowest = value, self._epoch, loss
            self._keep()

    def _value(self, logs):
        if self.function is None and self.name not in (logs or {}):
            raise ValueError(
                f"name must be that of a log, expected {', '.join(logs or {})}, got {self.name!r}"
            )
        try:
            value = logs[self.name] if self.function is None else self.function(self.model)
        except Exception as error:
            if self.on_error == "raise":
                raise
            where = traceback.extract_tb(error.__traceback__)[-1]
            warnings.warn(
                f"{self.name} failed in epoch {self._epoch}: {error!r} ({where.filename}:{where.lineno})",
                stacklevel=2,
            )
            self._has_failed = True
            return math.nan
        number = np.asarray(keras.ops.convert_to_numpy(value) if hasattr(value, "shape") else value)
        if number.ndim or number.dtype.kind not in "biuf":
            raise ValueError(
                f"the function of {self.name} must return one number, got an array of shape {number.shape}"
            )
        return float(number)

    def _is_better(self, value):
        return (value > self.best) == (self.mode == "max")

    def _loss(self, logs):
        """Return what decides between equal values: a loss, and what it is of."""
        return next(((name, float(logs[name])) for name in ("val_loss", "loss") if name in logs), None)

    def _keep(self):
        if self.restore_best:
            self._weights = self.model.get_weights()
        if self.path is not None:
            with replacing(self.path) as beside:
                self.model.save(beside)
        if self.path is not None and self.note:
            noted = {"name": self.name, "value": self.best, "epoch": self.best_epoch, "loss": self._lowest}
            with replacing(self.path.with_suffix(".json")) as beside:
                beside.write_text(json.dumps(noted), encoding="utf-8")

    def _noted(self):
        """Return what is noted beside the best model so far, if it is."""
        path = None if self.path is None or not self.note else self.path.with_suffix(".json")
        return json.loads(path.read_text(encoding="utf-8")) if path is not None and path.exists() else None


def _is_lower(loss: tuple[str, float] | None, lowest: tuple[str, float] | None) -> bool:
    """Return whether a loss is lower than one of the same kind; NaN is the highest."""
    if loss is None or lowest is None or loss[0] != lowest[0]:
        return False
    return loss[1] < lowest[1] or (math.isnan(lowest[1]) and not math.isnan(loss[1]))
