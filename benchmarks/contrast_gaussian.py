"""A normal density in five dimensions without its Z: how the error of log Z falls with the number of samples."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import ops

from benchmarks.harness import Report
from partita.contrast import EnergyModel, Normal

SIZE = 5
ROWS, COLUMNS = np.tril_indices(SIZE)


class Quadratic(keras.layers.Layer):
    """G = hᵀ x − ½ xᵀ Λ x, 20 numbers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.half = self.add_weight(name="precision", shape=(len(ROWS),), initializer="zeros")
        self.shift = self.add_weight(name="shift", shape=(SIZE,), initializer="zeros")
        self.half.assign((ROWS == COLUMNS).astype("float32"))

    def call(self, x):
        products = ops.stack([x[:, i] * x[:, j] for i, j in zip(ROWS, COLUMNS, strict=True)], axis=1)
        return ops.matmul(x, self.shift[:, None])[:, 0] - 0.5 * ops.matmul(products, self.half[:, None])[:, 0]


def run(report: Report) -> None:
    """Noise is the normal fitted to the sample; the optimum is found by Newton's method."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(SIZE, SIZE)) * 0.4 + np.eye(SIZE)
    mean, covariance = rng.normal(size=SIZE), root @ root.T
    h = np.linalg.solve(covariance, mean)
    log_z = 0.5 * (SIZE * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + mean @ h)
    sizes, errors = [500, 2000, 8000, 32_000], []
    for size in sizes:
        found = []
        for _ in range(report.rounds or 12):
            x = mean + rng.normal(size=(size, SIZE)) @ root.T
            model = EnergyModel(Quadratic(), Normal.fit(x), num_noise=5)
            found.append(model.estimate(x, seed=int(rng.integers(2**31)), refine=True).log_partition - log_z)
        errors.append(float(np.sqrt(np.mean(np.square(found)))))
        report.measure(f"RMSE of log Z, {size} samples", errors[-1])
    slope = float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
    report.measure("slope of log RMSE in log N", slope, at_most=-0.4)
    report.measure("its distance from −0.5", abs(slope + 0.5), at_most=0.1)
