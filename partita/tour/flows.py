"""The study of `partita.flows`: handwritten digits, a density for them, and what its latent space knows."""

import math
from functools import partial
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from partita import flows
from partita.tour.digits import load
from partita.tour.page import BLUE, Block, Formula, Study, Table, Words, picture

LEVELS = 17  # a pixel counts dark dots, 0 to 16
PIXELS = 64
ARTICLE, WIDE = "NICE, five hidden layers of 80", "NICE, two of 400, with dropout"
# Dinh et al. (2014) take five layers of 1000 for twelve times the pixels. What is drawn comes from the last.
NETS: dict[str, dict[str, Any]] = {
    ARTICLE: {"width": 80, "depth": 5, "dropout": 0.0},
    WIDE: {"width": 400, "depth": 2, "dropout": 0.3},
}
TEMPERATURES = (0.5, 0.75, 1.0)


def study(seed: int = 0, epochs: int = 100) -> Study:
    """Train NICE on scikit-learn's digits, and measure it beside laws of the textbook.

    Args:
        seed: Of the split, the noise, the nets and the draws.
        epochs: At most; the best one on held-out digits counts.

    Raises:
        ImportError: if scikit-learn is missing.
    """
    train, held_out, test = np.split(load(seed)[0], [1300, 1500])
    bits = {}
    for name, hidden in NETS.items():
        keras.utils.set_random_seed(seed)
        net = partial(_net, **hidden)
        flow = flows.nice(PIXELS, net=net, base=flows.Logistic(), dequantize=LEVELS)
        flow.compile("adam")
        patience = keras.callbacks.EarlyStopping("val_loss", patience=20, restore_best_weights=True)
        history = flow.fit(
            train, validation_data=held_out, epochs=epochs, batch_size=64, verbose=0, callbacks=[patience]
        ).history
        bits[name] = float(flow.bits_per_dim(np.repeat(test, 5, axis=0), seed=seed).mean())
    bits |= _textbook(np.concatenate([train, held_out]), test, seed)
    log_q, best = flow.log_prob(test), int(np.argmin(history["val_loss"]))
    pair = test[[np.argmin(log_q), np.argmax(log_q)]]
    reach = flows.importance(flow).deviations
    numbers: dict[str, Any] = {
        "digits": {"train": len(train), "held_out": len(held_out), "test": len(test)},
        "epochs": len(history["loss"]),
        "best_epoch": best + 1,
        "bits_per_pixel": bits,
        "train_bits_per_pixel": float(history["bits_per_dim"][best]),
        "reach_largest": float(reach[0]),
        "reach_median": float(np.median(reach)),
        "reach_smallest": float(reach[-1]),
    }
    blocks = [*_draws(flow, seed), *_between(flow, pair), *_measured(numbers, reach)]
    return Study("Digits out of noise", blocks, numbers)


def _net(outputs: int, width: int, depth: int, dropout: float) -> keras.Model:
    """The net of a coupling: hidden layers with ReLU and dropout."""
    net = keras.Sequential()
    for _ in range(depth):
        net.add(keras.layers.Dense(width, activation="relu"))
        net.add(keras.layers.Dropout(dropout))
    net.add(keras.layers.Dense(outputs, kernel_initializer="zeros"))
    return net


def _textbook(train: np.ndarray, test: np.ndarray, seed: int) -> dict[str, float]:
    """Compute bits per pixel of a Gaussian and of a mixture of Gaussians.

    The images and the kind of noise are the same as for the flow.
    """
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(seed)
    noisy, unseen = (
        ((LEVELS - 1) * x + rng.uniform(size=x.shape)) / LEVELS
        for x in (np.repeat(train, 2, axis=0), np.repeat(test, 5, axis=0))
    )
    laws = {
        "Gaussian, full covariance": GaussianMixture(1, reg_covar=1e-5, random_state=seed),
        "mixture of 10 Gaussians, full covariance": GaussianMixture(
            10, reg_covar=1e-3, max_iter=20, tol=1e-2, random_state=seed
        ),
        "mixture of 20 Gaussians, diagonal": GaussianMixture(
            20, covariance_type="diag", reg_covar=1e-4, max_iter=50, random_state=seed
        ),
    }
    nats = {name: -law.fit(noisy).score(unseen) for name, law in laws.items()}  # of a noisy image
    return {name: float(value / (PIXELS * math.log(2)) + math.log2(LEVELS)) for name, value in nats.items()}


