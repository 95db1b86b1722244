"""Densities of held-out MNIST: NICE beside its paper, Glow beside zuko's RealNVP."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import math
from itertools import count
from time import perf_counter

import keras
import numpy as np
import torch
import zuko

from benchmarks.corpora import folder
from benchmarks.harness import Report
from partita import flows
from partita.flows.files import read_rows

EPOCHS = 20


def run(report: Report) -> None:
    """Each flow trains once, with Adam at 0.001 falling to 0 as a cosine; seed 0."""
    train, test = (
        read_rows(folder() / "mnist" / f"{part}-images-idx3-ubyte.gz").values.reshape(-1, 784)
        for part in ("train", "t10k")
    )
    article, seconds = fitted(flows.nice(784), train, EPOCHS, 128)
    report.measure("NICE, noise in [−0.01, 0]: minutes of training", seconds / 60, unit="minutes", at_most=20)
    loss = article.evaluate(train, batch_size=1000, verbose=0, return_dict=True)["loss"] - 392 * math.log(
        2 * math.pi
    )
    report.measure("its ½‖z‖² − Σ log s on the training set", loss, at_most=-2200)
    bits, _ = fitted(flows.nice(784, dequantize=256, base=flows.Logistic()), train, EPOCHS, 128)
    report.measure(
        "NICE, 256 levels: test bits per pixel (paper, 1500 epochs: 4.36)",
        float(bits.bits_per_dim(test, seed=0).mean()),
        peer=4.36,
    )
    glow(report, train, test)


def fitted(flow, x: np.ndarray, epochs: int, batch: int):
    """The flow, trained, and the seconds it took."""
    keras.utils.set_random_seed(0)
    steps = epochs * math.ceil(len(x) / batch)
    flow.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)))
    start = perf_counter()
    flow.fit(x, batch_size=batch, epochs=epochs, verbose=0)
    return flow, perf_counter() - start


def glow(report: Report, train: np.ndarray, test: np.ndarray, epochs: int = 4, batch: int = 64) -> None:
    """Measure Glow beside a RealNVP of zuko on the same logits.

    Glow has 8 steps at 14 × 14 and 8 at 7 × 7; the RealNVP is of about its size and trained as long.
    """
    ours, seconds = fitted(flows.glow((28, 28, 1), width=64), train.reshape(-1, 28, 28, 1), epochs, batch)
    size = ours.count_params()
    report.measure("Glow: minutes of training", seconds / 60, unit="minutes", epochs=epochs, parameters=size)
    bits = float(ours.bits_per_dim(test.reshape(-1, 28, 28, 1), seed=0).mean())
    torch.manual_seed(0)
    width = size // (
        8 * 3 * 392
    )  # 8 couplings with one hidden layer: 392 pixels in, a scale and a shift for 392 out
    peer = zuko.flows.RealNVP(784, transforms=8, hidden_features=(width,))
    start = perf_counter()
    torch_fitted(
        peer,
        lambda rows: torch.logit(within(rows)),
        train,
        batch,
        lambda step: (perf_counter() - start) / seconds,
    )
    with torch.no_grad():
        u = within(torch.from_numpy(test))
        theirs = peer().log_prob(torch.logit(u)) + (math.log(0.9) - torch.log(u) - torch.log1p(-u)).sum(-1)
    theirs = -float(theirs.mean()) / (784 * math.log(2)) + 8
    report.measure(
        "Glow, 256 levels: test bits per pixel (peer: zuko's RealNVP)", bits, peer=theirs, at_most=theirs
    )


def within(pixels: torch.Tensor) -> torch.Tensor:
    """Return pixels between 0.05 and 0.95, as `flows.glow` has them before its logit.

    They are k / 255 with noise of 1/256.
    """
    return 0.05 + 0.9 * (255 * pixels + torch.rand_like(pixels)) / 256


def torch_fitted(flow, prepare, x: np.ndarray, batch: int, share) -> None:
    """Train a flow of zuko as `fitted` does ours.

    `share` gives the share of the training that is done after so many steps; it ends at 1.
    """
    optimizer = torch.optim.Adam(flow.parameters())
    for step in count():
        if (done := share(step)) >= 1:
            return
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 + math.cos(math.pi * done)) / 2
        optimizer.zero_grad()
        rows = torch.from_numpy(x[torch.randint(len(x), (batch,)).numpy()])
        (-flow().log_prob(prepare(rows)).mean()).backward()
        optimizer.step()
