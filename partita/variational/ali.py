"""Adversarially learned inference, or bidirectional GAN: pairs (x, E(x)) told from pairs (G(z), z).

−E log D(x, E(x)) − E log D(G(z), z)
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from partita.variational import nets
from partita.variational.adversary import adversary
from partita.variational.game import Game, check_discriminator, check_inertia, mean_squared_distance
from partita.variational.gaussian import widen
from partita.variational.heads import Head
from partita.variational.rounds import Player

_FORMS = ("article", "swap")


@keras.saving.register_keras_serializable(package="partita")
class ALI(Game):
    """Adversarially learned inference (BiGAN) under `compile()` / `fit(x)`: a GAN that learns to encode.

    One principle, this row:
        p(x, z, y): p̃(x) E(z|x) with y = 1 or q(z) G(x|z) with y = 0, evenly
        q(x, z, y): q(x, z) D(y|x, z)
        minimised: KL(p ‖ q) over D, then over E and G, in turns
        computed: −E log D(x, E(x)) − E log D(G(z), z), or as usual −E log(1 − D(x, E(x))) − E log D(G(z), z)
        dropped: KL of the pairs to those of the round before; `inertia` holds its place

    The two forms differ for the encoder. As the argument gives it ("article"), both terms are log D: the
    encoder makes pairs that look more like data's, the generator pairs that do, too. In the usual one
    ("swap") each player wants its pairs taken for the other's.

    Args:
        encoder: Model that begins with `keras.Input`: x → z `(batch, d)`, or `(batch, 2 d)`, means and
            log-variances, for a stochastic one.
        generator: Model that begins with `keras.Input((d,))`: z → x, or twice as long on the last axis for a
            stochastic one.
        discriminator: Model of two inputs, `discriminator([x, z])` → a score `(batch, 1)`, log-odds that the
            pair is (x, E(x)).
        form: "swap" or "article".
        inertia: λ of ‖G(z) − G°(z)‖² + ‖E(x) − E°(x)‖², both at the start of the round; see `GAN`.
        penalty: Half of it times the squared norm of the discriminator's gradients at both kinds of pairs is
            added to its loss.
        discriminator_steps, generator_steps, prior, seed: See `GAN`.

    Raises:
        ValueError: if an argument or a shape does not fit.

    Source: Dumoulin et al. 2017; Donahue et al. 2017.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> pair = keras.Input((3,)), keras.Input((2,))
        >>> hidden = keras.layers.Dense(8, activation="relu")(keras.layers.Concatenate()(pair))
        >>> ali = ALI(encoder, generator, keras.Model(pair, keras.layers.Dense(1)(hidden)))
        >>> ali.compile()
        >>> x = np.random.default_rng(0).normal(size=(64, 3))
        >>> sorted(ali.fit(x, verbose=0).history)
        ['discriminator_loss', 'generator_loss', 'pinned']
        >>> ali.encode(x).shape, ali.reconstruct(x).shape, ali.sample(5, seed=0).shape
        ((64, 2), (64, 3), (5, 3))
    """

    _arguments = ("encoder", "generator", "discriminator", "prior", "form", "inertia", "penalty", "seed")
    _rule = adversary("non-saturating")

    def __init__(  # noqa: PLR0913 - options, each given by its name
        self,
        encoder: keras.Model,
        generator: keras.Model,
        discriminator: keras.Model,
        form: str = "swap",
        *,
        inertia: float = 0.0,
        penalty: float = 0.0,
        discriminator_steps: int = 1,
        generator_steps: int | None = None,
        prior: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        if form not in _FORMS:
            raise ValueError(f"form must be one of {', '.join(_FORMS)}, got {form!r}")
        if not penalty >= 0:
            raise ValueError(f"penalty must be 0 or more, got {penalty}")
        x_shape, *more = nets.input_shapes(encoder, "encoder")
        latent, *rest = nets.input_shapes(generator, "generator")
        if more or rest:
            raise ValueError("encoder and generator must take one input each")
        heads = Head(encoder, [x_shape], latent, "encoder"), Head(generator, [latent], x_shape, "generator")
        check_discriminator(discriminator, [x_shape, latent])
        steps = check_inertia(inertia, generator_steps)
        players = {
            "discriminator": Player((discriminator,), discriminator_steps),
            "generator": Player((encoder, generator), steps),
        }
        super().__init__(players, prior, latent, seed, **kwargs)
        self.encoder, self.generator, self.discriminator = encoder, generator, discriminator
        self.form, self.inertia, self.penalty = form, inertia, penalty
        self._x_shape, self._heads = x_shape, heads

    def call(self, inputs):
        encoder, generator = self._heads
        z = encoder.read(self.encoder(inputs, training=False))
        return generator.read(self.generator(z, training=False))

    def player_loss(self, name, x, condition, training, before):
        encoder, generator = self._heads
        z = self.draw_latents(x)
        inertia = self.inertia if name == "generator" and before is not None else 0.0
        made_of = ((self.encoder, x), (self.generator, z))
        starts = [self.at_start(net, before, inputs) for net, inputs in made_of] if inertia else []
        outputs = [net(inputs, training=training) for net, inputs in made_of]
        encoded, generated = encoder.read(outputs[0], self._draws), generator.read(outputs[1], self._draws)
        x = widen(x)

        def score(pair, training=training):
            return widen(self.discriminator(pair, training=training))

        if name == "generator":
            of_data, of_generated = score([x, encoded]), score([generated, z])
            encoder_loss = ops.softplus(-of_data) if self.form == "article" else ops.softplus(of_data)
            loss = ops.mean(encoder_loss) + self._rule.generator(None, of_generated)
            if inertia:
                for head, start, output in zip(self._heads, starts, outputs, strict=True):
                    loss = loss + inertia * mean_squared_distance(head.read(output), head.read(start))
            return loss, None
        real, fake = [x, ops.stop_gradient(encoded)], [ops.stop_gradient(generated), z]
        return self._discriminator_loss(score, real, fake)

    def encode(self, x: Any, seed: int | None = None) -> np.ndarray:
        """z `(rows, d)`; of a stochastic encoder the mean, or a draw if there is a seed."""
        return self._heads[0].run(self.split(x)[0], seed=seed)

    def decode(self, z: Any, seed: int | None = None) -> np.ndarray:
        """x of latents `(rows, d)`; of a stochastic generator the mean, or a draw if there is a seed."""
        nets.check_rows(z := np.asarray(z), self.latent_shape, "z")
        return self._heads[1].run(z, seed=seed)

    def reconstruct(self, x: Any) -> np.ndarray:
        """`decode(encode(x))`."""
        return self.decode(self.encode(x))

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """`n` draws of x; the same seed gives the same ones."""
        nets.check_count("n", n)
        noise = int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)
        return self.decode(self.draw_prior(n, seed), noise)
