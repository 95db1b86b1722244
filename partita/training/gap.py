"""How far a model is from linear between its samples: what mixup lowers.

gap(ε) = mean ‖f(εx_a + (1 − ε)x_b) − (εf(x_a) + (1 − ε)f(x_b))‖
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from partita.data.numbers import check_finite
from partita.extras import current_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Linearity:
    """What `linearity` measured.

    Attributes:
        shares: ε, `(shares,)`.
        gaps: The gap at each, `(shares,)`, in units of the model's output.

    Example:
        >>> Linearity(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.3, 0.0])).gap
        0.1
    """

    shares: np.ndarray
    gaps: np.ndarray

    @property
    def gap(self) -> float:
        """The mean over all shares: one number, for `Evaluate` or a table."""
        return float(np.mean(self.gaps))

    def plot(self, label: str | None = None, axes: "Axes | None" = None) -> "Axes":
        """The gap along the way from x_b to x_a, into Matplotlib's current axes or the given ones.

        Raises:
            ImportError: if matplotlib is missing.
        """
        axes = current_axes() if axes is None else axes
        axes.plot(self.shares, self.gaps, label=label)
        axes.set(xlabel="ε", ylabel="gap to linear", ylim=(0, None))
        return axes


def linearity(
    model: Callable[[Any], Any],
    x_a: Any,
    x_b: Any,
    shares: Sequence[float] | np.ndarray = (0.1, 0.3, 0.5, 0.7, 0.9),
    batch_size: int = 256,
) -> Linearity:
    """How far the model's output on a mixture is from the mixture of its outputs.

    Args:
        model: A Keras model, which is asked by `predict`, or any function of arrays.
        x_a: Samples `(batch, ...)`, floats, in any nest.
        x_b: As many others.
        shares: ε, from 0 to 1.
        batch_size: Of `predict`.

    Raises:
        ValueError: if the two are not of one shape, have no rows, hold whole numbers, NaN or infinity, or a
            share is not from 0 to 1. Where the model gives NaN, the gap is NaN.

    Example:
        >>> linearity(lambda x: 2 * x, np.zeros((5, 3)), np.ones((5, 3))).gap
        0.0
        >>> round(linearity(lambda x: x**2, np.zeros((5, 1)), np.ones((5, 1)), shares=[0.5]).gap, 3)
        0.25
    """
    shares = np.asarray(shares, float)
    if shares.ndim != 1 or not len(shares) or not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(f"shares must be numbers from 0 to 1, got {shares.tolist()}")
    ends = [keras.tree.map_structure(np.asarray, x) for x in (x_a, x_b)]
    shapes = [[leaf.shape for leaf in keras.tree.flatten(x)] for x in ends]
    if shapes[0] != shapes[1]:
        raise ValueError(f"x_a and x_b must be of one shape, got {shapes[0]} and {shapes[1]}")
    if not all(shape and shape[0] for shape in shapes[0]):
        raise ValueError(f"x_a and x_b must hold samples, got the shapes {shapes[0]}")
    if any(leaf.dtype.kind != "f" for leaf in keras.tree.flatten(ends)):
        raise ValueError("x_a and x_b must hold floats: what lies between two ids is nothing")
    for name, x in zip(("x_a", "x_b"), ends, strict=True):
        check_finite(name, x)

    def outputs(x):
        """All outputs of each sample in one row, `(batch, numbers)`."""
        if isinstance(model, keras.Model):
            made = model.predict(x, batch_size=batch_size, verbose=0)
        else:
            made = model(x)
        leaves = [keras.ops.convert_to_numpy(leaf) for leaf in keras.tree.flatten(made)]
        return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=-1)

    at_a, at_b = map(outputs, ends)
    gaps = []
    for share in shares.tolist():
        between = keras.tree.map_structure(lambda a, b, share=share: share * a + (1 - share) * b, *ends)
        gaps.append(np.linalg.norm(outputs(between) - (share * at_a + (1 - share) * at_b), axis=-1).mean())
    return Linearity(shares, np.array(gaps))
