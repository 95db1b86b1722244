"""The adversarial net with the term that its generator's loss lacks.

E_z[−log D(G(z)) + λ ‖G(z) − G°(z)‖²],   G° the generator at the start of the round
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from partita.variational import nets
from partita.variational.adversary import adversary
from partita.variational.game import Game, check_discriminator, check_inertia, mean_squared_distance
from partita.variational.gaussian import widen
from partita.variational.rounds import Player


@keras.saving.register_keras_serializable(package="partita")
class GAN(Game):
    """Generative adversarial net with inertia, under `compile()` / `fit(x)`.

    One principle, this row:
        p(x, y): p̃(x) or G's q(x), y = 1 or 0, evenly
        q(x, y): q(x) D(y|x)
        minimised: KL(q ‖ p) over D, then over G, in turns
        computed: −E[log D(G(z))] + λ‖G(z) − G°(z)‖²
        dropped: the rest of KL(q(x) ‖ q°(x)), q° that of the round before

    The usual loss of the generator drops KL(q ‖ q°) altogether: what is left is least where all mass sits on
    the one point that the discriminator likes best, and a generator that takes many steps against one
    discriminator goes there. `inertia` λ keeps what the argument gives, as a squared distance of what each
    latent is mapped to. At the first step of a round the generator is still G° and the term's gradient is
    zero, so a round takes at least two steps with it.

    Args:
        generator: Model that begins with `keras.Input`: latents → x. The shape of the latents is read from
            it.
        discriminator: Model or layer, x → a score `(batch, 1)`, log-odds that x is data: no activation at the
            end.
        inertia: λ; the squared norm is summed over the features of x.
        loss: "non-saturating", "hinge", "wasserstein" or "relativistic".
        penalty: Of the discriminator's gradients: with "wasserstein" their distance from norm 1 between data
            and generated (10 if None), with the others half their squared norm at both (R₁ + R₂; 0 if None).
        discriminator_steps: Steps of the discriminator a round.
        generator_steps: Steps of the generator a round; by default 5 with inertia, 1 without.
        prior: Anything with `sample(n, seed=)`, from which 65,536 latents are drawn as training begins, and
            taken at random; by default N(0, 1).
        seed: Of all draws.

    Raises:
        ValueError: if an argument or a shape does not fit.

    Source: Goodfellow et al. 2014; Mescheder et al. 2018 (R₁, R₂); see "One principle" (`docs/principle.md`)
    for the term.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> generator = keras.Sequential(
        ...     [keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)]
        ... )
        >>> gan = GAN(
        ...     generator,
        ...     keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)]),
        ...     inertia=1.0,
        ...     seed=0,
        ... )
        >>> gan.compile()
        >>> history = gan.fit(np.random.default_rng(0).normal(size=(64, 2)), verbose=0).history
        >>> sorted(history)
        ['discriminator_loss', 'generator_loss', 'pinned']
        >>> gan.sample(10, seed=1).shape
        (10, 2)
    """

    _arguments = ("generator", "discriminator", "prior", "inertia", "penalty", "seed")

    def __init__(  # noqa: PLR0913 - options, each given by its name
        self,
        generator: keras.Model,
        discriminator: keras.layers.Layer,
        inertia: float = 0.0,
        *,
        loss: str = "non-saturating",
        penalty: float | None = None,
        discriminator_steps: int = 1,
        generator_steps: int | None = None,
        prior: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        self._rule = adversary(loss)
        latent, *condition = nets.input_shapes(generator, "generator")
        self._x_shape = nets.output_shape(generator, [latent, *condition])
        check_discriminator(discriminator, [self._x_shape, *condition])
        steps = check_inertia(inertia, generator_steps)
        players = {
            "discriminator": Player((discriminator,), discriminator_steps),
            "generator": Player((generator,), steps),
        }
        super().__init__(players, prior, latent, seed, **kwargs)
        if penalty is not None and not penalty >= 0:
            raise ValueError(f"penalty must be 0 or more, got {penalty}")
        self.generator, self.discriminator = generator, discriminator
        self.inertia, self.loss_name, self.penalty = inertia, loss, penalty
        self.conditional = bool(condition)

    def call(self, inputs):
        x, condition = nets.split_pair(inputs, self.conditional, "x")
        return nets.give(self.discriminator, x, condition)

    def player_loss(self, name, x, condition, training, before):
        z = self.draw_latents(x)
        inertia = self.inertia if name == "generator" and before is not None else 0.0
        inputs = z if condition is None else [z, condition]
        start = self.at_start(self.generator, before, inputs) if inertia else None
        fake = nets.give(self.generator, z, condition, training)

        def score(parts, training=training):
            return widen(nets.give(self.discriminator, parts[0], condition, training))

        if name == "generator":
            loss = self._rule.generator(score([x]) if self._rule.in_pairs else None, score([fake]))
            if inertia:
                loss = loss + inertia * mean_squared_distance(fake, start)
            return loss, None
        return self._discriminator_loss(score, [x], [ops.stop_gradient(fake)])

    def sample(self, n: int, seed: int | None = None, condition: Any = None) -> np.ndarray:
        """`n` draws of x, `(n, ...)`; the same seed gives the same ones.

        `condition` is `(n, ...)` for a conditional model.
        """
        nets.check_count("n", n)
        z = self.draw_prior(n, seed)
        z, condition = nets.split_pair(z if condition is None else [z, condition], self.conditional, "z")
        return nets.run(self.generator, z, condition)

    def get_config(self):
        return {**super().get_config(), "loss": self.loss_name}
