"""Monotone rational-quadratic splines: between two knots a ratio of parabolas, with given slopes at both.

y = y_k + h (s ξ² + d_k ξ(1 − ξ)) / (s + (d_k + d_{k+1} − 2s) ξ(1 − ξ)),
ξ = (x − x_k)/w,  s = h/w   (Durkan et al. 2019, eq. 4)

Outside [−bound, bound] it is the identity, and its slopes there are 1.

Durkan's splines can be so flat or so steep that float32 does not invert them. Here it inverts every one,
whatever the parameters. With shares a, b = m + (1 − K m) softmax(raw) of K bins, m = min(0.02, 1/(2 K)),

    w_k = 2 bound ((1 − λ) a_k + λ b_k),   h_k = 2 bound ((1 − λ) b_k + λ a_k),
    d_k = √(s_{k−1} s_k) D^tanh(raw / log D)

so that a bin rises by λ/(1 − λ), about 1/6, to 6 times its width, and a slope at a knot is 1/D = 1/3 to 3
times the mean of the bins beside it.
"""

import math
from typing import NamedTuple

from keras import ops

from partita.types import Tensor

MAX_BINS = 50
MIN_BIN = 0.02  # of the domain, and with many bins half of their mean
MIXED = 0.15  # λ
MAX_BEND = 3.0  # D


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
        >>> y, log_slope = forward(
        ...     np.array([0.5, 9.0], "float32"), np.zeros((2, 5), "float32"), bins=2, bound=3.0
        ... )
        >>> ops.convert_to_numpy(y), np.array(log_slope)
        (array([0.5, 9. ], dtype=float32), array([0., 0.], dtype=float32))
    """
    inside = ops.abs(x) < bound
    # before any division: a NaN in the branch not taken would reach the gradient
    safe = ops.where(inside, x, ops.zeros_like(x))
    piece = _bin_of(safe, raw, bins, bound, by_height=False)
    steepness = piece.height / piece.width
    place = (safe - piece.left) / piece.width
    product, denominator, log_slope = _ratio(piece, steepness, place)
    y = piece.bottom + piece.height * (steepness * place**2 + piece.slope * product) / denominator
    return ops.where(inside, y, x), ops.where(inside, log_slope, ops.zeros_like(x))


def inverse(y: Tensor, raw: Tensor, bins: int, bound: float) -> tuple[Tensor, Tensor]:
    """Where the splines take the values y, and the logarithms of the slopes of the inverse there.

    Arguments as for `forward`.
    """
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
    *_, log_slope = _ratio(piece, steepness, place)
    x = piece.left + place * piece.width
    return ops.where(inside, x, y), ops.where(inside, -log_slope, ops.zeros_like(y))


def _ratio(piece, steepness, place):
    """ξ(1 − ξ), the denominator of the ratio, and the logarithm of its slope at ξ."""
    product = place * (1 - place)
    denominator = steepness + (piece.slope + piece.next_slope - 2 * steepness) * product
    top = piece.next_slope * place**2 + 2 * steepness * product + piece.slope * (1 - place) ** 2
    return product, denominator, ops.log(steepness**2 * top / denominator**2)


def _bin_of(x, raw, bins, bound, by_height):
    raw = ops.convert_to_tensor(raw)
    least = min(MIN_BIN, 0.5 / bins)
    parts = raw[..., :bins], raw[..., bins : 2 * bins]
    across, up = (least + (1 - least * bins) * ops.softmax(part, axis=-1) for part in parts)
    widths, heights = ((1 - MIXED) * most + MIXED * rest for most, rest in ((across, up), (up, across)))
    # The same knots for both directions, and widths and heights as their differences: what is rounded here is
    # rounded alike in both.
    before = ops.triu(ops.ones((bins, bins - 1), x.dtype))
    # a cumulative sum, and faster
    inner = [2 * bound * ops.matmul(sizes, before) - bound for sizes in (widths, heights)]
    end = ops.full_like(x, bound)[..., None]
    knots, levels = (ops.concatenate([-end, places, end], axis=-1) for places in inner)
    # (..., bins - 1): 1 for every bin that ends below x
    reached = ops.cast(x[..., None] >= inner[by_height], x.dtype)
    none = ops.zeros_like(x)[..., None]
    # Sums with a row of zeros and one 1: indexing would be as exact, and its gradient a slow scatter.
    chosen = ops.concatenate([none + 1, reached], axis=-1) - ops.concatenate([reached, none], axis=-1)
    corners = knots[..., :-1], knots[..., 1:], levels[..., :-1], levels[..., 1:]
    left, right, bottom, top = (ops.sum(chosen * places, axis=-1) for places in corners)
    steepness = ops.log(heights) - ops.log(widths)
    limit = math.log(MAX_BEND)
    # logarithms of the slopes
    bent = limit * ops.tanh(raw[..., 2 * bins :] / limit) + 0.5 * (steepness[..., :-1] + steepness[..., 1:])
    # 0 at both ends of the domain: a slope of 1
    slopes = (ops.sum(part * bent, axis=-1) for part in (chosen[..., 1:], chosen[..., :-1]))
    return Bin(left, right - left, bottom, top - bottom, *(ops.exp(slope) for slope in slopes))
