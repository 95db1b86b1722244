"""Models around the partition function Z of p(x) = exp(G(x)) / Z.

There is one part for each thing that can happen to Z.
"""

import os
import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

from partita.backend import when_keras_is_imported
from partita.version import __version__ as __version__

if TYPE_CHECKING:
    from partita import contrast, crf, flows, ode, reactions, training, variational


__all__ = ("contrast", "crf", "flows", "load", "ode", "reactions", "training", "variational")
PARTS = tuple(name for name in __all__ if name != "load")  # each imported on first use, or with Keras


def __getattr__(name: str) -> Any:
    if name in PARTS:
        return import_module(f"partita.{name}")
    raise AttributeError(f"module 'partita' has no attribute {name!r}; its parts are: {', '.join(PARTS)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def load(
    path: str | os.PathLike[str],
    *,
    compile: bool = True,
    custom_objects: dict[str, Any] | None = None,
    safe_mode: bool = True,
) -> Any:
    """Load a saved model of any part: a `.keras` file, or word vectors (`.npz`, `.txt`, `.vec`, `.bin`).

    Args:
        path: The file.
        compile: Whether a Keras model comes back compiled, if it was saved compiled.
        custom_objects: Your own classes and functions by name, as in `keras.saving.load_model`.
        safe_mode: False allows a `.keras` file to run code that it brings along. Leave it True for files of
            strangers.

    Returns:
        A `keras.Model`, or `contrast.WordVectors`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be read, with its name and the reason.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from partita import flows
        >>> with TemporaryDirectory() as folder:
        ...     flows.nice(4, hidden=(8,)).save(f"{folder}/flow.keras")
        ...     type(load(f"{folder}/flow.keras")).__name__
        'Flow'
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"expected a model file, got {os.fspath(path)!r}, which does not exist")
    if os.path.splitext(path)[1] in (".npz", ".txt", ".vec", ".bin"):
        return import_module("partita.contrast").WordVectors.load(path)
    read_model = import_module("partita.files.loading").read_model
    return read_model(path, compile=compile, custom_objects=custom_objects, safe_mode=safe_mode)


class _RegisterLater(MetaPathFinder):
    """Find nothing; whenever a module is looked for, try again to import the parts."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if not _is_half_loaded():
            sys.meta_path.remove(self)
            _register()


def _is_half_loaded() -> bool:
    """Tell whether a module beside the parts is being imported: parts that need it would find it empty."""
    beside = (
        it
        for name, it in [*sys.modules.items()]
        if name.startswith("partita.") and name.count(".") == 1 and name[8:] not in PARTS
    )
    return any(getattr(getattr(module, "__spec__", None), "_initializing", False) for module in beside)


def _register() -> None:
    """Import the parts whose classes Keras finds in model files."""
    if _is_half_loaded():  # it has imported Keras by itself, before any part
        sys.meta_path.insert(0, _RegisterLater())
        return
    for part in PARTS:
        if part != "reactions":  # which has none
            import_module(f"partita.{part}")


when_keras_is_imported(_register)
