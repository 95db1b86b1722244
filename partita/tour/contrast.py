"""Study of `partita.contrast` in three parts.

They are a density without its Z, a landscape of two moons, and the words of docstrings.
"""

from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from partita import contrast
from partita.tour.page import BLUE, GREY, ORANGE, Block, Formula, Study, Table, Words, picture
from partita.tour.prose import gather

A, B = 0.5, 0.25
NUMBERS_OF_NOISE = (1, 2, 5, 10, 30, 100)
WINDOW, NEGATIVES = 5, 5
ASKED = ("file", "list", "return", "string", "error", "thread")


class Quartic(keras.layers.Layer):
    """G = −a x² − b x⁴."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a = self.add_weight(name="a", shape=(), initializer="zeros")
        self.b = self.add_weight(name="b", shape=(), initializer="ones")

    def call(self, x):
        return -self.a * x[:, 0] ** 2 - self.b * x[:, 0] ** 4


def study(seed: int = 0, num_points: int = 20_000, num_sentences: int = 12_000, epochs: int = 100) -> Study:
    """Fit the density, the landscape and the vectors.

    Args:
        seed: Of all that is drawn.
        num_points: Samples of the density.
        num_sentences: Of the docstrings.
        epochs: Of the landscape's training.
    """
    keras.utils.set_random_seed(seed)
    density, numbers = _density(seed, num_points)
    landscape, of_landscape = _landscape(seed, epochs)
    words, of_words = _words(seed, num_sentences)
    return Study("Telling data from noise", [*density, *landscape, *words], numbers | of_landscape | of_words)


def _density(seed: int, num_points: int) -> tuple[list[Block], dict[str, Any]]:
    grid = np.linspace(-6, 6, 100_001)
    weight = np.exp(-A * grid**2 - B * grid**4)
    truth = {"a": A, "b": B, "log Z": float(np.log(weight.sum() * (grid[1] - grid[0])))}
    uniform = np.random.default_rng(seed).random(num_points)
    x = np.interp(uniform, np.cumsum(weight) / weight.sum(), grid)[:, None]
    model = contrast.EnergyModel(Quartic(), contrast.Normal.fit(x), num_noise=10)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(x, batch_size=500, epochs=3, verbose=0)
    found = model.estimate(x, seed=seed, refine=True)
    values = {name: float(found.parameters[name]) for name in ("a", "b")}
    errors = {name: float(found.errors[name]) for name in ("a", "b")}
    values["log Z"], errors["log Z"] = found.log_partition, found.log_partition_error
    rows = [[name, f"{truth[name]:.4f}", f"{values[name]:.4f}", f"{errors[name]:.4f}"] for name in truth]
    blocks: list[Block] = [
        Words(
            f"""Draw {num_points:,} points from a density that has no closed form for its sum Z. To find a, b
            and Z from the points alone, put ten points of noise beside each of them, from a normal
            distribution, and learn to tell which is which. The classifier has one number more than the
            density, γ. At its best it is forced to be log Z: nothing was ever summed."""
        ),
        Formula(
            "p(x) = exp(−a x^{2} − b x^{4}) / Z,   p(data|x) = σ(−a x^{2} − b x^{4} − γ − log U(x) − log 10)"
        ),
        Table(
            ["", "truth", "found", "standard error"],
            rows,
            "The truth of log Z is by quadrature; the others were chosen.",
        ),
    ]
    price, ratios = _price(x[: num_points // 4], grid[:, None], weight / weight.sum(), seed)
    return [*blocks, *price], {"truth": truth, "found": values, "errors": errors, "variance_ratios": ratios}


def _price(
    x: np.ndarray, grid: np.ndarray, shares: np.ndarray, seed: int
) -> tuple[list[Block], dict[int, list[float]]]:
    """The variance of what noise finds over that of maximum likelihood, which needs Z."""
    powers = np.concatenate([grid**2, grid**4], axis=1)  # −∂G/∂(a, b)
    means = shares @ powers
    likeliest = np.linalg.inv((powers - means).T @ ((powers - means) * shares[:, None])) / len(x)
    best = np.array([*np.diag(likeliest), means @ likeliest @ means])  # of a, b and log Z
    ratios = {}
    for many in NUMBERS_OF_NOISE:
        model = contrast.EnergyModel(Quartic(), contrast.Normal.fit(x), num_noise=many)
        ratios[many] = (np.diag(model.estimate(x, seed=seed, refine=True).covariance) / best).tolist()

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        styles = {"a": (BLUE, "o"), "b": (ORANGE, "s"), "log Z": (GREY, "^")}
        curves = np.transpose([*ratios.values()])
        for (name, (color, marker)), curve in zip(styles.items(), curves, strict=True):
            axes.plot(NUMBERS_OF_NOISE, curve, color=color, marker=marker, markersize=4, label=name)
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set(xlabel="points of noise for each point of data", ylabel="variance / maximum likelihood's")
        axes.set(xscale="log", ylim=(0, None))
        axes.legend()

    most = NUMBERS_OF_NOISE[-1]
    return [
        Words(
            """What does it cost not to know Z? Maximum likelihood sums Z at every step and has the smallest
            variance there is. The more noise, the less is lost.""",
            "The price of not knowing",
        ),
        picture(
            draw,
            (5.6, 2.8),
            "Three falling curves, of a, b and log Z, that approach a line at 1 as the noise grows.",
            f"Estimated from {len(x):,} points. With {most} points of noise for each the variances are "
            f"{min(ratios[most]):.2f} to {max(ratios[most]):.2f} times maximum likelihood's.",
        ),
    ], ratios


def moons(n: int, seed: int) -> np.ndarray:
    """Two half circles, one the other way up, with some noise, `(n, 2)`."""
    rng = np.random.default_rng(seed)
    angle, lower = rng.random(n) * np.pi, rng.random(n) < 0.5
    x, y = np.cos(angle), np.sin(angle)
    points = np.stack([np.where(lower, 1 - x, x), np.where(lower, 0.5 - y, y)], axis=1)
    return points + rng.normal(scale=0.1, size=(n, 2))


def _landscape(seed: int, epochs: int) -> tuple[list[Block], dict[str, Any]]:
    x = moons(6000, seed)
    hidden = [keras.layers.Dense(64, "silu") for _ in range(2)]
    net = keras.Sequential([*hidden, keras.layers.Dense(1)])
    low, high = [-2.0, -1.5], [3.0, 2.0]
    model = contrast.EnergyModel(net, contrast.Uniform(low, high), num_noise=5)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, epochs * len(x) // 200)))
    model.fit(x, batch_size=200, epochs=epochs, verbose=0)
    sides = [np.linspace(a, b, 101) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*sides), axis=-1)  # (101, 101, 2)
    height = model.log_prob(grid.reshape(-1, 2)).reshape(101, 101)
    mass = float(np.exp(height).sum() * np.prod([side[1] - side[0] for side in sides]))
    drawn = model.sample(400, seed=seed, steps=100)
    held_out = float(model.log_prob(moons(2000, seed + 1)).mean())

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        left.contourf(*sides, np.maximum(height, -8), levels=12, cmap="Blues")
        left.set(title="log p(x), as learned")
        right.plot(*x[:400].T, ".", color=GREY, markersize=3, label="data")
        right.plot(*drawn.T, ".", color=ORANGE, markersize=3, label="drawn from the model")
        right.set(title="400 points of each", xlim=(low[0], high[0]))
        right.legend(loc="lower left", fontsize=9)

    blocks = [
        Words(
            f"""The same in two dimensions, with a net for G and noise spread evenly over the rectangle.
            Points drawn from the net, by steps up its slope with some chance added, fall on the moons. The
            density adds up to {mass:.2f} over the rectangle, though no sum was part of the training.""",
            "A landscape",
        ),
        picture(
            draw,
            (7.2, 3.0),
            "Left: a landscape of two interlocked half circles. Right: points of the data, and points drawn "
            "from the model upon them.",
            f"Mean log-density of points not seen in training: {held_out:.2f} nats; of noise spread evenly, "
            f"{-np.log(17.5):.2f}.",
        ),
    ]
    return blocks, {"moons_mass": mass, "moons_held_out": held_out}


def _words(seed: int, num_sentences: int) -> tuple[list[Block], dict[str, Any]]:
    sentences = [
        [word.strip(".,;:!?\"'()`").lower() for word in words]
        for found in gather(num_sentences, seed).values()
        for words in found
    ]
    vectors = contrast.SkipGram(
        dim=48, window=WINDOW, negatives=NEGATIVES, min_count=8, power=1.0, sample=0, epochs=20, seed=seed
    ).fit(sentences)
    pairs = _pairs(vectors, sentences)
    often = pairs >= 20
    rows, columns = np.nonzero(often)
    expected = np.outer(pairs.sum(axis=1), pairs.sum(axis=0)) / pairs.sum()
    measured = np.log(pairs[often] / expected[often]) - np.log(NEGATIVES)
    scores = (vectors.vectors @ np.asarray(vectors.contexts).T)[rows, columns]
    correlation = float(np.corrcoef(scores, measured)[0, 1])
    asked = [word for word in ASKED if word in vectors]
    near = {word: [other for other, _ in vectors.most_similar(word, n=5)] for word in asked}

    shown = np.random.default_rng(seed).permutation(len(rows))[:1500]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot(measured[shown], scores[shown], ".", color=BLUE, markersize=2, alpha=0.4, rasterized=True)
        ends = measured[shown].min(), measured[shown].max()
        axes.plot(ends, ends, color=GREY, linewidth=1)
        axes.set(xlabel="log p(j|i) / p(j) − log k, counted", ylabel="⟨u, v⟩, learned")

    blocks = [
        Words(
            f"""Words are told from noise as well: which word stands near this one, and which was only drawn
            at random, {NEGATIVES} for each side of a window? The score is the product of two vectors. From
            {len(sentences):,} sentences of the standard library's docstrings, words that are used alike come
            to lie near one another.""",
            "Words",
        ),
        Table(
            ["word", "nearest"],
            [[word, ", ".join(others)] for word, others in near.items()],
            "The five nearest by angle.",
        ),
        picture(
            draw,
            (4.6, 3.4),
            "Points along a rising diagonal: scores of pairs of words against their counted mutual "
            "information.",
            f"Pairs seen 20 times or more. Their scores go to the mutual information less log {NEGATIVES}: "
            f"correlation {correlation:.2f}.",
        ),
    ]
    numbers = {"words": len(vectors), "pairs": len(rows), "correlation": correlation, "nearest": near}
    return blocks, numbers


def _pairs(vectors: contrast.WordVectors, sentences: list[list[str]]) -> np.ndarray:
    """Count how often word j is in the window of word i, `(words, words)`.

    A window reaches 1 to `WINDOW` words with equal chance.
    """
    rows = {word: row for row, word in enumerate(vectors.words)}
    counts = np.zeros((len(rows), len(rows)))
    for sentence in sentences:
        ids = np.array([rows[word] for word in sentence if word in rows], int)
        for apart in range(1, min(WINDOW + 1, len(ids))):
            share = (WINDOW + 1 - apart) / WINDOW
            np.add.at(counts, (ids[:-apart], ids[apart:]), share)
    return counts + counts.T
