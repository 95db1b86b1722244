"""The study of `partita.training`: digits with wrong labels, and the two-dimensional features of center loss.

plain, SamplePairing, mixup → accuracy, calibration, gap to linear; with and without center loss → where ten
classes lie
"""

from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import sem

from partita.tour.digits import load
from partita.tour.page import BLUE, GREY, ORANGE, Block, Formula, Study, Table, Words, picture
from partita.training import CenterLoss, Mixup, SamplePairing, linearity

WRONG = 0.2  # of the training labels
EPOCHS, BATCH = 30, 64
KINDS = ("plain", "SamplePairing", "mixup")
_COLORS = {"plain": GREY, "SamplePairing": ORANGE, "mixup": BLUE}


def digits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images 8 × 8 from 0 to 1, flat, and their classes: 1,000 to train on, 797 to test on.

    Raises:
        ImportError: if scikit-learn is missing.
    """
    images, classes = load(seed)
    return images[:1000], classes[:1000], images[1000:], classes[1000:]


def study(seed: int = 0, seeds: int = 3, epochs: int = EPOCHS) -> Study:
    """Train on labels of which a fifth is wrong, three ways and several times.

    Then look at features with and without centres.

    Args:
        seed: Of the first run; the others count on from it.
        seeds: Runs of each way.
        epochs: Of each run.
    """
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for number in range(seed, seed + seeds):
        data = digits(number)
        for kind in KINDS:
            runs[kind].append(_train(kind, data, number, epochs))
    weights = {"without": None, "with": 1.0}  # of the center loss
    drawn = {name: _features(weight, digits(seed), seed) for name, weight in weights.items()}
    numbers: dict[str, Any] = {
        kind: {name: [run[name] for run in found] for name in ("accuracy", "calibration", "gap")}
        for kind, found in runs.items()
    }
    numbers["scatter"] = {name: scatter for name, (_, _, scatter) in drawn.items()}
    blocks = [*_mixtures(numbers, runs), *_centres(numbers, drawn)]
    return Study("Wrong labels, and straight lines", blocks, numbers)


def _train(kind: str, data: tuple[np.ndarray, ...], seed: int, epochs: int) -> dict[str, Any]:
    x, y, x_test, y_test = data
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(y)) < WRONG
    targets = np.eye(10, dtype="float32")[np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)]
    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(256, "relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10, "softmax")])
    model.compile(keras.optimizers.Adam(2e-3), "categorical_crossentropy")
    batches: keras.utils.PyDataset
    if kind == "mixup":
        batches = Mixup((x, targets), batch_size=BATCH, seed=seed)
    else:  # pairs of no epoch, or of those in the middle
        begin, end = (0, 0) if kind == "plain" else (epochs // 8, epochs - epochs // 8)
        batches = SamplePairing((x, targets), begin=begin, end=end, batch_size=BATCH, seed=seed)
    curve: list[float] = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: curve.append(_accuracy(model, x_test, y_test))
    )
    model.fit(batches, epochs=epochs, verbose=0, callbacks=[watch])
    probabilities = model.predict(x_test, verbose=0, batch_size=len(x_test))
    half = len(x_test) // 2
    shares = np.linspace(0, 1, 11)
    line = linearity(model, x_test[:half], x_test[half : 2 * half], shares, batch_size=half)
    return {
        "accuracy": curve[-1],
        "calibration": calibration_error(probabilities, y_test),
        "gap": line.gap,
        "curve": curve,
        "line": line,
    }


def _accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    return float((model.predict(x, verbose=0, batch_size=len(x)).argmax(axis=1) == y).mean())


def calibration_error(probabilities: np.ndarray, classes: np.ndarray, bins: int = 15) -> float:
    """The expected calibration error: how far confidence is from accuracy, bin by bin of confidence.

    Example:
        >>> calibration_error(np.array([[0.8, 0.2]] * 5), np.array([0, 0, 0, 0, 1]))
        0.0
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == classes
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    gaps = np.bincount(place, confidence, bins) - np.bincount(place, right, bins)
    return round(float(np.abs(gaps).sum() / counts.sum()), 12)


