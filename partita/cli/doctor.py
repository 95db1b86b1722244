"""Report of what is installed, for `partita doctor`: versions, the backend, devices and folders of caches."""

import os
import platform
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from partita.backend import choice, choose, devices, keras_home
from partita.extras import EXTRAS
from partita.version import __version__

NEEDED = ("keras", "numba", "numpy", "platformdirs", "scipy", "tqdm", "xarray")


def report() -> Iterator[str]:
    """The lines, each as soon as it is known. Nothing that is missing or broken stops it.

    Example:
        >>> print(next(report()))
        partita ... on Python 3...
    """
    yield (
        f"partita {__version__} on Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores"
    )
    owners = packages_distributions()
    yield _line("needed", ", ".join(_named(package, owners) for package in NEEDED))
    name, reason = choice()
    if not name:
        yield _line("backend", "none: pip install 'partita[jax]'; until then only `reactions` works")
    else:
        yield _line("backend", f"{name}, chosen {reason}")
        yield _line("devices", _devices())
    if not os.environ.get("KERAS_BACKEND") and name != "tensorflow":
        there = "" if find_spec("tensorflow") else ", which is not installed"
        told = (
            f"import partita before keras, or set KERAS_BACKEND={name or 'jax'}: Keras alone takes "
            f"TensorFlow{there}"
        )
        yield _line("imports", told)
    yield ""
    yield "folders"
    yield from ("  " + _line(what, where) for what, where in _folders(name))
    yield ""
    yield "extras"
    for extra, (purpose, packages) in EXTRAS.items():
        missing = [package for package in packages if find_spec(package) is None]
        adds = f"{', '.join(missing)} missing: pip install 'partita[{extra}]' adds {purpose}".removeprefix(
            f"{extra} "
        )
        yield "  " + _line(
            extra, adds if missing else ", ".join(_named(package, owners) for package in packages)
        )


def _line(what: str, said: str) -> str:
    return f"{what:<11} {said}"


def _named(package: str, owners: Mapping[str, list[str]]) -> str:
    return f"{package} {version(owners[package][0])}" if package in owners else f"{package} missing"


def _devices() -> str:
    try:
        choose()
        return ", ".join(devices())
    except Exception as error:  # a backend may break in its own ways; that is what one wants to read here
        return f"none, for the backend does not load: {' '.join(str(error).split())[:200]}"


def _folders(backend: str) -> Iterator[tuple[str, str]]:
    yield "Keras", f"{_state(keras_home())}  (KERAS_HOME)"
    try:
        from partita.kernels import folder

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kept = folder()
        why = (
            f"none: {caught[0].message}"
            if caught
            else "none that can be made, so that every process compiles anew"
        )
        yield "kernels", f"{why if kept is None else _state(kept)}  (PARTITA_CACHE)"
    except Exception as error:  # as above
        yield "Numba", f"does not load: {' '.join(str(error).split())[:200]}"
    if backend == "jax":
        jax_cache = os.environ.get("JAX_COMPILATION_CACHE_DIR")
        told = _state(Path(jax_cache)) if jax_cache else "none, so that every process compiles anew"
        yield "JAX", f"{told}  (JAX_COMPILATION_CACHE_DIR)"


def _state(folder: Path) -> str:
    """The folder, and whether it, or what it would be made in, can be written."""
    there = next(above for above in (folder, *folder.parents) if above.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return str(folder)
    except OSError:
        return f"{folder} cannot be written"
