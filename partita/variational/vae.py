"""Variational auto-encoder (VAE): a bound on log p(x).

Both the posterior and the data's law are given by nets.

log q(x) ≥ E_{p(z|x)}[log q(x|z)] − KL(p(z|x) ‖ q(z))
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.backend import compiled
from partita.data.numbers import as_numbers, check_finite
from partita.variational import nets
from partita.variational.gaussian import (
    StandardNormal,
    kl_to_standard,
    normal_log_prob,
    reparameterize,
    split_gaussian,
)
from partita.variational.likelihood import NAMED, Likelihood, check_range
from partita.variational.unsupervised import Unsupervised

_ARGUMENTS = ("encoder", "decoder", "likelihood", "beta", "free_bits", "prior", "samples", "seed")
_NUMBERS_AT_ONCE = 2**22  # of data and draws together, where log p(x) is estimated


@keras.saving.register_keras_serializable(package="partita")
class VAE(Unsupervised):
    """Variational auto-encoder under plain `compile` / `fit(x)`.

    One principle, this row:
        p(x, z): p̃(x) p(z|x), p(z|x) Gaussian
        q(x, z): q(x|z) q(z)
        minimised: KL(p ‖ q)
        computed: −E[log q(x|z)] + KL(p(z|x) ‖ q(z))
        dropped: the entropy of the data

    `evaluate` and the logs give, in nats a row: "reconstruction" −log q(x|z), "kl", and "bound", an upper
    bound on −log q(x): their sum, or with k samples the tighter one. "loss" is what is minimised, with β and
    free bits.

    A conditional model has nets of two inputs, `encoder([x, condition])` and `decoder([z, condition])`, and
    is given pairs: `fit([x, condition])`, `encode([x, condition])`, `decode(z, condition)`,
    `sample(n, condition=...)`.

    Args:
        encoder: Model that begins with `keras.Input`: x → `(batch, 2 latent)`, means and then log-variances,
            or the two as a pair.
        decoder: Model or layer, z → what the likelihood needs, in the shape of x (with `scale="output"` twice
            as long on the last axis).
        likelihood: q(x|z): "normal", "bernoulli" or "logistic", or a `Likelihood` with settings.
        beta: Weight of the KL in training: a number, or a schedule (any `keras.optimizers.schedules`, a
            function of the step).
        free_bits: The KL of a latent dimension counts as this many nats at least (mean of the batch; with a
            prior of one's own, the KL of all as this many a dimension).
        prior: q(z): anything with `log_prob(z)`, made of Keras's operations, and `sample(n, seed=)`; a flow
            or a `GaussianMixture`, say. Weights of a prior that is a Keras model are trained along, unless
            its `trainable` is False. None is N(0, 1).
        samples: With k > 1 training maximises the importance-weighted bound with k draws.
        seed: Of all draws.

    Raises:
        ValueError: if an argument or a shape does not fit, `prior` lacks a method, or data are not finite or
            lie outside the likelihood's range: arrays before the training, batches of a dataset before the
            step that they are for.
        FloatingPointError: out of `fit`, if the loss is not finite; see `partita.callbacks.StopOnNonFinite`,
            which comes along.

    Source: Kingma, Welling 2014; Burda et al. 2016 (k samples); Higgins et al. 2017 (β); Kingma et al. 2016
    (free bits).

    Example:
        >>> import keras
        >>> import numpy as np
        >>> encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
        >>> vae = VAE(encoder, keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]))
        >>> vae.compile("adam")
        >>> x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
        >>> sorted(vae.fit(x, verbose=0).history)
        ['bound', 'kl', 'loss', 'reconstruction']
        >>> vae.encode(x).shape, vae.sample(5, seed=0).shape, vae.log_prob(x, samples=10).shape
        ((64, 2), (5, 3), (64,))
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.layers.Layer,
        likelihood: str | Likelihood = "normal",
        beta: float | Callable[[Any], Any] = 1.0,
        free_bits: float = 0.0,
        prior: Any = None,
        samples: int = 1,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if isinstance(likelihood, str) and likelihood not in NAMED:
            raise ValueError(
                f"likelihood must be one of {', '.join(NAMED)}, or a Likelihood, got {likelihood!r}"
            )
        if not free_bits >= 0 or not (callable(beta) or beta >= 0):
            raise ValueError(f"beta and free_bits must be 0 or more, got {beta} and {free_bits}")
        if samples < 1 or (samples > 1 and (free_bits or beta != 1.0)):
            raise ValueError(f"samples must be at least 1, and 1 with beta or free_bits, got {samples}")
        for method in ("log_prob", "sample"):
            if prior is not None and not callable(getattr(prior, method, None)):
                raise ValueError(
                    f"prior must have the methods log_prob and sample, got {type(prior).__name__} without "
                    f"{method}"
                )
        self.encoder, self.decoder = encoder, decoder
        self.likelihood = NAMED[likelihood]() if isinstance(likelihood, str) else likelihood
        self.beta, self.free_bits, self.prior, self.samples, self.seed = beta, free_bits, prior, samples, seed
        self._x_shape, *condition = nets.input_shapes(encoder, "encoder")
        decoder_condition = nets.condition_shapes(decoder, "decoder")
        self.conditional = bool(condition or decoder_condition)
        self.latent = _latent_width(encoder)
        takes: list[nets.Shape] = [(self.latent,), *decoder_condition]
        nets.build(decoder, takes, "decoder")
        wanted = (*self._x_shape[:-1], self.likelihood.numbers * (self._x_shape[-1] or 1))
        if not nets.meet(made := nets.output_shape(decoder, takes), wanted):
            raise ValueError(
                f"decoder must end in (batch, {', '.join(map(str, wanted))}) for this likelihood, got "
                f"(batch, {made})"
            )
        if isinstance(prior, keras.layers.Layer) and not prior.built:
            prior.build((None, self.latent))
        self._draws = keras.random.SeedGenerator(seed)
        self._step = self.add_weight(name="step", initializer="zeros", dtype="int32", trainable=False)
        self._measured = {name: keras.metrics.Mean(name=name) for name in ("reconstruction", "kl", "bound")}
        self._pieces: dict[int, Any] = {}
        self.built = True

    def call(self, inputs):
        x, condition = nets.split_pair(inputs, self.conditional, "x")
        z = split_gaussian(nets.give(self.encoder, x, condition))[0]
        return self.likelihood.mean(nets.give(self.decoder, z, condition))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        nets.refuse_targets(y, sample_weight)
        x, condition = nets.split_pair(x, self.conditional, "x")
        nets.check_rows(x, self._x_shape, "x")
        x = self.likelihood.prepare(x, self._draws)
        log_likelihood, log_ratio, kl = self._terms(x, condition, self.samples, training)
        reconstruction, kl = -ops.mean(log_likelihood), ops.mean(kl, axis=0)
        bound = reconstruction + ops.sum(kl)
        if self.samples > 1:
            bound = math.log(self.samples) - ops.mean(ops.logsumexp(log_likelihood - log_ratio, axis=1))
        loss = bound
        if self.free_bits or callable(self.beta) or self.beta != 1.0:
            least = self.free_bits * (1 if self.prior is None else self.latent)
            beta = ops.cast(self.beta(self._step), "float32") if callable(self.beta) else self.beta
            loss = reconstruction + beta * ops.sum(ops.maximum(kl, least))
        if training:
            self._step.assign_add(1)
        for name, value in {"reconstruction": reconstruction, "kl": ops.sum(kl), "bound": bound}.items():
            self._measured[name].update_state(value, sample_weight=ops.cast(ops.shape(x)[0], "float32"))
        return loss + sum(self.losses)

    def _terms(self, x, condition, samples, training):
        """Compute the terms of the evidence lower bound.

        They are log q(x|z) and log p(z|x)/q(z) of each draw `(batch, samples)`, and the KL, `(batch, latent)`
        or a draw of it `(batch, 1)`.
        """
        mean, log_variance = split_gaussian(nets.give(self.encoder, x, condition, training))

        def repeated(rows):
            return rows if samples == 1 or rows is None else ops.repeat(rows, samples, axis=0)

        means, log_variances = repeated(mean), repeated(log_variance)
        z = reparameterize(means, log_variances, self._draws)  # (batch · samples, latent)
        output = nets.give(self.decoder, z, repeated(condition), training)
        log_likelihood = ops.reshape(self.likelihood.log_prob(repeated(x), output), (-1, samples))
        log_posterior = ops.sum(normal_log_prob(z, means, log_variances), axis=-1)
        log_prior = ops.cast(self._prior().log_prob(z), log_posterior.dtype)
        log_ratio = ops.reshape(log_posterior - log_prior, (-1, samples))
        if self.prior is None:
            return log_likelihood, log_ratio, kl_to_standard(mean, log_variance)
        return log_likelihood, log_ratio, ops.mean(log_ratio, axis=1, keepdims=True)

    def _prior(self):
        return self.prior or StandardNormal(self.latent)

    @property
    def _bounds(self):
        return self.likelihood.low, self.likelihood.high

    def _check(self, data):
        """Raise if a number of x is outside the likelihood's range, or one of a condition is not finite."""
        x, condition = nets.split_pair(data, self.conditional, "x")
        check_range(as_numbers("x", x), self.likelihood)
        check_finite("condition", condition)

    def log_prob(self, x: Any, samples: int = 5000, seed: int | None = None) -> np.ndarray:
        """Estimate log q(x) `(rows,)` in nats by importance sampling.

        With one sample, it is a draw of the evidence lower bound. On average it is too low, and the less so
        the more samples. With `BernoulliLikelihood(binarize=True)`, x is taken as it is.

        Args:
            x: Data, or [x, condition].
            samples: Draws of z for each row.
            seed: The same seed gives the same estimate.

        Source: Burda et al. 2016.
        """
        nets.check_count("samples", samples)
        x, condition = self._rows(x)
        check_range(x, self.likelihood)
        counter = np.array([np.random.SeedSequence(seed).generate_state(1)[0], 0], "uint32")
        rows = max(1, min(len(x), 128))
        at_once = max(1, min(samples, _NUMBERS_AT_ONCE // (rows * nets.size(self._x_shape))))
        found = np.full(len(x), -np.inf)
        values = [weight.value for weight in self.weights]
        for first in range(0, len(x), rows):
            part = slice(first, first + rows)
            padded = [None if a is None else np.resize(a[part], (rows, *a.shape[1:])) for a in (x, condition)]
            for done in range(0, samples, at_once):
                count = min(at_once, samples - done)
                tensors = [None if a is None else ops.convert_to_tensor(a) for a in padded]
                log_mean = ops.convert_to_numpy(
                    self._piece(count)(*tensors, ops.convert_to_tensor(counter), values)
                )
                with np.errstate(invalid="ignore"):  # NaN stays NaN
                    found[part] = np.logaddexp(
                        found[part], log_mean[: len(found[part])] + math.log(count / samples)
                    )
                counter = counter + np.array([0, 1], "uint32")
        return found

    def _piece(self, samples):
        if samples not in self._pieces:
            # weights as arguments: what is compiled would otherwise keep today's
            def estimate(x, condition, state, values):
                with keras.StatelessScope(
                    [*zip(self.weights, values, strict=True), (self._draws.state, state)]
                ):
                    log_likelihood, log_ratio, _ = self._terms(x, condition, samples, False)
                return ops.logsumexp(log_likelihood - log_ratio, axis=1) - math.log(samples)

            self._pieces[samples] = compiled(estimate)
        return self._pieces[samples]

    def posterior(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of p(z|x), `(rows, latent)` each, of x or [x, condition]."""
        parameters = nets.run(self.encoder, *self._rows(x))
        mean, log_variance = (ops.convert_to_numpy(part) for part in split_gaussian(parameters))
        return mean, np.exp(0.5 * log_variance)

    def encode(self, x: Any) -> np.ndarray:
        """Mean of p(z|x) `(rows, latent)` of x or [x, condition]."""
        return self.posterior(x)[0]

    def decode(self, z: Any, condition: Any = None) -> np.ndarray:
        """Mean of q(x|z), in the shape of x."""
        return ops.convert_to_numpy(self.likelihood.mean(self._decoded(z, condition)))

    def reconstruct(self, x: Any) -> np.ndarray:
        """`decode(encode(x))`, of x or [x, condition]."""
        return self.decode(self.encode(x), self._rows(x)[1])

    def sample(
        self, n: int, seed: int | None = None, condition: Any = None, noise: bool = True
    ) -> np.ndarray:
        """`n` draws of x, from q(x|z) with z drawn from the prior; without `noise` the means of q(x|z)."""
        nets.check_count("n", n)
        z = np.asarray(ops.convert_to_numpy(self._prior().sample(n, seed=seed)))
        check_finite("latents from the prior", z)
        if not noise:
            return self.decode(z, condition)
        draws = keras.random.SeedGenerator(seed)
        return ops.convert_to_numpy(self.likelihood.draw(self._decoded(z, condition), draws))

    def _decoded(self, z, condition):
        z, condition = nets.split_pair(z if condition is None else [z, condition], self.conditional, "z")
        nets.check_rows(z := np.asarray(z, "float32"), (self.latent,), "z")
        return ops.convert_to_tensor(nets.run(self.decoder, z, condition))

    def _rows(self, data):
        x, condition = nets.split_pair(data, self.conditional, "x")
        x = np.asarray(ops.convert_to_numpy(x), "float32")
        nets.check_rows(x, self._x_shape, "x")
        return x, None if condition is None else np.asarray(ops.convert_to_numpy(condition))

    def get_config(self):
        own = {name: getattr(self, name) for name in _ARGUMENTS}
        return {**super().get_config(), **keras.saving.serialize_keras_object(own)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))


def _latent_width(encoder: keras.Model) -> int:
    """Return the latent width of an encoder: it ends in means and log-variances, in one array or two."""
    parameters = encoder.output_shape
    if isinstance(parameters[0], (list, tuple)):
        return parameters[0][-1]
    if len(parameters) != 2 or parameters[-1] % 2:
        raise ValueError(
            f"encoder must end in (batch, 2 latent), means and then log-variances, got {tuple(parameters)}"
        )
    return parameters[-1] // 2
