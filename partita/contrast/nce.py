"""Noise-contrastive estimation: an unnormalised density and its Z, learned by telling data from noise.

    p(1|x) = σ(G(x) − γ − log U(x) − log ν)   ⇒   at the optimum p(x) = exp(G(x) − γ), so γ = log Z

x is told from ν points of a known noise U (Gutmann and Hyvärinen 2012).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from partita.callbacks.finite import StopOnNonFinite
from partita.callbacks.given import guards, joined
from partita.callbacks.keeper import Keeper, refusals, whole
from partita.contrast import asymptotics, gamma, langevin, objectives, pairing
from partita.contrast.noise import Noise, check_saveable, load_noise, save_noise
from partita.contrast.pairing import Pairing, as_array, as_arrays, finite_arrays, points_of, weights_of
from partita.files.saving import SavedWithSeeds
from partita.types import Tensor

_PARTS = ("energy", "noise", "normalizer")  # which are saved as objects


@keras.saving.register_keras_serializable(package="partita")
class EnergyModel(SavedWithSeeds):
    """Energy-based density exp(G(x)) / Z, fitted by noise-contrastive estimation.

    `energy` gives G. `compile`, `fit` and `evaluate` work as in any Keras model; `predict` gives G.

    | loss | logit of "data, not noise" | what becomes of Z |
    |---|---|---|
    | `"nce"` | G − γ − log U − log ν | γ = log Z, trained |
    | `"article"` | G − γ; noise counts once, not ν times | γ − log U = log Z: the noise must be uniform |
    | `"ranking"` | G − log U, among 1 + ν | cancels; found afterwards, as the γ of `"nce"` |
    | `"negative_sampling"` | G | none: G learns log p/U − log ν |

    Args:
        energy: Layer or model that gives G: points `(batch, d)` → `(batch,)`. Or, for a density of points
            given contexts, `[contexts, points]` → `(batch,)`.
        noise: Anything with `sample(n, seed)` and `log_prob(x)`; see `Noise`. A Keras model (a flow) stays as
            it is, and is saved along.
        num_noise: ν, points of noise for each point of data, drawn anew in each epoch.
        loss: `"nce"`, `"article"`, `"ranking"` or `"negative_sampling"`.
        learning_rate_factor: γ learns this many times as fast as the optimizer's learning rate says.
        normalizer: With contexts: a layer or model of them `(batch, ...)` → `(batch,)`, a part of log Z that
            depends on the context and is added to γ. None: Z is the same in all contexts, which a flexible
            energy can learn (Mnih and Teh 2012).

    γ starts where it balances data and noise for the energy as it is at first. What it becomes is log Z as
    far as the energy can be the density of the data: where it cannot, exp(G − γ) is near the data, and need
    not add up to 1.

    Raises:
        ValueError: if an argument does not fit. When fitting: if data, weights or noise are not finite, log U
            of a point is −inf, or the energy is not finite at first.
        FloatingPointError: out of `fit`, where a loss is no longer finite.

    Source: Gutmann and Hyvärinen 2012; ranking: Ma and Collins 2018.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from partita.contrast import EnergyModel, Normal
        >>> x = np.random.default_rng(0).normal(size=(500, 2))
        >>> energy = keras.Sequential([keras.layers.Dense(8, "silu"), keras.layers.Dense(1)])
        >>> model = EnergyModel(energy, Normal.fit(x), num_noise=5)
        >>> model.compile("adam")
        >>> history = model.fit(x, epochs=2, verbose=0)
        >>> tuple(model.log_prob(x).shape), model.sample(3, seed=0, steps=5).shape
        ((500,), (3, 2))
    """

    def __init__(
        self,
        energy: keras.layers.Layer,
        noise: Noise,
        num_noise: int = 10,
        loss: str = "nce",
        learning_rate_factor: float = 1.0,
        normalizer: keras.layers.Layer | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        _check_settings(energy, noise, num_noise, loss, learning_rate_factor, normalizer)
        self.energy, self.num_noise, self.loss_name = energy, num_noise, loss
        # out of Keras's sight: it would train a model, and on JAX take its weights away while it fits
        self._noise = lambda: noise
        self.learning_rate_factor, self.normalizer = learning_rate_factor, normalizer
        self.conditional = False
        trained = loss in ("nce", "article")
        self._gamma = self.add_weight(
            name="gamma", shape=(), initializer="zeros", dtype="float32", autocast=False, trainable=trained
        )

    def build(self, input_shape):
        shapes = input_shape if isinstance(input_shape[0], list | tuple) else [input_shape]
        inputs = [keras.KerasTensor((None, *shape[1:])) for shape in shapes]
        self.conditional = len(inputs) > 1
        if not self.energy.built:
            self.energy(inputs if len(inputs) > 1 else inputs[0])
        if self.normalizer is not None and not self.normalizer.built:
            self.normalizer(inputs[0])
        self.built = True

    def call(self, x, training=None):
        inputs = [*x] if isinstance(x, list | tuple) else x
        return self._flat(self.energy(inputs, training=training), "energy")

    def _flat(self, values, name):
        if len(values.shape) == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if len(values.shape) != 1:
            raise ValueError(f"{name} must give (batch,), got the shape {tuple(values.shape)}")
        return ops.cast(values, "float32")

    @property
    def noise(self) -> Noise:
        """What data is told from."""
        return self._noise()

    @property
    def gamma(self) -> Tensor:
        """γ, a number."""
        weight = ops.convert_to_tensor(self._gamma)
        # factor · weight with the gradient of weight: a step of any optimizer is then a step of factor times
        # its size.
        return weight + ops.stop_gradient((self.learning_rate_factor - 1.0) * weight)

    def _logits(self, energies, log_noise, contexts):
        """How much more likely data is than noise, `(batch, ...)`."""
        if self.loss_name == "negative_sampling":
            return energies
        if self.loss_name == "ranking":
            return energies - log_noise
        logits = energies - self._shift(contexts, len(energies.shape))
        return logits if self.loss_name == "article" else logits - log_noise - float(np.log(self.num_noise))

    def _shift(self, contexts, rank):
        if self.normalizer is None:
            return self.gamma
        local = self._flat(self.normalizer(contexts), "normalizer")
        return self.gamma + ops.reshape(local, (-1,) + (1,) * (rank - 1))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if not isinstance(y, dict):
            raise ValueError("an EnergyModel draws its noise itself: fit(x), without targets")
        y = keras.tree.map_structure(ops.convert_to_tensor, y)
        contexts = x[0] if isinstance(x, list | tuple) else None
        noise = self._energies_of_noise(contexts, y["noise"], training)  # (batch, ν)
        data_logits = self._logits(y_pred, y["log_data"], contexts)  # (batch,)
        noise_logits = self._logits(noise, y["log_noise"], contexts)
        if self.loss_name == "ranking":
            loss = objectives.ranking(data_logits, noise_logits)
        else:
            loss = objectives.binary(data_logits, noise_logits, self._noise_weight)
        if sample_weight is not None:
            loss = loss * ops.cast(sample_weight, loss.dtype)
        return ops.mean(loss) + sum(self.losses)

    @property
    def _noise_weight(self) -> float:
        return 1.0 if self.loss_name == "article" else float(self.num_noise)

    def _energies_of_noise(self, contexts, points, training):
        shape = ops.shape(points)
        inputs = ops.reshape(points, (-1, *points.shape[2:]))  # (batch · ν, ...)
        if contexts is not None:
            inputs = (ops.repeat(contexts, points.shape[1], axis=0), inputs)
        return ops.reshape(self(inputs, training=training), shape[:2])

    def fit(  # noqa: PLR0913 - the arguments of keras.Model.fit
        self,
        x: Any = None,
        y: None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train, as `keras.Model.fit`.

        Args:
            x: Points `(n, d)`, or a pair `[contexts, points]`; or a dataset with a length that gives them in
                batches.
            y: Nothing.
            batch_size: Points a step; 32 if None.
            epochs, verbose, callbacks, validation_split, shuffle, sample_weight: As in Keras.
            validation_data: Points, a pair, or a tuple (points or pair, None for the targets, weights). Their
                noise is the same in every epoch.
            **kwargs: Others of `keras.Model.fit`.

        Raises:
            ValueError: if log U of a point is −inf, an energy is not finite at first, or there are targets.
            FloatingPointError: if a loss is no longer finite; the last good weights are back then.
        """
        if y is not None:
            raise ValueError(
                "an EnergyModel has no targets, got y: contexts go into x, as [contexts, points]"
            )
        seed = int(np.random.randint(2**31 - 1))  # so that keras.utils.set_random_seed holds here, too
        if pairing.is_arrays(x):
            x, weight = finite_arrays(x), weights_of(sample_weight)
            if validation_split:
                (x, weight), validation_data = pairing.split(x, weight, validation_split)
            batches = pairing.from_arrays(x, weight, batch_size or 32, shuffle, seed)
        else:
            batches = pairing.from_dataset(x)
            x, weight = gamma.some_of(batches[0](0), batches[1])
        pairing.check_start(self, x)
        if validation_data is not None:
            validation_data = self._frozen(validation_data, batch_size, "validation_data")
        if self.optimizer.iterations == 0 and not self.conditional and self.loss_name in ("nce", "article"):
            self._balance(x, weight, seed)
        pairs = Pairing(*batches, self.noise, self.num_noise, seed)
        advice = "try a smaller learning rate, or bound G"
        guard = guards(callbacks, StopOnNonFinite, every=25, validation=True, advice=advice)
        follow = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: pairs.begin(epoch))
        kwargs |= {"epochs": epochs, "verbose": verbose, "validation_data": validation_data, "shuffle": False}
        with refusals(keeper := Keeper()), pairing.own_errors(pairs, validation_data):
            history = super().fit(pairs, callbacks=joined(self, callbacks, keeper, follow, *guard), **kwargs)
        if self.loss_name in ("ranking", "negative_sampling") and not self.conditional:
            self._balance(x, weight, seed)
        return history

    def evaluate(self, x: Any = None, y: None = None, batch_size: int | None = None, **kwargs: Any) -> Any:
        """The loss, as `keras.Model.evaluate`; the same noise every time."""
        pairs = x if isinstance(x, Pairing) else self._frozen(x, batch_size)
        with whole(self, kwargs), pairing.own_errors(pairs):
            return super().evaluate(pairs, **kwargs)

    def train_on_batch(self, x: Any, y: None = None, sample_weight: Any = None, **kwargs: Any) -> Any:
        """One step, as `keras.Model.train_on_batch`."""
        return super().train_on_batch(*self._paired_once(x), sample_weight=sample_weight, **kwargs)

    def test_on_batch(self, x: Any, y: None = None, sample_weight: Any = None, **kwargs: Any) -> Any:
        """The loss of a batch, as `keras.Model.test_on_batch`."""
        return super().test_on_batch(*self._paired_once(x), sample_weight=sample_weight, **kwargs)

    def _frozen(self, x, batch_size, name="x"):
        batches = pairing.in_order(x, batch_size or 32, name)
        return Pairing(*batches, self.noise, self.num_noise, 0, frozen=True)

    def _paired_once(self, x):
        batches = pairing.from_arrays(x := finite_arrays(x), None, 1, False, 0)
        seed = int(np.random.randint(2**31 - 1))
        return x, Pairing(*batches, self.noise, self.num_noise, seed).contrast(x)

    def _balance(self, x: np.ndarray, weight: np.ndarray | None, seed: int) -> None:
        """Set γ for the energy as it is.

        This is a start where γ is trained, the answer where the loss leaves it open.
        """
        self._gamma.assign(gamma.balanced(self, x, weight, seed) / self.learning_rate_factor)

    @property
    def log_partition(self) -> float:
        """log Z of exp(G).

        Raises:
            ValueError: where the density is one of points given contexts: it has a Z for each.
        """
        if self.conditional:
            raise ValueError(
                "log_partition is of a density without contexts; log_prob([contexts, points]) is normalised "
                "for each"
            )
        value = float(ops.convert_to_numpy(self.gamma))
        if self.loss_name == "article":
            value -= float(as_array(self.noise.log_prob(self.noise.sample(1, seed=0)))[0])
        return value

    def log_prob(self, x: Any) -> np.ndarray:
        """Normalised log-density `(n,)` of points, or of points given contexts, in nats.

        Raises:
            ValueError: for the losses without γ, if there are contexts.
        """
        x = as_arrays(x)
        energies = ops.convert_to_numpy(self(x))
        if self.loss_name in ("article", "negative_sampling"):
            energies = energies + as_array(self.noise.log_prob(points_of(x)))
        if self.loss_name == "negative_sampling":
            energies = energies + np.log(self.num_noise)
        if self.conditional and self.loss_name in ("ranking", "negative_sampling"):
            raise ValueError(
                f"the loss {self.loss_name!r} leaves the Z of each context open: take 'nce' with a normalizer"
            )
        shift = self._shift(x[0] if self.conditional else None, 1)
        return (energies - ops.convert_to_numpy(shift)).astype(np.float32)

    def sample(self, n: int, seed: int | None = None, steps: int = 500) -> np.ndarray:
        """Draw `n` points `(n, d)` of the density by Markov chains that start at resampled noise.

        Each point is the end of a chain of its own: noise drawn by its weight exp(G) / U, then `mala`.

        Args:
            n: How many.
            seed: The same gives the same points.
            steps: Length of a chain. In a density of several parts, chains seldom cross from one to another.

        Raises:
            ValueError: where exp(G) is no density of points: for the loss `"negative_sampling"`, and for
                contexts.
        """
        if self.conditional or self.loss_name == "negative_sampling":
            what = "a density for each context" if self.conditional else "log p/U, and exp(G) is no density"
            raise ValueError(
                f"sample draws from exp(G), but this model learned {what}: partita.contrast.mala takes any "
                f"function"
            )
        return langevin.sample(self, self.noise, n, seed=seed, steps=steps)

    def estimate(self, x: Any, seed: int = 0, refine: bool = False) -> asymptotics.Estimate:
        """Return the trained weights of a parametric energy and log Z, with asymptotic standard errors.

        See `Estimate` for what is returned. The errors are those at the optimum. Where the gradient of the
        loss, for fresh noise, is larger than chance allows there (1 % of all trainings that have converged),
        `converged` is False, and a warning says how far the optimum is.

        Args:
            x: The data that the model was fitted to.
            seed: Of the noise, ν points for each point of data.
            refine: First move the weights to the very optimum for this noise, by Newton's method. The errors
                are of such an optimum; after `fit` alone the weights still tremble by about the learning
                rate.

        Warns:
            ConvergenceWarning: if the weights are not at the optimum.

        Raises:
            ValueError: for the losses `"ranking"` and `"negative_sampling"`, for contexts, or for more than
                1000 weights.
        """
        if self.loss_name not in ("nce", "article") or self.conditional:
            raise ValueError(
                f"standard errors are for 'nce' and 'article' without contexts, got loss={self.loss_name!r}"
            )
        x = finite_arrays(x)
        pairing.check_start(self, x)
        return asymptotics.estimate(self, x, seed, refine)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        save_noise(self.noise, store)

    def load_own_variables(self, store):
        super().load_own_variables(load_noise(self.noise, store))

    def get_config(self):
        check_saveable(self.noise)
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _PARTS}
        numbers = {name: getattr(self, name) for name in ("num_noise", "learning_rate_factor")}
        return {**super().get_config(), **parts, **numbers, "loss": self.loss_name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))


def _check_settings(energy, noise, num_noise, loss, learning_rate_factor, normalizer):
    if not callable(energy):
        raise ValueError(f"energy must be a Keras layer or model, got {energy!r}")
    if missing := [name for name in ("sample", "log_prob") if not callable(getattr(noise, name, None))]:
        raise ValueError(
            f"noise must have sample(n, seed) and log_prob(x), got {noise!r} without {' and '.join(missing)}"
        )
    if num_noise < 1:
        raise ValueError(f"num_noise must be at least 1, got {num_noise}")
    if loss not in objectives.LOSSES:
        raise ValueError(f"loss must be one of {', '.join(objectives.LOSSES)}, got {loss!r}")
    if not learning_rate_factor > 0:
        raise ValueError(f"learning_rate_factor must be above 0, got {learning_rate_factor}")
    if normalizer is not None and loss in ("ranking", "negative_sampling"):
        raise ValueError(f"normalizer is for the losses with γ, got loss={loss!r}")
