"""Densities on held-out data: NICE on MNIST, as the article has it and in bits per pixel, and a neural spline flow beside zuko's."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import math
from time import perf_counter

import keras
import numpy as np
import torch
import zuko

from benchmarks.corpora import folder
from benchmarks.harness import Report
from partita import flows
from partita.flows.files import read_rows

EPOCHS = 25


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
    power_plant(report)


def fitted(flow, x: np.ndarray, epochs: int, batch: int):
    """The flow, trained, and the seconds it took."""
    keras.utils.set_random_seed(0)
    steps = epochs * math.ceil(len(x) / batch)
    flow.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)))
    start = perf_counter()
    flow.fit(x, batch_size=batch, epochs=epochs, verbose=0)
    return flow, perf_counter() - start


def power_plant(report: Report, epochs: int = 30, batch: int = 128) -> None:
    """Test nats of the standardised table, split 80/20; 8 couplings, 2×128, 8 bins, both trained as long."""
    table = np.loadtxt(folder() / "tabular" / "power-plant.txt", dtype="float32")
    table = table[np.random.default_rng(0).permutation(len(table))]
    cut = len(table) * 8 // 10
    table = (table - table[:cut].mean(0)) / table[:cut].std(0)
    train, test = table[:cut], table[cut:]
    ours, _ = fitted(flows.neural_spline(train.shape[1]), train, epochs, batch)
    torch.manual_seed(0)
    peer = zuko.flows.NSF(train.shape[1], transforms=8, hidden_features=(128, 128), passes=2)
    optimizer = torch.optim.Adam(peer.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * math.ceil(cut / batch))
    for _ in range(epochs):
        for rows in torch.split(torch.from_numpy(train)[torch.randperm(cut)], batch):
            optimizer.zero_grad()
            (-peer().log_prob(rows).mean()).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        theirs = float(-peer().log_prob(torch.from_numpy(test)).mean())
    report.measure("neural spline, power plant: test nats (peer: zuko)", float(-ours.log_prob(test).mean()), peer=theirs, at_most=theirs)
