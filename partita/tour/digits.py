"""Scikit-learn's digits, for all studies, and the second half of that of `partita.variational`.

There they go through a VAE, an adversarial auto-encoder and ALI, in two dimensions.
"""

from importlib.util import find_spec
from typing import Any

import keras
import numpy as np
from keras import layers
from matplotlib.figure import Figure

from partita import variational
from partita.extras import need
from partita.tour.page import Block, Table, Words, picture

EPOCHS, BATCH, WIDTH, SIDE = 60, 128, 128, 11


def load(seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, rows of 64 pixels from 0 to 1, and their classes, in the order that `seed` draws.

    Raises:
        ImportError: if scikit-learn is missing.
    """
    need("sklearn.datasets", "a study of digits")
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    order = np.arange(len(images)) if seed is None else np.random.default_rng(seed).permutation(len(images))
    return (images[order] / 16).astype("float32"), classes[order]


def blocks(seed: int = 0, epochs: int = EPOCHS) -> tuple[list[Block], dict[str, Any]]:
    """What the page shows of the digits, and the numbers; without scikit-learn, how to come by them.

    Args:
        seed: Of nets and draws.
        epochs: Of each model.
    """
    if find_spec("sklearn") is None:
        missing = "The digits of this study come with scikit-learn, which is not installed: "
        return [Words(f"{missing}`pip install scikit-learn`.", "Digits")], {}
    from sklearn.neighbors import KNeighborsClassifier

    x, classes = load()
    train, test, label = x[:1500], x[1500:], classes[1500:]
    models, numbers = {}, {}
    for name, make, longer in (("VAE", _vae, 1), ("AAE", _aae, 1), ("ALI", _ali, 2)):
        keras.utils.set_random_seed(seed)
        model = make(seed)
        model.fit(train, batch_size=BATCH, epochs=longer * epochs, verbose=0)
        neighbours = KNeighborsClassifier(5).fit(model.encode(train), classes[:1500])
        models[name] = model
        numbers[name] = {
            "error": round(float(np.abs(_clipped(model.reconstruct(test)) - test).mean()), 4),
            "neighbours": round(neighbours.score(model.encode(test), label), 3),
        }
    return _blocks(models, test, label, numbers), numbers


def net(*sizes: int, first: int) -> keras.Sequential:
    """Dense layers with ReLU, the last without."""
    hidden = [layers.Dense(size, "relu") for size in sizes[:-1]]
    return keras.Sequential([keras.Input((first,)), *hidden, layers.Dense(sizes[-1])])


def _vae(seed):
    encoder, decoder = net(WIDTH, WIDTH, 4, first=64), net(WIDTH, WIDTH, 64, first=2)
    vae = variational.VAE(encoder, decoder, "bernoulli", seed=seed)
    vae.compile(keras.optimizers.Adam(2e-3))
    return vae


def _aae(seed):
    encoder, decoder = net(WIDTH, WIDTH, 2, first=64), net(WIDTH, WIDTH, 64, first=2)
    aae = variational.AAE(encoder, decoder, net(WIDTH, 1, first=2), seed=seed)
    aae.compile()
    return aae


def _ali(seed):
    pair = keras.Input((64,)), keras.Input((2,))
    hidden = layers.Dense(WIDTH, "relu")(layers.Dense(WIDTH, "relu")(layers.Concatenate()(pair)))
    score = keras.Model(pair, layers.Dense(1)(hidden))
    encoder, decoder = net(WIDTH, WIDTH, 2, first=64), net(WIDTH, WIDTH, 64, first=2)
    ali = variational.ALI(encoder, decoder, score, generator_steps=1, penalty=0.1, seed=seed)
    ali.compile()
    return ali


def _clipped(x):
    return np.clip(x, 0, 1)


def _blocks(
    models: dict[str, Any], test: np.ndarray, label: np.ndarray, numbers: dict[str, Any]
) -> list[Block]:
    chosen = [int(np.flatnonzero(label == digit)[0]) for digit in range(10)]

    def draw_reconstructions(figure: Figure) -> None:
        rows = {"given": test[chosen]}
        rows |= {name: _clipped(model.reconstruct(test[chosen])) for name, model in models.items()}
        for axes, (name, images) in zip(figure.subplots(len(rows), 1), rows.items(), strict=True):
            axes.imshow(np.hstack([*images.reshape(-1, 8, 8)]), cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[], ylabel=name)

    def draw_maps(figure: Figure) -> None:
        for axes, (name, model) in zip(figure.subplots(1, len(models)), models.items(), strict=True):
            axes.scatter(*model.encode(test).T, c=label, cmap="tab10", s=9, linewidths=0)
            axes.set(title=name, xticks=[], yticks=[])

    def draw_walks(figure: Figure) -> None:
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
            "nearest training digits on the map have the right name. No model was told any.",
        ),
    ]
