"""Compile generated source once for each structure, whatever its rates, in whatever process.

`partita.kernels` keeps the machine code.
"""

import functools
import hashlib
import sys
from collections.abc import Callable
from types import ModuleType

from partita.kernels import folder, keep

__all__ = ("folder", "load")


@functools.lru_cache(maxsize=64)
def load(source: str) -> Callable:
    r"""Return the function `run` that a source defines, compiled at its first call.

    It is not compiled again if that was done before. Several processes may do this at once.

    Example:
        >>> load("def run(x):\n    return x + 1\n")(1)
        2
    """
    name = "partita_kernel_" + hashlib.sha256(source.encode()).hexdigest()[:24]
    module = ModuleType(name)
    sys.modules[name] = module  # Numba looks it up by name when it reads the machine code back
    exec(compile(source, f"<{name}>", "exec"), module.__dict__)
    return keep(module.run)
