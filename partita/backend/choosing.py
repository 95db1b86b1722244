"""Which backend Keras gets where nobody has chosen one.

Keras by itself takes TensorFlow, and fails where that is missing. Worse, its first import writes that default
to `keras.json` as if someone had asked for it; a file that holds exactly this default is therefore no choice.
"""

import json
import os
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_BACKENDS = ("jax", "torch", "tensorflow")
_WRITTEN_UNASKED = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}


def choose() -> None:
    """Set `KERAS_BACKEND` to the chosen backend, unless Keras is imported already.

    The backend is chosen by that variable, by `keras.json` or by what is installed. Every part that needs
    Keras calls this before its first `import keras`.

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
    """Call `then` once Keras is there: now, or right after its first import.

    For that import a backend is chosen as `choose` does.

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
    """Return the backend that Keras will have when it is imported, and how it was chosen.

    The name of the backend is "" where there is none.

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
    return next(
        filter(_is_installed, _BACKENDS), ""
    ), f"as the first of {', '.join(_BACKENDS)} that is installed"


def _is_installed(package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.has_location  # a folder left behind by an uninstalled package has none


def _chosen_in_file(path: Path) -> str:
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError):
        return ""
    return (
        str(settings["backend"])
        if isinstance(settings, dict) and "backend" in settings and settings != _WRITTEN_UNASKED
        else ""
    )


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
