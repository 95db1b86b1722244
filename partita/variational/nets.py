"""Checks of the nets given to models: shapes that meet, and a condition where one is taken.

net(x)   or   net([x, condition])
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

Shape = tuple[int | None, ...]


def input_shapes(net: Any, name: str) -> list[Shape]:
    """The shapes of a net's inputs, without the batch.

    Raises:
        ValueError: if the net does not know them yet.
    """
    if not isinstance(net, keras.layers.Layer):
        raise ValueError(f"{name} must be a Keras model or layer, got {net!r}")
    if not (isinstance(net, keras.Model) and getattr(net, "inputs", None)):
        raise ValueError(
            f"{name} must know the shape of its input, got {type(net).__name__} without one: "
            "begin it with keras.Input, or wrap it as keras.Sequential([keras.Input(shape), net])"
        )
    return [tuple(tensor.shape[1:]) for tensor in net.inputs]


def condition_shapes(net: Any, name: str) -> list[Shape]:
    """Return the shapes of what a net takes beside its first input; none if it knows no inputs yet."""
    return input_shapes(net, name)[1:] if getattr(net, "inputs", None) else []


def build(net: Any, shapes: Sequence[Shape], name: str) -> None:
    """Let a net that knows no shape yet take these; one that does must have them.

    Raises:
        ValueError: if they do not meet; what feeds the net is `shapes`.
    """
    if not isinstance(net, keras.layers.Layer):
        raise ValueError(f"{name} must be a Keras model or layer, got {net!r}")
    if not net.built:
        batch = [(None, *shape) for shape in shapes]
        net.build(batch[0] if len(batch) == 1 else batch)
    if isinstance(net, keras.Model) and getattr(net, "inputs", None):
        taken = input_shapes(net, name)
        if len(taken) != len(shapes) or not all(map(meet, taken, shapes)):
            wanted = described(*shapes)
            raise ValueError(f"{name} must take {wanted}, got a net that takes {described(*taken)}")


def output_shape(net: Any, shapes: Sequence[Shape]) -> Shape:
    """Return the shape of a built net's output for inputs of these shapes, without the batch.

    Of a pair, it is that of its first.
    """
    batch = [(None, *shape) for shape in shapes]
    found = net.compute_output_shape(batch[0] if len(batch) == 1 else batch)
    return tuple((found[0] if isinstance(found[0], (list, tuple)) else found)[1:])


def meet(left: Shape, right: Shape) -> bool:
    """Whether two shapes may be the same; None is any length."""
    return len(left) == len(right) and all(a == b or None in (a, b) for a, b in zip(left, right, strict=True))


def split_pair(data: Any, conditional: bool, what: str) -> tuple[Any, Any]:
    """(x, condition) out of what a model was given, the condition None where it takes none.

    Raises:
        ValueError: if it is missing, or not taken.
    """
    is_pair = isinstance(data, (list, tuple))
    if conditional and not (is_pair and len(data) == 2):
        raise ValueError(f"{what} must be a pair [{what}, condition]: the nets take a condition")
    if not conditional and is_pair:
        raise ValueError(f"{what} must be one array, got {len(data)}: a condition needs nets with two inputs")
    return (data[0], data[1]) if conditional else (data, None)


def give(net: Any, x: Any, condition: Any = None, training: bool = False) -> Any:
    """What the net makes of x, and of the condition if it takes one."""
    return net([x, condition] if _takes_both(net, condition) else x, training=training)


def run(net: Any, x: Any, condition: Any = None, rows_at_once: int = 1024) -> Any:
    """The same for arrays of any number of rows, compiled, as arrays in float32 at least."""
    inputs = [np.asarray(x), np.asarray(condition)] if _takes_both(net, condition) else np.asarray(x)
    if isinstance(net, keras.Model):
        made = net.predict(inputs, batch_size=rows_at_once, verbose=0)
    else:
        made = keras.tree.map_structure(ops.convert_to_numpy, net(inputs, training=False))
    return keras.tree.map_structure(
        lambda part: np.asarray(part, np.result_type(part.dtype, np.float32)), made
    )


def _takes_both(net: Any, condition: Any) -> bool:
    return condition is not None and len(getattr(net, "inputs", None) or ()) == 2


def refuse_targets(
    y: Any, sample_weight: Any, name: str = "fit", example: str = "fit([x, condition])"
) -> None:
    """Refuse what a training would otherwise leave aside.

    Raises:
        ValueError: if there are targets or weights.
    """
    if y is not None or sample_weight is not None:
        raise ValueError(f"{name} takes neither targets nor weights: a condition goes in as {example}")


def check_count(name: str, value: int) -> None:
    """Raise a `ValueError` if there is not one at least."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def check_rows(x: Any, shape: Shape, what: str) -> None:
    """Whether x holds rows of this shape.

    Raises:
        ValueError: if it does not.
    """
    if not meet(tuple(np.shape(x)[1:]), shape):
        raise ValueError(f"{what} must have the shape {described(shape)}, got {tuple(np.shape(x))}")


def size(shape: Shape) -> int:
    """How many numbers a row of this shape holds."""
    return math.prod(length or 1 for length in shape)


def sum_rows(x: Any) -> Any:
    """Sum over all but the first axis, `(batch,)`."""
    return ops.sum(ops.reshape(x, (ops.shape(x)[0], -1)), axis=-1)


def described(*shapes: Shape) -> str:
    """Return the shapes of batches of such rows, for an error."""
    return " and ".join(f"(batch, {', '.join(map(str, shape))})" for shape in shapes)
