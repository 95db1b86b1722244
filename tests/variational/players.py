"""Tiny nets for the tests of models that train in rounds."""

import keras
import numpy as np

from partita import variational


def mlp(*sizes, first=None, activation="relu"):
    layers = [keras.layers.Dense(size, activation) for size in sizes[:-1]] + [keras.layers.Dense(sizes[-1])]
    return keras.Sequential(([] if first is None else [keras.Input((first,))]) + layers)


def pair(left, right, width=16, outputs=1):
    """A net of two inputs."""
    inputs = keras.Input((left,)), keras.Input((right,))
    hidden = keras.layers.Dense(width, "relu")(keras.layers.Concatenate()(inputs))
    return keras.Model(inputs, keras.layers.Dense(outputs)(hidden))


def gan(**options):
    return variational.GAN(mlp(16, 2, first=3), mlp(16, 1), **{"seed": 0, **options})


def aae(**options):
    return variational.AAE(mlp(16, 2, first=4), mlp(16, 4, first=2), mlp(16, 1), **{"seed": 0, **options})


def ali(**options):
    return variational.ALI(mlp(16, 2, first=4), mlp(16, 4, first=2), pair(4, 2), **{"seed": 0, **options})


def data(columns, rows=64, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype("float32")
