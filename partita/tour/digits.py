"""The second half of that study: scikit-learn's digits in two dimensions.

They go through a VAE, an adversarial auto-encoder and ALI.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers

from partita import variational
from partita.tour.page import Block, Table, Words, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPOCHS, BATCH, WIDTH, SIDE = 60, 128, 128, 11


def blocks(seed: int = 0, epochs: int = EPOCHS) -> tuple[list[Block], dict[str, Any]]:
    """What the page shows of the digits, and the numbers; without scikit-learn, how to come by them.

    Args:
        seed: Of nets and draws.
        epochs: Of each model.
    """
    if find_spec("sklearn") is None:
        return [
            Words(
                "The digits of this study come with scikit-learn, which is not installed: `pip install "
                "scikit-learn`.",
                "Digits",
            )
        ], {}
    from sklearn.datasets import load_digits

    pixels, label = load_digits(return_X_y=True)
    x = (pixels / 16).astype("float32")
    train, test = x[:1500], x[1500:]
    models = {name: make(train, seed, epochs) for name, make in (("VAE", _vae), ("AAE", _aae), ("ALI", _ali))}
    numbers = {
        name: {
            "error": round(float(np.abs(_clipped(model.reconstruct(test)) - test).mean()), 4),
            "neighbours": round(
                _neighbours(model.encode(train), label[:1500], model.encode(test), label[1500:]), 3
            ),
        }
        for name, model in models.items()
    }
    return _blocks(models, test, label[1500:], numbers), numbers


def _net(*sizes: int, first: int) -> keras.Sequential:
    hidden = [layers.Dense(size, "relu") for size in sizes[:-1]]
    return keras.Sequential([keras.Input((first,)), *hidden, layers.Dense(sizes[-1])])


def _vae(x, seed, epochs):
    keras.utils.set_random_seed(seed)
    vae = variational.VAE(
        _net(WIDTH, WIDTH, 4, first=64), _net(WIDTH, WIDTH, 64, first=2), "bernoulli", seed=seed
    )
    vae.compile(keras.optimizers.Adam(2e-3))
    vae.fit(x, batch_size=BATCH, epochs=epochs, verbose=0)
    return vae


def _aae(x, seed, epochs):
    keras.utils.set_random_seed(seed)
    aae = variational.AAE(
        _net(WIDTH, WIDTH, 2, first=64), _net(WIDTH, WIDTH, 64, first=2), _net(WIDTH, 1, first=2), seed=seed
    )
    aae.compile()
    aae.fit(x, batch_size=BATCH, epochs=epochs, verbose=0)
    return aae


def _ali(x, seed, epochs):
    keras.utils.set_random_seed(seed)
    pair = keras.Input((64,)), keras.Input((2,))
    hidden = layers.Dense(WIDTH, "relu")(layers.Dense(WIDTH, "relu")(layers.Concatenate()(pair)))
    score = keras.Model(pair, layers.Dense(1)(hidden))
    ali = variational.ALI(
        _net(WIDTH, WIDTH, 2, first=64),
        _net(WIDTH, WIDTH, 64, first=2),
        score,
        generator_steps=1,
        penalty=0.1,
        seed=seed,
    )
    ali.compile()
    ali.fit(x, batch_size=BATCH, epochs=2 * epochs, verbose=0)
    return ali


def _clipped(x):
    return np.clip(x, 0, 1)


def _neighbours(known, label, asked, truth, k=5):
    """Share of rows whose label most of the nearest known rows have."""
    nearest = np.argsort(((asked[:, None] - known) ** 2).sum(axis=-1), axis=1)[:, :k]
    votes = np.eye(10)[label[nearest]].sum(axis=1)
    return float((votes.argmax(axis=1) == truth).mean())


def _blocks(
    models: dict[str, Any], test: np.ndarray, label: np.ndarray, numbers: dict[str, Any]
) -> list[Block]:
    chosen = [int(np.flatnonzero(label == digit)[0]) for digit in range(10)]

    def draw_reconstructions(figure: "Figure") -> None:
        rows = {
            "given": test[chosen],
            **{name: _clipped(model.reconstruct(test[chosen])) for name, model in models.items()},
        }
        for axes, (name, images) in zip(figure.subplots(len(rows), 1), rows.items(), strict=True):
            axes.imshow(np.hstack([image.reshape(8, 8) for image in images]), cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[], ylabel=name)

    def draw_maps(figure: "Figure") -> None:
        for axes, (name, model) in zip(figure.subplots(1, len(models)), models.items(), strict=True):
            axes.scatter(*model.encode(test).T, c=label, cmap="tab10", s=9, linewidths=0)
            axes.set(title=name, xticks=[], yticks=[])

    def draw_walks(figure: "Figure") -> None:
        places = np.linspace(-1.6, 1.6, SIDE, dtype="float32")
        z = np.stack(np.meshgrid(places, -places), axis=-1).reshape(-1, 2)
        for axes, (name, model) in zip(figure.subplots(1, len(models)), models.items(), strict=True):
            images = _clipped(model.decode(z)).reshape(SIDE, SIDE, 8, 8)
            axes.imshow(images.swapaxes(1, 2).reshape(SIDE * 8, SIDE * 8), cmap="gray_r", vmin=0, vmax=1)
            axes.set(title=name, xticks=[], yticks=[])

    rows = [[name, f"{found['error']:.3f}", f"{found['neighbours']:.0%}"] for name, found in numbers.items()]
    return [
        Words(
            """1,797 handwritten digits of 8 × 8 pixels go through three models that write each as two numbers
            and read it back. The VAE bounds the integral: its loss is the error of reading back plus what the
            two numbers say beyond the prior. In the adversarial auto-encoder a second net watches that the
            two numbers look like the prior's. In ALI it sees the digit and the numbers together, and nothing
            measures the error of reading back: that a digit returns as itself is a consequence.""",
            "Bounded, and both: digits as two numbers",
        ),
        picture(
            draw_reconstructions,
            (7.2, 3.2),
            "Ten held-out digits, and what each model makes of them.",
            "Held-out digits, and what comes back from two numbers.",
        ),
        picture(
            draw_maps,
            (8.4, 3.0),
            "Maps of held-out digits in two dimensions, one a model.",
            "Where held-out digits lie, colored by digit.",
        ),
        picture(
            draw_walks,
            (8.4, 3.0),
            "Digits decoded from a square grid of numbers, one grid a model.",
            "A walk over the map: what each pair of numbers between −1.6 and 1.6 is read as.",
        ),
        Table(
            ["", "mean error of a pixel", "digit named by its neighbours"],
            rows,
            "On 297 held-out digits: the error of reading back, between 0 and 1, and how often the five "
            "nearest training digits on the map "
            "have the right name. No model was told any.",
        ),
    ]
