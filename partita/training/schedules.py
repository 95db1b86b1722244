"""Schedules of hyperparameters and of anything else that changes while training, and warm-up.

A `Schedule` follows a plan of its own; the warm-up is that of the learning rate.

variable ← f(step or epoch)             learning rate · min(1, (step + 1) / steps)
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from partita.backend.keras_internals import learning_rate_of
from partita.callbacks.steps import Steps
from partita.training.layerwise import LayerwiseLearningRate

Target = Any  # a variable, a path, or (object, attribute)


class Schedule(keras.callbacks.Callback):
    """Set a variable before every step or epoch to what a function of the step or epoch says.

    On JAX, and in every compiled step, a Python number is compiled in: changing it changes nothing. So the
    target must be a variable.

    Args:
        variable: A `keras.Variable`; or (object, name of its attribute), `(optimizer, "learning_rate")`; or a
            path from the model, `"optimizer.learning_rate"`; or the path of one of its variables,
            `"center_loss/weight"`.
        function: Step or epoch, from 0 → value. Steps are the optimizer's, so that a resumed training goes on
            where it was.
        on: `"step"` or `"epoch"`.

    Raises:
        ValueError: when training begins, if there is no such variable, or it is a plain number; with what to
            do. While training, if the function gives NaN, or another shape than the variable's.

    Example:
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> halving = Schedule("optimizer.learning_rate", lambda epoch: 0.1 * 0.5**epoch, on="epoch")
        >>> _ = model.fit(np.ones((4, 2)), np.zeros((4, 1)), epochs=3, verbose=0, callbacks=[halving])
        >>> round(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)), 4)
        0.025
    """

    def __init__(self, variable: Target, function: Callable[[int], Any], on: str = "epoch"):
        super().__init__()
        if on not in ("step", "epoch"):
            raise ValueError(f"on must be 'step' or 'epoch', got {on!r}")
        if not callable(function):
            raise ValueError(f"function must be a function of the {on}, got {function!r}")
        self.variable, self.function, self.on = variable, function, on
        self._steps = Steps()

    def on_train_begin(self, logs=None):
        self._found = find(self.model, self.variable)

    def on_epoch_begin(self, epoch, logs=None):
        self._steps.begin_epoch(self.model)
        if self.on == "epoch":
            self._set(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        if self.on == "step":
            self._set(self._steps.total)

    def on_train_batch_end(self, batch, logs=None):
        self._steps.passed(batch, 1)

    def _set(self, moment):
        value = np.asarray(self.function(moment))
        shape, subject = tuple(self._found.shape), f"the value for {self._found.path}"
        if value.shape != shape:
            raise ValueError(f"{subject} must have the shape {shape}, got {value.shape}")
        if value.dtype.kind == "f" and np.isnan(value).any():
            raise ValueError(f"{subject} must be a number, got nan for {self.on} {moment}")
        _ = self.model  # on JAX the state of the step is attached to the model again
        self._found.assign(value.astype(keras.backend.standardize_dtype(self._found.dtype)))


def find(model: keras.Model, target: Target) -> keras.Variable:
    """The variable that a target means; see `Schedule`.

    Raises:
        ValueError: if there is none, or it cannot be changed while training.
    """
    if isinstance(target, keras.Variable):
        return target
    if isinstance(target, str):
        for variable in (*model.variables, *model.optimizer.variables):
            if target in (variable.path, variable.path.partition("/")[2]):
                return variable
        owner, *names = [model, *target.split(".")]
        if len(names) == 1 and not hasattr(owner, names[0]):
            paths = ", ".join(variable.path for variable in model.variables)
            raise ValueError(f"the model has no variable {target!r}; it has {paths}")
    elif isinstance(target, tuple) and len(target) == 2 and isinstance(target[1], str):
        owner, names = target[0], [target[1]]
    else:
        raise ValueError(f"variable must be a keras.Variable, a path or (object, attribute), got {target!r}")
    for name in names[:-1]:
        owner = _attribute(owner, name, target)
    if names[-1] == "learning_rate":
        value = _learning_rate(owner, target)
    else:
        value = _attribute(owner, names[-1], target)
    if not isinstance(value, keras.Variable):
        raise ValueError(
            f"{target!r} is {value!r}, a plain {type(value).__name__}, which is compiled into the training "
            f"step: changing it changes nothing. Make it a weight of its layer, self.{names[-1]} = "
            "self.add_weight(shape=(), initializer=..., trainable=False), and use that weight where the "
            "number was used"
        )
    return value


def _attribute(owner: Any, name: str, target: Target) -> Any:
    if hasattr(owner, name):
        return getattr(owner, name)
    hint = ""
    if hasattr(owner, "optimizers") and name == "learning_rate":
        hint = (
            ": each of its optimizers has its own, so give (model.optimizer.optimizers[0], 'learning_rate')"
        )
    raise ValueError(f"{target!r} leads nowhere: a {type(owner).__name__} has no {name!r}{hint}")


def _learning_rate(owner: Any, target: Target) -> Any:
    if isinstance(owner, keras.optimizers.LossScaleOptimizer):
        owner = owner.inner_optimizer
    if isinstance(owner, LayerwiseLearningRate):
        owner = owner.whole
    value = _attribute(owner, "learning_rate", target)
    if not isinstance(owner, keras.optimizers.Optimizer):
        return value
    value = learning_rate_of(owner)
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        raise ValueError(
            f"{target!r} is a {type(value).__name__}, compiled into the step: compile with a number to "
            f"schedule it here"
        )
    return value


class Warmup(keras.callbacks.Callback):
    """Raise the learning rate from near 0 to what it is, over the first steps or epochs.

    The rate is a share of what it would be otherwise, so that other callbacks and schedules, and the parts of
    a `MultiOptimizer`, keep their say. Between steps the variable holds the full rate: that is what callbacks
    see, and what a backup after an epoch keeps.

    Args:
        epochs: How long, in epochs; or
        steps: in steps of the optimizer. One of the two must be given.

    Raises:
        ValueError: unless exactly one is given, above 0; while training, if an epoch's length is not known.

    Source: Goyal et al. 2017, section 2.2.

    Example:
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> _ = model.fit(
        ...     np.ones((8, 2)),
        ...     np.zeros((8, 1)),
        ...     batch_size=2,
        ...     epochs=2,
        ...     verbose=0,
        ...     callbacks=[Warmup(epochs=1)],
        ... )
    """

    def __init__(self, *, epochs: float | None = None, steps: int | None = None):
        super().__init__()
        given = [value for value in (epochs, steps) if value is not None]
        if len(given) != 1 or not 0 < given[0] < math.inf:
            raise ValueError(f"one of epochs and steps must be given, above 0, got {epochs} and {steps}")
        self.epochs, self.steps = epochs, steps
        self._count = Steps()
        self._full: list[tuple[keras.Variable, np.ndarray]] = []

    def set_params(self, params):  # after the model, and before the step is compiled
        super().set_params(params)
        for optimizer, steps in _parts(self.model.optimizer):
            schedule = learning_rate_of(optimizer)
            is_schedule = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
            if is_schedule and not isinstance(schedule, WarmedUp):
                optimizer.learning_rate = WarmedUp(schedule, steps * self._length())
                self.model.train_function = None  # what is compiled holds the schedule as it was

    def _length(self):
        if self.steps is not None:
            return self.steps
        if self.params is None or not self.params.get("steps"):
            raise ValueError("epochs can be counted only where their length is known: give steps instead")
        return self.epochs * self.params["steps"]

    def on_epoch_begin(self, epoch, logs=None):
        self._count.begin_epoch(self.model)

    def on_train_batch_begin(self, batch, logs=None):
        if self._count.total < self._length() - 1:
            share = (self._count.total + 1) / self._length()
            rates = [learning_rate_of(part) for part, _ in _parts(self.model.optimizer)]
            self._full = [
                (rate, np.array(keras.ops.convert_to_numpy(rate)))
                for rate in rates
                if isinstance(rate, keras.Variable)
            ]
            for rate, full in self._full:
                rate.assign(share * full)

    def on_train_batch_end(self, batch, logs=None):
        self._count.passed(batch, 1)
        if self._full:
            _ = self.model
            for rate, full in self._full:
                rate.assign(full)
            self._full = []


@keras.saving.register_keras_serializable(package="partita")
class WarmedUp(keras.optimizers.schedules.LearningRateSchedule):
    """What `Warmup` makes of a schedule that the optimizer was compiled with."""

    def __init__(self, schedule, steps):
        self.schedule, self.steps = schedule, steps

    def __call__(self, step):
        share = (keras.ops.cast(step, "float32") + 1) / self.steps
        return self.schedule(step) * keras.ops.minimum(share, 1.0)

    def get_config(self):
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["steps"])


def _parts(
    optimizer: keras.optimizers.Optimizer, steps: int = 1
) -> Iterator[tuple[keras.optimizers.Optimizer, int]]:
    """The optimizers that take the steps, and how many each takes in one step of the model."""
    if (inner := getattr(optimizer, "inner_optimizer", None)) is not None:
        yield from _parts(inner, steps)
    elif (parts := getattr(optimizer, "optimizers", None)) is not None:
        # A MultiOptimizer's, or those of two players.
        for part, each in zip(parts, getattr(optimizer, "steps", (1,) * len(parts)), strict=True):
            yield from _parts(part, steps * each)
    else:
        yield optimizer, steps
