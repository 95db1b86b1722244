"""Training in rounds of two players, each with variables, a loss, an optimizer and a number of steps.

All that depends on the backend is here.

a round:  θ_D ← θ_D − ∇L_D(θ_D, θ_G)  `discriminator_steps` times,  then  θ_G ← θ_G − ∇L_G(θ_D, θ_G)
`generator_steps` times
"""

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from partita.backend import engine
from partita.data.numbers import check_finite
from partita.variational import nets
from partita.variational.unsupervised import Unsupervised
from partita.variational.watchdog import Watchdog

_POOL = 2**16  # draws of a prior that is not sampled on the device
_PLAYERS = ("discriminator", "generator")
_SURE = 0.998
_EXECUTION_OPTIONS = {"run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss"}


class Player(NamedTuple):
    """Who plays: the nets it may change, and how often it moves in a round."""

    nets: tuple[Any, ...]
    steps: int


class Turn(NamedTuple):
    """Part of a round that one player takes: a number of steps of its optimizer.

    Each step takes the gradient of a loss in the player's variables. `loss` takes the values that all
    variables had at the start of the round, by `id`.
    """

    variables: list[keras.Variable]
    optimizer: keras.optimizers.Optimizer
    steps: int
    loss: Callable[[Mapping[int, Any]], Any]


class RoundsOptimizer(keras.optimizers.Optimizer):
    """Optimizer that joins the players' optimizers, for Keras to carry, save and restore.

    Each of them steps by itself, and `iterations` counts rounds.

    Attributes:
        steps: Of each of the `optimizers` in a round.
    """

    def __init__(self, optimizers: Sequence[Any], groups: Sequence[Sequence[Any]], steps: Sequence[int]):
        super().__init__(learning_rate=0.0, name="rounds")
        # Within a function: variables that an optimizer has as attributes become its own.
        self._parts = lambda: zip(optimizers, groups, strict=True)
        self.steps = tuple(steps)

    @property
    def optimizers(self) -> list[Any]:
        """The discriminator's and the generator's."""
        return [optimizer for optimizer, _ in self._parts()]

    def build(self, variables):
        for optimizer, group in self._parts():
            if not optimizer.built:
                optimizer.build(group)
        super().build(variables)

    @property
    def variables(self):
        return [*super().variables, *(own for optimizer in self.optimizers for own in optimizer.variables)]

    @property
    def learning_rate(self):
        raise AttributeError(
            "two optimizers have no one learning rate: see generator_optimizer and discriminator_optimizer"
        )

    def finalize_variable_values(self, var_list):
        for optimizer, group in self._parts():
            optimizer.finalize_variable_values(group)


class Streak(keras.metrics.Metric):
    """For how many updates in a row something has been true; a new epoch does not interrupt it."""

    def __init__(self, name: str):
        super().__init__(name=name)
        self.count = self.add_variable((), initializer="zeros", name="count", dtype="float32")

    def update_state(self, is_true, sample_weight=None):
        self.count.assign((self.count + 1.0) * ops.cast(is_true, "float32"))

    def result(self):
        return self.count + 0.0

    def reset_state(self):
        pass


