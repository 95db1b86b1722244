"""Measures of how well samples cover what they should.

They are the modes covered, the share of samples on them, and a distance between two sets of samples.

MMD²(x, y) = E k(x, x') − 2 E k(x, y) + E k(y, y'),   k(a, b) = exp(−‖a − b‖² / 2s²)
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from partita.data.numbers import check_finite

_ROWS_AT_ONCE = 1024


class Coverage(NamedTuple):
    """How many modes samples reach, and which share of the samples lies on one.

    Example:
        >>> Coverage(8, 0.97).modes
        8
    """

    modes: int
    high_quality: float


class Modes(NamedTuple):
    """Gaussian modes of one width, equally likely: centers `(k, d)` and a standard deviation.

    Example:
        >>> toy = ring()
        >>> toy.sample(5, seed=0).shape, toy.coverage(toy.centers)
        ((5, 2), Coverage(modes=8, high_quality=1.0))
    """

    centers: np.ndarray
    sd: float

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """`n` points `(n, d)` float32; the same seed gives the same ones."""
        rng = np.random.default_rng(seed)
        which = rng.integers(0, len(self.centers), n)
        return (self.centers[which] + self.sd * rng.normal(size=(n, self.centers.shape[1]))).astype("float32")

    def coverage(self, samples: npt.ArrayLike, within: float = 3.0) -> Coverage:
        """See `mode_coverage`."""
        return mode_coverage(samples, self.centers, self.sd, within)


def ring(modes: int = 8, radius: float = 2.0, sd: float = 0.02) -> Modes:
    """Modes evenly on a circle: by default the eight of the VEEGAN protocol, at twice its scale.

    Example:
        >>> ring().centers.shape
        (8, 2)
    """
    angles = 2 * np.pi * np.arange(modes) / modes
    return Modes(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), sd)


def grid(side: int = 5, spacing: float = 2.0, sd: float = 0.05) -> Modes:
    """Modes on a square grid around 0: by default the twenty-five of the VEEGAN protocol.

    Example:
        >>> grid().centers.shape
        (25, 2)
    """
    places = spacing * (np.arange(side) - (side - 1) / 2)
    return Modes(np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2), sd)


def mode_coverage(samples: npt.ArrayLike, centers: npt.ArrayLike, sd: float, within: float = 3.0) -> Coverage:
    """Count the modes that samples reach, by the VEEGAN protocol: 2,500 samples, by convention.

    A sample is of high quality if its distance from the nearest center is at most `within` standard
    deviations; a mode is covered if it is the nearest of such a sample.

    Args:
        samples: `(n, d)`.
        centers: `(k, d)`.
        sd: Standard deviation of a mode, in each dimension.
        within: How many of them are near.

    Raises:
        ValueError: if the shapes do not fit, or samples are missing or not finite.

    Source: Srivastava et al. 2017.

    Example:
        >>> mode_coverage([[0.0, 0.1], [5.0, 5.0]], [[0.0, 0.0], [3.0, 0.0]], sd=0.1)
        Coverage(modes=1, high_quality=0.5)
    """
    check_finite("samples", samples)
    check_finite("centers", centers)
    samples, centers = np.asarray(samples, float), np.asarray(centers, float)
    if samples.ndim != 2 or centers.ndim != 2 or samples.shape[1] != centers.shape[1] or not len(samples):
        raise ValueError(
            f"samples (n, d) and centers (k, d) must fit, got the shapes {samples.shape} and {centers.shape}"
        )
    if not (0 < sd < np.inf and 0 < within < np.inf):
        raise ValueError(f"sd and within must be above 0, got {sd} and {within}")
    distances = np.concatenate(
        [np.linalg.norm(part[:, None] - centers, axis=-1) for part in _in_parts(samples)]
    )
    good = distances.min(axis=1) <= within * sd
    return Coverage(len(np.unique(distances.argmin(axis=1)[good])), float(good.mean()))


def mmd(x: npt.ArrayLike, y: npt.ArrayLike, bandwidth: float | None = None) -> float:
    """Compute the unbiased squared maximum mean discrepancy (MMD²) of two sets of samples.

    It is about 0, on either side, if they have the same law.

    The kernel is Gaussian, exp(−‖a − b‖² / 2s²); s is the bandwidth, by default the median distance between
    points of x and of y together (of a thousand of each at most, evenly taken).

    Args:
        x: `(n, d)`, at least two.
        y: `(m, d)`, at least two.
        bandwidth: s, in the units of x.

    Raises:
        ValueError: if an argument does not fit.

    Source: Gretton et al. 2012.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(500, 2)), rng.normal(size=(500, 2))
        >>> abs(mmd(x, y)) < 0.01, mmd(x, y + 2) > 0.3
        (True, True)
    """
    x, y = (np.asarray(part, float).reshape(len(np.asarray(part)), -1) for part in (x, y))
    if min(len(x), len(y)) < 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"x (n, d) and y (m, d) must have two rows and as many columns, got the shapes {x.shape} and "
            f"{y.shape}"
        )
    check_finite("x", x)
    check_finite("y", y)
    if bandwidth is None:
        some = np.concatenate([part[:: -(-len(part) // 1000)] for part in (x, y)])
        squares = _squared_distances(some, some)[np.triu_indices(len(some), 1)]
        bandwidth = float(np.sqrt(np.median(squares))) or 1.0
    if not 0 < bandwidth < np.inf:
        raise ValueError(f"bandwidth must be above 0, got {bandwidth}")

    def total(a, b):
        squares = (_squared_distances(part, b) for part in _in_parts(a))
        return sum(float(np.exp(-square / (2 * bandwidth**2)).sum()) for square in squares)

    n, m = len(x), len(y)
    return (total(x, x) - n) / (n * (n - 1)) - 2 * total(x, y) / (n * m) + (total(y, y) - m) / (m * (m - 1))


def _in_parts(x):
    return np.split(x, range(_ROWS_AT_ONCE, len(x), _ROWS_AT_ONCE))


def _squared_distances(a, b):
    return np.maximum((a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1), 0.0)
