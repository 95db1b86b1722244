"""Base class of GAN, AAE and ALI, with the discriminator's loss and its penalty.

L_D(D(real), D(fake)) + ½ γ E‖∇D‖²   or   L_D(D(real), D(fake)) + γ E(‖∇D‖ − 1)²
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.backend.derivatives import gradient_norms
from partita.variational import nets
from partita.variational.adversary import Adversary
from partita.variational.gaussian import widen
from partita.variational.rounds import Rounds


class Game(Rounds):
    """Base class of a discriminator's game with other nets, on data x of a known shape."""

    _arguments: tuple[str, ...]  # of the constructor, those that attributes of the same names hold
    discriminator: keras.layers.Layer
    penalty: float | None  # None: the rule's own
    _rule: Adversary
    _x_shape: nets.Shape

    def split(self, data):
        x, condition = nets.split_pair(data, self.conditional, "x")
        nets.check_rows(x, self._x_shape, "x")
        return x, condition

    def _discriminator_loss(
        self, score: Callable[..., Any], real: list[Any], fake: list[Any]
    ) -> tuple[Any, Any]:
        """The loss of the discriminator with its penalty, and how sure it is.

        `score(inputs)` gives scores as in training; `score(inputs, False)` without dropout, for what it draws
        could not leave the gradient.
        """
        rule, scores = self._rule, (score(real), score(fake))
        loss = rule.discriminator(*scores)
        strength = rule.default_penalty if self.penalty is None else self.penalty
        if strength:
            loss = loss + self._gradient_penalty(strength, lambda parts: score(parts, False), real, fake)
        return loss, rule.certainty(*scores)

    def _gradient_penalty(self, strength, score, real, fake):
        """Compute `strength` (‖∇D‖ − 1)² between data and generated, or ½ `strength` ‖∇D‖² at both.

        `score` takes a list of inputs; `real` and `fake` are such lists.
        """
        sizes = [nets.size(part.shape[1:]) for part in real]

        def flat(parts):
            rows = [ops.reshape(widen(part), (-1, size)) for part, size in zip(parts, sizes, strict=True)]
            return ops.concatenate(rows, axis=1)

        def score_flat(x):
            cuts = np.cumsum(sizes)[:-1].tolist()
            parts = ops.split(x, cuts, axis=1) if cuts else [x]
            shapes = [(-1, *part.shape[1:]) for part in real]
            return widen(score([*map(ops.reshape, parts, shapes)]))

        real_rows, fake_rows = flat(real), ops.stop_gradient(flat(fake))
        if not self._rule.one_centred:
            at_real, at_fake = (ops.mean(gradient_norms(score_flat, rows)) for rows in (real_rows, fake_rows))
            return 0.5 * strength * (at_real + at_fake)
        where = keras.random.uniform((ops.shape(real_rows)[0], 1), seed=self._draws)
        norms = gradient_norms(score_flat, where * real_rows + (1 - where) * fake_rows)
        return strength * ops.mean((ops.sqrt(norms + 1e-12) - 1) ** 2)

    def get_config(self):
        own = {name: getattr(self, name) for name in self._arguments}
        steps = {f"{name}_steps": player.steps for name, player in self.players.items()}
        return {**super().get_config(), **keras.saving.serialize_keras_object(own), **steps}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))


def check_discriminator(net: Any, shapes: list[nets.Shape]) -> None:
    """Check that a net takes inputs of these shapes and gives scores that nothing squashes.

    Raises:
        ValueError: if it does not.
    """
    nets.build(net, shapes, "discriminator")
    made = nets.output_shape(net, shapes)
    if made and made[-1] != 1:
        raise ValueError(f"discriminator must end in one score, (batch, 1), got {nets.described(made)}")
    last = net.layers[-1] if isinstance(net, keras.Model) and net.layers else net
    squashing = (keras.activations.sigmoid, keras.activations.softmax, keras.activations.tanh)
    if (activation := getattr(last, "activation", None)) in squashing:
        raise ValueError(f"discriminator must end in a score, without activation, got {activation.__name__}")


def check_inertia(inertia: float, generator_steps: int | None) -> int:
    """Return the generator's steps a round: by default 5 with inertia, 1 without.

    Raises:
        ValueError: if inertia is negative, or there are fewer than two steps for it to act on.
    """
    if not inertia >= 0:
        raise ValueError(f"inertia must be 0 or more, got {inertia}")
    steps = (5 if inertia else 1) if generator_steps is None else generator_steps
    if inertia and steps < 2:
        raise ValueError(
            f"generator_steps must be at least 2 with inertia, got {steps}: at the first step of a round the "
            "generator is the one it is compared with, and the term has no gradient"
        )
    return steps


def mean_squared_distance(left: Any, right: Any) -> Any:
    """Return the mean over the rows of ‖left − right‖², in float32 at least."""
    return ops.mean(nets.sum_rows((widen(left) - widen(right)) ** 2))
