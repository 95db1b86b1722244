"""What depends on Keras's backend: which one is chosen where nobody has, and how a function is compiled for it.

Keras by itself takes TensorFlow, and fails where that is missing. Worse, its first import writes that default to
`keras.json` as if someone had asked for it; a file that holds exactly this default is therefore no choice.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

_BACKENDS = ("jax", "torch", "tensorflow")
_WRITTEN_UNASKED = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_last"}


def choose() -> None:
    """Set `KERAS_BACKEND`, unless Keras is imported already or a backend is chosen by that variable or by `keras.json`.

    Every part that needs Keras calls this before its first `import keras`.

    Raises:
        ImportError: if there is nothing to choose from.

    Example:
        >>> choose()
        >>> import keras
        >>> keras.backend.backend() in ("jax", "torch", "tensorflow")
        True
    """
    if "keras" in sys.modules or os.environ.get("KERAS_BACKEND") or _chosen_in_file():
        return
    installed = next(filter(_is_installed, _BACKENDS), None)
    if installed is None:
        raise ImportError(
            "partita needs a backend for Keras and finds neither JAX nor PyTorch nor TensorFlow: "
            "pip install 'partita[jax]' (recommended), 'partita[torch]' or 'partita[tensorflow]'."
        )
    os.environ["KERAS_BACKEND"] = installed


def _is_installed(package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.has_location  # a folder left behind by an uninstalled package has none


def _chosen_in_file() -> bool:
    try:
        settings = json.loads((_keras_home() / "keras.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and "backend" in settings and settings != _WRITTEN_UNASKED


def _keras_home() -> Path:
    """The folder where Keras itself looks, with its own way out for a home that cannot be written."""
    if "KERAS_HOME" in os.environ:
        return Path(os.environ["KERAS_HOME"])
    home = Path.home()
    return (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras"


def compiled(function: Callable) -> Callable:
    """`function` as one compiled piece for each shape, where an eager loop would be slow or compiled at every call.

    Its positional arguments are tensors, its keyword-only ones settings. On PyTorch it stays as it is.

    Example:
        >>> from keras import ops
        >>> double = compiled(lambda x: 2 * x)
        >>> int(double(ops.array(21)))
        42
    """
    import keras

    if keras.backend.backend() == "jax":
        import jax

        settings = [name for name, parameter in signature(function).parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
        return jax.jit(function, static_argnames=settings)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        graph = tf.function(function, autograph=False)

        def traced(*tensors, **settings):
            # Inside another graph as a piece of that one: a graph of its own may hold what XLA cannot compile.
            return (graph if tf.executing_eagerly() else function)(*tensors, **settings)

        return traced
    return function


def is_known(tensor: Any) -> bool:
    """Whether the tensor holds numbers now, and is no placeholder of something being compiled or differentiated.

    Example:
        >>> import numpy as np
        >>> is_known(np.ones(3))
        True
    """
    import keras

    if isinstance(tensor, keras.KerasTensor):
        return False
    if keras.backend.backend() == "jax":
        import jax

        return not isinstance(tensor, jax.core.Tracer)
    if keras.backend.backend() == "tensorflow":
        return not hasattr(tensor, "graph") or hasattr(tensor, "numpy")
    import torch

    return not (isinstance(tensor, torch.Tensor) and torch._C._functorch.is_functorch_wrapped_tensor(tensor))


@contextmanager
def double_precision() -> Iterator[None]:
    """Where float64 stays float64. Elsewhere JAX makes it float32, and so do many functions of `keras.ops` on JAX and PyTorch.

    Example:
        >>> import numpy as np
        >>> from keras import backend, ops
        >>> with double_precision():
        ...     backend.standardize_dtype(ops.cos(np.ones(2)).dtype)
        'float64'
    """
    import keras
    from keras.src.backend.common import dtypes  # Keras has no setting for this: its promotion table alone decides

    table, kept = dtypes.BIT64_TO_BIT32_DTYPE, dtypes.BIT64_TO_BIT32_DTYPE["float64"]
    table["float64"] = "float64"
    try:
        if keras.backend.backend() == "jax":
            import jax

            with jax.enable_x64(True):
                yield
        else:
            yield
    finally:
        table["float64"] = kept


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
        >>> rows[:4].tolist(), int(count)
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


def add_rows(variable: Any, rows: Any, values: Any) -> Any:
    """Add to some rows of a variable, in place: the others are neither read nor copied. A row given twice gets both.

    Returns:
        The rows as they are afterwards.

    Example:
        >>> import keras
        >>> from keras import ops
        >>> counts = keras.Variable([0.0, 0.0, 0.0])
        >>> [float(row) for row in add_rows(counts, ops.array([0, 2, 0]), ops.array([1.0, 5.0, 1.0]))]
        [2.0, 5.0, 2.0]
    """
    import keras

    if keras.backend.backend() == "jax":
        variable.assign(variable.value.at[rows].add(values))
    elif keras.backend.backend() == "torch":
        variable.value.data.index_put_((rows.long(),), values, accumulate=True)
    else:
        import tensorflow as tf

        variable.value.scatter_add(tf.IndexedSlices(values, rows))
    return keras.ops.take(variable, rows, axis=0)
