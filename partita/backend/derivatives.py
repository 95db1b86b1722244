"""Derivatives, each by what Keras's backend has for it.

They are taken forwards, backwards, through loops with a data-dependent number of steps, and of a model's
loss. Keras differentiates inside `fit` only.
"""

from collections.abc import Callable
from typing import Any

from partita.backend import engine
from partita.types import Tensor


def derivative(function: Callable[[Tensor], Tensor], at: Tensor, along: Tensor) -> Tensor:
    """Return the derivative of a function of one tensor in a direction, by forward differentiation.

    It can be differentiated again.

    Example:
        >>> from keras import ops
        >>> float(derivative(lambda x: x**3, ops.array(2.0), ops.array(1.0)))
        12.0
    """
    return engine().derivative(function, at, along)


def trajectory(
    step: Callable[..., tuple], unfinished: Callable[..., Any], start: tuple, limit: int
) -> tuple[tuple, Any]:
    """Apply `step` to a tuple of float tensors for as long as it is `unfinished`, and keep every state.

    `step` is applied `limit` times at most. The gradient goes through all steps on every backend; on JAX,
    whose own loops with a data-dependent number of steps have none, from the states kept, forwards and
    backwards, any number of times.

    Returns:
        The states stacked on a new first axis, with `limit + 1` rows or fewer, and how many steps were taken.
        Rows beyond hold zeros.

    Example:
        >>> from keras import ops
        >>> (rows,), count = trajectory(lambda x: (2 * x,), lambda x: x < 5, (ops.array(1.0),), 9)
        >>> ops.convert_to_numpy(rows)[:4].tolist(), int(count)
        ([1.0, 2.0, 4.0, 8.0], 3)
    """
    return engine().trajectory(step, unfinished, start, limit)


def value_and_jacobian(function: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """`(x, ...)` → value `(m,)` and Jacobian in x `(m, n)` of a function of a vector x `(n,)`, compiled.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> value, jacobian = value_and_jacobian(lambda x: ops.stack([x[0] * x[1], x[1]]))(
        ...     np.array([2.0, 3.0], "float32")
        ... )
        >>> np.array(jacobian).tolist()
        [[3.0, 2.0], [0.0, 1.0]]
    """
    return engine().value_and_jacobian(function)


def value_and_gradient(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """`x` → values `(n,)` and the gradient of each in its own row of x `(n, d)`, compiled.

    Example:
        >>> import numpy as np
        >>> value, gradient = value_and_gradient(lambda x: x[:, 0] * x[:, 1])(
        ...     np.array([[2.0, 3.0]], "float32")
        ... )
        >>> np.array(gradient).tolist()
        [[3.0, 2.0]]
    """
    return engine().value_and_gradient(function)


def gradients_of_loss(model: Any, x: Any, y: Any) -> list[Any]:
    """Return the gradients of a compiled Keras model's loss on (x, y).

    There is one for each trained weight, as in a step of training without dropout.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential(
        ...     [keras.Input((2,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
        ... )
        >>> model.compile(loss="mse")
        >>> keras.ops.convert_to_numpy(gradients_of_loss(model, np.eye(2), np.ones((2, 1)))[0]).tolist()
        [[-1.0], [-1.0]]
    """
    import keras

    x, y = keras.tree.map_structure(keras.ops.convert_to_tensor, (x, y))

    def loss():
        return model.compute_loss(x=x, y=y, y_pred=model(x, training=False), training=False)

    return engine().gradients(loss, model.trainable_variables)


def gradient_norms(score: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ‖∂ score/∂x‖² of each row `(batch,)`, to be differentiated in turn.

    A row's score depends on that row alone.

    Example:
        >>> from keras import ops
        >>> norms = gradient_norms(lambda x: ops.sum(x**2, axis=-1), ops.ones((3, 2)))
        >>> ops.convert_to_numpy(norms).tolist()
        [8.0, 8.0, 8.0]
    """
    from keras import ops

    slope = engine().gradient(lambda x: ops.sum(score(x)), x)
    return ops.sum(ops.reshape(slope, (ops.shape(slope)[0], -1)) ** 2, axis=-1)


def with_gradient(
    value: Callable[..., tuple[Any, tuple]], gradient: Callable[[Any, tuple, tuple], tuple]
) -> Callable[..., Any]:
    """Return a function of float tensors with a gradient of its own.

    It can be differentiated again, forwards and backwards. The gradient is used for the first derivative
    of `value` alone; derivatives of it are those of the code that computes it.

    Args:
        value: Inputs → the result, one tensor, and a tuple of tensors to be kept for the gradient.
        gradient: (tensor like the result, inputs, what was kept) → a tensor for each input, linear in its
            first argument. Both functions see all that is differentiated as arguments; neither closes over
            it.

    Example:
        >>> from keras import ops
        >>> from partita.backend.derivatives import derivative
        >>> cube = with_gradient(
        ...     lambda x: (x**3, ()), lambda weight, inputs, kept: (3 * inputs[0] ** 2 * weight,)
        ... )
        >>> float(cube(ops.array(2.0))), float(derivative(cube, ops.array(2.0), ops.array(1.0)))
        (8.0, 12.0)
    """
    return engine().with_gradient(value, gradient)


def differentiable(function: Callable) -> Callable:
    """Compile as `backend.compiled` does, with derivatives of any order on every backend.

    The derivatives go forwards and backwards. On TensorFlow a compiled function called eagerly has first
    derivatives only: its loops cannot be differentiated from outside. Here the gradient is a compiled
    function of its own, with the same property. Neither may read variables.

    Example:
        >>> from keras import ops
        >>> from partita.backend.derivatives import derivative
        >>> cube = differentiable(lambda x: x**3)
        >>> float(derivative(lambda x: derivative(cube, x, ops.ones(())), ops.array(2.0), ops.ones(())))
        12.0
    """
    return engine().differentiable(function)
