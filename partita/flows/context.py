"""What a flow is conditioned on, put beside the features that a net reads.

p(x | c):   m(x₁) becomes m([x₁, c])
"""

from keras import ops

from partita.flows.bijection import Shape
from partita.types import Tensor


def joined_shape(shape: Shape, context_shape: Shape | None) -> Shape:
    """The shape of `joined`.

    Raises:
        ValueError: if the context is neither a row of features nor has the axes of x.
    """
    if context_shape is None:
        return tuple(shape)
    if len(context_shape) not in (2, len(shape)) or context_shape[-1] is None:
        got = f"{tuple(context_shape)} beside {tuple(shape)}"
        raise ValueError(f"context must be (batch, features) or have the axes of x, got {got}")
    return (*shape[:-1], shape[-1] + context_shape[-1])


def joined(x: Tensor, context: Tensor, context_shape: Shape | None) -> Tensor:
    """x and the context side by side on the last axis; one row of features stands at every pixel of an image.

    Raises:
        ValueError: if a context is given where none was before, or the other way round, or has another width.
    """
    if context_shape is None and context is None:
        return x
    if context is None:
        raise ValueError(f"context is missing: this flow was built with one of {context_shape[-1]} features")
    if context_shape is None or tuple(context.shape[1:]) != tuple(context_shape[1:]):
        built = "without one" if context_shape is None else f"with one of {tuple(context_shape)}"
        raise ValueError(f"context has the shape {tuple(context.shape)}, but this flow was built {built}")
    if len(context.shape) < len(x.shape):
        context = ops.expand_dims(context, tuple(range(1, len(x.shape) - 1)))
        context = ops.broadcast_to(context, (*ops.shape(x)[:-1], context.shape[-1]))
    return ops.concatenate([x, context], axis=-1)
