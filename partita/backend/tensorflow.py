"""The operations that partita needs of TensorFlow."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import keras
import tensorflow as tf

from partita.types import Tensor


def devices() -> list[str]:
    return keras.distribution.list_devices()


def compiled(function: Callable) -> Callable:
    graph = tf.function(function, autograph=False)

    def traced(*tensors, **settings):
        # Inside another graph as a piece of that one: a graph of its own may hold what XLA cannot compile.
        return (graph if tf.executing_eagerly() else function)(*tensors, **settings)

    return traced


def uncompiled(function: Callable) -> Callable:
    return function


def is_known(tensor: Tensor) -> bool:
    return not hasattr(tensor, "graph") or hasattr(tensor, "numpy")


def float64() -> AbstractContextManager[None]:
    return nullcontext()


def add_rows(variable: Any, rows: Tensor, values: Tensor) -> None:
    variable.value.scatter_add(tf.IndexedSlices(values, rows))


def derivative(function: Callable[[Tensor], Tensor], at: Tensor, along: Tensor) -> Tensor:
    with tf.autodiff.ForwardAccumulator(at, along) as accumulator:
        value = function(at)
    return accumulator.jvp(value, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = function(at)
    return tape.gradient(value, at)


def value_and_jacobian(function: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    @tf.function(autograph=False)
    def both(x, *others):
        # Backwards, all rows at once: its loops cannot be differentiated forwards.
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x, *others)
        return value, tape.jacobian(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    return lambda *tensors: both(*map(tf.convert_to_tensor, tensors))


def value_and_gradient(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    @tf.function(autograph=False)
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return value, tape.gradient(value, x)

    return lambda x: both(tf.convert_to_tensor(x))


def gradients(loss: Callable[[], Any], variables: list[Any]) -> list[Any]:
    with tf.GradientTape() as tape:
        value = loss()
    return tape.gradient(value, [variable.value for variable in variables])


def trajectory(
    step: Callable[..., tuple], unfinished: Callable[..., Any], start: tuple, limit: int
) -> tuple[tuple, Any]:
    return (_trajectory if tf.executing_eagerly() else _trajectory_in_graph)(step, unfinished, start, limit)


def _trajectory(
    step: Callable[..., tuple], unfinished: Callable[..., Any], start: tuple, limit: int
) -> tuple[tuple, Any]:
    states = [start]
    while len(states) <= limit and unfinished(*states[-1]):
        states.append(step(*states[-1]))
    return tuple(tf.stack(part) for part in zip(*states, strict=True)), len(states) - 1


def _trajectory_in_graph(
    step: Callable[..., tuple], unfinished: Callable[..., Any], start: tuple, limit: int
) -> tuple[tuple, Any]:
    def go_on(count, state, rows):
        return tf.logical_and(count < limit, unfinished(*state))

    def advance(count, state, rows):
        state = step(*state)
        return (
            count + 1,
            state,
            tuple(row.write(count + 1, part) for row, part in zip(rows, state, strict=True)),
        )

    def room(part):
        # All rows from the start: under XLA an array does not grow, and what is written beyond its end takes
        # the place of the last row.
        row = tf.TensorArray(
            part.dtype, limit + 1, dynamic_size=False, clear_after_read=False, element_shape=part.shape
        )
        return row.unstack(tf.zeros(tf.concat([[limit + 1], tf.shape(part)], 0), part.dtype)).write(0, part)

    rows = tuple(map(room, start))
    count, _, rows = tf.while_loop(go_on, advance, (tf.constant(0), start, rows), maximum_iterations=limit)
    return tuple(row.stack() for row in rows), count


def with_gradient(
    value: Callable[..., tuple[Any, tuple]], gradient: Callable[[Any, tuple, tuple], tuple]
) -> Callable[..., Any]:
    @tf.custom_gradient
    def run(*inputs):
        # of this branch of a `tf.cond`: its gradient finds no tensor of a graph further out
        inputs = tuple(map(tf.identity, inputs))
        result, kept = value(*inputs)
        return result, lambda weight: gradient(weight, inputs, kept)

    return run


def differentiable(function: Callable) -> Callable:
    graph = tf.function(function, autograph=False)

    def pull(*tensors, count, settings):
        cotangents, inputs = tensors[:count], tensors[count:]
        floats = [x for x in inputs if x.dtype.is_floating]
        results = [y for y in tf.nest.flatten(function(*inputs, **dict(settings))) if y.dtype.is_floating]
        # Not a tape: where this is traced on behalf of a ForwardAccumulator, tapes record nothing.
        return tf.gradients(
            results, floats, list(cotangents), unconnected_gradients=tf.UnconnectedGradients.ZERO
        )

    @lru_cache(maxsize=1)
    def pull_again():
        return differentiable(pull)

    def traced(*inputs, **settings):
        if not tf.executing_eagerly():
            return function(*inputs, **settings)

        @tf.custom_gradient
        def run(*inputs):
            result = graph(*map(tf.stop_gradient, inputs), **settings)
            results = tf.nest.flatten(result)

            def gradient(*cotangents):
                given = [
                    tf.zeros_like(y) if cotangent is None else cotangent
                    for cotangent, y in zip(cotangents, results, strict=True)
                    if y.dtype.is_floating
                ]
                found = iter(
                    pull_again()(*given, *inputs, count=len(given), settings=tuple(settings.items()))
                )
                return [next(found) if x.dtype.is_floating else None for x in inputs]

            return result, gradient

        return run(*inputs)

    return traced


def play_round(model: Any, turns: list[Any]) -> dict[str, Any]:
    before = {id(variable): tf.identity(variable.value) for variable in model.trainable_variables}
    for turn in turns:
        for _ in range(turn.steps):
            sources = [variable.value for variable in turn.variables]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(sources)
                loss = turn.optimizer.scale_loss(turn.loss(before))
            gradients = tape.gradient(loss, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            turn.optimizer.apply(gradients, turn.variables)
    model.optimizer.iterations.assign_add(1)
    return model.get_metrics_result()
