"""Cost of mixup under `fit`, and speed of mixing a batch against Keras, torchvision and timm.

Keras mixes by its MixUp layer.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np

from benchmarks.harness import Report, compare
from partita.training import Mixup, mixup

SIZE, BATCH = 2048, 128


def run(report: Report) -> None:
    """Measure on images of CIFAR's shapes, in batches of 128.

    One batch is mixed, targets included, and a small convolutional net is trained for an epoch.
    """
    rng = np.random.default_rng(0)
    images = rng.random((SIZE, 32, 32, 3), dtype="float32")
    targets = np.eye(10, dtype="float32")[rng.integers(0, 10, SIZE)]
    overhead(report, images, targets)
    batch = images[:BATCH], targets[:BATCH]
    peers(report, *batch)


def overhead(report: Report, images: np.ndarray, targets: np.ndarray) -> None:
    """The same `fit` with and without."""
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for width in (32, 64):
        model.add(keras.layers.Conv2D(width, 3, padding="same", activation="relu"))
        model.add(keras.layers.MaxPooling2D())
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(10, "softmax"))
    model.compile("adam", "categorical_crossentropy")
    mixed = Mixup((images, targets), batch_size=BATCH, seed=0)
    both = compare(
        lambda: model.fit(mixed, verbose=0),
        lambda: model.fit(images, targets, batch_size=BATCH, verbose=0),
        rounds=report.rounds or 15,
    )
    report.measure("time of fit with mixup, as a share of that without", 1 / both.ratio, at_most=1.08)


def peers(report: Report, images: np.ndarray, targets: np.ndarray) -> None:
    """One batch."""
    import tensorflow as tf
    import torch

    # A wheel of torchvision built for CUDA cannot load its own operators beside PyTorch for CPUs, and then
    # fails for want of these.
    for name in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{name}", "(Tensor boxes, Tensor scores, float threshold) -> Tensor"
        )
    from timm.data import Mixup as TimmMixup
    from torchvision.transforms.v2 import MixUp as TorchMixup

    rounds = report.rounds or 30

    def ours():
        return mixup(images, targets, alpha=0.4, seed=0)

    layer = keras.layers.MixUp(alpha=0.4, seed=0)
    pipeline = iter(
        tf.data.Dataset.from_tensors({"images": images, "labels": targets})
        .repeat()
        .map(layer, num_parallel_calls=tf.data.AUTOTUNE)
    )
    report.compare(
        "a batch against Keras's MixUp in tf.data",
        compare(ours, lambda: next(pipeline), rounds=rounds),
        at_least=1,
    )
    pictures, classes = (
        torch.tensor(images).permute(0, 3, 1, 2).contiguous(),
        torch.tensor(targets.argmax(axis=1)),
    )
    vision = TorchMixup(alpha=0.4, num_classes=10)
    report.compare(
        "against torchvision's", compare(ours, lambda: vision(pictures, classes), rounds=rounds), at_least=1
    )
    timm = TimmMixup(mixup_alpha=0.4, num_classes=10, mode="elem", label_smoothing=0.0)
    report.compare(
        "against timm's, a share for each sample",
        compare(ours, lambda: timm(pictures.clone(), classes), rounds=rounds),
        at_least=1,
    )
