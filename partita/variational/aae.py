"""The adversarial auto-encoder: the argument of the GAN with x and z exchanged.

E_x[−log D(E(x)) + λ ‖x − G(E(x))‖²]
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from partita.variational import nets
from partita.variational.adversary import adversary
from partita.variational.game import Game, check_discriminator, mean_squared_distance
from partita.variational.gaussian import widen
from partita.variational.heads import Head
from partita.variational.rounds import Player


@keras.saving.register_keras_serializable(package="partita")
class AAE(Game):
    """Adversarial auto-encoder, trained by `compile()` and `fit(x)`.

    The encoder is the generator, of latents that pass for the prior's.

    One principle, this row:
        p(z, y): the prior or E's q(z), y = 1 or 0, evenly
        q(z, y): q(z) D(y|z)
        minimised: KL(q ‖ p) over D, then over E, in turns
        computed: −E[log D(E(x))] + λ‖x − G(E(x))‖²
        dropped: KL(q(z) ‖ q°(z)), q° that of the round before; λ‖x − G(E(x))‖² stands in its place

    With labels, the nets that take two inputs are given them, and the model is given pairs,
    `fit([x, labels])`. `encoder([x, labels])` and `decoder([z, labels])` leave z to say what the label does
    not; `discriminator([z, labels])` asks for the prior within each label.

    Args:
        encoder: Model that begins with `keras.Input`: x → z `(batch, d)`, or `(batch, 2 d)`, means and
            log-variances, for a stochastic one.
        decoder: Model that begins with `keras.Input((d,))`: z → x.
        discriminator: Model or layer, z → a score `(batch, 1)`, log-odds that z is the prior's: no activation
            at the end.
        prior: Anything with `sample(n, seed=)`: a `GaussianMixture`, a flow. 65,536 latents are drawn from it
            as training begins, and taken at random. None is N(0, 1).
        reconstruction: λ; the squared norm is summed over the features of x.
        loss, penalty, discriminator_steps, generator_steps, seed: See `GAN`; of steps, one each.

    Raises:
        ValueError: if an argument or a shape does not fit.

    Source: Makhzani et al. 2016.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> aae = AAE(
        ...     encoder,
        ...     decoder,
        ...     keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)]),
        ... )
        >>> aae.compile()
        >>> x = np.random.default_rng(0).normal(size=(64, 3))
        >>> sorted(aae.fit(x, verbose=0).history)
        ['discriminator_loss', 'generator_loss', 'pinned', 'reconstruction']
        >>> aae.encode(x).shape, aae.reconstruct(x).shape, aae.sample(5, seed=0).shape
        ((64, 2), (64, 3), (5, 3))
    """

    _arguments = ("encoder", "decoder", "discriminator", "prior", "reconstruction", "penalty", "seed")

    def __init__(  # noqa: PLR0913 - options, each given by its name
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        discriminator: keras.layers.Layer,
        *,
        prior: Any = None,
        reconstruction: float = 1.0,
        loss: str = "non-saturating",
        penalty: float | None = None,
        discriminator_steps: int = 1,
        generator_steps: int = 1,
        seed: int | None = None,
        **kwargs: Any,
    ):
        self._rule = adversary(loss)
        self._x_shape, *condition = nets.input_shapes(encoder, "encoder")
        latent, *decoder_condition = nets.input_shapes(decoder, "decoder")
        if len(latent) != 1:
            raise ValueError(f"decoder must take latents (batch, d), got {(None, *latent)}")
        head = Head(encoder, [self._x_shape, *condition], latent, "encoder")
        made = nets.output_shape(decoder, [latent, *decoder_condition])
        if not nets.meet(made, self._x_shape):
            raise ValueError(
                f"decoder must end in {(None, *self._x_shape)}, what the encoder takes, got {(None, *made)}"
            )
        asked = nets.condition_shapes(discriminator, "discriminator")
        check_discriminator(discriminator, [latent, *asked])
        if not reconstruction >= 0 or (penalty is not None and not penalty >= 0):
            raise ValueError(
                f"reconstruction and penalty must be 0 or more, got {reconstruction} and {penalty}"
            )
        players = {
            "discriminator": Player((discriminator,), discriminator_steps),
            "generator": Player((encoder, decoder), generator_steps),
        }
        super().__init__(players, prior, latent, seed, **kwargs)
        self.encoder, self.decoder, self.discriminator = encoder, decoder, discriminator
        self.reconstruction, self.loss_name, self.penalty = reconstruction, loss, penalty
        self.conditional = bool(condition or decoder_condition or asked)
        self._head = head
        self._distance = keras.metrics.Mean(name="reconstruction")

    def call(self, inputs):
        x, condition = nets.split_pair(inputs, self.conditional, "x")
        z = self._head.read(nets.give(self.encoder, x, condition))
        return widen(nets.give(self.decoder, z, condition))

    def player_loss(self, name, x, condition, training, before):
        z = self._head.read(nets.give(self.encoder, x, condition, training), self._draws)
        rule, real = self._rule, self.draw_latents(x)

        def score(parts, training=training):
            return widen(nets.give(self.discriminator, parts[0], condition, training))

        if name == "generator":
            distance = mean_squared_distance(x, nets.give(self.decoder, z, condition, training))
            self._distance.update_state(distance)
            loss = rule.generator(score([real]) if rule.in_pairs else None, score([z]))
            return loss + self.reconstruction * distance, None
        return self._discriminator_loss(score, [real], [ops.stop_gradient(z)])

    def encode(self, x: Any, seed: int | None = None) -> np.ndarray:
        """Return the latents z `(rows, d)` of x or [x, labels].

        Of a stochastic encoder they are the means, or draws if there is a seed.
        """
        x, condition = self.split(x)
        return self._head.run(x, condition, seed)

    def decode(self, z: Any, condition: Any = None) -> np.ndarray:
        """x of latents `(rows, d)`."""
        nets.check_rows(z := np.asarray(z), self.latent_shape, "z")
        if condition is None and len(self.decoder.inputs) == 2:
            raise ValueError("condition is missing: the decoder takes one")
        return nets.run(self.decoder, z, condition)

    def reconstruct(self, x: Any) -> np.ndarray:
        """`decode(encode(x))`, of x or [x, labels]."""
        return self.decode(self.encode(x), self.split(x)[1])

    def sample(self, n: int, seed: int | None = None, condition: Any = None) -> np.ndarray:
        """`n` draws of x: the prior's latents decoded.

        `condition` is `(n, ...)` where the decoder takes one.
        """
        nets.check_count("n", n)
        return self.decode(self.draw_prior(n, seed), condition)

    def get_config(self):
        return {**super().get_config(), "loss": self.loss_name}
