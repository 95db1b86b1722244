"""Density of the held-out rows of a table: a neural spline flow beside zuko's."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import math

import keras
import numpy as np
import torch
import zuko

from benchmarks.corpora import folder
from benchmarks.flows_images import fitted, torch_fitted
from benchmarks.harness import Report
from partita import flows

EPOCHS, BATCH = 30, 128


def run(report: Report) -> None:
    """Measure test nats of the standardised table, split 80/20, as means of three seeds.

    Both have nets of 2×128, 8 bins, and as many weights, steps and rows in a step.

    A coupling of zuko has outputs for all features, those that stay among them, so that 8 are as large as our
    10.
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
        flow, _ = fitted(flows.neural_spline(train.shape[1], couplings=10), train, EPOCHS, BATCH)
        ours.append(float(-flow.log_prob(test).mean()))
        peer = zuko.flows.NSF(train.shape[1], transforms=8, hidden_features=(128, 128), passes=2)
        torch_fitted(
            peer, lambda rows: rows, train, BATCH, lambda step: step / (EPOCHS * math.ceil(cut / BATCH))
        )
        with torch.no_grad():
            theirs.append(float(-peer().log_prob(torch.from_numpy(test)).mean()))
    sizes = {
        "parameters": flow.count_params(),
        "of zuko": sum(weights.numel() for weights in peer.parameters()),
    }
    mean, limit = float(np.mean(ours)), float(np.mean(theirs))
    report.measure(
        "neural spline, power plant: test nats (peer: zuko)",
        mean,
        peer=limit,
        at_most=limit,
        each=[ours, theirs],
        **sizes,
    )
