"""Test error of a small convolutional net on CIFAR-10, plain and with mixtures of samples.

It trains on 8,000 of the images, plain, with SamplePairing and with mixup; five seeds.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

from io import BytesIO

import keras
import numpy as np
from scipy.stats import ttest_rel

from benchmarks.corpora import folder
from benchmarks.harness import Report
from partita.tour.training import calibration_error
from partita.training import Mixup, SamplePairing, linearity

SEEDS, EPOCHS, BATCH = 5, 40, 64
KINDS = ("plain", "SamplePairing", "mixup")


def images() -> tuple[np.ndarray, np.ndarray]:
    """All 10,000, from 0 to 1, `(image, 32, 32, 3)`, and their classes."""
    from PIL import Image

    (path,) = (folder() / "cifar10-small").glob("*.npz")
    with np.load(path) as stored:
        ends = np.cumsum(stored["length"])
        streams = np.split(stored["jpeg"], ends[:-1])
        pictures = np.stack([np.asarray(Image.open(BytesIO(stream.tobytes()))) for stream in streams])
        return (pictures / 255).astype("float32"), stored["label"].astype(int)


def run(report: Report) -> None:
    """Errors, calibration errors and gaps to linear: means, and paired t-tests against plain training."""
    x, y = images()
    found: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in KINDS}
    for seed in range(report.rounds or SEEDS):
        order = np.random.default_rng(seed).permutation(len(x))
        train, test = order[:8000], order[8000:]
        for kind in KINDS:
            found[kind].append(trained(kind, x[train], y[train], x[test], y[test], seed))
            print(seed, kind, *(f"{value:.4f}" for value in found[kind][-1]), flush=True)
    results = {kind: np.array(rows).T for kind, rows in found.items()}
    for kind, (errors, calibration, gaps) in results.items():
        report.measure(f"{kind}: test error", errors.mean(), runs=errors.tolist())
        report.measure(f"{kind}: expected calibration error", calibration.mean())
        report.measure(f"{kind}: gap to linear", gaps.mean(), runs=gaps.tolist())
    for kind in KINDS[1:]:
        test = ttest_rel(results[kind][0], results["plain"][0], alternative="less")
        report.measure(f"{kind} lowers the error: p", float(test.pvalue), at_most=0.05)
    report.measure(
        "seeds in which mixup lowers the gap",
        int((results["mixup"][2] < results["plain"][2]).sum()),
        at_least=SEEDS,
    )


def trained(
    kind: str, x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int
) -> tuple[float, float, float]:
    """Test error, calibration error and gap of one run."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for width, size in ((32, 5), (64, 3), (128, 3)):
        model.add(keras.layers.Conv2D(width, size, strides=2, padding="same", use_bias=False))
        model.add(keras.layers.BatchNormalization())
        model.add(keras.layers.ReLU())
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(10, "softmax"))
    rate = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * -(-len(x) // BATCH))
    model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy")
    targets = np.eye(10, dtype="float32")[y]
    options = {"batch_size": BATCH, "seed": seed}
    batches = {
        "plain": lambda: SamplePairing((x, targets), end=0, **options),
        "SamplePairing": lambda: SamplePairing((x, targets), begin=2, end=EPOCHS - 8, **options),
        "mixup": lambda: Mixup((x, targets), alpha=0.4, **options),
    }
    model.fit(batches[kind](), epochs=EPOCHS, verbose=0)
    probabilities = model.predict(x_test, verbose=0, batch_size=500)
    error = float((probabilities.argmax(axis=1) != y_test).mean())
    return (
        error,
        calibration_error(probabilities, y_test),
        linearity(model, x_test[:1000], x_test[1000:2000]).gap,
    )
