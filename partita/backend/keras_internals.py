"""Private names of Keras and its backends, each with the reason why no public one would do.

Nothing else in the package uses any. A test calls each of them, so that a release that renames one is
noticed.
"""

from inspect import stack
from pathlib import Path
from typing import Any

from partita.types import Tensor


def get_mask(tensor: Tensor) -> Any:
    """Return the mask that Keras hands along with a tensor, or None.

    Every Keras layer reads it; it is exported under no other name.
    """
    from keras.src.backend import get_keras_mask

    return get_keras_mask(tensor)


def set_mask(tensor: Tensor, mask: Tensor) -> None:
    """Hand a mask along with a tensor, as Keras layers do."""
    from keras.src.backend import set_keras_mask

    set_keras_mask(tensor, mask)


def promotion() -> dict[str, str]:
    """Return Keras's table of what 64-bit dtypes become on JAX and PyTorch; there is no setting for this."""
    from keras.src.backend.common import dtypes

    return dtypes.BIT64_TO_BIT32_DTYPE


def is_transformed(tensor: Tensor) -> bool:
    """Return whether a PyTorch tensor stands for another in one of torch.func's transforms.

    No public function tells this.
    """
    import torch

    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def learning_rate_of(optimizer: Any) -> Any:
    """Return an optimizer's learning rate as it was given: a variable, a schedule or a function.

    The public property gives its value.
    """
    return optimizer._learning_rate


def epoch_is_over() -> bool:
    """Return, within a PyDataset's `on_epoch_end`, whether an epoch is over.

    Keras calls that once more before the first epoch, when it has looked at some batches to build a model:
    nothing but who calls tells the two apart, since an epoch may be of one batch, too, and a dataset is not
    told of callbacks.
    """
    return not any(
        call.function == "reset" and Path(call.filename).stem == "epoch_iterator" for call in stack(0)[2:5]
    )
