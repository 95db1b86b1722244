"""Study of `partita.variational`: a ring of points, and digits three ways.

The ring is with and without the term that the GAN's loss lacks.
"""

from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from partita import variational
from partita.tour import digits
from partita.tour.digits import net
from partita.tour.page import BLUE, GREY, ORANGE, Block, Formula, Study, Table, Words, picture

ROUNDS, LOOK, BATCH, WIDTH, SEEDS = 800, 40, 256, 96, 3
INERTIA = {"without the term": 0.0, "λ = 1": 1.0}
FRAMES = (0, 2, 5, 10, 20)  # looks at which the points are drawn


def study(seed: int = 0, rounds: int = ROUNDS) -> Study:
    """Train GANs on the ring, with and without inertia, and three models on the digits.

    Args:
        seed: Of nets, draws and data.
        rounds: Of each GAN.
    """
    toy = variational.ring()
    watched = {
        name: [_watch(toy, inertia, seed + number, rounds) for number in range(SEEDS)]
        for name, inertia in INERTIA.items()
    }
    shown, measured = digits.blocks(seed)
    numbers: dict[str, Any] = {
        "modes": {name: [run[-1][0].modes for run in runs] for name, runs in watched.items()},
        "high_quality": {
            name: [round(run[-1][0].high_quality, 3) for run in runs] for name, runs in watched.items()
        },
        "digits": measured,
    }
    blocks = [*_ring(toy, watched, numbers), *shown]
    return Study("One principle, played against and bounded", blocks, numbers)


def _watch(
    toy: variational.Modes, inertia: float, seed: int, rounds: int
) -> list[tuple[variational.Coverage, np.ndarray]]:
    """Coverage and points at the start and after every few rounds."""
    keras.utils.set_random_seed(seed)
    generator, critic = net(WIDTH, WIDTH, 2, first=2), net(WIDTH, WIDTH, 1, first=2)
    gan = variational.GAN(generator, critic, inertia=inertia, generator_steps=5, seed=seed)
    gan.compile()
    seen = []

    def look(*_: Any) -> None:
        points = gan.sample(2500, seed=1)
        seen.append((toy.coverage(points), points[:400]))

    look()
    watchdog = variational.Watchdog(patience=rounds + 1)  # what goes wrong is to be seen
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=look), watchdog]
    points = toy.sample(LOOK * BATCH, seed=seed)
    gan.fit(points, batch_size=BATCH, epochs=rounds // LOOK, verbose=0, callbacks=callbacks)
    return seen


def _ring(toy: variational.Modes, watched: dict[str, Any], numbers: dict[str, Any]) -> list[Block]:
    looks = len(next(iter(watched.values()))[0])
    frames = sorted({min(frame, looks - 1) for frame in FRAMES})

    def draw_frames(figure: Figure) -> None:
        grid = figure.subplots(len(watched), len(frames), squeeze=False)
        for row, (name, runs) in zip(grid, watched.items(), strict=True):
            row[0].set_ylabel(name)
            for axes, frame in zip(row, frames, strict=True):
                axes.plot(*toy.centers.T, "o", color=GREY, markersize=6, alpha=0.35, markeredgewidth=0)
                axes.plot(*runs[0][frame][1].T, ".", color=ORANGE, markersize=2)
                axes.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
                axes.set_title(f"round {frame * LOOK}", fontsize=9)

    def draw_modes(figure: Figure) -> None:
        axes = figure.add_subplot()
        at = np.arange(looks) * LOOK
        for color, (name, runs) in zip((ORANGE, BLUE), watched.items(), strict=True):
            modes = [[coverage.modes for coverage, _ in run] for run in runs]  # (run, look)
            drawn = axes.plot(at, np.transpose(modes), color=color, linewidth=1.5)
            drawn[0].set_label(name)
        axes.set(xlabel="round", ylabel="modes reached", ylim=(-0.2, 8.4))
        axes.legend(loc="center right")

    rows = []
    for name, modes in numbers["modes"].items():
        shares = " ".join(f"{share:.0%}" for share in numbers["high_quality"][name])
        rows.append([name, " ".join(map(str, modes)), shares])
    return [
        Words(
            """A model with a hidden cause z gives a point the probability ∫ q(x|z) q(z) dz, and that integral
            is out of reach. It can be bounded, or a second net can be set against it. Either way what is made
            small is one quantity, a divergence between joint distributions; the models on this page are
            choices of which."""
        ),
        Formula("KL(p(x, z) ‖ q(x, z)) ≥ KL(p(x) ‖ q(x))"),
        Words(
            """In a generative adversarial net one net, D, learns to tell data from what another, G, makes of
            random numbers, and G learns to be taken for data. The argument that leads there leaves G a second
            term, which says: stay near what you made before. The usual loss drops it, and without it nothing
            holds G back from putting all its points where D is weakest. Here G takes five steps against each
            step of D, with the term and without.""",
            "Played against: the term that was dropped",
        ),
        Formula("E_{z}[−log D(G(z)) + λ ‖G(z) − G°(z)‖^{2}],   G° the net at the start of the round"),
        picture(
            draw_frames,
            (8.4, 3.6),
            "Points that two generators make at five times of their training, above without the term, below "
            "with it, and the eight modes.",
            "Points made (small) and the eight modes that they should fall on (grey), as training goes on; "
            "one seed.",
        ),
        picture(
            draw_modes,
            (7.2, 2.8),
            "How many of the eight modes are reached, by round, for each seed.",
            f"How many of the eight modes hold points, for {SEEDS} seeds each.",
        ),
        Table(
            ["", "modes at the end", "points within 3σ of a mode"],
            rows,
            f"Of 2,500 points after {(looks - 1) * LOOK} rounds, one figure a seed. The setting is made to "
            f"show the difference; the guide has a better one.",
        ),
    ]
