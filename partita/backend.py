"""What depends on Keras's backend: which one is chosen where nobody has, and how a function is compiled for it.

Keras by itself takes TensorFlow, and fails where that is missing. Worse, its first import writes that default to
`keras.json` as if someone had asked for it; a file that holds exactly this default is therefore no choice.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

_BACKENDS = ("jax", "torch", "tensorflow")
_promotion = threading.Lock()  # of Keras's table of dtypes, see double_precision
_kept: list[str] = []
_WRITTEN_UNASKED = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_last"}


def choose() -> None:
    """Set `KERAS_BACKEND` to what is chosen by that variable, by `keras.json` or by what is installed, unless Keras is imported already.

    Every part that needs Keras calls this before its first `import keras`.

    Raises:
        ImportError: if there is nothing to choose from.

    Example:
        >>> choose()
        >>> import keras
        >>> keras.backend.backend() in ("jax", "torch", "tensorflow")
        True
    """
    if "keras" not in sys.modules:
        _set_backend()


def _set_backend() -> None:
    name, _ = choice()
    if not name:
        raise ImportError(
            "partita needs a backend for Keras and finds neither JAX nor PyTorch nor TensorFlow: "
            "pip install 'partita[jax]' (recommended), 'partita[torch]' or 'partita[tensorflow]'."
        )
    os.environ["KERAS_BACKEND"] = name


def when_keras_is_imported(then: Callable[[], None]) -> None:
    """Call `then` once Keras is there: now, or right after its first import, for which a backend is chosen as `choose` does.

    Example:
        >>> import keras
        >>> when_keras_is_imported(lambda: print("Keras", keras.__version__))
        Keras 3...
    """
    if "keras" in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _KerasFinder(then))


class _KerasFinder(MetaPathFinder):
    """Find Keras by the finders that follow, and wrap its loader."""

    def __init__(self, then: Callable[[], None]):
        self._then = then

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != "keras":
            return None
        found = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _KerasLoader(spec.loader, self, self._then)
        return spec


class _KerasLoader(Loader):
    """Choose a backend, load Keras, and call what waits for it."""

    def __init__(self, loader: Loader, finder: _KerasFinder, then: Callable[[], None]):
        self._loader, self._finder, self._then = loader, finder, then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        for name in [name for name in sys.modules if name.startswith("keras.")]:
            del sys.modules[name]  # left by an import that failed, with the backend that it failed for
        _set_backend()
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
            self._then()


def choice() -> tuple[str, str]:
    """The backend that Keras will have when it is imported, and how it was chosen; a name of "" where there is none.

    Example:
        >>> name, reason = choice()
        >>> name in ("jax", "torch", "tensorflow")
        True
    """
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "by KERAS_BACKEND"
    path = keras_home() / "keras.json"
    if name := _chosen_in_file(path):
        return name, f"by {path}"
    return next(filter(_is_installed, _BACKENDS), ""), f"as the first of {', '.join(_BACKENDS)} that is installed"


def _is_installed(package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.has_location  # a folder left behind by an uninstalled package has none


def _chosen_in_file(path: Path) -> str:
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError):
        return ""
    return str(settings["backend"]) if isinstance(settings, dict) and "backend" in settings and settings != _WRITTEN_UNASKED else ""


def keras_home() -> Path:
    """The folder where Keras itself looks, with its own way out for a home that cannot be written.

    Example:
        >>> keras_home() == keras_home().absolute()
        True
    """
    if "KERAS_HOME" in os.environ:
        return Path(os.environ["KERAS_HOME"])
    home = Path.home()
    return (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras"


def devices() -> list[str]:
    """What the backend computes on, by its own names.

    Example:
        >>> len(devices()) > 0
        True
    """
    import keras

    if keras.backend.backend() == "torch":
        import torch

        found = torch.accelerator.current_accelerator()
        return ["cpu"] if found is None else [f"{found.type}:{place}" for place in range(torch.accelerator.device_count())]
    return keras.distribution.list_devices()


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


def uncompiled(function: Callable) -> Callable:
    """`function` as PyTorch leaves it out of a step that it compiles, which cannot hold a loop of open length; the same elsewhere.

    Example:
        >>> uncompiled(abs)(-2)
        2
    """
    import keras

    if keras.backend.backend() != "torch":
        return function
    import torch

    return torch.compiler.disable(function)


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

    if not isinstance(tensor, torch.Tensor):
        return True
    return not (tensor.is_meta or torch._C._functorch.is_functorch_wrapped_tensor(tensor))  # Keras builds a model on the meta device


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

    table = dtypes.BIT64_TO_BIT32_DTYPE
    with _promotion:
        first = _kept[0] if _kept else table["float64"]
        _kept.append(first)
        table["float64"] = "float64"
    try:
        if keras.backend.backend() == "jax":
            import jax

            with jax.enable_x64(True):
                yield
        else:
            yield
    finally:
        with _promotion:
            _kept.pop()
            if not _kept:  # the table is one for all threads: the last to leave puts it back
                table["float64"] = first


def add_rows(variable: Any, rows: Any, values: Any) -> Any:
    """Add to some rows of a variable, in place: the others are neither read nor copied. A row given twice gets both.

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

    if keras.backend.backend() == "jax":
        variable.assign(variable.value.at[rows].add(values))
    elif keras.backend.backend() == "torch":
        variable.value.data.index_put_((rows.long(),), values, accumulate=True)
    else:
        import tensorflow as tf

        variable.value.scatter_add(tf.IndexedSlices(values, rows))
    return keras.ops.take(variable, rows, axis=0)


def mask_of(tensor: Any) -> Any:
    """Return the mask that Keras hands along with a tensor, or None.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> mask = mask_of(keras.layers.Embedding(3, 2, mask_zero=True)(np.array([[1, 0]])))
        >>> keras.ops.convert_to_numpy(mask).tolist()
        [[True, False]]
    """
    from keras.src.backend import get_keras_mask  # what every Keras layer reads; Keras exports it under no other name

    return get_keras_mask(tensor)


def set_mask(tensor: Any, mask: Any) -> None:
    """Hand a mask along with a tensor, as Keras layers do: Keras leaves the masked entries of a loss out of its mean.

    Example:
        >>> from keras import ops
        >>> losses = ops.ones((2,))
        >>> set_mask(losses, ops.array([True, False]))
        >>> ops.convert_to_numpy(mask_of(losses)).tolist()
        [True, False]
    """
    from keras.src.backend import set_keras_mask

    set_keras_mask(tensor, mask)
