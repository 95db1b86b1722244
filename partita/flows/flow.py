"""A density that is known exactly: a bijection, and a law for what it maps data to, under one Keras model.

log q(x) = log p(f(x)) + log|det ∂f/∂x|,   x = f⁻¹(z) with z drawn from p
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.backend import compiled, is_known
from partita.flows.bijection import Bijection, build
from partita.flows.distributions import Distribution, Normal
from partita.saving import SavedWithSeeds

_NUMBERS_AT_ONCE = 2**18  # of data in a batch, where the methods cut many rows into batches


@keras.saving.register_keras_serializable(package="partita")
class Flow(SavedWithSeeds):
    """A Keras model of a density: `compile("adam")`, `fit(x)`, then `log_prob`, `sample`, `encode`, `decode`.

    The loss is the mean of −log q(x) in nats, and "bits_per_dim" a metric. Training takes no targets. With a context, to learn q(x|c), a
    batch is a pair: `fit((x, context))`, `evaluate((x, context))`, `validation_data=((x, context),)`; sample weights are `(batch,)`.

    The methods below take rows of data and give NumPy arrays, in compiled batches whatever the number of rows. Given a tensor of the
    backend they give a tensor that can be differentiated. `data_shape` is that of a row; `levels` is one over the width of the noise, 1
    without.

    Args:
        bijection: From data to latent space.
        base: The law of the latent; by default `Normal()`.
        dequantize: What makes continuous numbers of discrete ones, in training and evaluation: an integer is a number of levels, for
            data k / (levels − 1), which become (k + u) / levels with u uniform in [0, 1); a pair (low, high) adds noise that is uniform
            between the two. None adds nothing. `log_prob` and `encode` take x as it is.

    Raises:
        ValueError: if an argument does not fit; if data are not finite or lie outside the bijection's domain (the row is named); if a
            context is missing, or given to a flow that was built without.

    Example:
        >>> import numpy as np
        >>> from partita.flows import AffineCoupling, Chain, Scaling
        >>> x = np.random.default_rng(0).normal(size=(256, 2))
        >>> flow = Flow(Chain([AffineCoupling(keras.layers.Dense(2)), Scaling()]))
        >>> flow.compile("adam")
        >>> history = flow.fit(x, validation_split=0.25, verbose=0).history
        >>> sorted(history)
        ['bits_per_dim', 'loss', 'val_bits_per_dim', 'val_loss']
        >>> flow.log_prob(x).shape, flow.sample(3, seed=0).shape
        ((256,), (3, 2))
    """

    def __init__(
        self,
        bijection: Bijection,
        base: Distribution | None = None,
        dequantize: int | tuple[float, float] | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ):
        if not isinstance(bijection, Bijection) or not isinstance(base, Distribution | None):
            raise ValueError(f"bijection must be a Bijection and base a Distribution, got {bijection!r} and {base!r}")
        super().__init__(dtype=bijection.compute_dtype if dtype is None else dtype, **kwargs)
        self.bijection = bijection
        self.base = Normal(dtype=bijection.compute_dtype) if base is None else base
        self.dequantize = dequantize if dequantize is None or isinstance(dequantize, int) else tuple(dequantize)
        if isinstance(self.dequantize, int):
            fits = self.dequantize >= 2
        else:
            fits = self.dequantize is None or (len(self.dequantize) == 2 and self.dequantize[0] < self.dequantize[1])
        if not fits:
            raise ValueError(f"dequantize must be a number of levels, at least 2, or a pair of rising numbers, got {dequantize}")
        self.levels = self.dequantize if isinstance(self.dequantize, int) else 1.0
        if isinstance(self.dequantize, tuple):
            self.levels = 1 / (self.dequantize[1] - self.dequantize[0])
        self._noise = keras.random.SeedGenerator()
        self._bits = keras.metrics.Mean(name="bits_per_dim")
        self._pieces: dict[str, Any] = {}

    def build(self, input_shape):
        x_shape, context_shape = input_shape if isinstance(input_shape[0], (list, tuple)) else (input_shape, None)
        latent_shape = build(self.bijection, x_shape, context_shape)
        if not self.base.built:
            self.base.build(latent_shape)
        self.data_shape, self._latent_shape = tuple(x_shape[1:]), latent_shape[1:]
        self._context_shape = None if context_shape is None else tuple(context_shape[1:])

    def call(self, inputs, training=None):
        x, context = inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
        z, log_det = self.bijection(self._with_noise(x, self._noise), context=context, training=training)  # which reaches nets and ActNorm
        return self.base.log_prob(z) + log_det  # (batch,)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if y is not None and y.shape[-1]:
            raise ValueError(f"fit takes no targets, got some of the shape {tuple(y.shape)}: a context goes in as fit((x, context))")
        self._bits.update_state(self._to_bits(y_pred), sample_weight=sample_weight)
        weight = 1.0 if sample_weight is None else ops.cast(sample_weight, y_pred.dtype)
        return -ops.mean(weight * y_pred) + sum(self.losses)

    def fit(self, x=None, y=None, *arguments, **options):
        y = self._check_all(x, y, options)
        validation = options.get("validation_data")
        self._check_all(validation[0] if isinstance(validation, (list, tuple)) else validation)
        return super().fit(x, y, *arguments, **options)

    def evaluate(self, x=None, y=None, *arguments, **options):
        y = self._check_all(x, y, options)
        return super().evaluate(x, y, *arguments, **options)

    def log_prob(self, x: Any, context: Any = None) -> Any:
        """log q(x) `(rows,)` in nats, of data `(rows, ...)`."""
        return self._run("log_prob", x, context)

    def bits_per_dim(self, x: Any, context: Any = None, seed: int | None = None) -> np.ndarray:
        """−log₂ of the probability of each row, a feature `(rows,)`; lower is better.

        With `dequantize`, noise is added (the same for the same seed), and the probability is that of a cell as wide as the noise, so for
        256 levels that of the discrete x, at least. Without, it is the density.
        """
        x = self._checked(x)
        noised = ops.convert_to_numpy(self._with_noise(x, keras.random.SeedGenerator(seed)))
        return self._to_bits(self._run("log_prob", noised, context, check=False))

    def encode(self, x: Any, context: Any = None) -> Any:
        """Latent z = f(x) of data."""
        return self._run("encode", x, context)

    def decode(self, z: Any, context: Any = None) -> Any:
        """Data x = f⁻¹(z) of latents."""
        return self._run("decode", z, context)

    def sample(self, n: int, temperature: float = 1.0, seed: int | None = None, context: Any = None) -> np.ndarray:
        """`n` draws of x, `(n, ...)`.

        Args:
            n: At least 1.
            temperature: What the latent is multiplied by: below 1, draws keep to where the density is high.
            seed: The same seed gives the same draws. None draws afresh.
            context: For a conditional flow: one row for all, `(features,)`, or one for each draw, `(n, features)`.
        """
        self._check_built()
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if not temperature >= 0:
            raise ValueError(f"temperature must be 0 or more, got {temperature}")
        if context is not None:
            context = np.asarray(ops.convert_to_numpy(context))
            if self._context_shape is not None and context.shape in (self._context_shape, (1, *self._context_shape)):
                context = np.broadcast_to(context, (n, *self._context_shape))
        z = self.base.sample((n, *self._latent_shape), keras.random.SeedGenerator() if seed is None else seed, temperature)
        return self._run("decode", ops.convert_to_numpy(z), context)

    def _log_prob(self, x, context):
        z, log_det = self.bijection.forward_and_log_det(x, context)
        return self.base.log_prob(z) + log_det  # (batch,)

    def _encode(self, x, context):
        return self.bijection.forward_and_log_det(x, context)[0]

    def _decode(self, z, context):
        return self.bijection.inverse_and_log_det(z, context)[0]

    def _with_noise(self, x, seed):
        if self.dequantize is None:
            return x
        x = ops.cast(ops.convert_to_tensor(x), self.bijection.compute_dtype)
        noise = keras.random.uniform(ops.shape(x), dtype=x.dtype, seed=seed)
        if isinstance(self.dequantize, int):
            return ((self.dequantize - 1) * x + noise) / self.dequantize
        low, high = self.dequantize
        return x + low + (high - low) * noise

    def _to_bits(self, log_prob):
        return -log_prob / (math.prod(self.data_shape) * math.log(2)) + math.log2(self.levels)

    def _run(self, name, x, context, check=True):
        if not self.built:
            x = np.asarray(x)
            self.build((None, *x.shape[1:]) if context is None else ((None, *x.shape[1:]), (None, *np.shape(context)[1:])))
        function = getattr(self, f"_{name}")
        if ops.is_tensor(x) and not is_known(x):
            return function(x, context)
        if name not in self._pieces:

            def piece(x, context, values):  # weights as arguments: what is compiled would otherwise keep today's
                with keras.StatelessScope([*zip(self.weights, values, strict=True)]):
                    return function(x, context)

            self._pieces[name] = compiled(piece)
        values = [weight.value for weight in self.weights]
        if ops.is_tensor(x):
            self._check_shapes(x, context, self._latent_shape if name == "decode" else self.data_shape)
            return self._pieces[name](x, context, values)
        x = self._checked(x, "z" if name == "decode" else "x", name != "decode" and check)
        context = None if context is None else np.asarray(ops.convert_to_numpy(context), self.bijection.compute_dtype)
        self._check_shapes(x, context, self._latent_shape if name == "decode" else self.data_shape)
        return np.concatenate([*self._in_batches(self._pieces[name], x, context, values)])

    def _in_batches(self, piece, x, context, values):
        size = 1 << max(6, (_NUMBERS_AT_ONCE // math.prod(x.shape[1:])).bit_length() - 1)
        for start in range(0, len(x), size):
            count = min(size, len(x) - start)
            padding = min(size, 1 << (count - 1).bit_length()) - count  # few shapes to compile for, whatever the number of rows
            rows = (None if part is None else self._padded(part[start : start + size], padding) for part in (x, context))
            yield ops.convert_to_numpy(piece(*rows, values))[:count]

    def _padded(self, rows, padding):
        return ops.convert_to_tensor(np.pad(rows, [(0, padding)] + [(0, 0)] * (rows.ndim - 1), mode="edge"), self.bijection.compute_dtype)

    def _check_built(self):
        if not self.built:
            raise ValueError("this flow knows no shape yet: fit it, or build((None, features)) it")

    def _check_all(self, x, y=None, options=None):
        """Look at the data of `fit` where they are arrays: what is raised once it runs leaves a model without weights on JAX."""
        x, context = x if isinstance(x, (list, tuple)) and len(x) == 2 else (x, None)
        if isinstance(x, np.ndarray):
            self._checked(x)
            if self.built:
                self._check_shapes(x, context, self.data_shape)
            if y is None and options and options.get("sample_weight") is not None:
                return np.zeros((len(x), 0))  # Keras forgets weights that come without targets
        return y

    def _checked(self, x, name="x", in_domain=True):
        x = np.asarray(ops.convert_to_numpy(x), self.bijection.compute_dtype)
        if x.ndim < 2 or not len(x):
            raise ValueError(f"{name} must hold rows (rows, features) or (rows, height, width, channels), got the shape {x.shape}")
        low, high = self.bijection.domain if self.dequantize is None else (-math.inf, math.inf)
        if isinstance(self.dequantize, int):
            low, high = 0.0, 1.0
        elif self.dequantize is not None:
            low, high = (limit - noise for limit, noise in zip(self.bijection.domain, self.dequantize, strict=True))
        good = np.isfinite(x)
        if in_domain:
            good &= (x >= low) & (x <= high)
        if not good.all():
            row, *place = (int(i) for i in np.argwhere(~good)[0])
            wanted = "finite numbers" + (f" from {low:g} to {high:g}" if in_domain and math.isfinite(low) else "")
            raise ValueError(f"{name} must hold {wanted}, got {x[row, *place]:g} in row {row}, feature {', '.join(map(str, place))}")
        return x

    def _check_shapes(self, x, context, shape):
        if tuple(x.shape[1:]) != tuple(shape):
            raise ValueError(f"rows must have the shape {tuple(shape)} that this flow was built for, got {tuple(x.shape[1:])}")
        if context is None and self._context_shape is not None:
            raise ValueError(f"context is missing: this flow was built with one of the shape {self._context_shape}")
        if context is not None and (self._context_shape is None or tuple(context.shape) != (x.shape[0], *self._context_shape)):
            wanted = "none" if self._context_shape is None else f"{(x.shape[0], *self._context_shape)}"
            raise ValueError(f"context must have the shape {wanted} beside {x.shape[0]} rows, got {tuple(context.shape)}")

    def get_config(self):
        return {
            **super().get_config(),
            "bijection": keras.saving.serialize_keras_object(self.bijection),
            "base": keras.saving.serialize_keras_object(self.base),
            "dequantize": self.dequantize if self.dequantize is None or isinstance(self.dequantize, int) else list(self.dequantize),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {part: keras.saving.deserialize_keras_object(config[part], custom_objects=custom_objects) for part in ("bijection", "base")}
        return cls(**{**config, **parts})
