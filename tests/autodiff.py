"""Automatic differentiation, whatever the backend."""

import keras
import numpy as np
from keras import ops


def gradients(function, *arrays):
    """Value and gradients of the sum of `function(*arrays)`, as numpy arrays."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        value, grads = jax.value_and_grad(
            lambda *xs: ops.sum(function(*xs)), argnums=tuple(range(len(arrays)))
        )(*arrays)
    elif backend == "torch":
        import torch

        inputs = [torch.tensor(x, requires_grad=True) for x in arrays]
        value = ops.sum(function(*inputs))
        grads = torch.autograd.grad(value, inputs)
        value = value.detach()
    else:
        import tensorflow as tf

        inputs = [tf.convert_to_tensor(x) for x in arrays]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = ops.sum(function(*inputs))
        grads = tape.gradient(value, inputs)
    return float(value), [np.array(ops.convert_to_numpy(grad)) for grad in grads]


def jacobian(function, x):
    """∂f/∂x `(m, n)` of a function of a vector x, as a numpy array."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return np.array(jax.jit(jax.jacrev(function))(ops.convert_to_tensor(x)))
    if backend == "torch":
        import torch

        return torch.autograd.functional.jacobian(function, torch.tensor(x)).numpy()
    import tensorflow as tf

    x = tf.convert_to_tensor(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = function(x)
    return tape.jacobian(y, x, experimental_use_pfor=False).numpy()
