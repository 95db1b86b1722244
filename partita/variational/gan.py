"""The adversarial net with the term that its generator's loss lacks.

E_z[−log D(G(z)) + λ ‖G(z) − G°(z)‖²],   G° the generator at the start of the round
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.backend.derivatives import gradient_norms
from partita.variational import nets
from partita.variational.adversary import Adversary, adversary
from partita.variational.gaussian import widen
from partita.variational.rounds import Player, Rounds


def check_discriminator(net: Any, shapes: list[nets.Shape]) -> None:
    """Whether it takes inputs of these shapes and gives scores that nothing squashes.

    Raises:
        ValueError: if it does not.
    """
    nets.build(net, shapes, "discriminator")
    made = nets.output_shape(net, shapes)
    if made and made[-1] != 1:
        raise ValueError(
            f"discriminator must end in one score, (batch, 1), got (batch, {', '.join(map(str, made))})"
        )
    last = net.layers[-1] if isinstance(net, keras.Model) and net.layers else net
    if getattr(last, "activation", None) in (
        keras.activations.sigmoid,
        keras.activations.softmax,
        keras.activations.tanh,
    ):
        raise ValueError(
            f"discriminator must end in a score, without activation, got {last.activation.__name__}"
        )


def check_inertia(inertia: float, generator_steps: int | None, default_steps: int) -> int:
    """The generator's steps a round.

    Raises:
        ValueError: if inertia is negative, or there are fewer than two steps for it to act on.
    """
    if not inertia >= 0:
        raise ValueError(f"inertia must be 0 or more, got {inertia}")
    steps = (default_steps if inertia else 1) if generator_steps is None else generator_steps
    if inertia and steps < 2:
        raise ValueError(
            f"generator_steps must be at least 2 with inertia, got {steps}: at the first step of a round "
            f"the generator is the one it is "
            "compared with, and the term has no gradient"
        )
    return steps


def discriminator_penalty(
    rule: Adversary, strength: float, score: Any, real: list[Any], fake: list[Any], seed: Any
) -> Any:
    """Compute the gradient penalty of a discriminator.

    It is `strength` (‖∇D‖ − 1)² between data and generated, or ½ `strength` ‖∇D‖² at both. `score` takes a
    list of inputs; `real` and `fake` are such lists.
    """
    sizes = [nets.size(part.shape[1:]) for part in real]

    def flat(parts):
        return ops.concatenate(
            [ops.reshape(widen(part), (-1, size)) for part, size in zip(parts, sizes, strict=True)], axis=1
        )

    def score_flat(x):
        cuts = np.cumsum(sizes)[:-1].tolist()
        parts = ops.split(x, cuts, axis=1) if cuts else [x]
        return widen(
            score([ops.reshape(part, (-1, *like.shape[1:])) for part, like in zip(parts, real, strict=True)])
        )

    real_rows, fake_rows = flat(real), ops.stop_gradient(flat(fake))
    if not rule.one_centred:
        return (
            0.5
            * strength
            * (
                ops.mean(gradient_norms(score_flat, real_rows))
                + ops.mean(gradient_norms(score_flat, fake_rows))
            )
        )
    where = keras.random.uniform((ops.shape(real_rows)[0], 1), seed=seed)
    norms = gradient_norms(score_flat, where * real_rows + (1 - where) * fake_rows)
    return strength * ops.mean((ops.sqrt(norms + 1e-12) - 1) ** 2)


def discriminator_loss(
    rule: Adversary,
    penalty: float | None,
    score: Callable[..., Any],
    real: list[Any],
    fake: list[Any],
    seed: Any,
) -> tuple[Any, Any]:
    """The loss of the discriminator with its penalty (None: the rule's own), and how sure it is.

    `score(inputs)` gives scores as in training; `score(inputs, False)` without dropout, for what it draws
    could not leave the gradient.
    """
    real_scores, fake_scores = score(real), score(fake)
    loss = rule.discriminator(real_scores, fake_scores)
    strength = rule.default_penalty if penalty is None else penalty
    if strength:
        loss = loss + discriminator_penalty(
            rule, strength, lambda parts: score(parts, False), real, fake, seed
        )
    return loss, rule.certainty(real_scores, fake_scores)


@keras.saving.register_keras_serializable(package="partita")
class GAN(Rounds):
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
        steps = check_inertia(inertia, generator_steps, 5)
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

    def split(self, data):
        x, condition = nets.split_pair(data, self.conditional, "x")
        nets.check_rows(x, self._x_shape, "x")
        return x, condition

    def player_loss(self, name, x, condition, training, before):
        z = self.draw_latents(x)
        inertia = self.inertia if name == "generator" and before is not None else 0.0
        start: Any = None
        if inertia:
            start = self.at_start(self.generator, before, z if condition is None else [z, condition])
        fake = nets.give(self.generator, z, condition, training)

        def score(parts, training=training):
            return widen(nets.give(self.discriminator, parts[0], condition, training))

        if name == "generator":
            loss = self._rule.generator(score([x]) if self._rule.in_pairs else None, score([fake]))
            if inertia:
                loss = loss + inertia * ops.mean(nets.sum_rows((widen(fake) - widen(start)) ** 2))
            return loss, None
        return discriminator_loss(
            self._rule, self.penalty, score, [x], [ops.stop_gradient(fake)], self._draws
        )

    def sample(self, n: int, seed: int | None = None, condition: Any = None) -> np.ndarray:
        """`n` draws of x, `(n, ...)`; the same seed gives the same ones.

        `condition` is `(n, ...)` for a conditional model.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        z = self.draw_prior(n, seed)
        return nets.run(
            self.generator,
            *nets.split_pair(z if condition is None else [z, condition], self.conditional, "z"),
        )

    def get_config(self):
        parts = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in ("generator", "discriminator", "prior")
        }
        steps = {f"{name}_steps": player.steps for name, player in self.players.items()}
        return {
            **super().get_config(),
            **parts,
            **steps,
            "inertia": self.inertia,
            "loss": self.loss_name,
            "penalty": self.penalty,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))
