"""Between the interval that data live in and the whole line.

y = log u/(1 − u),  u = α + (1 − 2α) x;   y = σ(x);   y = (x − mean)/deviation
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.data.numbers import as_numbers, check_finite
from partita.flows.bijection import Bijection, no_change, sum_features, within

_STEPS = 16  # of a dtype's resolution: what the standard deviation of a column must exceed


@keras.saving.register_keras_serializable(package="partita")
class Logit(Bijection):
    """From [0, 1] to the line, as the first step of a flow for images: y = logit(α + (1 − 2α) x).

    It reaches y from logit α to logit(1 − α) only. The inverse maps what lies beyond to 0 and 1, with the
    log-determinant there.

    Args:
        alpha: Keeps 0 and 1 from infinity; above 0 and below ½.

    Raises:
        ValueError: if `alpha` is out of range. A `Flow` that begins with this names the row of data outside
            [0, 1].

    Source: RealNVP, Dinh et al. 2016, section 4.1.

    Example:
        >>> import numpy as np
        >>> ops.convert_to_numpy(Logit(alpha=0.05).forward_and_log_det(np.array([[0.0, 0.5]]))[0])
        array([[-2.944, 0.   ]], dtype=float32)
    """

    domain = (0.0, 1.0)

    def __init__(self, alpha: float = 0.05, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 < alpha < 0.5:
            raise ValueError(f"alpha must be above 0 and below 0.5, got {alpha}")
        self.alpha = alpha

    def forward_and_log_det(self, x, context=None):
        # From both ends, for 1 − u loses a small alpha; and no less than alpha, for a compiler may take the
        # sum apart.
        ends = [within(self.alpha + (1 - 2 * self.alpha) * part, self.alpha, math.inf) for part in (x, 1 - x)]
        far = max(self.alpha, 1e-6)
        is_outside = (x < -far) | (x > 1 + far)
        log_u, log_rest = (ops.log(ops.where(is_outside, math.nan, end)) for end in ends)
        return log_u - log_rest, sum_features(math.log(1 - 2 * self.alpha) - log_u - log_rest)

    def inverse_and_log_det(self, y, context=None):
        end = math.log1p(-self.alpha) - math.log(self.alpha)
        y = within(y, -end, end)
        log_slope = -ops.softplus(y) - ops.softplus(-y) - math.log(1 - 2 * self.alpha)
        return within((ops.sigmoid(y) - self.alpha) / (1 - 2 * self.alpha), 0.0, 1.0), sum_features(log_slope)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha}


@keras.saving.register_keras_serializable(package="partita")
class Sigmoid(Bijection):
    """From the line to (0, 1): y = 1 / (1 + exp(−x)).

    Where y would be rounded to 0 or 1 it is the number next to it, so that the inverse is finite; the
    log-determinant is that of x. The inverse takes 0 and 1 for these numbers, too, and gives NaN for what
    lies outside [0, 1].

    Example:
        >>> import numpy as np
        >>> ops.convert_to_numpy(Sigmoid().forward_and_log_det(np.array([[0.0, 2.0]]))[0])
        array([[0.5  , 0.881]], dtype=float32)
    """

    image = (0.0, 1.0)

    def forward_and_log_det(self, x, context=None):
        return self._between(ops.sigmoid(x)), sum_features(-ops.softplus(x) - ops.softplus(-x))

    def inverse_and_log_det(self, y, context=None):
        y = ops.where((y < 0) | (y > 1), math.nan, self._between(y))
        log_y, log_rest = ops.log(y), ops.log1p(-y)
        return log_y - log_rest, sum_features(-log_y - log_rest)

    def _between(self, y):
        """Limit y to the numbers of [0, 1] without the ends.

        The smallest is the one that is not rounded to 0 by anyone, the largest the one before 1.
        """
        numbers = np.finfo(self.compute_dtype)
        return within(y, float(numbers.tiny), float(1 - numbers.epsneg))


@keras.saving.register_keras_serializable(package="partita")
class Standardize(Bijection):
    """Standardisation: the columns of a table are brought to mean 0 and standard deviation 1.

    Its numbers are not trained: densities stay those of the table.

    Args:
        mean: Of each feature.
        deviation: Of each feature, above 0.
        names: Of the features, kept with a saved flow; or None.

    Raises:
        ValueError: if the numbers of features differ, a number is not finite, or a deviation is not above 0
            or so small beside the mean that the layer's dtype cannot tell the numbers of the column apart.

    Example:
        >>> import numpy as np
        >>> table = np.array([[1.0, 10.0], [3.0, 30.0]])
        >>> y, log_det = Standardize.fit(table).forward_and_log_det(table)
        >>> ops.convert_to_numpy(y), ops.convert_to_numpy(log_det)
        (array([[-1., -1.], [ 1.,  1.]], dtype=float32), array([-2.303, -2.303], dtype=float32))
    """

    def __init__(
        self,
        mean: Sequence[float],
        deviation: Sequence[float],
        names: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.mean, self.deviation = [float(m) for m in mean], [float(s) for s in deviation]
        self.names = None if names is None else [*names]
        if len(self.mean) != len(self.deviation) or (names is not None and len(names) != len(self.mean)):
            got = f"{len(self.mean)} and {len(self.deviation)}"
            raise ValueError(f"mean, deviation and names must belong to the same features, got {got}")
        check_finite("mean", self.mean)
        check_finite("deviation", self.deviation)
        labels = [f"'{name}'" for name in self.names] if self.names else [*map(str, range(len(self.mean)))]
        features = [*zip(labels, self.mean, self.deviation, strict=True)]
        for label, _, s in features:
            if not s > 0:
                got = f"{s} for feature {label}"
                raise ValueError(f"deviation must be above 0, got {got}: leave it out of the table")
        least = _STEPS * float(np.finfo(self.compute_dtype).eps)
        for label, m, s in features:
            if s < least * abs(m):
                raise ValueError(
                    f"deviation must be at least {least:.1g} of the mean in {self.compute_dtype}, got {s:g} "
                    f"around {m:g} for feature {label}: subtract a number near {m:g} from that column "
                    f"beforehand"
                )

    @classmethod
    def fit(cls, table: Any, names: Sequence[str] | None = None, *, dtype: Any = None) -> "Standardize":
        """Return the standardisation by the mean and standard deviation of each column of a table.

        The table is an array or DataFrame `(rows, features)`, of 2 rows or more.
        """
        check_finite("table", table)
        table = as_numbers("table", table).astype("float64")
        if table.ndim != 2 or len(table) < 2:
            raise ValueError(
                f"table must be (rows, features) with 2 rows or more, got the shape {table.shape}"
            )
        return cls(table.mean(axis=0).tolist(), table.std(axis=0).tolist(), names, dtype=dtype)

    def build(self, x_shape):
        if tuple(x_shape[1:]) != (len(self.mean),):
            raise ValueError(
                f"Standardize holds the means of {len(self.mean)} features, got x of the shape {x_shape}"
            )

    def _numbers(self):
        return (ops.convert_to_tensor(numbers, self.compute_dtype) for numbers in (self.mean, self.deviation))

    def forward_and_log_det(self, x, context=None):
        mean, deviation = self._numbers()
        return (x - mean) / deviation, no_change(x) - float(np.log(self.deviation).sum())

    def inverse_and_log_det(self, y, context=None):
        mean, deviation = self._numbers()
        return y * deviation + mean, no_change(y) + float(np.log(self.deviation).sum())

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "deviation": self.deviation, "names": self.names}
