"""Generated source to compiled functions, kept on disk: a structure is compiled once, whatever its rates, in whatever process.

    file name = hash of (source, the modules it calls)

Numba keeps the machine code beside the source file. The folder is `PARTITA_CACHE`, or `partita` in the user's cache folder, or, where that
cannot be written, one that ends with the process.
"""

import atexit
import functools
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from partita.reactions import bounds, streams


@functools.lru_cache(maxsize=64)
def load(source: str) -> Callable:
    r"""The function `run` that a source defines, compiled at its first call unless that was done before.

    Several processes may do this at once.

    Example:
        >>> load("def run(x):\n    return x + 1\n")(1)
        2
    """
    called = Path(streams.__file__).read_bytes() + Path(bounds.__file__).read_bytes()
    name = "partita_kernel_" + hashlib.sha256(called + source.encode()).hexdigest()[:24]
    path = folder() / f"{name}.py"
    if not path.exists():
        descriptor, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(source)
        os.utime(partial, (0, 0))  # Numba asks whether the source is still the same by its time: so all processes agree
        os.replace(partial, path)
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # Numba looks it up by name when it reads the machine code back
    spec.loader.exec_module(module)
    return module.run


@functools.cache
def folder() -> Path:
    """Where the kernels are kept.

    Example:
        >>> folder().is_dir()
        True
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    lasting = Path(os.environ.get("PARTITA_CACHE") or Path(home) / "partita")
    try:
        lasting.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=lasting):
            return lasting
    except OSError:
        private = tempfile.mkdtemp(prefix="partita-")
        atexit.register(shutil.rmtree, private, ignore_errors=True)
        return Path(private)
