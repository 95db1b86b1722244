"""Densities on held-out data: NICE and Glow on MNIST, and a neural spline flow on a table, beside zuko's flows."""

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
    train, test = (read_rows(folder() / "mnist" / f"{part}-images-idx3-ubyte.gz").values.reshape(-1, 784) for part in ("train", "t10k"))
    article, seconds = fitted(flows.nice(784), train, EPOCHS, 128)
    report.measure("NICE, noise in [−0.01, 0]: minutes of training", seconds / 60, unit="minutes", at_most=20)
    loss = article.evaluate(train, batch_size=1000, verbose=0, return_dict=True)["loss"] - 392 * math.log(2 * math.pi)
    report.measure("its ½‖z‖² − Σ log s on the training set", loss, at_most=-2200)
    bits, _ = fitted(flows.nice(784, dequantize=256, base=flows.Logistic()), train, EPOCHS, 128)
    report.measure(
        "NICE, 256 levels: test bits per pixel (paper, 1500 epochs: 4.36)", float(bits.bits_per_dim(test, seed=0).mean()), peer=4.36
    )
    glow(report, train, test)
    power_plant(report)


def fitted(flow, x: np.ndarray, epochs: int, batch: int):
    """The flow, trained, and the seconds it took."""
    keras.utils.set_random_seed(0)
    steps = epochs * math.ceil(len(x) / batch)
    flow.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)))
    start = perf_counter()
    flow.fit(x, batch_size=batch, epochs=epochs, verbose=0)
    return flow, perf_counter() - start


def glow(report: Report, train: np.ndarray, test: np.ndarray, epochs: int = 4, batch: int = 64) -> None:
    """Glow, 8 steps at 14 × 14 and 8 at 7 × 7, beside a RealNVP of zuko on the same logits, of about its size and trained as long."""
    ours, seconds = fitted(flows.glow((28, 28, 1), width=64), train.reshape(-1, 28, 28, 1), epochs, batch)
    size = ours.count_params()
    report.measure("Glow: minutes of training", seconds / 60, unit="minutes", epochs=epochs, parameters=size)
    bits = float(ours.bits_per_dim(test.reshape(-1, 28, 28, 1), seed=0).mean())
    torch.manual_seed(0)
    width = size // (8 * 3 * 392)  # 8 couplings with one hidden layer: 392 pixels in, a scale and a shift for 392 out
    peer = zuko.flows.RealNVP(784, transforms=8, hidden_features=(width,))
    start = perf_counter()
    torch_fitted(peer, lambda rows: torch.logit(within(rows)), train, batch, lambda step: (perf_counter() - start) / seconds)
    with torch.no_grad():
        u = within(torch.from_numpy(test))
        theirs = peer().log_prob(torch.logit(u)) + (math.log(0.9) - torch.log(u) - torch.log1p(-u)).sum(-1)
    theirs = -float(theirs.mean()) / (784 * math.log(2)) + 8
    report.measure("Glow, 256 levels: test bits per pixel (peer: zuko's RealNVP)", bits, peer=theirs, at_most=theirs)


def within(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels k / 255 with noise of 1/256, between 0.05 and 0.95, as `flows.glow` has them before its logit."""
    return 0.05 + 0.9 * (255 * pixels + torch.rand_like(pixels)) / 256


def torch_fitted(flow, prepare, x: np.ndarray, batch: int, share) -> None:
    """Train a flow of zuko as `fitted` does ours, until the share of the training that is done after so many steps is 1."""
    optimizer = torch.optim.Adam(flow.parameters())
    for step in count():
        if (done := share(step)) >= 1:
            return
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 + math.cos(math.pi * done)) / 2
        optimizer.zero_grad()
        rows = torch.from_numpy(x[torch.randint(len(x), (batch,)).numpy()])
        (-flow().log_prob(prepare(rows)).mean()).backward()
        optimizer.step()


def power_plant(report: Report, epochs: int = 30, batch: int = 128) -> None:
    """Test nats of the standardised table, split 80/20, 2×128, 8 bins; as many weights, steps and rows in a step. Means of three seeds.

    A coupling of zuko has outputs for all features, those that stay among them, so that 8 are as large as our 10.
    """
    table = np.loadtxt(folder() / "tabular" / "power-plant.txt", dtype="float32")
    table = table[np.random.default_rng(0).permutation(len(table))]
    cut = len(table) * 8 // 10
    table = (table - table[:cut].mean(0)) / table[:cut].std(0)
    train, test = table[:cut], table[cut:]
    ours, theirs = [], []
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        torch.manual_seed(seed)
        flow, _ = fitted(flows.neural_spline(train.shape[1], couplings=10), train, epochs, batch)
        ours.append(float(-flow.log_prob(test).mean()))
        peer = zuko.flows.NSF(train.shape[1], transforms=8, hidden_features=(128, 128), passes=2)
        torch_fitted(peer, lambda rows: rows, train, batch, lambda step: step / (epochs * math.ceil(cut / batch)))
        with torch.no_grad():
            theirs.append(float(-peer().log_prob(torch.from_numpy(test)).mean()))
    sizes = {"parameters": flow.count_params(), "of zuko": sum(weights.numel() for weights in peer.parameters())}
    mean, limit = float(np.mean(ours)), float(np.mean(theirs))
    report.measure("neural spline, power plant: test nats (peer: zuko)", mean, peer=limit, at_most=limit, each=[ours, theirs], **sizes)
