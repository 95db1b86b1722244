"""What a trained flow shows: paths between two inputs, the dimensions that matter, sheets of samples.

x_t = f⁻¹((1 − t) f(a) + t f(b))
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from partita.extras import need
from partita.files.whole import replacing
from partita.flows.bijection import Bijection, Chain
from partita.flows.flow import Flow
from partita.flows.mixing import Scaling


def interpolate(flow: Flow, start: Any, end: Any, steps: int = 9, context: Any = None) -> np.ndarray:
    """Interpolate between two inputs on a straight line in latent space, `(steps, ...)`.

    The first input is `start`, the last `end`.

    Args:
        flow: A trained flow.
        start, end: One row each, without the axis of rows.
        steps: At least 2.
        context: One row, for a conditional flow.

    Raises:
        ValueError: if there are fewer than 2 steps, or a row does not fit the flow.

    Example:
        >>> from partita.flows import nice
        >>> path = interpolate(nice(2, hidden=(8,)), [0.0, 0.0], [1.0, 2.0], steps=3)
        >>> path.round(3).tolist()
        [[0.0, 0.0], [0.5, 1.0], [1.0, 2.0]]
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    ends = np.stack([np.asarray(ops.convert_to_numpy(x), "float64") for x in (start, end)])
    rows = None if context is None else np.broadcast_to(context, (2, np.size(context)))
    z = flow.encode(ends, rows)
    weights = np.linspace(0.0, 1.0, steps).reshape(-1, *[1] * (z.ndim - 1))
    return flow.decode(
        (1 - weights) * z[:1] + weights * z[1:],
        None if rows is None else np.broadcast_to(rows[0], (steps, rows.shape[1])),
    )


class Importance(NamedTuple):
    """Latent dimensions, the one along which the data reach farthest first.

    Args:
        dimensions: Their numbers.
        deviations: How far the data reach along each, 1 / s, falling.

    Example:
        >>> Importance(np.array([1, 0]), np.array([2.0, 0.5])).dimensions.tolist()
        [1, 0]
    """

    dimensions: np.ndarray
    deviations: np.ndarray


def importance(flow: Flow) -> Importance:
    """Return how much each latent dimension matters, by the scaling that the flow ends with.

    Where s is small, the data vary most.

    Raises:
        ValueError: if the flow has no `Scaling`.

    Example:
        >>> from partita.flows import nice
        >>> importance(nice(2, hidden=(8,))).deviations.tolist()
        [1.0, 1.0]
    """
    scalings = [link for link in links(flow.bijection) if isinstance(link, Scaling)]
    if not scalings:
        raise ValueError("importance reads the Scaling of a flow, and this one has none: nice() ends in one")
    deviations = np.exp(-ops.convert_to_numpy(scalings[-1].log_scale)).ravel()
    order = np.argsort(-deviations, kind="stable")
    return Importance(order, deviations[order])


def links(bijection: Bijection) -> Iterator[Bijection]:
    """The links of a chain, and of the chains within it."""
    if isinstance(bijection, Chain):
        for link in bijection.bijections:
            yield from links(link)
    else:
        yield bijection


def image_grid(
    images: Any, columns: int | None = None, path: str | Path | None = None, gap: int = 0
) -> np.ndarray:
    """Return images side by side on one sheet, `(height, width)` or `(height, width, 3)` bytes.

    The sheet is written as PNG if a path is given.

    Args:
        images: `(n, height, width)`, or with 1 or 3 channels behind, or square ones as vectors
            `(n, height · width)`; values from 0 to 1, others are cut.
        columns: Images in a row; by default the sheet is about square.
        path: Where to write, `*.png`; this needs Matplotlib.
        gap: Pixels of zeros between two images.

    Raises:
        ValueError: if the images have another shape, or the gap is negative.

    Example:
        >>> image_grid(np.ones((6, 4)), columns=3).shape, image_grid(np.ones((6, 4)), columns=3, gap=1).shape
        ((4, 6), (5, 8))
    """
    if path is not None:
        need("matplotlib", "image_grid(path=…)")
    images = np.asarray(ops.convert_to_numpy(images))
    side = math.isqrt(images.shape[-1])
    if images.ndim == 2 and side**2 == images.shape[1]:
        images = images.reshape(-1, side, side)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(
            f"images must be (n, height, width), with 1 or 3 channels, or square as vectors, got "
            f"{images.shape}"
        )
    n, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    if gap < 0:
        raise ValueError(f"gap must not be negative, got {gap}")
    tiles = np.zeros((rows * columns, height + gap, width + gap, channels))
    tiles[:n, :height, :width] = np.clip(np.nan_to_num(images), 0.0, 1.0)
    tiles = tiles.reshape(rows, columns, height + gap, width + gap, channels).transpose(0, 2, 1, 3, 4)
    sheet = tiles.reshape(rows * (height + gap), columns * (width + gap), channels)
    sheet = np.round(255 * sheet[: len(sheet) - gap, : sheet.shape[1] - gap]).astype("uint8")
    sheet = sheet[..., 0] if channels == 1 else sheet
    if path is not None:
        from matplotlib.image import imsave

        with replacing(path) as beside:
            imsave(beside, sheet, cmap="gray", vmin=0, vmax=255, format="png")
    return sheet
