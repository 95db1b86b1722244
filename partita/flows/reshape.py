"""Images to smaller ones of more channels, and channels that leave early.

(batch, h, w, c) → (batch, h/2, w/2, 4c),   z = [f(x₁), x₂]
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from partita.flows.bijection import Bijection, HoldsParts, build, no_change


@keras.saving.register_keras_serializable(package="partita")
class Squeeze(Bijection):
    """Space-to-depth bijection, `(batch, h, w, c)` → `(batch, h/2, w/2, 4c)`.

    It puts the four pixels of every 2 × 2 square into the channels of one.

    Raises:
        ValueError: if the height or the width is odd.

    Source: RealNVP, Dinh et al. 2016, section 3.6.

    Example:
        >>> import numpy as np
        >>> tuple(Squeeze().forward_and_log_det(np.ones((1, 4, 6, 3)))[0].shape)
        (1, 2, 3, 12)
    """

    rearranges = True

    def build(self, x_shape):
        if len(x_shape) != 4:
            raise ValueError(
                f"Squeeze wants images (batch, height, width, channels), got the shape {x_shape}"
            )
        _, height, width, _ = x_shape
        if height % 2 or width % 2:
            got = f"{height} × {width}: pad or crop the images"
            raise ValueError(f"Squeeze needs an even height and width, got {got}")

    def compute_output_shape(self, x_shape):
        batch, height, width, channels = x_shape
        return (batch, height // 2, width // 2, 4 * channels)

    def forward_and_log_det(self, x, context=None):
        _, height, width, channels = x.shape
        squares = ops.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
        squares = ops.transpose(squares, (0, 1, 3, 2, 4, 5))  # (batch, h/2, w/2, 2, 2, c)
        return ops.reshape(squares, (-1, height // 2, width // 2, 4 * channels)), no_change(x)

    def inverse_and_log_det(self, y, context=None):
        _, height, width, channels = y.shape
        squares = ops.reshape(y, (-1, height, width, 2, 2, channels // 4))
        squares = ops.transpose(squares, (0, 1, 3, 2, 4, 5))  # (batch, h, 2, w, 2, c)
        return ops.reshape(squares, (-1, 2 * height, 2 * width, channels // 4)), no_change(y)


@keras.saving.register_keras_serializable(package="partita")
class Flatten(Bijection):
    """Images, or anything else, as vectors: `(batch, ...)` → `(batch, features)`.

    Example:
        >>> import numpy as np
        >>> tuple(Flatten().forward_and_log_det(np.ones((2, 4, 4, 3)))[0].shape)
        (2, 48)
    """

    rearranges = True

    def build(self, x_shape):
        self._shape = tuple(x_shape[1:])

    def compute_output_shape(self, x_shape):
        return (x_shape[0], int(np.prod(x_shape[1:])))

    def forward_and_log_det(self, x, context=None):
        return ops.reshape(x, (-1, int(np.prod(self._shape)))), no_change(x)

    def inverse_and_log_det(self, y, context=None):
        return ops.reshape(y, (-1, *self._shape)), no_change(y)


@keras.saving.register_keras_serializable(package="partita")
class FactorOut(HoldsParts, Bijection):
    """Multi-scale factor-out: half the channels go to the latent as they are.

    The others go through further bijections; together they come out as vectors.

    `(batch, ..., c)` → `(batch, features)`: first what the bijections made of the first half, then the second
    half. A multi-scale flow is a chain that ends in one of these, whose bijections end in another, and so on.

    Args:
        bijection: What the first half goes through.

    Raises:
        ValueError: if the number of channels is odd.

    Source: RealNVP, Dinh et al. 2016, section 3.6.

    Example:
        >>> import numpy as np
        >>> from partita.flows import Scaling
        >>> tuple(FactorOut(Scaling()).forward_and_log_det(np.ones((2, 4, 4, 6)))[0].shape)
        (2, 96)
    """

    def __init__(self, bijection: Bijection, **kwargs: Any):
        super().__init__(**kwargs)
        self.bijection = bijection

    def build(self, x_shape, context_shape=None):
        if x_shape[-1] % 2:
            raise ValueError(f"FactorOut needs an even number of channels, got {x_shape[-1]}")
        self._half = (*x_shape[1:-1], x_shape[-1] // 2)
        self._inner = build(self.bijection, (None, *self._half), context_shape)[1:]

    def compute_output_shape(self, x_shape):
        return (x_shape[0], int(np.prod(x_shape[1:])))

    def forward_and_log_det(self, x, context=None):
        going, leaving = ops.split(x, 2, axis=-1)
        going, log_det = self.bijection.forward_and_log_det(going, context)
        size = int(np.prod(self._half))
        return ops.concatenate([ops.reshape(part, (-1, size)) for part in (going, leaving)], axis=-1), log_det

    def inverse_and_log_det(self, y, context=None):
        going, leaving = ops.split(y, 2, axis=-1)
        going, log_det = self.bijection.inverse_and_log_det(ops.reshape(going, (-1, *self._inner)), context)
        return ops.concatenate([going, ops.reshape(leaving, (-1, *self._half))], axis=-1), log_det

    def get_config(self):
        return {**super().get_config(), "bijection": keras.saving.serialize_keras_object(self.bijection)}
