"""The study of `partita.flows`: handwritten digits, a density for them, and what its latent space knows."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from partita import flows
from partita.extras import need
from partita.tour.page import Block, Formula, Study, Table, Words, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = 17  # a pixel counts dark dots, 0 to 16
PIXELS = 64
ARTICLE, WIDE = "NICE, five hidden layers of 80", "NICE, two of 400, with dropout"
# Width, depth, dropout. The article has five of 1000 for twelve times the pixels; what is drawn comes from
# the last.
NETS = {ARTICLE: (80, 5, 0.0), WIDE: (400, 2, 0.3)}
TEMPERATURES = (0.5, 0.75, 1.0)
_BLUE, _GREY = "#3b86d1", "#8a8f94"


def study(seed: int = 0, epochs: int = 100) -> Study:
    """Train NICE on scikit-learn's digits, and measure it beside laws of the textbook.

    Args:
        seed: Of the split, the noise, the nets and the draws.
        epochs: At most; the best one on held-out digits counts.

    Raises:
        ImportError: if scikit-learn is missing.
    """
    train, held_out, test = _digits(seed)
    bits = {}
    for name, (width, depth, dropout) in NETS.items():
        keras.utils.set_random_seed(seed)
        flow = flows.nice(PIXELS, net=_nets(width, depth, dropout), base=flows.Logistic(), dequantize=LEVELS)
        flow.compile("adam")
        patience = keras.callbacks.EarlyStopping("val_loss", patience=20, restore_best_weights=True)
        history = flow.fit(
            train, validation_data=held_out, epochs=epochs, batch_size=64, verbose=0, callbacks=[patience]
        ).history
        bits[name] = float(flow.bits_per_dim(np.repeat(test, 5, axis=0), seed=seed).mean())
    bits |= _textbook(np.concatenate([train, held_out]), test, seed)
    pair = test[[int(np.argmin(flow.log_prob(test))), int(np.argmax(flow.log_prob(test)))]]
    reach = flows.importance(flow).deviations
    numbers: dict[str, Any] = {
        "digits": {"train": len(train), "held_out": len(held_out), "test": len(test)},
        "epochs": len(history["loss"]),
        "best_epoch": int(np.argmin(history["val_loss"])) + 1,
        "bits_per_pixel": bits,
        "train_bits_per_pixel": float(history["bits_per_dim"][int(np.argmin(history["val_loss"]))]),
        "reach_largest": float(reach[0]),
        "reach_median": float(np.median(reach)),
        "reach_smallest": float(reach[-1]),
    }
    return Study(
        "Digits out of noise",
        [*_draws(flow, seed), *_between(flow, pair), *_measured(numbers, reach)],
        numbers,
    )


def _digits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Digits to train on, to hold out and to test, rows of pixels from 0 to 1."""
    need("sklearn.datasets", "the study of flows")
    from sklearn.datasets import load_digits

    digits = load_digits().data.astype("float32") / (LEVELS - 1)
    digits = digits[np.random.default_rng(seed).permutation(len(digits))]
    return digits[:1300], digits[1300:1500], digits[1500:]


def _nets(width: int, depth: int, dropout: float) -> Callable[[int], keras.Model]:
    """What makes a coupling's net for so many outputs: hidden layers with ReLU."""

    def make(outputs: int) -> keras.Model:
        hidden = [
            layer
            for _ in range(depth)
            for layer in (keras.layers.Dense(width, activation="relu"), keras.layers.Dropout(dropout))
        ]
        return keras.Sequential([*hidden, keras.layers.Dense(outputs, kernel_initializer="zeros")])

    return make


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
    return {
        name: float(-law.fit(noisy).score(unseen) / (PIXELS * math.log(2)) + math.log2(LEVELS))
        for name, law in laws.items()
    }


def _sheet(figure: "Figure", sheets: list[np.ndarray], titles: list[str]) -> None:
    for axes, sheet, title in zip(np.ravel(figure.subplots(1, len(sheets))), sheets, titles, strict=True):
        axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title, fontsize=11)
        axes.set_axis_off()


def _draws(flow: flows.Flow, seed: int) -> list[Block]:
    sheets = [
        flows.image_grid(flow.sample(25, temperature, seed=seed), columns=5, gap=1)
        for temperature in TEMPERATURES
    ]
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
            lambda figure: _sheet(
                figure, sheets, [f"temperature {temperature:g}" for temperature in TEMPERATURES]
            ),
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
            lambda figure: _sheet(figure, [sheet], [""]),
            (7.2, 1.8),
            "Two rows of nine images between the same two digits: above mixed pixel by pixel, below through "
            "the latent space.",
            "Above: mixed pixel by pixel. Below: straight in the latent space. The ends are two digits that "
            "the flow was not trained on.",
        ),
    ]


def _measured(numbers: dict[str, Any], reach: np.ndarray) -> list[Block]:
    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.bar(np.arange(1, len(reach) + 1), reach, color=_BLUE, width=0.8)
        axes.set(xlabel="latent dimension, sorted", ylabel="1 / s", xlim=(0, len(reach) + 1))

    bits = numbers["bits_per_pixel"]
    ranked = sorted(bits, key=lambda name: bits[name])
    said = (
        f"{ranked[0]} comes out first."
        if ranked[0] == WIDE
        else f"On so few digits the {ranked[0]} is better."
    )
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
            [[name, f"{value:.3f}"] for name, value in sorted(bits.items(), key=lambda pair: pair[1])],
            f"{said} The article's nets, made for sixty thousand digits, learn {numbers['digits']['train']} "
            f"by heart; wider ones that lose "
            f"a share of their units at each step do so less. They took {numbers['best_epoch']} epochs, and "
            f"need "
            f"{numbers['train_bits_per_pixel']:.3f} bits for the digits they were trained on.",
        ),
    ]