def _sheet(figure: Figure, sheets: dict[str, np.ndarray]) -> None:
    all_axes = figure.subplots(1, len(sheets), squeeze=False)[0]
    for axes, (title, sheet) in zip(all_axes, sheets.items(), strict=True):
        axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title, fontsize=11)
        axes.set_axis_off()


def _draws(flow: flows.Flow, seed: int) -> list[Block]:
    drawn = {f"temperature {t:g}": flow.sample(25, t, seed=seed) for t in TEMPERATURES}
    sheets = {title: flows.image_grid(images, columns=5, gap=1) for title, images in drawn.items()}
    return [
        Words(
            """A net that can be run backwards turns images into noise: 64 pixels into 64 numbers that look
            like independent draws of one law. Because it can be run backwards, it turns noise into images;
            and because it keeps account of the volume it takes from each place, the probability of an image
            is known exactly. There is no sum over all images to be done."""
        ),
        Formula(
            "log q(x) = log p(f(x)) + log|det ∂f/∂x|,   f: four shifts of half the pixels by a net of the "
            "other half, then a scale"
        ),
        picture(
            lambda figure: _sheet(figure, sheets),
            (7.2, 2.7),
            "Three sheets of 25 digits that the flow drew: at the lowest temperature plain and alike, at "
            "the highest often broken.",
            "Digits that nobody wrote. The noise is multiplied by the temperature before it is turned into "
            "an image.",
        ),
    ]


def _between(flow: flows.Flow, pair: np.ndarray) -> list[Block]:
    straight = np.linspace(pair[0], pair[1], 9)
    curved = flows.interpolate(flow, pair[0], pair[1], steps=9)
    sheet = flows.image_grid(np.concatenate([straight, curved]), columns=9, gap=1)
    return [
        Words(
            """Between two digits lies a straight line of mixed images, most of which are no digits. The line
            that is straight in the latent space ends in the same two, and bends between them to where the
            flow finds images likely.""",
            "From one digit to another",
        ),
        picture(
            lambda figure: _sheet(figure, {"": sheet}),
            (7.2, 1.8),
            "Two rows of nine images between the same two digits: above mixed pixel by pixel, below through "
            "the latent space.",
            "Above: mixed pixel by pixel. Below: straight in the latent space. The ends are two digits that "
            "the flow was not trained on.",
        ),
    ]


def _measured(numbers: dict[str, Any], reach: np.ndarray) -> list[Block]:
    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.bar(np.arange(1, len(reach) + 1), reach, color=BLUE, width=0.8)
        axes.set(xlabel="latent dimension, sorted", ylabel="1 / s", xlim=(0, len(reach) + 1))

    ranked = sorted(numbers["bits_per_pixel"].items(), key=lambda pair: pair[1])
    best = ranked[0][0]
    said = f"{best} comes out first." if best == WIDE else f"On so few digits the {best} is better."
    return [
        Words(
            """The last piece of the flow multiplies each dimension by a number s of its own. Where s is
            small, the images reach far along that dimension; where it is large, there is next to nothing:
            pixels at the edge that are always white.""",
            "Which dimensions matter",
        ),
        picture(
            draw,
            (7.2, 2.4),
            "Bars of 1/s for the 64 dimensions in falling order: a few are tall, and the last are close to "
            "zero.",
            f"How far the images reach along each dimension: {reach[0]:.2f} along the first, "
            f"{reach[-1]:.3f} along the last.",
        ),
        Words(
            f"""How good is the density? On {numbers["digits"]["test"]} digits that nothing was fitted to,
            count the bits that a code built on it would need for each pixel. A pixel takes one of {LEVELS}
            values, so a code that knows nothing needs {math.log2(LEVELS):.2f}.""",
            "Bits per pixel",
        ),
        Table(
            ["", "bits per pixel, unseen digits"],
            [[name, f"{value:.3f}"] for name, value in ranked],
            f"{said} The article's nets, made for sixty thousand digits, learn {numbers['digits']['train']} "
            f"by heart; wider ones that lose a share of their units at each step do so less. They took "
            f"{numbers['best_epoch']} epochs, and need "
            f"{numbers['train_bits_per_pixel']:.3f} bits for the digits they were trained on.",
        ),
    ]
