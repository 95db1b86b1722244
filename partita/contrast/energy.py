"""Unnormalised density exp(G(x)) with its log Z: what an `EnergyModel` is before and after its training.

log p(x) = G(x) − γ,   and the logits of "data, not noise" of each loss
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from partita.contrast.noise import Noise
from partita.contrast.pairing import as_array, as_arrays, points_of
from partita.saving import SavedWithSeeds

Tensor = Any
LOSSES = ("nce", "article", "ranking", "negative_sampling")


class Energy(SavedWithSeeds):
    """G, γ, the noise and the normalizer of an `EnergyModel`, where the arguments are described.

    It is saved with the noise. See `EnergyModel`, which trains it.

    Example:
        >>> from partita.contrast import Normal
        >>> energy = Energy(keras.layers.Dense(1), Normal(0.0, 1.0))
        >>> tuple(energy(np.ones((5, 1))).shape)
        (5,)
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
        if not callable(energy):
            raise ValueError(f"energy must be a Keras layer or model, got {energy!r}")
        if missing := [name for name in ("sample", "log_prob") if not callable(getattr(noise, name, None))]:
            raise ValueError(
                f"noise must have sample(n, seed) and log_prob(x), got {noise!r} without "
                f"{' and '.join(missing)}"
            )
        if num_noise < 1:
            raise ValueError(f"num_noise must be at least 1, got {num_noise}")
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}")
        if not learning_rate_factor > 0:
            raise ValueError(f"learning_rate_factor must be above 0, got {learning_rate_factor}")
        if normalizer is not None and loss in ("ranking", "negative_sampling"):
            raise ValueError(f"normalizer is for the losses with γ, got loss={loss!r}")
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
        return self._flat(
            self.energy([*x] if isinstance(x, list | tuple) else x, training=training), "energy"
        )

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

    @property
    def _noise_weight(self) -> float:
        return 1.0 if self.loss_name == "article" else float(self.num_noise)

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
        return (energies - ops.convert_to_numpy(self._shift(x[0] if self.conditional else None, 1))).astype(
            np.float32
        )

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for i, weight in enumerate(self._weights_of_noise()):
            store[f"noise_{i}"] = ops.convert_to_numpy(weight)

    def load_own_variables(self, store):
        super().load_own_variables(
            {name: store[name] for name in [*store.keys()] if not name.startswith("noise_")}
        )
        for i, weight in enumerate(self._weights_of_noise()):
            weight.assign(store[f"noise_{i}"])

    def _weights_of_noise(self):
        return self.noise.weights if isinstance(self.noise, keras.layers.Layer) else []

    def get_config(self):
        registered = keras.saving.get_registered_object(keras.saving.get_registered_name(type(self.noise)))
        if registered is None and not isinstance(self.noise, keras.layers.Layer):
            raise ValueError(
                f"noise must be a Keras model or a class registered with "
                f"keras.saving.register_keras_serializable to be saved, "
                f"got {self.noise!r}"
            )
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "energy": serialize(self.energy),
            "noise": serialize(self.noise),
            "num_noise": self.num_noise,
            "loss": self.loss_name,
            "learning_rate_factor": self.learning_rate_factor,
            "normalizer": None if self.normalizer is None else serialize(self.normalizer),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            name: None
            if config[name] is None
            else keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("energy", "noise", "normalizer")
        }
        return cls(**{**config, **parts})
