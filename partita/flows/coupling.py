"""Couplings: some features stay, and a net of them says how the others move.

y₁ = x₁,   y₂ = τ(x₂; m(x₁)),   log|det| = Σ log τ′
"""

from abc import abstractmethod
from typing import Any

import keras
from keras import ops

from partita.flows import splines
from partita.flows.bijection import Bijection, HoldsParts, no_change, positive, sum_features
from partita.flows.context import joined, joined_shape
from partita.flows.splits import NAMES, split_for
from partita.types import Tensor


class Coupling(HoldsParts, Bijection):
    """What the couplings share; a new one says how a feature moves, and how many numbers that takes.

    Args:
        net: Model or layer, features that stay (and behind them those of a context) → parameters of those
            that move. It is never inverted, so it may be anything; vectors `(batch, kept)` →
            `(batch, wanted)`, images `(batch, height, width, kept)` → `(batch, height, width, wanted)`.
        split: The features that stay: `"even"` or `"odd"` ones, the `"first"` or `"second"` half (of the
            channels, for an image), or the `"black"` or `"white"` squares of a checkerboard on an image.

    Raises:
        ValueError: if the features cannot be split so, or the net gives more or fewer parameters than it
            takes.

    Example:
        >>> class Doubling(Coupling):
        ...     def per_feature(self):
        ...         return 1
        ...
        ...     def move(self, x, raw):
        ...         return 2 * x + raw, ops.full_like(x, 0.6931)
        ...
        ...     def move_back(self, y, raw):
        ...         return (y - raw) / 2, ops.full_like(y, -0.6931)
        >>> _, log_det = Doubling(keras.layers.Dense(2)).forward_and_log_det([[1.0, 2.0, 3.0, 4.0]])
        >>> round(float(log_det[0]), 3)
        1.386
    """

    def __init__(self, net: keras.layers.Layer, split: str = "even", **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(net, keras.layers.Layer):
            raise ValueError(f"net must be a Keras model or layer, got {net!r}")
        if split not in NAMES:
            raise ValueError(f"split must be one of {', '.join(NAMES)}, got {split!r}")
        self.net = net
        self.split = split
        self.settings: dict[str, Any] = {}  # what a subclass adds to the config

    @abstractmethod
    def per_feature(self) -> int:
        """How many numbers say how one feature moves."""

    @abstractmethod
    def move(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor | None]:
        """y and log τ′, both of the shape of x, given the net's output; None is zero everywhere."""

    @abstractmethod
    def move_back(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor | None]:
        """Undo `move`: x and the log-slope of the inverse."""

    def build(self, x_shape, context_shape=None):
        self._split = split_for(self.split, x_shape)
        self._context_shape = context_shape
        shape = joined_shape(self._split.kept_shape, context_shape)
        wanted = (None, *shape[1:-1], self.per_feature() * self._split.num_moved)
        given = tuple(self.net(keras.KerasTensor(shape, dtype=self.compute_dtype)).shape)
        if given[1:] != wanted[1:]:
            raise ValueError(f"net must map {shape} to {wanted} for this {type(self).__name__}, got {given}")

    def forward_and_log_det(self, x, context=None):
        return self._through(self.move, x, context)

    def inverse_and_log_det(self, y, context=None):
        return self._through(self.move_back, y, context)

    def _through(self, move, x, context):
        kept, moved = self._split.part(x)
        raw = ops.cast(self.net(joined(kept, context, self._context_shape)), x.dtype)
        moved, log_slope = move(moved, raw)
        log_det = no_change(x) if log_slope is None else sum_features(self._split.only_moved(log_slope))
        return self._split.join(kept, moved), log_det

    def get_config(self):
        net = keras.saving.serialize_keras_object(self.net)
        return {**super().get_config(), "net": net, "split": self.split, **self.settings}


@keras.saving.register_keras_serializable(package="partita")
class AdditiveCoupling(Coupling):
    """Shift the moved features: y₂ = x₂ + m(x₁). It keeps volumes.

    Args:
        net: Gives one number for each moved feature; see `Coupling`.
        split: The features that stay; see `Coupling`.

    Raises:
        ValueError: see `Coupling`.

    Source: NICE, Dinh et al. 2014, eq. 6–8.

    Example:
        >>> import numpy as np
        >>> coupling = AdditiveCoupling(keras.layers.Dense(2))
        >>> y, log_det = coupling.forward_and_log_det(np.ones((3, 4)))
        >>> tuple(y.shape), ops.convert_to_numpy(log_det)
        ((3, 4), array([0., 0., 0.], dtype=float32))
    """

    def per_feature(self):
        return 1

    def move(self, x, raw):
        return x + raw, None

    def move_back(self, y, raw):
        return y - raw, None


def scale_and_shift(raw: Tensor, max_log_scale: float) -> tuple[Tensor, Tensor]:
    """Return log-scales, limited to ± max_log_scale, and shifts from what a net gives."""
    log_scale, shift = ops.split(raw, 2, axis=-1)
    return max_log_scale * ops.tanh(log_scale / max_log_scale), shift


@keras.saving.register_keras_serializable(package="partita")
class AffineCoupling(Coupling):
    """Scale and shift the moved features: y₂ = x₂ · exp(s(x₁)) + t(x₁), |s| below a bound.

    Args:
        net: Gives two numbers for each moved feature, all scales before all shifts; see `Coupling`.
        split: The features that stay; see `Coupling`.
        max_log_scale: The bound on |s|: s = bound · tanh(raw / bound). Without one, a flow's densities
            overflow sooner or later.

    Raises:
        ValueError: if the bound is not above 0; else see `Coupling`.

    Source: RealNVP, Dinh et al. 2016, eq. 7–8.

    Example:
        >>> import numpy as np
        >>> coupling = AffineCoupling(keras.layers.Dense(4), split="first")
        >>> y, log_det = coupling.forward_and_log_det(np.ones((3, 4)))
        >>> x, back = coupling.inverse_and_log_det(y)
        >>> (
        ...     np.allclose(ops.convert_to_numpy(x), 1, atol=1e-5),
        ...     np.allclose(ops.convert_to_numpy(log_det + back), 0, atol=1e-5),
        ... )
        (True, True)
    """

    def __init__(
        self, net: keras.layers.Layer, split: str = "even", max_log_scale: float = 2.0, **kwargs: Any
    ):
        super().__init__(net, split, **kwargs)
        self.max_log_scale = positive("max_log_scale", max_log_scale)
        self.settings = {"max_log_scale": max_log_scale}

    def per_feature(self):
        return 2

    def move(self, x, raw):
        log_scale, shift = scale_and_shift(raw, self.max_log_scale)
        return x * ops.exp(log_scale) + shift, log_scale

    def move_back(self, y, raw):
        log_scale, shift = scale_and_shift(raw, self.max_log_scale)
        return (y - shift) * ops.exp(-log_scale), -log_scale


@keras.saving.register_keras_serializable(package="partita")
class SplineCoupling(Coupling):
    """Move each feature by a monotone spline of its own; outside [−bound, bound] it stays where it is.

    Whatever the net gives, float32 inverts the spline: for the default bound x comes back to 1e-4, and the
    log-slope to 1e-3. For this a bin rises by a sixth to six times its width, and a slope at a knot is a
    third to three times the mean of the bins beside it.

    Args:
        net: Gives 3 · bins − 1 numbers for each moved feature, those of one feature side by side; see
            `Coupling`.
        split: The features that stay; see `Coupling`.
        bins: Pieces of a spline, 2 to 50.
        bound: The domain.

    Raises:
        ValueError: if `bins` or `bound` is out of range; else see `Coupling`.

    Source: neural spline flows, Durkan et al. 2019.

    Example:
        >>> import numpy as np
        >>> coupling = SplineCoupling(keras.layers.Dense(2 * 11), split="first", bins=4)
        >>> y, log_det = coupling.forward_and_log_det(np.full((3, 4), 9.0))
        >>> np.allclose(ops.convert_to_numpy(y), 9), ops.convert_to_numpy(log_det)
        (True, array([0., 0., 0.], dtype=float32))
    """

    def __init__(
        self, net: keras.layers.Layer, split: str = "even", bins: int = 8, bound: float = 4.0, **kwargs: Any
    ):
        super().__init__(net, split, **kwargs)
        if not 2 <= bins <= splines.MAX_BINS:
            raise ValueError(f"bins must be 2 to {splines.MAX_BINS}, got {bins}")
        self.bins, self.bound = bins, positive("bound", bound)
        self.settings = {"bins": bins, "bound": bound}

    def per_feature(self):
        return splines.num_parameters(self.bins)

    def move(self, x, raw):
        return splines.forward(x, self._by_feature(raw, x), self.bins, self.bound)

    def move_back(self, y, raw):
        return splines.inverse(y, self._by_feature(raw, y), self.bins, self.bound)

    def _by_feature(self, raw, x):
        return ops.reshape(raw, (*ops.shape(x), self.per_feature()))  # (batch, ..., moved, 3 · bins − 1)
