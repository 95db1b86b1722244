"""A VAE on MNIST, dynamically binarised: the bound on the test part, and the likelihood.

The likelihood is that of a tenth of the test part, by importance weights.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import gzip
from time import perf_counter

import keras
import numpy as np

from benchmarks.corpora import folder
from benchmarks.harness import Report
from partita import variational

EPOCHS, BATCH, LATENT = 300, 500, 50


def images(name: str) -> np.ndarray:
    """Grey values in [0, 1], `(n, 784)`, of a file in the idx format."""
    with gzip.open(folder() / "mnist" / f"{name}-images-idx3-ubyte.gz") as file:
        return (np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784) / 255).astype("float32")


def model(steps: int, seed: int = 0) -> variational.VAE:
    """Two layers of 200 units on either side; the learning rate falls to 0."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    encoder = keras.Sequential(
        [keras.Input((784,)), layers.Dense(200, "elu"), layers.Dense(200, "elu"), layers.Dense(2 * LATENT)]
    )
    decoder = keras.Sequential(
        [keras.Input((LATENT,)), layers.Dense(200, "elu"), layers.Dense(200, "elu"), layers.Dense(784)]
    )
    vae = variational.VAE(encoder, decoder, variational.BernoulliLikelihood(binarize=True), seed=seed)
    vae.compile(
        keras.optimizers.Muon(keras.optimizers.schedules.CosineDecay(1e-2, steps)), steps_per_execution=10
    )
    return vae


def run(report: Report) -> None:
    """Train, then measure on the test part.

    Each image is binarised once, with a fixed seed; `--rounds` is the number of epochs.
    """
    train, test = images("train"), images("t10k")
    epochs = report.rounds or EPOCHS
    began = perf_counter()
    vae = model(epochs * len(train) // BATCH)
    vae.fit(train, batch_size=BATCH, epochs=epochs, verbose=2)
    report.measure(
        "minutes of training", (perf_counter() - began) / 60, unit="min", at_most=20, epochs=epochs
    )
    binary = (np.random.default_rng(0).random(test.shape) < test).astype("float32")
    bounds = [vae.evaluate(binary, batch_size=1000, verbose=0, return_dict=True)["bound"] for _ in range(10)]
    report.measure(
        "bound, 10,000 test images, mean of 10 draws",
        float(np.mean(bounds)),
        unit="nats",
        at_most=90,
        bounds=bounds,
    )
    estimate = -vae.log_prob(binary[:1000], samples=5000, seed=0)
    report.measure(
        "−log p by 5,000 importance samples, 1,000 test images",
        float(estimate.mean()),
        unit="nats",
        at_most=87,
    )
