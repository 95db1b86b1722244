"""A density that is known exactly: a bijection, and a law for what it maps data to, under one Keras model.

log q(x) = log p(f(x)) + log|det ∂f/∂x|,   x = f⁻¹(z) with z drawn from p
"""

import math
from inspect import signature
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.backend import is_known
from partita.callbacks.finite import StopOnNonFinite
from partita.callbacks.given import guards, joined
from partita.callbacks.keeper import Keeper, refusals, whole
from partita.data.datasets import checked
from partita.data.numbers import as_numbers, check_finite
from partita.files.saving import SavedWithSeeds
from partita.flows.bijection import Bijection, HoldsParts, build, in_own_precision, precision, within
from partita.flows.distributions import Distribution, Normal
from partita.flows.given import check_shapes, checked_context, checked_rows, is_data, parts
from partita.flows.rows import OverRows


@keras.saving.register_keras_serializable(package="partita")
class Flow(HoldsParts, SavedWithSeeds):
    """A Keras model of a density: `compile("adam")`, `fit(x)`, then `log_prob`, `sample`, `encode`, `decode`.

    The loss is the mean of −log q(x) in nats, and "bits_per_dim" a metric. Training takes no targets. With a
    context, to learn q(x|c), a batch is a pair: `fit((x, context))`, `evaluate((x, context))`,
    `validation_data=((x, context),)`; sample weights are `(batch,)`. A `StopOnNonFinite` comes along: where
    the loss becomes NaN, `fit` puts the weights of the last good epoch back and raises.

    The methods below take rows of data and give NumPy arrays, in compiled batches whatever the number of
    rows. Given a tensor of the backend they give a tensor that can be differentiated. `data_shape` is that of
    a row; `levels` is one over the width of the noise, 1 without. `log_prob` of a tensor outside the
    bijection's domain is −inf; of an array it is an error.

    When weights are new, `sample` and `decode` look whether 16 draws come back from their latents, and warn
    where they do not: a deep chain can lose more digits than its dtype has. `log_prob` needs no inverse, and
    does not look.

    Args:
        bijection: From data to latent space.
        base: The law of the latent; by default `Normal()`.
        dequantize: What makes continuous numbers of discrete ones, in training and evaluation: an integer is
            a number of levels, for data k / (levels − 1), which become (k + u) / levels with u uniform in [0,
            1); a pair (low, high) adds noise that is uniform between the two. None adds nothing. `log_prob`
            and `encode` take x as it is.

    Raises:
        ValueError: if an argument does not fit; if data are no numbers, not finite or outside the bijection's
            domain (the row is named); if a context is missing, or given to a flow that was built without.
        FloatingPointError: out of `fit`, where a training diverges.
        LostInverseWarning: a warning, see above.

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
            raise ValueError(
                f"bijection must be a Bijection and base a Distribution, got {bijection!r} and {base!r}"
            )
        super().__init__(dtype=bijection.compute_dtype if dtype is None else dtype, **kwargs)
        self.bijection = bijection
        self.base = Normal(dtype=bijection.compute_dtype) if base is None else base
        self.dequantize: int | tuple[float, ...] | None = (
            dequantize if isinstance(dequantize, int | None) else tuple(dequantize)
        )
        match self.dequantize:
            case None:
                self.levels = 1.0
            case int(levels) if levels >= 2:
                self.levels = levels
            case (low, high) if low < high:
                self.levels = 1 / (high - low)
            case _:
                wanted = "a number of levels, at least 2, or a pair of rising numbers"
                raise ValueError(f"dequantize must be {wanted}, got {dequantize}")
        self._noise = keras.random.SeedGenerator()
        self._bits = keras.metrics.Mean(name="bits_per_dim")
        self._rows = OverRows(
            self, bijection.compute_dtype, log_prob=self._log_prob, encode=self._encode, decode=self._decode
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with precision(self.compute_dtype):
            return super().__call__(*args, **kwargs)

    @in_own_precision
    def build(self, input_shape):
        is_pair = isinstance(input_shape[0], list | tuple)
        x_shape, context_shape = input_shape if is_pair else (input_shape, None)
        latent_shape = build(self.bijection, x_shape, context_shape)
        if not self.base.built:
            self.base.build(latent_shape)
        self.data_shape, self._latent_shape = tuple(x_shape[1:]), latent_shape[1:]
        self._context_shape = None if context_shape is None else tuple(context_shape[1:])

    def call(self, inputs, training=None):
        x, context = inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
        # which reaches nets and ActNorm
        z, log_det = self.bijection(self._with_noise(x, self._noise), context=context, training=training)
        return self.base.log_prob(z) + log_det  # (batch,)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if isinstance(y, dict) and [*y] == ["sample_weight"]:  # of arrays, see `_check_given`
            sample_weight = y["sample_weight"]
        elif y is not None and y.shape[-1]:
            raise ValueError(
                f"fit takes no targets, got some of the shape {tuple(y.shape)}: a context goes in as "
                f"fit((x, context))"
            )
        self._bits.update_state(self._to_bits(y_pred), sample_weight=sample_weight)
        weight = 1.0 if sample_weight is None else ops.cast(sample_weight, y_pred.dtype)
        return -ops.mean(weight * y_pred) + sum(self.losses)

    @in_own_precision
    def fit(self, x=None, y=None, *arguments, **options):
        call = signature(super().fit).bind(x, y, *arguments, **options)
        given = call.arguments
        self._check_given(given)
        validation = given.get("validation_data")
        if validation is not None and is_data(validation):
            # bare rows, and no tuple of x, y and weights
            is_bare = not isinstance(validation, tuple) and parts(validation)[0] is validation
            values = (validation,) if is_bare else validation
            names = dict(zip(("x", "y", "sample_weight"), values, strict=False))
            self._check_given(names, "validation_data")
            given["validation_data"] = (names["x"], names.get("y"), names.get("sample_weight"))
        elif validation is not None:
            given["validation_data"] = self._watched(validation)
        callbacks = given.get("callbacks")
        with refusals(keeper := Keeper()):
            given["callbacks"] = joined(self, callbacks, keeper, *guards(callbacks, StopOnNonFinite))
            return super().fit(*call.args, **call.kwargs)

    @in_own_precision
    def evaluate(self, x=None, y=None, *arguments, **options):
        call = signature(super().evaluate).bind(x, y, *arguments, **options)
        given = call.arguments
        self._check_given(given)
        with whole(self, given):
            return super().evaluate(*call.args, **call.kwargs)

    @in_own_precision
    def train_on_batch(self, x, *arguments, **options):
        call = signature(super().train_on_batch).bind(x, *arguments, **options)
        self._check_given(call.arguments)
        return super().train_on_batch(*call.args, **call.kwargs)

    def log_prob(self, x: Any, context: Any = None) -> Any:
        """log q(x) `(rows,)` in nats, of data `(rows, ...)`."""
        return self._run("log_prob", x, context, self.bijection.domain)

    def bits_per_dim(self, x: Any, context: Any = None, seed: int | None = None) -> np.ndarray:
        """−log₂ of the probability of each row, a feature `(rows,)`; lower is better.

        With `dequantize`, noise is added (the same for the same seed), and the probability is that of a cell
        as wide as the noise, so for 256 levels that of the discrete x, at least. Without, it is the density.
        """
        x = checked_rows("x", x, self.bijection.compute_dtype, self._limits())
        with precision(self.compute_dtype):
            noised = ops.convert_to_numpy(self._with_noise(x, keras.random.SeedGenerator(seed)))
        return self._to_bits(self._run("log_prob", noised, context, (-math.inf, math.inf)))

    def encode(self, x: Any, context: Any = None) -> Any:
        """Latent z = f(x) of data."""
        return self._run("encode", x, context, self.bijection.domain)

    def decode(self, z: Any, context: Any = None) -> Any:
        """Data x = f⁻¹(z) of latents."""
        return self._run("decode", z, context, self.bijection.image)

    def sample(
        self, n: int, temperature: float = 1.0, seed: int | None = None, context: Any = None
    ) -> np.ndarray:
        """`n` draws of x, `(n, ...)`.

        Args:
            n: At least 1.
            temperature: What the latent is multiplied by: below 1, draws keep to where the density is high.
            seed: The same seed gives the same draws. None draws afresh.
            context: For a conditional flow: one row for all, `(features,)`, or one for each draw,
                `(n, features)`.
        """
        if not self.built:
            raise ValueError("this flow knows no shape yet: fit it, or build((None, features)) it")
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if not temperature >= 0:
            raise ValueError(f"temperature must be 0 or more, got {temperature}")
        if self.bijection.image != (-math.inf, math.inf):
            low, high = self.bijection.image
            raise ValueError(
                f"sample needs a bijection onto all numbers, which the base draws, got one onto those from "
                f"{low:g} to {high:g}"
            )
        if context is not None:
            context = as_numbers("context", context)
            shape = self._context_shape
            if shape is not None and context.shape in (shape, (1, *shape)):
                context = np.broadcast_to(context, (n, *shape))
        seed = keras.random.SeedGenerator() if seed is None else seed
        z = self.base.sample((n, *self._latent_shape), seed, temperature)
        return self._run("decode", ops.convert_to_numpy(z), context, self.bijection.image)

    def _log_prob(self, x, context):
        low, high = self.bijection.domain
        inside = x if math.isinf(low) and math.isinf(high) else within(x, low, high)
        z, log_det = self.bijection.forward_and_log_det(inside, context)
        log_prob = self.base.log_prob(z) + log_det  # (batch,)
        if inside is x:
            return log_prob
        is_outside = ops.any((x < low) | (x > high), axis=tuple(range(1, len(x.shape))))
        return ops.where(is_outside, -math.inf, log_prob)

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

    @in_own_precision
    def _run(self, name, x, context, limits):
        x = x if self.built or ops.is_tensor(x) else as_numbers("x", x)
        self._build_for(x, context)
        if ops.is_tensor(x) and not is_known(x):
            return getattr(self, f"_{name}")(x, context)
        shape = self._latent_shape if name == "decode" else self.data_shape
        if ops.is_tensor(x):
            check_shapes(x, context, shape, self._context_shape)
            return self._rows.tensors(name, x, context)
        x = checked_rows("z" if name == "decode" else "x", x, self.bijection.compute_dtype, limits)
        context = checked_context(context, self.bijection.compute_dtype)
        check_shapes(x, context, shape, self._context_shape)
        if name == "decode" and self.bijection.image == (-math.inf, math.inf):
            self._rows.check_inverse(lambda n: self.base.sample((n, *self._latent_shape), 0), context)
        return self._rows.arrays(name, x, context)

    def _build_for(self, x, context):
        if not self.built:
            shapes = [(None, *np.shape(part)[1:]) for part in (x, context) if part is not None]
            self.build(shapes[0] if context is None else tuple(shapes))

    def _check_given(self, given, name="x"):
        """Check the arguments of `fit` by name, and put arrays in their place.

        An error that is raised later leaves a model without weights on JAX.
        """
        x, weight = given.get("x"), given.get("sample_weight")
        if x is None:
            return
        if not is_data(x) and not isinstance(x, dict):
            given["x"] = self._watched(x)
            return
        rows, context = parts(x)
        rows = checked_rows(name, rows, self.bijection.compute_dtype, self._limits())
        context = checked_context(context, self.bijection.compute_dtype)
        self._build_for(rows, context)
        check_shapes(rows, context, self.data_shape, self._context_shape)
        given["x"] = rows if context is None else (rows, context)
        if weight is not None:
            check_finite("sample_weight", weight)
            given["sample_weight"] = as_numbers("sample_weight", weight)
            if given.get("y") is None:
                # Keras packs arrays without targets as x alone (`pack_x_y_sample_weight`), without weights.
                given["y"] = {"sample_weight": given.pop("sample_weight")}

    def _watched(self, dataset):
        """Return a dataset whose batches are checked before they are trained on."""

        def check(inputs):
            rows, context = parts(inputs)
            checked_rows("x", rows, self.bijection.compute_dtype, self._limits())
            check_finite("context", context)

        return checked(dataset, check, bounds=self._limits())

    def _limits(self):
        """Between which numbers data must lie to be in the bijection's domain once they have their noise."""
        if isinstance(self.dequantize, int):
            return 0.0, 1.0
        low, high = self.dequantize or (0.0, 0.0)
        return self.bijection.domain[0] - low, self.bijection.domain[1] - high

    def get_config(self):
        own = keras.saving.serialize_keras_object({"bijection": self.bijection, "base": self.base})
        dequantize = [*self.dequantize] if isinstance(self.dequantize, tuple) else self.dequantize
        return {**super().get_config(), **own, "dequantize": dequantize}
