"""Modes covered and the share of samples on them, of GANs, ALI and AAE.

They are measured on a ring of 8 and a grid of 25, for inertia, a recommended setting, ALI and AAE, with five
seeds each.

The ring has radius 2 and sd 0.02, the grid spacing 2 and sd 0.05; 2,500 samples, within 3σ of a mode, are
those of the VEEGAN protocol.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

from collections.abc import Callable
from time import perf_counter

import keras
import numpy as np

from benchmarks.harness import Report
from partita import variational

SEEDS, BATCH = 5, 256
TOYS = {"ring": variational.ring(), "grid": variational.grid()}
RECOMMENDED = {"ring": 4000, "grid": 18000}  # rounds


def run(report: Report) -> None:
    """Every row of the table; `--rounds` is the number of seeds."""
    seeds = report.rounds or SEEDS
    for toy, rounds in RECOMMENDED.items():
        found = {
            inertia: [plain(toy, seed, inertia) for seed in range(seeds)] for inertia in (0.0, 0.3, 1.0, 3.0)
        }
        for inertia, results in found.items():
            show(report, f"{toy}, 1 + 5 steps, 1000 rounds, λ = {inertia:g}", results)
        kept = max(
            sum(modes == len(TOYS[toy].centers) for modes, *_ in found[inertia])
            for inertia in (0.3, 1.0, 3.0)
        )
        report.measure(
            f"{toy}: seeds that keep every mode at the best λ (peer: λ = 0)",
            kept,
            peer=every(toy, found[0.0]),
        )
        show(
            report,
            f"{toy}, recommended, {rounds} rounds",
            [recommended(toy, seed, rounds) for seed in range(seeds)],
        )
        show(report, f"{toy}, ALI", [ali(toy, seed) for seed in range(seeds)])
        show(report, f"{toy}, AAE", [aae(toy, seed) for seed in range(seeds)])


def every(toy: str, results: list[tuple[int, float, float]]) -> int:
    """How many seeds reach all modes."""
    return sum(modes == len(TOYS[toy].centers) for modes, *_ in results)


def show(report: Report, name: str, results: list[tuple[int, float, float]]) -> None:
    """Two rows: means over seeds; the figures of each go into the JSON."""
    modes, shares, seconds = (np.array(column) for column in zip(*results, strict=True))
    report.measure(f"{name}: modes", float(modes.mean()), each=modes.tolist(), seconds=float(seconds.mean()))
    report.measure(f"{name}: high-quality share", float(shares.mean()), each=shares.tolist())


def net(*sizes: int, first: int) -> keras.Sequential:
    """Dense layers, the last without activation."""
    hidden = [keras.layers.Dense(size, "relu") for size in sizes[:-1]]
    return keras.Sequential([keras.Input((first,)), *hidden, keras.layers.Dense(sizes[-1])])


def averaged(steps: int) -> keras.optimizers.Optimizer:
    """Adam with a rate that falls, and averaged weights."""
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    return keras.optimizers.Adam(rate, beta_1=0.5, use_ema=True, ema_momentum=0.995)


def trained(
    toy: str, seed: int, rounds: int, make: Callable[[], variational.Rounds], optimizers: tuple = ()
) -> tuple[int, float, float]:
    """Modes, share, seconds; every round sees new points."""
    keras.utils.set_random_seed(seed)
    model = make()
    model.compile(*optimizers)
    began = perf_counter()
    model.fit(
        TOYS[toy].sample(rounds * BATCH, seed),
        batch_size=BATCH,
        verbose=0,
        callbacks=[variational.Watchdog(patience=10**9)],
    )
    seconds = perf_counter() - began
    return *TOYS[toy].coverage(model.sample(2500, seed=1)), seconds


def plain(toy: str, seed: int, inertia: float) -> tuple[int, float, float]:
    """Small nets, 8 latents, Adam 1e-3, one step of the discriminator and five of the generator."""

    def make():
        nets = net(128, 128, 2, first=8), net(128, 128, 1, first=2)
        return variational.GAN(*nets, inertia=inertia, generator_steps=5, seed=seed)

    return trained(toy, seed, 1000, make)


def recommended(toy: str, seed: int, rounds: int) -> tuple[int, float, float]:
    """The setting of `docs/variational.md`."""

    def make():
        options = {
            "inertia": 0.5,
            "loss": "relativistic",
            "penalty": 0.01,
            "discriminator_steps": 3,
            "generator_steps": 3,
        }
        return variational.GAN(
            net(128, 128, 2, first=16), net(128, 128, 128, 1, first=2), seed=seed, **options
        )

    return trained(toy, seed, rounds, make, (averaged(3 * rounds), averaged(3 * rounds)))


def ali(toy: str, seed: int, rounds: int = 3000) -> tuple[int, float, float]:
    """Pairs of a point and two latents, the swap form, balanced steps and a small penalty."""

    def make():
        pair = keras.Input((2,)), keras.Input((2,))
        score = net(128, 128, 128, 1, first=4)(keras.layers.Concatenate()(pair))
        nets = net(128, 128, 2, first=2), net(128, 128, 2, first=2), keras.Model(pair, score)
        return variational.ALI(
            *nets, inertia=0.5, penalty=0.01, discriminator_steps=3, generator_steps=3, seed=seed
        )

    return trained(toy, seed, rounds, make, (averaged(3 * rounds), averaged(3 * rounds)))


def aae(toy: str, seed: int, rounds: int = 3000) -> tuple[int, float, float]:
    """Two latents, and reconstructions that count for more than the discriminator."""

    def make():
        nets = net(128, 128, 2, first=2), net(128, 128, 2, first=2), net(128, 128, 1, first=2)
        return variational.AAE(
            *nets, reconstruction=10.0, discriminator_steps=2, generator_steps=2, seed=seed
        )

    return trained(toy, seed, rounds, make, (averaged(2 * rounds), averaged(2 * rounds)))
