"""An optimizer with a learning rate of its own for each layer.

θ ← θ + step(∇L, factor of the layer · learning rate)
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="partita")
class LayerwiseLearningRate(keras.optimizers.MultiOptimizer):
    """Optimizer with a learning rate for each layer: the common rate times a factor for each weight.

    By it, some weights learn faster or slower than others, or not at all.

    The rate is one: schedules and callbacks that set `learning_rate` set it for all.

    Args:
        optimizer: A Keras optimizer, or its name. It takes the steps of the weights whose factor is 1, copies
            of it those of the others.
        factors: Regular expression → factor, not below 0. A weight takes the factor of the first that matches
            its path from the start, `"encoder/.*"`, with or without the model's name before it; 1 if none
            does.
        **kwargs: `name` and `loss_scale_factor`, as every optimizer of Keras takes them.

    Attributes:
        whole: The optimizer of the weights whose factor is 1.

    Raises:
        ValueError: if a factor is below 0, or the optimizer consists of others; when it is built, if an
            expression matches no weight.

    Source: Howard, Ruder 2018 (discriminative fine-tuning).

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential(
        ...     [keras.Input((2,)), keras.layers.Dense(3, name="still"), keras.layers.Dense(1)]
        ... )
        >>> model.compile(LayerwiseLearningRate("adam", {"still/.*": 0.0}), "mse")
        >>> before = model.layers[0].get_weights()[0]
        >>> _ = model.fit(np.ones((8, 2)), np.zeros((8, 1)), verbose=0)
        >>> bool((model.layers[0].get_weights()[0] == before).all())
        True
    """

    def __init__(self, optimizer: Any, factors: Mapping[str, float], **kwargs: Any):
        if bad := {pattern: factor for pattern, factor in factors.items() if not 0 <= factor < math.inf}:
            raise ValueError(f"factors must not be below 0, and finite, got {bad}")
        whole = keras.optimizers.get(optimizer)
        if isinstance(whole, keras.optimizers.MultiOptimizer | keras.optimizers.LossScaleOptimizer):
            raise ValueError(
                f"optimizer must be a single one, got a {type(whole).__name__}: give each of its parts its "
                f"own rate instead"
            )
        parts = keras.optimizers.OptimizerMap(whole)
        super().__init__(parts, **kwargs)
        self._factors = {pattern: float(factor) for pattern, factor in factors.items()}
        self.whole, self._parts, self._config = whole, parts, whole.get_config()
        # The factor of each weight, kept in files: a model that is loaded may leave its name out of paths.
        self._found: list[float] = []

    def build(self, var_list):
        if not self.built:
            paths = [variable.path for variable in var_list]
            if len(self._found) != len(paths):
                self._found = self._look_up(paths)
            slowed = {factor: self._slowed(factor) for factor in {*self._found} - {1.0}}
            for path, factor in zip(paths, self._found, strict=True):
                if factor != 1:
                    self._parts[path] = slowed[factor]
        super().build(var_list)

    def _look_up(self, paths: list[str]) -> list[float]:
        for pattern in self._factors:
            if not any(_matches(pattern, path) for path in paths):
                raise ValueError(f"{pattern!r} matches no weight; there are {', '.join(paths)}")
        return [
            next((factor for pattern, factor in self._factors.items() if _matches(pattern, path)), 1.0)
            for path in paths
        ]

    def apply(self, grads, trainable_variables=None):
        super().apply(grads, trainable_variables)
        if not self.whole.built:  # no weight is its own; a schedule goes on all the same
            self.whole.iterations.assign(self.iterations)

    def _slowed(self, factor: float) -> keras.optimizers.Optimizer:
        """A copy of the optimizer whose learning rate is so many times that of the whole."""
        part = type(self.whole).from_config(self._config)
        part.learning_rate = lambda: factor * self.learning_rate
        return part

    @property
    def learning_rate(self):
        """The rate of weights whose factor is 1: a variable, or what a schedule says now."""
        return self.whole.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.whole.learning_rate = value

    def get_config(self):
        """What makes the same optimizer again."""
        return {
            "optimizer": keras.saving.serialize_keras_object(self.whole),
            "factors": self._factors,
            "found": [*self._found],
            "name": self.name,
            "loss_scale_factor": self.loss_scale_factor,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer of a config."""
        whole = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects=custom_objects)
        made = cls(
            whole, config["factors"], name=config["name"], loss_scale_factor=config["loss_scale_factor"]
        )
        made._found = [*config["found"]]
        return made


def _matches(pattern: str, path: str) -> bool:
    return bool(re.match(pattern, path) or re.match(pattern, path.partition("/")[2]))
