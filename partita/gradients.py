"""Functions with gradients of their own, and compiled functions, with derivatives of any order on each backend."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from partita.backend import compiled, is_known


def with_gradient(value: Callable[..., tuple[Any, tuple]], gradient: Callable[[Any, tuple, tuple], tuple]) -> Callable[..., Any]:
    """Return a function of float tensors with a gradient of its own, which can be differentiated again, forwards and backwards.

    The gradient is used for the first derivative of `value` alone; derivatives of it are those of the code that computes it.

    Args:
        value: Inputs → the result, one tensor, and a tuple of tensors to be kept for the gradient.
        gradient: (tensor like the result, inputs, what was kept) → a tensor for each input, linear in its first argument. Both
            functions see all that is differentiated as arguments; neither closes over it.

    Example:
        >>> from keras import ops
        >>> from partita.autodiff import derivative
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
        inputs = tuple(map(tf.identity, inputs))  # of this branch of a `tf.cond`: its gradient finds no tensor of a graph further out
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
        >>> from partita.autodiff import derivative
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
