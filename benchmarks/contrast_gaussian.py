"""A normal density in five dimensions without its Z: the error of log Z by number of samples.

It shows how the error falls.
"""

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
    """G = (Λm)ᵀ x − ½ xᵀ Λ x, 20 numbers: the precision Λ, and the mean m times it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.half = self.add_weight(name="precision", shape=(len(ROWS),), initializer="zeros")
        self.shift = self.add_weight(name="shift", shape=(SIZE,), initializer="zeros")
        self.half.assign((ROWS == COLUMNS).astype("float32"))

    def call(self, x):
        products = ops.stack([x[:, i] * x[:, j] for i, j in zip(ROWS, COLUMNS, strict=True)], axis=1)
        return ops.matmul(x, self.shift[:, None])[:, 0] - 0.5 * ops.matmul(products, self.half[:, None])[:, 0]


def run(report: Report) -> None:
    """Measure with the normal fitted to the sample as noise, and with Newton's optimum.

    `--rounds` is the number of samples of each size.
    """
    rng = np.random.default_rng(0)
    axes, deviations = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0], np.geomspace(0.5, 2, SIZE)
    root, mean = axes * deviations, rng.normal(size=SIZE)
    log_z = (
        0.5 * (SIZE * np.log(2 * np.pi) + np.sum((axes.T @ mean / deviations) ** 2))
        + np.log(deviations).sum()
    )
    sizes, errors = [500, 2000, 8000, 32_000], []
    for size in sizes:
        found = []
        for _ in range(report.rounds or 30):
            x = mean + rng.normal(size=(size, SIZE)) @ root.T
            model = EnergyModel(Quadratic(), Normal.fit(x), num_noise=5)
            found.append(model.estimate(x, seed=int(rng.integers(2**31)), refine=True).log_partition - log_z)
        errors.append(float(np.sqrt(np.mean(np.square(found)))))
        report.measure(f"RMSE of log Z, {size} samples", errors[-1])
    slope = float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
    report.measure("slope of log RMSE in log N", slope)
    report.measure("its distance from −0.5", abs(slope + 0.5), at_most=0.1)
