"""Parameters within bounds as free coordinates, and back.

x = low + e^θ,   x = high − e^θ,   x = low + (high − low) · σ(θ),   x = scale · θ
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from partita.ode.steps import Tensor

Bounds = Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True)
class Coordinates:
    """Names of parameters, their shapes, bounds and scales, and the way between them and one vector θ.

    Example:
        >>> both = Coordinates.of({"k": 2.0, "x": [1.0, -1.0]}, {"k": (0, None)})
        >>> both.free({"k": 2.0, "x": [1.0, -1.0]}).round(3).tolist()
        [0.693, 1.0, -1.0]
    """

    shapes: dict[str, tuple[int, ...]]
    bounds: dict[str, tuple[float | None, float | None]]
    scales: dict[str, float]

    @classmethod
    def of(cls, start: Mapping[str, npt.ArrayLike], bounds: Bounds) -> "Coordinates":
        """The coordinates of parameters that start somewhere within bounds; a name without bounds is free.

        Raises:
            ValueError: if bounds belong to no parameter or are none, or a start is not finite or not within them.
        """
        if unknown := [name for name in bounds if name not in start]:
            raise ValueError(f"bounds must name parameters ({', '.join(start)}), got {unknown[0]!r}")
        shapes, scales, limits = {}, {}, {}
        for name, value in start.items():
            array = np.asarray(value, "float64")
            low, high = limits[name] = bounds.get(name, (None, None))
            if low is not None and high is not None and not low < high:
                raise ValueError(f"bounds of {name!r} must rise, got {(low, high)}")
            if not np.isfinite(array).all():
                raise ValueError(f"parameter {name!r} must be finite, got {array.tolist()}")
            if (low is not None and (array <= low).any()) or (high is not None and (array >= high).any()):
                raise ValueError(
                    f"parameter {name!r} must start within its bounds {(low, high)}, got {array.tolist()}; "
                    f"without an entry of its own in bounds, positive=True keeps a parameter above 0"
                )
            shapes[name], scales[name] = array.shape, float(np.abs(array).max()) or 1.0
        return cls(shapes, limits, scales)

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each coordinate: `k`, `x[0]`, `x[1]`."""
        return tuple(
            name + (f"[{', '.join(map(str, place))}]" if shape else "")
            for name, shape in self.shapes.items()
            for place in np.ndindex(shape)
        )

    def free(self, values: Mapping[str, npt.ArrayLike]) -> np.ndarray:
        """θ of parameters."""
        parts = []
        for name in self.shapes:
            x, (low, high) = np.asarray(values[name], "float64").ravel(), self.bounds[name]
            if low is not None and high is not None:
                parts.append(np.log(x - low) - np.log(high - x))
            elif low is not None:
                parts.append(np.log(x - low))
            elif high is not None:
                parts.append(np.log(high - x))
            else:
                parts.append(x / self.scales[name])
        return np.concatenate(parts)

    def values(self, theta: Tensor) -> dict[str, Tensor]:
        """Parameters of θ, as tensors; differentiable."""
        values, begin = {}, 0
        for name, shape in self.shapes.items():
            count, (low, high) = int(np.prod(shape)), self.bounds[name]
            part = ops.reshape(theta[begin : begin + count], shape)
            begin += count
            if low is not None and high is not None:
                part = low + (high - low) * ops.sigmoid(part)
            elif low is not None:
                part = low + ops.exp(part)
            elif high is not None:
                part = high - ops.exp(part)
            else:
                part = self.scales[name] * part
            values[name] = part
        return values

    def slopes(self, values: Mapping[str, npt.ArrayLike]) -> np.ndarray:
        """|dx/dθ| for each coordinate."""
        parts = []
        for name in self.shapes:
            x, (low, high) = np.asarray(values[name], "float64").ravel(), self.bounds[name]
            if low is not None and high is not None:
                parts.append((x - low) * (high - x) / (high - low))
            elif low is not None:
                parts.append(x - low)
            elif high is not None:
                parts.append(high - x)
            else:
                parts.append(np.full_like(x, self.scales[name]))
        return np.concatenate(parts)

    def named(self, flat: np.ndarray) -> dict[str, Any]:
        """A vector cut into the parameters' shapes; single numbers as floats."""
        named: dict[str, Any] = {}
        begin = 0
        for name, shape in self.shapes.items():
            count = int(np.prod(shape))
            part = flat[begin : begin + count].reshape(shape)
            named[name] = part if shape else float(part)
            begin += count
        return named
