"""MNIST through two features, with and without center loss: test accuracy, and scatter.

The scatter is measured within and between classes.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import gzip
from time import perf_counter

import keras
import numpy as np

from benchmarks.corpora import folder
from benchmarks.harness import Report
from partita.tour.training import scatter_ratio
from partita.training import CenterLoss, Warmup

EPOCHS, BATCH = 15, 128


def mnist(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images from 0 to 1, `(image, 28, 28, 1)`, and classes."""
    arrays = []
    for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
        (path,) = (folder() / "mnist").glob(f"{part}-{kind}*.gz")
        arrays.append(np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header))
    return (arrays[0].reshape(-1, 28, 28, 1) / 255).astype("float32"), arrays[1].astype(int)


def run(report: Report) -> None:
    """The same net and epochs, with and without."""
    train, test = mnist("train"), mnist("t10k")
    ratios = {}
    for name, weight in (("without", None), ("with", 1.0)):
        began = perf_counter()
        accuracy, ratios[name] = trained(weight, train, test)
        report.measure(
            f"test accuracy {name} center loss", accuracy, **({} if weight is None else {"at_least": 0.985})
        )
        report.measure(f"scatter within over between, {name}", ratios[name], seconds=perf_counter() - began)
    report.measure("how many times lower with", ratios["without"] / ratios["with"], at_least=3)


def trained(
    weight: float | None, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float]:
    """Test accuracy, and the ratio of scatters of the test features."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((28, 28, 1))
    for width, size in ((24, 5), (48, 3), (64, 3)):
        x = keras.layers.Conv2D(width, size, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dense(128, use_bias=False)(keras.layers.Flatten()(x))
    features = keras.layers.Dense(2)(keras.layers.ReLU()(keras.layers.BatchNormalization()(x)))
    loss = "sparse_categorical_crossentropy"
    if weight is not None:
        center = CenterLoss(10, weight)
        features, loss = center(features), center.loss(loss)
    model = keras.Model(inputs, keras.layers.Dense(10, "softmax")(features))
    rate = keras.optimizers.schedules.CosineDecay(5e-3, EPOCHS * -(-len(train[0]) // BATCH))
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(*train, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[Warmup(steps=200)])
    found = keras.Model(inputs, [features, model.output]).predict(test[0], batch_size=500, verbose=0)
    return float((found[1].argmax(axis=1) == test[1]).mean()), scatter_ratio(found[0], test[1])
