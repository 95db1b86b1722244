"""Everything that depends on Keras's backend.

A backend is chosen where nobody has chosen one. What each does in its own way stands in a file for each.

compiled(f)   →   backend.jax.compiled(f), backend.tensorflow.compiled(f) or backend.torch.compiled(f)
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from partita.backend.choosing import choice, choose, keras_home, when_keras_is_imported
from partita.types import Tensor

__all__ = (
    "add_rows",
    "choice",
    "choose",
    "compiled",
    "devices",
    "double_precision",
    "engine",
    "is_known",
    "keras_home",
    "mask_of",
    "set_mask",
    "uncompiled",
    "when_keras_is_imported",
)
_promotion = threading.Lock()  # of Keras's table of dtypes, see double_precision
_kept: list[str] = []


def engine() -> ModuleType:
    """Return the file of Keras's backend.

    Example:
        >>> engine().__name__
        'partita.backend...'
    """
    import keras

    return import_module(f"partita.backend.{keras.backend.backend()}")


def devices() -> list[str]:
    """Return the devices that the backend computes on, by its own names.

    Example:
        >>> len(devices()) > 0
        True
    """
    return engine().devices()


def compiled(function: Callable) -> Callable:
    """Return `function` as one compiled piece for each shape.

    It is compiled where an eager loop would be slow or compiled at every call; on PyTorch it stays as it
    is. Its positional arguments are tensors, its keyword-only ones settings.

    Example:
        >>> from keras import ops
        >>> double = compiled(lambda x: 2 * x)
        >>> int(double(ops.array(21)))
        42
    """
    return engine().compiled(function)


def uncompiled(function: Callable) -> Callable:
    """Return `function` as PyTorch leaves it out of a step that it compiles.

    Such a step cannot hold a loop with a data-dependent number of steps. `function` is the same on other
    backends.

    Example:
        >>> uncompiled(abs)(-2)
        2
    """
    return engine().uncompiled(function)


def is_known(tensor: Tensor) -> bool:
    """Return whether the tensor holds numbers now.

    A placeholder of something being compiled or differentiated does not.

    Example:
        >>> import numpy as np
        >>> import keras
        >>> is_known(np.ones(3)), is_known(keras.Input((3,)))
        (True, False)
    """
    import keras

    return not isinstance(tensor, keras.KerasTensor) and engine().is_known(tensor)


@contextmanager
def double_precision() -> Iterator[None]:
    """Let float64 stay float64 within the block.

    Elsewhere JAX makes it float32, and so do many functions of `keras.ops` on JAX and PyTorch.

    Example:
        >>> import numpy as np
        >>> from keras import backend, ops
        >>> with double_precision():
        ...     backend.standardize_dtype(ops.cos(np.ones(2)).dtype)
        'float64'
    """
    from partita.backend.keras_internals import promotion

    table = promotion()
    with _promotion:
        first = _kept[0] if _kept else table["float64"]
        _kept.append(first)
        table["float64"] = "float64"
    try:
        with engine().float64():
            yield
    finally:
        with _promotion:
            _kept.pop()
            if not _kept:  # the table is one for all threads: the last to leave puts it back
                table["float64"] = first


def add_rows(variable: Any, rows: Tensor, values: Tensor) -> Tensor:
    """Add to some rows of a variable, in place: the others are neither read nor copied.

    A row given twice gets both.

    Returns:
        The rows as they are afterwards.

    Example:
        >>> import keras
        >>> from keras import ops
        >>> counts = keras.Variable([0.0, 0.0, 0.0])
        >>> ops.convert_to_numpy(add_rows(counts, ops.array([0, 2, 0]), ops.array([1.0, 5.0, 1.0]))).tolist()
        [2.0, 5.0, 2.0]
    """
    import keras

    engine().add_rows(variable, rows, values)
    return keras.ops.take(variable, rows, axis=0)


def mask_of(tensor: Tensor) -> Any:
    """Return the mask that Keras hands along with a tensor, or None.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> mask = mask_of(keras.layers.Embedding(3, 2, mask_zero=True)(np.array([[1, 0]])))
        >>> keras.ops.convert_to_numpy(mask).tolist()
        [[True, False]]
    """
    from partita.backend.keras_internals import get_mask

    return get_mask(tensor)


def set_mask(tensor: Tensor, mask: Tensor) -> None:
    """Hand a mask along with a tensor, as Keras layers do.

    Keras leaves the masked entries of a loss out of its mean.

    Example:
        >>> from keras import ops
        >>> losses = ops.ones((2,))
        >>> set_mask(losses, ops.array([True, False]))
        >>> ops.convert_to_numpy(mask_of(losses)).tolist()
        [True, False]
    """
    from partita.backend import keras_internals

    keras_internals.set_mask(tensor, mask)
