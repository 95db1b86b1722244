"""A masked net: the parameters of each feature come from those before it, and one pass computes them all.

y_i = x_i · exp(s_i(x_1 … x_{i−1})) + t_i(x_1 … x_{i−1}),   log|det| = Σ s_i
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.flows.bijection import Bijection, positive, sum_features
from partita.flows.context import joined, joined_shape
from partita.flows.coupling import scale_and_shift


@keras.saving.register_keras_serializable(package="partita")
class MaskedAutoregressive(Bijection):
    """Scale and shift every feature by functions of those before it (MAF); x `(batch, features)`.

    The inverse has to find the features one after another: it takes as many passes as there are features.
    `Inverse` of this one draws fast and trains slowly. A `Reverse` or a `Permutation` between two of them
    lets every feature depend on every other.

    Args:
        hidden: Widths of the hidden layers, at least one.
        activation: Of the hidden layers; any name or function that Keras knows.
        max_log_scale: The bound on |s|: s = bound · tanh(raw / bound).

    Raises:
        ValueError: if x is not `(batch, features)`, or an argument is out of range.

    Source: MADE, Germain et al. 2015; MAF, Papamakarios et al. 2017.

    Example:
        >>> import numpy as np
        >>> bijection = MaskedAutoregressive(hidden=(16,))
        >>> y, log_det = bijection.forward_and_log_det(np.array([[1.0, 2.0, 3.0]]))
        >>> x, _ = bijection.inverse_and_log_det(y)
        >>> np.allclose(ops.convert_to_numpy(x), [[1, 2, 3]], atol=1e-4)
        True
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        activation: Any = "relu",
        max_log_scale: float = 2.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not hidden or min(hidden) < 1:
            raise ValueError(f"hidden must be one width or more, each at least 1, got {hidden}")
        self.hidden = [*hidden]
        self.activation = keras.activations.get(activation)
        self.max_log_scale = positive("max_log_scale", max_log_scale)

    def build(self, x_shape, context_shape=None):
        if len(x_shape) != 2:
            raise ValueError(f"MaskedAutoregressive wants x (batch, features), got the shape {x_shape}")
        features = x_shape[1]
        self._context_shape = context_shape
        num_inputs = joined_shape(x_shape, context_shape)[1]
        # A unit of degree k sees units of degrees up to k in the layer before. Feature k has degree k, its
        # scale and shift have degree k − 1, and the context has degree 0, so that all see it.
        inputs = np.concatenate([np.arange(1, features + 1), np.zeros(num_inputs - features, int)])
        hidden = [np.arange(width) % max(1, features - 1) + 1 for width in self.hidden]
        outputs = np.tile(np.arange(features), 2)
        self._masks, self.kernels, self.biases = [], [], []
        widths = [*self.hidden, len(outputs)]
        for number, (before, after) in enumerate(pairwise([inputs, *hidden, outputs])):
            seen = before[:, None] <= after
            self._masks.append(seen.astype(self.compute_dtype))
            start = "zeros" if number == len(hidden) else "glorot_uniform"
            self.kernels.append(self.add_weight(name=f"kernel_{number}", shape=seen.shape, initializer=start))
            self.biases.append(
                self.add_weight(name=f"bias_{number}", shape=(widths[number],), initializer="zeros")
            )

    def _scale_and_shift(self, x, context):
        h = joined(x, context, self._context_shape)
        layers = zip(self._masks, self.kernels, self.biases, strict=True)
        for number, (mask, kernel, bias) in enumerate(layers):
            h = ops.matmul(h, kernel * mask) + bias
            if number < len(self.hidden):
                h = self.activation(h)
        return scale_and_shift(h, self.max_log_scale)

    def forward_and_log_det(self, x, context=None):
        log_scale, shift = self._scale_and_shift(x, context)
        return x * ops.exp(log_scale) + shift, sum_features(log_scale)

    def inverse_and_log_det(self, y, context=None):
        def closer(_, x):  # after pass k the first k features are right
            log_scale, shift = self._scale_and_shift(x, context)
            return (y - shift) * ops.exp(-log_scale)

        x = ops.fori_loop(0, y.shape[1], closer, ops.zeros_like(y))
        return x, -sum_features(self._scale_and_shift(x, context)[0])

    def get_config(self):
        own = {"hidden": self.hidden, "activation": keras.activations.serialize(self.activation)}
        return {**super().get_config(), **own, "max_log_scale": self.max_log_scale}
