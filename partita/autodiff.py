"""Derivatives, each by what Keras's backend has for it: forwards, backwards, through loops of open length, and of a model's loss.

Keras differentiates inside `fit` only.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from partita.backend import compiled, is_known


def derivative(function: Callable[[Any], Any], at: Any, along: Any) -> Any:
    """The derivative of a function of one tensor in a direction, by forward differentiation; it can be differentiated again.

    Example:
        >>> from keras import ops
        >>> float(derivative(lambda x: x**3, ops.array(2.0), ops.array(1.0)))
        12.0
    """
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.jvp(function, (at,), (along,))[1]
    if keras.backend.backend() == "torch":
        import torch

        return torch.func.jvp(function, (at,), (along,))[1]
    import tensorflow as tf

    with tf.autodiff.ForwardAccumulator(at, along) as accumulator:
        value = function(at)
    return accumulator.jvp(value, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def trajectory(step: Callable[..., tuple], unfinished: Callable[..., Any], start: tuple, limit: int) -> tuple[tuple, Any]:
    """Apply `step` to a tuple of float tensors for as long as it is `unfinished`, `limit` times at most, and keep every state.

    The gradient goes through all steps on every backend; on JAX, whose own loops of open length have none, backwards only, from
    the states kept.

    Returns:
        The states stacked on a new first axis, with `limit + 1` rows or fewer, and how many steps were taken. Rows beyond hold zeros.

    Example:
        >>> from keras import ops
        >>> (rows,), count = trajectory(lambda x: (2 * x,), lambda x: x < 5, (ops.array(1.0),), 9)
        >>> ops.convert_to_numpy(rows)[:4].tolist(), int(count)
        ([1.0, 2.0, 4.0, 8.0], 3)
    """
    import keras
    from keras import ops

    if keras.backend.backend() == "jax":
        return _trajectory_jax(step, unfinished, start, limit)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():
            return _trajectory_graph(step, unfinished, start, limit)
    states = [start]
    while len(states) <= limit and unfinished(*states[-1]):
        states.append(step(*states[-1]))
    return tuple(ops.stack(part) for part in zip(*states, strict=True)), len(states) - 1


def _trajectory_graph(step: Callable[..., tuple], unfinished: Callable[..., Any], start: tuple, limit: int) -> tuple[tuple, Any]:
    import tensorflow as tf

    def go_on(count, state, rows):
        return tf.logical_and(count < limit, unfinished(*state))

    def advance(count, state, rows):
        state = step(*state)
        return count + 1, state, tuple(row.write(count + 1, part) for row, part in zip(rows, state, strict=True))

    rows = tuple(tf.TensorArray(part.dtype, 1, dynamic_size=True, clear_after_read=False, element_shape=part.shape) for part in start)
    rows = tuple(row.write(0, part) for row, part in zip(rows, start, strict=True))
    count, _, rows = tf.while_loop(go_on, advance, (tf.constant(0), start, rows), maximum_iterations=limit)
    return tuple(row.stack() for row in rows), count


def _trajectory_jax(step: Callable[..., tuple], unfinished: Callable[..., Any], start: tuple, limit: int) -> tuple[tuple, Any]:
    import jax
    from jax import lax
    from jax import numpy as jnp

    pure, closed_over = jax.closure_convert(step, *start)  # a custom gradient sees only what it is handed

    def forward(start, closed_over):
        rows = tuple(jnp.zeros((limit + 1, *part.shape), part.dtype).at[0].set(part) for part in start)

        def advance(carry):
            count, state, rows = carry
            state = pure(*state, *closed_over)
            rows = tuple(lax.dynamic_update_index_in_dim(row, part, count + 1, 0) for row, part in zip(rows, state, strict=True))
            return count + 1, state, rows

        count, _, rows = lax.while_loop(lambda carry: (carry[0] < limit) & unfinished(*carry[1]), advance, (0, start, rows))
        return rows, count

    @jax.custom_vjp
    def run(start, closed_over):
        return forward(start, closed_over)

    def run_forward(start, closed_over):
        rows, count = forward(start, closed_over)
        return (rows, count), (rows, count, closed_over)

    def run_backward(kept, cotangents):
        rows, count, closed_over = kept

        def at(rows, row):
            return tuple(lax.dynamic_index_in_dim(part, row, keepdims=False) for part in rows)

        def add(left, right):
            return jax.tree.map(jnp.add, left, right)

        def retreat(carry):
            row, state_bar, closed_bar = carry
            _, pull = jax.vjp(lambda state, closed: pure(*state, *closed), at(rows, row - 1), closed_over)
            previous_bar, more = pull(state_bar)
            return row - 1, add(previous_bar, at(cotangents[0], row - 1)), add(closed_bar, more)

        initial = (count, at(cotangents[0], count), jax.tree.map(jnp.zeros_like, closed_over))
        return lax.while_loop(lambda carry: carry[0] > 0, retreat, initial)[1:]

    run.defvjp(run_forward, run_backward)
    return run(start, closed_over)


def with_gradient(value: Callable[..., tuple[Any, tuple]], gradient: Callable[[Any, tuple, tuple], tuple]) -> Callable[..., Any]:
    """Return a function of float tensors with a gradient of its own, which can be differentiated again, forwards and backwards.

    The gradient is used for the first derivative of `value` alone; derivatives of it are those of the code that computes it.

    Args:
        value: Inputs → the result, one tensor, and a tuple of tensors to be kept for the gradient.
        gradient: (tensor like the result, inputs, what was kept) → a tensor for each input, linear in its first argument. Both
            functions see all that is differentiated as arguments; neither closes over it.

    Example:
        >>> from keras import ops
        >>> cube = with_gradient(lambda x: (x**3, ()), lambda weight, inputs, kept: (3 * inputs[0] ** 2 * weight,))
        >>> float(cube(ops.array(2.0))), float(derivative(cube, ops.array(2.0), ops.array(1.0)))
        (8.0, 12.0)
    """
    import keras

    if keras.backend.backend() == "jax":
        return _with_gradient_jax(value, gradient)
    if keras.backend.backend() == "torch":
        return _with_gradient_torch(value, gradient)
    import tensorflow as tf

    @tf.custom_gradient
    def run(*inputs):
        result, kept = value(*inputs)
        return result, lambda weight: gradient(weight, inputs, kept)

    return run


def _with_gradient_jax(value: Callable[..., tuple[Any, tuple]], gradient: Callable[[Any, tuple, tuple], tuple]) -> Callable[..., Any]:
    import jax

    @jax.custom_jvp
    def run(*inputs):
        return value(*inputs)[0]

    @run.defjvp
    def differentiate(inputs, tangents):
        result, kept = value(*inputs)
        (tangent,) = jax.linear_transpose(lambda weight: gradient(weight, inputs, kept), result)(tangents)
        return result, tangent

    return run


def _with_gradient_torch(value: Callable[..., tuple[Any, tuple]], gradient: Callable[[Any, tuple, tuple], tuple]) -> Callable[..., Any]:
    import torch

    def run(*inputs):
        forwards = (torch.autograd.forward_ad.unpack_dual(x).tangent is not None for x in inputs)
        if not all(map(is_known, inputs)) or any(forwards):  # in one of torch.func's transforms
            return value(*inputs)[0]
        return _torch_function().apply(value, gradient, *inputs)

    return run


@lru_cache(maxsize=1)
def _torch_function() -> Any:
    import torch

    class WithGradient(torch.autograd.Function):
        """Keeps what `value` says, unless its gradient is to be differentiated: it is then computed with a graph."""

        @staticmethod
        def forward(ctx, value, gradient, *inputs):
            result, kept = value(*inputs)
            ctx.value, ctx.gradient, ctx.num_inputs = value, gradient, len(inputs)
            ctx.save_for_backward(*inputs, *kept)
            return result

        @staticmethod
        def backward(ctx, weight):
            inputs, kept = ctx.saved_tensors[: ctx.num_inputs], ctx.saved_tensors[ctx.num_inputs :]
            if torch.is_grad_enabled():
                _, kept = ctx.value(*inputs)
            return None, None, *ctx.gradient(weight, inputs, kept)

    return WithGradient


def differentiable(function: Callable) -> Callable:
    """Compile as `backend.compiled` does, with derivatives of any order, forwards and backwards, on every backend.

    On TensorFlow a compiled function called eagerly has first derivatives only: its loops cannot be differentiated from outside.
    Here the gradient is a compiled function of its own, with the same property. Neither may read variables.

    Example:
        >>> from keras import ops
        >>> cube = differentiable(lambda x: x**3)
        >>> float(derivative(lambda x: derivative(cube, x, ops.ones(())), ops.array(2.0), ops.ones(())))
        12.0
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        return _differentiable_tensorflow(function)
    return compiled(function)