def _mixtures(numbers: dict[str, Any], runs: dict[str, list[dict[str, Any]]]) -> list[Block]:
    def draw(figure: Figure) -> None:
        curves, lines = figure.subplots(1, 2)
        for kind, found in runs.items():
            color = _COLORS[kind]
            accuracy = np.array([run["curve"] for run in found])  # (run, epoch)
            epochs = np.arange(1, accuracy.shape[1] + 1)
            curves.plot(epochs, accuracy.T, color=color, alpha=0.25, linewidth=1)
            curves.plot(epochs, accuracy.mean(axis=0), color=color, label=kind)
            gaps = np.mean([run["line"].gaps for run in found], axis=0)
            lines.plot(found[0]["line"].shares, gaps, color=color, label=kind)
        curves.set(xlabel="epoch", ylabel="test accuracy", ylim=(0.6, 1.0))
        curves.legend(loc="lower right")
        lines.set(xlabel="ε", ylabel="gap to linear", xlim=(0, 1), ylim=(0, None))

    def cell(kind, name):
        values = numbers[kind][name]
        error = sem(values) if len(values) > 1 else 0
        return f"{np.mean(values):.3f} ± {error:.3f}"

    return [
        Words(
            f"""A classifier of handwritten digits is trained on 1,000 images, and a fifth of the labels,
            {WRONG:.0%}, is wrong. A net this size learns the wrong labels by heart, given time. SamplePairing
            shows it the mean of two images under the label of one; mixup a mixture of two under the mixture
            of their labels."""
        ),
        Formula("f(εx_{a} + (1 − ε)x_{b}) = εf(x_{a}) + (1 − ε)f(x_{b})"),
        Words(
            """Only linear functions do this for every ε. So what looks like augmentation is a wish for
            straight lines between the samples, which can be looked at: how far is the answer on a mixture
            from the mixture of the answers?""",
            "A preference for straight lines",
        ),
        picture(
            draw,
            (7.2, 3.1),
            "Left: test accuracy by epoch for plain training, SamplePairing and mixup. Right: the gap to "
            "linear for each, by share.",
            "Left: accuracy on 797 clean images, each run and the mean. Right: distance from linear between "
            "pairs of test images.",
        ),
        Table(
            ["", "accuracy", "calibration error", "gap"],
            [[kind, cell(kind, "accuracy"), cell(kind, "calibration"), cell(kind, "gap")] for kind in KINDS],
            f"After the last epoch: means of {len(runs['plain'])} runs, each with other wrong labels, ± "
            f"standard errors.",
        ),
        Words(
            """The plain net forgets again what it had understood. The mixtures keep it from that, and have a
            price: a net that has seen nothing but mixtures, under labels that are wrong now and then, is less
            sure of a clean image than it could be."""
        ),
    ]


def _features(
    weight: float | None, data: tuple[np.ndarray, ...], seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return features of the test images `(image, 2)`, their classes, and a ratio of scatters.

    It is the ratio of scatter within to between classes.
    """
    x, y, x_test, y_test = data
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((64,))
    features = keras.layers.Dense(2)(keras.layers.Dense(128, "relu")(keras.layers.Dense(128, "relu")(inputs)))
    loss: Any = "sparse_categorical_crossentropy"
    if weight is not None:
        center = CenterLoss(10, weight)
        features, loss = center(features), center.loss(loss)
    model = keras.Model(inputs, keras.layers.Dense(10, "softmax")(features))
    model.compile(keras.optimizers.Adam(2e-3), loss)
    model.fit(x, y, epochs=60, batch_size=BATCH, verbose=0)
    found = keras.Model(inputs, features).predict(x_test, verbose=0)
    return found, y_test, scatter_ratio(found, y_test)


def scatter_ratio(features: np.ndarray, classes: np.ndarray) -> float:
    """Mean squared distance to the mean of the class, divided by that of the means to their mean.

    Example:
        >>> scatter_ratio(np.array([[0.0], [2.0], [10.0], [12.0]]), np.array([0, 0, 1, 1]))
        0.04
    """
    kinds, own = np.unique(classes, return_inverse=True)
    means = np.stack([features[classes == kind].mean(axis=0) for kind in kinds])
    within = ((features - means[own]) ** 2).sum(axis=1).mean()
    return float(within / means.var(axis=0).sum())


def _centres(numbers: dict[str, Any], drawn: dict[str, tuple[np.ndarray, np.ndarray, float]]) -> list[Block]:
    def draw(figure: Figure) -> None:
        for axes, (name, (features, classes, _)) in zip(figure.subplots(1, 2), drawn.items(), strict=True):
            for kind in range(10):
                points = features[classes == kind]
                axes.plot(*points.T, "o", markersize=2, color=f"C{kind}", alpha=0.6)
                axes.annotate(str(kind), points.mean(axis=0), ha="center", va="center", fontweight="bold")
            axes.set(title=f"{name} center loss", xticks=[], yticks=[])

    return [
        Words(
            """The last layer before the answer is here two numbers wide, so that it can be drawn.
            Cross-entropy only asks that the ten classes can be told apart: they lie in rays. Center loss adds
            the squared distance to a trained centre of the class, and they come together. The centres are
            weights of a layer, and the layer carries its loss.""",
            "Ten classes, two numbers",
        ),
        picture(
            draw,
            (7.2, 3.3),
            "Two-dimensional features of the test digits: rays without center loss, round clusters with it.",
            "Test images. Scatter within a class, as a share of that between classes: {without:.3f} without, "
            "{with:.3f} with center loss.".format(**numbers["scatter"]),
        ),
    ]
