"""A monotone spline of rational quadratics: between two knots a ratio of parabolas, with given slopes at both.

y = y_k + h (s ξ² + d_k ξ(1 − ξ)) / (s + (d_k + d_{k+1} − 2s) ξ(1 − ξ)),   ξ = (x − x_k)/w,  s = h/w   (Durkan et al. 2019, eq. 4)

Outside [−bound, bound] it is the identity, and its slopes there are 1.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

Tensor = Any
# A bin is at least this share of the domain, and a slope at least this: what float32 can invert to four digits.
MIN_BIN = 1e-2
MIN_SLOPE = 1e-2
_SLOPE_1 = float(np.log(np.expm1(1.0 - MIN_SLOPE)))  # with all parameters zero the spline is the identity


class Bin(NamedTuple):
    """What the formula needs of the bin that a number falls into, each of the shape of x."""

    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor
    slope: Tensor
    next_slope: Tensor


def num_parameters(bins: int) -> int:
    """Numbers that describe one spline: widths, heights, and the slopes between bins."""
    return 3 * bins - 1


def forward(x: Tensor, raw: Tensor, bins: int, bound: float) -> tuple[Tensor, Tensor]:
    """Values of the splines at x, and the logarithms of their slopes there.

    Args:
        x: Any shape.
        raw: Free parameters, `(*x.shape, num_parameters(bins))`.
        bins: Number of pieces.
        bound: The domain is [−bound, bound].

    Example:
        >>> import numpy as np
        >>> y, log_slope = forward(np.array([0.5, 9.0], "float32"), np.zeros((2, 5), "float32"), bins=2, bound=3.0)
        >>> ops.convert_to_numpy(y), np.array(log_slope)
        (array([0.5, 9. ], dtype=float32), array([0., 0.], dtype=float32))
    """
    inside = ops.abs(x) < bound
    safe = ops.where(inside, x, ops.zeros_like(x))  # before any division: a NaN in the branch not taken would reach the gradient
    piece = _bin_of(safe, raw, bins, bound, by_height=False)
    steepness = piece.height / piece.width
    place = (safe - piece.left) / piece.width
    product = place * (1 - place)
    denominator = steepness + (piece.slope + piece.next_slope - 2 * steepness) * product
    y = piece.bottom + piece.height * (steepness * place**2 + piece.slope * product) / denominator
    log_slope = _log_slope(piece, steepness, place, product, denominator)
    return ops.where(inside, y, x), ops.where(inside, log_slope, ops.zeros_like(x))


def inverse(y: Tensor, raw: Tensor, bins: int, bound: float) -> tuple[Tensor, Tensor]:
    """Where the splines take the values y, and the logarithms of the slopes of the inverse there. Arguments as for `forward`."""
    inside = ops.abs(y) < bound
    safe = ops.where(inside, y, ops.zeros_like(y))
    piece = _bin_of(safe, raw, bins, bound, by_height=True)
    steepness = piece.height / piece.width
    rise = safe - piece.bottom
    bend = rise * (piece.slope + piece.next_slope - 2 * steepness)
    a = piece.height * (steepness - piece.slope) + bend
    b = piece.height * piece.slope - bend
    c = -steepness * rise
    root = ops.sqrt(ops.maximum(b**2 - 4 * a * c, 0.0))
    place = 2 * c / (-b - root)  # the root that does not cancel
    product = place * (1 - place)
    denominator = steepness + (piece.slope + piece.next_slope - 2 * steepness) * product
    log_slope = _log_slope(piece, steepness, place, product, denominator)
    return ops.where(inside, piece.left + place * piece.width, y), ops.where(inside, -log_slope, ops.zeros_like(y))


def _log_slope(piece, steepness, place, product, denominator):
    top = piece.next_slope * place**2 + 2 * steepness * product + piece.slope * (1 - place) ** 2
    return ops.log(steepness**2 * top / denominator**2)


def _bin_of(x, raw, bins, bound, by_height):
    raw = ops.convert_to_tensor(raw)
    widths, heights = (
        2 * bound * (MIN_BIN + (1 - MIN_BIN * bins) * ops.softmax(part, axis=-1)) for part in (raw[..., :bins], raw[..., bins : 2 * bins])
    )
    inner = raw[..., 2 * bins :]  # (..., bins - 1): the slopes between two bins
    before = ops.triu(ops.ones((bins, bins - 1), x.dtype))
    ends = ops.matmul(heights if by_height else widths, before) - bound  # a cumulative sum, and faster
    reached = ops.cast(x[..., None] >= ends, x.dtype)  # (..., bins - 1): 1 for every bin that ends below x
    none = ops.zeros_like(x)[..., None]
    passed = ops.concatenate([reached, none], axis=-1)
    # Sums with a row of zeros and one 1: indexing would be as exact, and its gradient a slow scatter.
    chosen = ops.concatenate([none + 1, reached], axis=-1) - passed
    left, bottom = (ops.sum(passed * sizes, axis=-1) - bound for sizes in (widths, heights))
    width, height = (ops.sum(chosen * sizes, axis=-1) for sizes in (widths, heights))
    slopes = (ops.sum(part * inner, axis=-1) for part in (chosen[..., 1:], chosen[..., :-1]))  # 0 at both ends of the domain: a slope of 1
    return Bin(left, width, bottom, height, *(MIN_SLOPE + ops.softplus(slope + _SLOPE_1) for slope in slopes))