def _differentiable_tensorflow(function: Callable) -> Callable:
    import tensorflow as tf

    graph = tf.function(function, autograph=False)

    def pull(*tensors, count, settings):
        cotangents, inputs = tensors[:count], tensors[count:]
        floats = [x for x in inputs if x.dtype.is_floating]
        results = [y for y in tf.nest.flatten(function(*inputs, **dict(settings))) if y.dtype.is_floating]
        # Not a tape: where this is traced on behalf of a ForwardAccumulator, tapes record nothing.
        return tf.gradients(results, floats, list(cotangents), unconnected_gradients=tf.UnconnectedGradients.ZERO)

    @lru_cache(maxsize=1)
    def pull_again():
        return _differentiable_tensorflow(pull)

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
                found = iter(pull_again()(*given, *inputs, count=len(given), settings=tuple(settings.items())))
                return [next(found) if x.dtype.is_floating else None for x in inputs]

            return result, gradient

        return run(*inputs)

    return traced


def value_and_jacobian(function: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """`(x, ...)` → value `(m,)` and Jacobian in x `(m, n)` of a function of a vector x `(n,)`, compiled.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> value, jacobian = value_and_jacobian(lambda x: ops.stack([x[0] * x[1], x[1]]))(np.array([2.0, 3.0], "float32"))
        >>> np.array(jacobian).tolist()
        [[3.0, 2.0], [0.0, 1.0]]
    """
    import keras
    from keras import ops

    if keras.backend.backend() == "jax":
        import jax

        def with_value(x, *others):
            value = function(x, *others)
            return value, value

        def both(x, *others):
            jacobian, value = jax.jacfwd(with_value, has_aux=True)(x, *others)
            return value, jacobian

        return jax.jit(both)
    if keras.backend.backend() == "torch":
        import torch

        def both_torch(x, *others):
            def with_value(x):
                value = function(x, *others)
                return value, value

            others = tuple(map(ops.convert_to_tensor, others))
            jacobian, value = torch.func.jacfwd(with_value, has_aux=True)(ops.convert_to_tensor(x))
            return value, jacobian

        return both_torch
    import tensorflow as tf

    @tf.function(autograph=False)
    def both_tensorflow(x, *others):
        # Backwards, all rows at once: its loops cannot be differentiated forwards.
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x, *others)
        return value, tape.jacobian(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    return lambda *tensors: both_tensorflow(*map(tf.convert_to_tensor, tensors))


def gradients_of_loss(model: Any, x: Any, y: Any) -> list[Any]:
    """The gradients of a compiled Keras model's loss on (x, y), one for each trained weight, as in a step of training without dropout.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
        >>> model.compile(loss="mse")
        >>> keras.ops.convert_to_numpy(gradients_of_loss(model, np.eye(2), np.ones((2, 1)))[0]).tolist()
        [[-1.0], [-1.0]]
    """
    import keras

    def loss():
        return model.compute_loss(x=x, y=y, y_pred=model(x, training=False), training=False)

    x, y = keras.tree.map_structure(keras.ops.convert_to_tensor, (x, y))
    variables = model.trainable_variables
    if keras.backend.backend() == "jax":
        import jax

        def of(values):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return loss()

        return jax.grad(of)([variable.value for variable in variables])
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        return tape.gradient(value, [variable.value for variable in variables])
    import torch

    with torch.enable_grad():
        return [*torch.autograd.grad(loss(), [variable.value for variable in variables])]


def value_and_gradient(function: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, Any]]:
    """`x` → values `(n,)` and the gradient of each in its own row of x `(n, d)`, compiled.

    Example:
        >>> import numpy as np
        >>> value, gradient = value_and_gradient(lambda x: x[:, 0] * x[:, 1])(np.array([[2.0, 3.0]], "float32"))
        >>> np.array(gradient).tolist()
        [[3.0, 2.0]]
    """
    import keras

    if keras.backend.backend() == "jax":
        import jax

        def both(x):
            value, pull = jax.vjp(function, x)
            return value, pull(jax.numpy.ones_like(value))[0]

        return jax.jit(both)
    if keras.backend.backend() == "torch":
        import torch

        def both_torch(x):
            x = keras.ops.convert_to_tensor(x).detach().requires_grad_()
            value = function(x)
            return value.detach(), torch.autograd.grad(value.sum(), x)[0]

        return both_torch
    import tensorflow as tf

    @tf.function(autograph=False)
    def both_tensorflow(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return value, tape.gradient(value, x)

    return lambda x: both_tensorflow(tf.convert_to_tensor(x))