class Rounds(Unsupervised):
    """Base class of models that train in rounds.

    They are trained by `compile(generator_optimizer, discriminator_optimizer)` and `fit(x)`.

    A round takes one batch of the data. Every step of both players sees all of it, with latents of its own:
    first the discriminator's steps, then the generator's. On JAX and TensorFlow a round is compiled as one
    piece. Both optimizers' states, and that of the draws, are saved with the model and restored.

    Logs hold "discriminator_loss" and "generator_loss" (means over the steps), and "pinned", the rounds in a
    row in which the discriminator was sure of everything. `evaluate` gives the same losses without a step. A
    `Watchdog` comes along. Data with NaN or infinity are refused: arrays before the first round, batches of a
    dataset before the round that they are for.

    A condition goes in as `fit([x, condition])`, where nets have two inputs.

    Example:
        >>> from partita.variational import GAN
        >>> nets = [keras.Sequential([keras.Input((2,)), keras.layers.Dense(size)]) for size in (3, 1)]
        >>> nets[1] = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> gan = GAN(*nets, generator_steps=2)
        >>> {name: player.steps for name, player in gan.players.items()}
        {'discriminator': 1, 'generator': 2}
    """

    _guard = Watchdog

    def __init__(
        self,
        players: Mapping[str, Player],
        prior: Any,
        latent_shape: tuple[Any, ...],
        seed: int | None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, player in players.items():
            nets.check_count(f"{name}_steps", player.steps)
        if prior is not None and not callable(getattr(prior, "sample", None)):
            raise ValueError(f"prior must have a method sample(n, seed=), got {type(prior).__name__}")
        self.players = players
        self.prior, self.latent_shape, self.seed = prior, latent_shape, seed
        self._draws = keras.random.SeedGenerator(seed)
        self._pool: Any = None
        self._measured = {name: keras.metrics.Mean(name=f"{name}_loss") for name in _PLAYERS}
        self._pinned = Streak("pinned")
        self.built = True

    @abstractmethod
    def player_loss(
        self, name: str, x: Any, condition: Any, training: bool, before: Mapping[int, Any] | None
    ) -> tuple[Any, Any]:
        """The loss of a player, a scalar, and how sure the discriminator is (None for the generator).

        `before` has, by `id` of the variable, the values at the start of the round; None outside of one.
        """

    @abstractmethod
    def split(self, data: Any) -> tuple[Any, Any]:
        """(x, condition) of a batch; raises what is wrong with its shapes."""

    def compile(
        self, generator_optimizer: Any = None, discriminator_optimizer: Any = None, **options: Any
    ) -> None:
        """Say how to train.

        Args:
            generator_optimizer, discriminator_optimizer: Keras optimizers, or their names; by default Adam,
                1e-3, β₁ = 0.5.
            options: `run_eagerly`, `steps_per_execution`, `jit_compile`, `auto_scale_loss`: see
                `keras.Model.compile`.

        Raises:
            ValueError: if both are the same object.
        """
        chosen = {"discriminator": discriminator_optimizer, "generator": generator_optimizer}
        if discriminator_optimizer is generator_optimizer and not isinstance(generator_optimizer, str | None):
            raise ValueError("discriminator_optimizer must be an optimizer of its own, got the generator's")
        if unknown := options.keys() - _EXECUTION_OPTIONS:
            raise ValueError(
                f"compile takes two optimizers and options of execution, got {', '.join(sorted(unknown))}"
            )
        scaled = options.get("auto_scale_loss", True) and self.dtype_policy.name == "mixed_float16"
        given: dict[str, Any] = {}
        steppers: dict[str, Any] = {}
        for name, asked in chosen.items():
            optimizer = (
                keras.optimizers.Adam(1e-3, beta_1=0.5) if asked is None else keras.optimizers.get(asked)
            )
            unscaled = scaled and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
            given[name] = optimizer
            steppers[name] = keras.optimizers.LossScaleOptimizer(optimizer) if unscaled else optimizer
        self._steppers = steppers
        movable = {
            name: [variable for net in player.nets for variable in net.trainable_variables]
            for name, player in self.players.items()
        }
        # what Keras sees in a dict becomes the model's own, and is saved twice
        self._movable = MappingProxyType(movable)
        steps = [player.steps for player in self.players.values()]
        rounds = RoundsOptimizer([steppers[name] for name in movable], [*movable.values()], steps)
        super().compile(rounds, **{**options, "auto_scale_loss": False})
        self._compiled_with = {f"{name}_optimizer": optimizer for name, optimizer in given.items()} | options

    @property
    def generator_optimizer(self) -> Any:
        """The optimizer of all nets but the discriminator."""
        return self._steppers["generator"]

    @property
    def discriminator_optimizer(self) -> Any:
        """The optimizer of the discriminator."""
        return self._steppers["discriminator"]

    @property
    def metrics(self):
        # a sum over players says nothing
        return [metric for metric in super().metrics if metric.name != "loss"]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=False):
        """What `evaluate` measures: both losses, without a step."""
        x, condition = self._data(x, y, sample_weight)
        losses = {name: self.player_loss(name, x, condition, False, None)[0] for name in self.players}
        for name, loss in losses.items():
            self._measured[name].update_state(loss)
        return losses["discriminator"]

    @property
    def _bounds(self):
        return -np.inf, np.inf

    def _check(self, data):
        """Raise if data hold NaN or infinity, or are not of the shape that the nets take.

        The data are those of a batch, or all of them.
        """
        for what, part in zip(("x", "condition"), self.split(data), strict=True):
            if part is not None:
                check_finite(what, part)

    def make_train_function(self, force=False):
        if self.prior is not None and (self._pool is None or self.train_function is None or force):
            # Drawn here, once: what `sample` does need not be anything that a compiled round could hold.
            self._pool = ops.convert_to_tensor(self.draw_prior(_POOL, self.seed or 0))
        return super().make_train_function(force)

    def draw_prior(self, n: int, seed: int | None) -> np.ndarray:
        """`n` latents `(n, ...)` of the prior, float32.

        Raises:
            ValueError: if the prior gives another shape, or numbers that are not finite.
        """
        if self.prior is None:
            return np.random.default_rng(seed).normal(size=(n, *self.latent_shape)).astype("float32")
        z = np.asarray(ops.convert_to_numpy(self.prior.sample(n, seed=seed)), "float32")
        if z.shape != (n, *self.latent_shape):
            raise ValueError(f"prior must give latents of the shape {(n, *self.latent_shape)}, got {z.shape}")
        check_finite("latents from the prior", z)
        return z

    def draw_latents(self, like: Any) -> Any:
        """As many latents of the prior as there are rows in the batch, in the course of a step."""
        n = ops.shape(like)[0]
        if self.prior is None:
            return keras.random.normal((n, *self.latent_shape), seed=self._draws)
        if self._pool is None:
            self._pool = ops.convert_to_tensor(self.draw_prior(_POOL, self.seed or 0))
        return ops.take(self._pool, keras.random.randint((n,), 0, _POOL, seed=self._draws), axis=0)

    def at_start(self, net: Any, before: Mapping[int, Any], inputs: Any) -> Any:
        """What a net made of the inputs with its weights of the start of the round."""
        weights = [before[id(variable)] for variable in net.trainable_variables]
        states = [variable.value for variable in net.non_trainable_variables]
        return ops.stop_gradient(net.stateless_call(weights, states, inputs, training=True)[0])

    def _data(self, x, y, sample_weight):
        nets.refuse_targets(y, sample_weight)
        return self.split(x)

    def _loss(self, name, x, condition, before):
        loss, certainty = self.player_loss(name, x, condition, True, before)
        self._measured[name].update_state(loss)
        if certainty is not None:
            self._pinned.update_state(certainty > _SURE)
        return loss + sum(
            ops.cast(ops.sum(added), loss.dtype) for net in self.players[name].nets for added in net.losses
        )

    def train_step(self, *args):
        *state, data = args
        x, condition = self._data(*keras.utils.unpack_x_y_sample_weight(data))
        turns = [
            Turn(
                self._movable[name],
                self._steppers[name],
                player.steps,
                functools.partial(self._loss, name, x, condition),
            )
            for name, player in self.players.items()
        ]
        return engine().play_round(self, turns, *state)

    def get_compile_config(self):
        return keras.saving.serialize_keras_object(getattr(self, "_compiled_with", {}))

    def compile_from_config(self, config):
        if config:
            self.compile(**keras.saving.deserialize_keras_object(config))
            self.optimizer.build(self.trainable_variables)
