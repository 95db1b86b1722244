"""Derivatives, each by what Keras's backend has for it: forwards, backwards, through loops of open length, and of a model's loss.

Keras differentiates inside `fit` only.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


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

    The gradient goes through all steps on every backend; on JAX, whose own loops with a data-dependent number of steps have none, from
    the states kept, forwards and backwards, any number of times.

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

    def room(part):
        # All rows from the start: under XLA an array does not grow, and what is written beyond its end takes the place of the last row.
        row = tf.TensorArray(part.dtype, limit + 1, dynamic_size=False, clear_after_read=False, element_shape=part.shape)
        return row.unstack(tf.zeros(tf.concat([[limit + 1], tf.shape(part)], 0), part.dtype)).write(0, part)

    rows = tuple(map(room, start))
    count, _, rows = tf.while_loop(go_on, advance, (tf.constant(0), start, rows), maximum_iterations=limit)
    return tuple(row.stack() for row in rows), count


def _trajectory_jax(step: Callable[..., tuple], unfinished: Callable[..., Any], start: tuple, limit: int) -> tuple[tuple, Any]:
    import jax
    from jax import lax
    from jax import numpy as jnp

    pure, closed_over = jax.closure_convert(step, *start)  # a custom derivative sees only what it is handed

    @jax.custom_jvp
    def run(start, closed_over):
        rows = tuple(jnp.zeros((limit + 1, *part.shape), part.dtype).at[0].set(part) for part in start)

        def advance(carry):
            count, state, rows = carry
            state = pure(*state, *closed_over)
            return count + 1, state, _with_row(rows, count + 1, state)

        count, _, rows = lax.while_loop(lambda carry: (carry[0] < limit) & unfinished(*carry[1]), advance, (0, start, rows))
        return rows, count

    @run.defjvp
    def run_with_derivative(primals, tangents):
        rows, count = run(*primals)
        # JAX transposes the equations below only if every part of their right side depends on a tangent, be it as 0 · ẋ.
        firsts = [jnp.where(False, part.ravel()[0], 0).astype("float32") for part in jax.tree.leaves(tangents) if part.size]
        nothing = jnp.sum(jnp.stack(firsts))
        start_dot, closed_dot = jax.tree.map(lambda part: part + nothing.astype(part.dtype), tangents)
        later = tuple(jnp.zeros_like(part) + nothing.astype(part.dtype) for part in rows)
        rows_dot = _tangents_jax(lambda state, closed: pure(*state, *closed), rows, primals[1], count, (start_dot, later, closed_dot))
        return (rows, count), (rows_dot, np.zeros((), jax.dtypes.float0))

    return run(start, closed_over)


def _tangents_jax(step: Callable[..., tuple], rows: tuple, closed_over: Any, count: Any, right: tuple) -> tuple:
    """Derivatives of all rows; `right` has those of the first row, zeros in rows, and those of what the step closes over.

    They solve linear equations, row after row: ẋ_{i+1} − J_i ẋ_i − K_i ċ = b_{i+1}. Said as such, JAX can also transpose them, which
    is the gradient, and differentiate them again.
    """
    import jax
    from jax import lax
    from jax import numpy as jnp

    def add(left, right):
        return jax.tree.map(jnp.add, left, right)

    def push(row, state_dot, closed_dot):
        return jax.jvp(step, (_row(rows, row), closed_over), (state_dot, closed_dot))[1]

    def equations(unknown):
        start_dot, later, closed_dot = unknown
        rows_dot, numbers = _with_row(later, 0, start_dot), jnp.arange(rows[0].shape[0] - 1)
        moved = jax.vmap(lambda row: push(row, _row(rows_dot, row), closed_dot))(numbers)
        taken = tuple(jnp.where((numbers < count).reshape(-1, *[1] * (part.ndim - 1)), part, 0) for part in moved)
        return start_dot, tuple(part.at[1:].add(-step) for part, step in zip(later, taken, strict=True)), closed_dot

    # What a loop reads and what it writes are different arrays: XLA would copy one that is both, at every step.
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
            return jax.tree.map(lambda first, other: jnp.where(row == 0, first, other), start_bar, _row(later, row))

        def retreat(carry):
            row, state_bar, written, closed_bar = carry
            _, pull = jax.vjp(step, _row(rows, row - 1), closed_over)
            previous_bar, more = pull(state_bar)
            return row - 1, add(own(row - 1), previous_bar), _with_row(written, row, state_bar), add(closed_bar, more)

        return lax.while_loop(lambda carry: carry[0] > 0, retreat, (count, own(count), later, closed_bar))[1:]

    start_dot, later, _ = lax.custom_linear_solve(equations, right, forwards, backwards)
    return _with_row(later, 0, start_dot)


def _row(rows: tuple, row: Any) -> tuple:
    from jax import lax

    return tuple(lax.dynamic_index_in_dim(part, row, keepdims=False) for part in rows)


def _with_row(rows: tuple, row: Any, values: tuple) -> tuple:
    from jax import lax

    return tuple(lax.dynamic_update_index_in_dim(part, value, row, 0) for part, value in zip(rows, values, strict=True))


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
