"""The operations that partita needs of JAX."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from inspect import signature
from typing import Any

import jax
import keras
import numpy as np
from jax import lax
from jax import numpy as jnp

from partita.types import Tensor


def devices() -> list[str]:
    return keras.distribution.list_devices()


def compiled(function: Callable) -> Callable:
    settings = [
        name
        for name, parameter in signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    return jax.jit(function, static_argnames=settings)


differentiable = compiled


def uncompiled(function: Callable) -> Callable:
    return function


def is_known(tensor: Tensor) -> bool:
    return not isinstance(tensor, jax.core.Tracer)


def float64() -> AbstractContextManager[None]:
    return jax.enable_x64(True)


def add_rows(variable: Any, rows: Tensor, values: Tensor) -> None:
    variable.assign(variable.value.at[rows].add(values))


def derivative(function: Callable[[Tensor], Tensor], at: Tensor, along: Tensor) -> Tensor:
    return jax.jvp(function, (at,), (along,))[1]


def gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    return jax.grad(function)(at)


def value_and_jacobian(function: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    def with_value(x, *others):
        value = function(x, *others)
        return value, value

    @jax.jit
    def both(x, *others):
        jacobian, value = jax.jacfwd(with_value, has_aux=True)(x, *others)
        return value, jacobian

    return both


def value_and_gradient(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    @jax.jit
    def both(x):
        value, pull = jax.vjp(function, x)
        return value, pull(jnp.ones_like(value))[0]

    return both


def gradients(loss: Callable[[], Any], variables: list[Any]) -> list[Any]:
    def of(values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return loss()

    return jax.grad(of)([variable.value for variable in variables])


def with_gradient(
    value: Callable[..., tuple[Any, tuple]], gradient: Callable[[Any, tuple, tuple], tuple]
) -> Callable[..., Any]:
    @jax.custom_jvp
    def run(*inputs):
        return value(*inputs)[0]

    @run.defjvp
    def differentiate(inputs, tangents):
        result, kept = value(*inputs)
        (tangent,) = jax.linear_transpose(lambda weight: gradient(weight, inputs, kept), result)(tangents)
        return result, tangent

    return run


def trajectory(
    step: Callable[..., tuple], unfinished: Callable[..., Any], start: tuple, limit: int
) -> tuple[tuple, Any]:

    pure, closed_over = jax.closure_convert(step, *start)  # a custom derivative sees only what it is handed

    @jax.custom_jvp
    def run(start, closed_over):
        rows = tuple(jnp.zeros((limit + 1, *part.shape), part.dtype).at[0].set(part) for part in start)

        def advance(carry):
            count, state, rows = carry
            state = pure(*state, *closed_over)
            return count + 1, state, _with_row(rows, count + 1, state)

        count, _, rows = lax.while_loop(
            lambda carry: (carry[0] < limit) & unfinished(*carry[1]), advance, (0, start, rows)
        )
        return rows, count

    @run.defjvp
    def run_with_derivative(primals, tangents):
        rows, count = run(*primals)
        # JAX transposes the equations below only if every part of their right side depends on a tangent, be
        # it as 0 · ẋ.
        firsts = [
            jnp.where(False, part.ravel()[0], 0).astype("float32")
            for part in jax.tree.leaves(tangents)
            if part.size
        ]
        nothing = jnp.sum(jnp.stack(firsts))
        start_dot, closed_dot = jax.tree.map(lambda part: part + nothing.astype(part.dtype), tangents)
        later = tuple(jnp.zeros_like(part) + nothing.astype(part.dtype) for part in rows)
        rows_dot = _tangents(
            lambda state, closed: pure(*state, *closed),
            rows,
            primals[1],
            count,
            (start_dot, later, closed_dot),
        )
        return (rows, count), (rows_dot, np.zeros((), jax.dtypes.float0))

    return run(start, closed_over)


def _tangents(step: Callable[..., tuple], rows: tuple, closed_over: Any, count: Any, right: tuple) -> tuple:
    """Return the derivatives of all rows.

    `right` has those of the first row, zeros in rows, and those of what the step closes over. The
    derivatives solve linear equations, row after row: ẋ_{i+1} − J_i ẋ_i − K_i ċ = b_{i+1}. Said as such,
    JAX can also transpose them, which is the gradient, and differentiate them again.
    """

    def add(left, right):
        return jax.tree.map(jnp.add, left, right)

    def push(row, state_dot, closed_dot):
        return jax.jvp(step, (_row(rows, row), closed_over), (state_dot, closed_dot))[1]

    def equations(unknown):
        start_dot, later, closed_dot = unknown
        rows_dot, numbers = _with_row(later, 0, start_dot), jnp.arange(rows[0].shape[0] - 1)
        moved = jax.vmap(lambda row: push(row, _row(rows_dot, row), closed_dot))(numbers)
        taken = tuple(
            jnp.where((numbers < count).reshape(-1, *[1] * (part.ndim - 1)), part, 0) for part in moved
        )
        return (
            start_dot,
            tuple(part.at[1:].add(-step) for part, step in zip(later, taken, strict=True)),
            closed_dot,
        )

    # What a loop reads and what it writes are different arrays: XLA would copy one that is both, at every
    # step.
    def forwards(_, right):
        start_dot, later, closed_dot = right

        def advance(row, carry):
            state_dot, written = carry
            state_dot = add(_row(later, row + 1), push(row, state_dot, closed_dot))
            return state_dot, _with_row(written, row + 1, state_dot)

        return start_dot, lax.fori_loop(0, count, advance, (start_dot, later))[1], closed_dot

    def backwards(_, right):
        start_bar, later, closed_bar = right

        def own(row):
            return jax.tree.map(
                lambda first, other: jnp.where(row == 0, first, other), start_bar, _row(later, row)
            )

        def retreat(carry):
            row, state_bar, written, closed_bar = carry
            _, pull = jax.vjp(step, _row(rows, row - 1), closed_over)
            previous_bar, more = pull(state_bar)
            return (
                row - 1,
                add(own(row - 1), previous_bar),
                _with_row(written, row, state_bar),
                add(closed_bar, more),
            )

        return lax.while_loop(lambda carry: carry[0] > 0, retreat, (count, own(count), later, closed_bar))[1:]

    start_dot, later, _ = lax.custom_linear_solve(equations, right, forwards, backwards)
    return _with_row(later, 0, start_dot)


def _row(rows: tuple, row: Any) -> tuple:

    return tuple(lax.dynamic_index_in_dim(part, row, keepdims=False) for part in rows)


def _with_row(rows: tuple, row: Any, values: tuple) -> tuple:

    return tuple(
        lax.dynamic_update_index_in_dim(part, value, row, 0) for part, value in zip(rows, values, strict=True)
    )


def play_round(model: Any, turns: list[Any], state: tuple) -> tuple[dict[str, Any], tuple]:
    movable, fixed = model.trainable_variables, model.non_trainable_variables
    measures, held = model.metrics_variables, model.optimizer.variables
    place = {id(variable): index for index, variable in enumerate(movable)}
    slot = {id(variable): index for index, variable in enumerate(held)}
    before = {id(variable): value for variable, value in zip(movable, state[0], strict=True)}
    for turn in turns:
        mine = [place[id(variable)] for variable in turn.variables]
        slots = [slot[id(variable)] for variable in turn.optimizer.variables]

        def loss_of(values, state, turn=turn, mine=mine):
            weights, states, optimizer, metrics = state
            weights = _replaced(weights, mine, values)
            now = zip(
                [*movable, *fixed, *measures, *held], [*weights, *states, *metrics, *optimizer], strict=True
            )
            with keras.StatelessScope([*now]) as scope:
                loss = turn.optimizer.scale_loss(turn.loss(before))
            return loss, tuple(
                [scope.get_current_value(variable) for variable in group] for group in (fixed, measures)
            )

        def step(state, _, turn=turn, mine=mine, slots=slots, loss_of=loss_of):
            weights, _, optimizer, _ = state
            values = [weights[index] for index in mine]
            gradients, (states, metrics) = jax.grad(loss_of, has_aux=True)(values, state)
            values, own = turn.optimizer.stateless_apply(
                [optimizer[index] for index in slots], gradients, values
            )
            return (_replaced(weights, mine, values), states, _replaced(optimizer, slots, own), metrics), None

        state, _ = lax.scan(
            step, tuple([*part] for part in state), length=turn.steps, unroll=min(turn.steps, 8)
        )
    with keras.StatelessScope([*zip(measures, state[3], strict=True)]):
        logs = model.get_metrics_result()
    count = slot[id(model.optimizer.iterations)]
    weights, states, optimizer, metrics = state
    return logs, (weights, states, _replaced(optimizer, [count], [optimizer[count] + 1]), metrics)


def _replaced(values: list[Any], places: list[int], new: list[Any]) -> list[Any]:
    values = [*values]
    for place, value in zip(places, new, strict=True):
        values[place] = value
    return values
