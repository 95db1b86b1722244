"""The density exp(−a x² − b x⁴) from samples: a, b and log Z against the truth.

Their errors are compared with those of maximum likelihood.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from benchmarks.harness import Report
from partita.contrast import EnergyModel, Normal
from partita.tour.contrast import A, B, Quartic

GRID = np.linspace(-6.0, 6.0, 200_001)
WEIGHT = np.exp(-A * GRID**2 - B * GRID**4)
LOG_Z = float(np.log(WEIGHT.sum() * (GRID[1] - GRID[0])))


def points(n: int, seed: int) -> np.ndarray:
    """Samples `(n, 1)`, by the inverse of the sums."""
    return np.interp(np.random.default_rng(seed).random(n), np.cumsum(WEIGHT) / WEIGHT.sum(), GRID)[:, None]


def fitted(x: np.ndarray, epochs: int = 10) -> EnergyModel:
    """Plain `compile` and `fit`, with a rate that falls."""
    model = EnergyModel(Quartic(), Normal.fit(x), num_noise=10)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, epochs * len(x) // 1000))
    )
    model.fit(x, batch_size=1000, epochs=epochs, verbose=0)
    return model


def off(found) -> float:
    """The largest of the three errors, in standard errors."""
    pairs = [
        (found.parameters["a"] - A, found.errors["a"]),
        (found.parameters["b"] - B, found.errors["b"]),
        (found.log_partition - LOG_Z, found.log_partition_error),
    ]
    return max(abs(float(error)) / float(sd) for error, sd in pairs)


def run(report: Report) -> None:
    """20 seeds, by fit alone and refined; then the variance as ν grows."""
    worst, refined = [], []
    for seed in range(report.rounds or 20):
        keras.utils.set_random_seed(seed)
        x = points(100_000, seed)
        model = fitted(x)
        worst.append(off(model.estimate(x, seed=seed)))
        refined.append(off(model.estimate(x, seed=seed, refine=True)))
    for name, values in (("fit", worst), ("fit and refine", refined)):
        inside = sum(value <= 3 for value in values) / len(values)
        report.measure(
            f"share of seeds with all three within 3 standard errors: {name}",
            inside,
            at_least=0.95,
            worst=values,
        )
    p = WEIGHT / WEIGHT.sum()
    slopes = np.stack([-(GRID**2), -(GRID**4)], axis=1)
    centred = slopes - p @ slopes
    likelihood = np.linalg.inv(np.einsum("n,ni,nj->ij", p, centred, centred)) / 20_000
    x = points(20_000, 0)
    for many in (1, 3, 10, 30, 100):
        found = EnergyModel(Quartic(), Normal.fit(x), num_noise=many).estimate(x, refine=True)
        ratios = np.diag(found.covariance)[:2] / np.diag(likelihood)
        bar = {"at_most": 1.25} if many == 100 else {}
        report.measure(
            f"variance of a and b over maximum likelihood's, the larger, ν = {many}",
            float(ratios.max()),
            **bar,
        )
