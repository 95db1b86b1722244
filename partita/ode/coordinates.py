"""Parameters within bounds as free coordinates, and back.

x = low + e^θ,   x = high − e^θ,   x = low + (high − low) · σ(θ),   x = scale · θ
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops
from scipy.special import expit

from partita.types import Tensor

Bound = npt.ArrayLike | None
Bounds = Mapping[str, tuple[Bound, Bound]]


@dataclass(frozen=True)
class Coordinates:
    """Names of parameters, their shapes, bounds and scales, and the way between them and one vector θ.

    Attributes:
        shapes: The shape of each parameter.
        low, high: Bounds of each number, `(numbers,)`, infinite where there is none.
        scales: The size of each number, `(numbers,)`.

    Example:
        >>> both = Coordinates.of({"k": 2.0, "x": [1.0, -1.0]}, {"k": (0, None)})
        >>> both.free({"k": 2.0, "x": [1.0, -1.0]}).round(3).tolist()
        [0.693, 1.0, -1.0]
    """

    shapes: dict[str, tuple[int, ...]]
    low: np.ndarray
    high: np.ndarray
    scales: np.ndarray

    @classmethod
    def of(cls, start: Mapping[str, npt.ArrayLike], bounds: Bounds) -> "Coordinates":
        """Return the coordinates of parameters that start somewhere within bounds.

        A name without bounds is free. Bounds are numbers, arrays of the parameter's shape, or None.

        Raises:
            ValueError: if bounds do not rise, or a start is not finite or not within them.
        """
        shapes, parts = {}, []
        for name, value in start.items():
            array = np.asarray(value, "float64")
            ends = bounds.get(name, (None, None))
            low, high = (
                np.broadcast_to(np.asarray(default if end is None else end, "float64"), array.shape)
                for end, default in zip(ends, (-np.inf, np.inf), strict=True)
            )
            if not (low < high).all():
                raise ValueError(f"bounds of {name!r} must rise, got {tuple(ends)}")
            if not np.isfinite(array).all():
                raise ValueError(f"parameter {name!r} must be finite, got {array.tolist()}")
            if not ((low < array) & (array < high)).all():
                raise ValueError(
                    f"parameter {name!r} must start within its bounds {tuple(ends)}, got {array.tolist()}; "
                    f"without an entry of its own in bounds, positive=True keeps a parameter above 0"
                )
            shapes[name] = array.shape
            largest = float(np.abs(array).max(initial=0.0)) or 1.0
            parts.append(np.stack([part.ravel() for part in (low, high, np.full(array.shape, largest))]))
        low, high, scales = np.concatenate(parts, axis=1) if parts else np.zeros((3, 0))
        return cls(shapes, low, high, scales)

    def part(self, which: np.ndarray) -> "Coordinates":
        """Return the coordinates of some of the numbers, as one parameter."""
        return Coordinates({"x": (int(which.sum()),)}, self.low[which], self.high[which], self.scales[which])

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each coordinate: `k`, `x[0]`, `x[1]`."""
        return tuple(
            name + (f"[{', '.join(map(str, place))}]" if shape else "")
            for name, shape in self.shapes.items()
            for place in np.ndindex(shape)
        )

    def flat(self, values: Mapping[str, npt.ArrayLike]) -> np.ndarray:
        """Return the numbers of all parameters in one vector x."""
        return np.concatenate([np.asarray(values[name], "float64").ravel() for name in self.shapes])

    def free(self, values: Mapping[str, npt.ArrayLike]) -> np.ndarray:
        """Return θ of parameters."""
        return self.unbound(self.flat(values))

    def unbound(self, x: np.ndarray) -> np.ndarray:
        """Return θ of a vector x; a number on its bound is taken for one just inside."""
        with np.errstate(all="ignore"):
            above = np.log(np.maximum(x - self.low, np.finfo(float).tiny))
            below = np.log(np.maximum(self.high - x, np.finfo(float).tiny))
            return self._select(above - below, above, below, x / self.scales)

    def bound(self, theta: np.ndarray) -> np.ndarray:
        """Return the vector x of θ."""
        with np.errstate(all="ignore"):
            grown = np.exp(theta)
            between = self.low + (self.high - self.low) * expit(theta)
            return self._select(between, self.low + grown, self.high - grown, self.scales * theta)

    def slope(self, x: np.ndarray) -> np.ndarray:
        """Return dx/dθ for each number of a vector x."""
        with np.errstate(all="ignore"):
            between = (x - self.low) * (self.high - x) / (self.high - self.low)
            return self._select(between, x - self.low, x - self.high, self.scales)

    def _select(self, between, above, below, free):
        """Pick for each number the value for two bounds, a lower one, an upper one, or none."""
        has_low, has_high = np.isfinite(self.low), np.isfinite(self.high)
        return np.select([has_low & has_high, has_low, has_high], [between, above, below], free)

    def slopes(self, values: Mapping[str, npt.ArrayLike]) -> np.ndarray:
        """Return |dx/dθ| for each coordinate."""
        return np.abs(self.slope(self.flat(values)))

    def covariance_of_theta(self, x: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Return the covariance of θ where that of x is given."""
        slope = self.slope(x)
        slope = np.where(np.abs(slope) > 0, slope, np.finfo(float).tiny)
        with np.errstate(all="ignore"):
            return np.where(covariance == 0, 0.0, covariance / slope[:, None] / slope)

    def values(self, theta: Tensor) -> dict[str, Any]:
        """Return the parameters of θ, as arrays and floats."""
        return self.named(self.bound(np.asarray(ops.convert_to_numpy(theta), "float64")))

    def split(self, x: Tensor) -> dict[str, Tensor]:
        """Cut a vector x into the parameters' shapes, as tensors; differentiable."""
        return {name: ops.reshape(part, shape) for name, shape, part in self._parts(x)}

    def named(self, flat: np.ndarray) -> dict[str, Any]:
        """Cut an array into the parameters' shapes; single numbers as floats."""
        parts = self._parts(flat)
        return {name: part.reshape(shape) if shape else part.item() for name, shape, part in parts}

    def _parts(self, x: Any) -> Iterator[tuple[str, tuple[int, ...], Any]]:
        """Yield the name, the shape and the numbers of each parameter in a vector x."""
        begin = 0
        for name, shape in self.shapes.items():
            end = begin + math.prod(shape)
            yield name, shape, x[begin:end]
            begin = end
