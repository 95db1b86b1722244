"""Densities of which everything is known, and energies that can become them."""

import keras
import numpy as np
from keras import ops

A, B = 0.5, 0.25
GRID = np.linspace(-6.0, 6.0, 20_001)
WEIGHT = np.exp(-A * GRID**2 - B * GRID**4)
LOG_Z = float(np.log(WEIGHT.sum() * (GRID[1] - GRID[0])))


@keras.saving.register_keras_serializable(package="partita_tests")
class Quartic(keras.layers.Layer):
    """G = −a x² − b x⁴."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a = self.add_weight(name="a", shape=(), initializer="zeros")
        self.b = self.add_weight(name="b", shape=(), initializer="ones")

    def call(self, x):
        return -self.a * x[:, 0] ** 2 - self.b * x[:, 0] ** 4


def quartic(n, seed):
    """Points drawn from it, `(n, 1)`."""
    return np.interp(np.random.default_rng(seed).random(n), np.cumsum(WEIGHT) / WEIGHT.sum(), GRID)[:, None]


@keras.saving.register_keras_serializable(package="partita_tests")
class Given(keras.layers.Layer):
    """G(c, y) = −½ (y − w c)² − s y²."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.w = self.add_weight(name="w", shape=(), initializer="zeros")

    def call(self, inputs):
        context, y = inputs
        return -0.5 * ops.sum((y - self.w * context) ** 2, axis=-1)
