"""Numba functions whose machine code is kept on disk, in a folder that only its owner can write.

    name of a file = SHA-256(versions, processor, the function and all it refers to, types of the arguments)
    content        = SHA-256(rest), rest

Numba's own cache unpickles whatever lies in its folder, beside a source that it trusts. Here a file is
unpickled only if it belongs to the user, in a folder that nobody else can write, and is whole. Any other file
is compiled anew and replaced. Source is never read back.

The private names of Numba in this module, `Dispatcher._cache`, `Dispatcher._compile_for_args`,
`CompileResult._reduce` and `CompileResult._rebuild`, have no public counterpart. Where a release lacks one,
functions are compiled in each process.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
import platformdirs
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from partita.version import __version__
from partita.waiting import patiently

_DIGEST = hashlib.sha256().digest_size
_VERSIONS = (__version__, sys.implementation.cache_tag, *map(version, ("numba", "llvmlite", "numpy")))


def njit(**options: Any) -> Callable[[Callable], Callable]:
    """Return a decorator: `numba.njit(**options)`, with the machine code kept on disk.

    Example:
        >>> @njit(nogil=True)
        ... def double(x):
        ...     return 2 * x
        >>> double(21)
        42
    """
    return lambda function: keep(numba.njit(**options)(function))


def keep(function: Callable) -> Callable:
    """Keep the machine code of a function of `numba.njit` on disk; return the function.

    It is compiled on a thread of its own, so that Ctrl-C is answered meanwhile. A function that is not
    compiled stays as it is.

    Example:
        >>> keep(numba.njit(lambda x: 2 * x))(21)
        42
    """
    private = {function: ("_cache", "_compile_for_args"), CompileResult: ("_reduce", "_rebuild")}
    has_private = all(hasattr(owner, name) for owner, names in private.items() for name in names)
    if hasattr(function, "py_func") and has_private:
        function._cache = Cache(function)  # type: ignore[attr-defined]
        # What a call of a function not yet compiled goes to, from whichever module: without it Ctrl-C would
        # be lost in the compiler.
        patient = functools.partial(patiently, function._compile_for_args)  # type: ignore[attr-defined]
        function._compile_for_args = patient  # type: ignore[attr-defined]
    return function


@functools.cache
def folder() -> Path | None:
    """Return the folder of the machine code, or None where there is none to be trusted or written.

    It is `PARTITA_CACHE`, or `partita` in the user's cache folder, and is made with permission for the user
    alone.

    Warns:
        UserWarning: if the folder belongs to another user, or others can write it.

    Example:
        >>> folder() is None or folder().is_dir()
        True
    """
    path = Path(os.environ.get("PARTITA_CACHE") or platformdirs.user_cache_dir("partita", appauthor=False))
    if not path.is_absolute() and not os.environ.get("PARTITA_CACHE"):  # there is no home
        return None
    path = path.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = [os.lstat(path), os.stat(path)]  # of a link, and of what it leads to
        if not stat.S_ISDIR(found[1].st_mode):
            return None
    except OSError:
        return None
    if not all(map(is_private, found)):
        warnings.warn(
            f"the kernel cache {path} belongs to another user, or others can write it: nothing is kept "
            "there. Take away their permission (chmod 700), or name another folder by PARTITA_CACHE",
            stacklevel=2,
        )
        return None
    return path


def is_private(found: os.stat_result) -> bool:
    """Return whether a file belongs to the user of this process and nobody else can write it.

    On Windows it is always True.

    Example:
        >>> with tempfile.TemporaryFile() as file:
        ...     is_private(os.fstat(file.fileno()))
        True
    """
    if not hasattr(os, "geteuid"):
        return True
    writable_by_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    is_link = stat.S_ISLNK(found.st_mode)  # which has no permissions of its own
    return found.st_uid == os.geteuid() and (is_link or not writable_by_others)


class Cache:
    """Cache of one function, as Numba's dispatcher asks for it.

    It holds one file for each tuple of argument types.

    Args:
        function: A function of `numba.njit`.

    Example:
        >>> Cache(numba.njit(lambda x: x)).cache_path == folder()
        True
    """

    def __init__(self, function: Any):
        self.function = function

    @property
    def cache_path(self) -> Path | None:
        """The folder, for `function.stats.cache_path`."""
        return folder()

    @functools.cached_property
    def fingerprint(self) -> str:
        """What the machine code depends on, the argument types and the processor left out."""
        digest = hashlib.sha256(repr(_VERSIONS).encode())
        for part in _parts(self.function, set()):
            digest.update(f"{len(part)}:{part}".encode(errors="surrogatepass"))
        return digest.hexdigest()

    def key(self, types: Any, processor: tuple) -> str:
        """Return what tells an entry from all others: it stands in the file, and names it."""
        return repr((self.fingerprint, str(types), processor))

    def path(self, key: str) -> Path | None:
        """Return the file of an entry, or None where there is no folder."""
        home = folder()
        if home is None:
            return None
        digest = hashlib.sha256(key.encode()).hexdigest()[:32]
        return home / f"{self.function.py_func.__name__}-{digest}.kernel"

    def load_overload(self, types: Any, target_context: Any) -> Any:
        """Return what was compiled for these argument types, or None if it has to be compiled."""
        target_context.refresh()
        key = self.key(types, target_context.codegen().magic_tuple())
        path = self.path(key)
        content = None if path is None else _read(path)
        if content is None:
            return None
        try:
            kept, reduced = pickle.loads(content)
            return CompileResult._rebuild(target_context, *reduced) if kept == (key, types) else None
        except Exception:  # whole, but of no use here: what to do about it is to compile
            return None

    def save_overload(self, types: Any, result: Any) -> None:
        """Keep what was compiled. Where that cannot be written, it is compiled again in the next process."""
        if result.lifted or result.library.has_dynamic_globals:  # addresses of this process are in the code
            return
        key = self.key(types, result.codegen.magic_tuple())
        path = self.path(key)
        if path is not None:
            content = dumps(((key, types), result._reduce()))
            _write(path, hashlib.sha256(content).digest() + content)

    def enable(self) -> None:
        """Do nothing: it is always on."""

    def disable(self) -> None:
        """Do nothing: it is always on."""

    def flush(self) -> None:
        """Do nothing: what is compiled anew takes the place of what was there."""


def _read(path: Path) -> bytes | None:
    """The content of a file that is ours and whole, or None."""
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # neither a link nor a pipe
    try:
        with open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags)) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or not is_private(found):
                return None
            digest, content = file.read(_DIGEST), file.read()
    except OSError:
        return None
    return content if hashlib.sha256(content).digest() == digest else None


def _write(path: Path, content: bytes) -> None:
    """Put a file in its place, whole, whoever else does so at the same time."""
    # A full disk, a folder that is gone or cannot be written: the function is there all the same.
    with contextlib.suppress(OSError):
        descriptor, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)


def _parts(value: Any, seen: set[int]) -> Iterator[str]:
    """Texts that differ wherever a function, or anything that it refers to, compiles to something else."""
    if isinstance(value, frozenset | set):
        yield f"set {sorted(map(repr, value))}"
    elif isinstance(value, tuple | list):
        yield f"{type(value).__name__} {len(value)}"
        for item in value:
            yield from _parts(item, seen)
    elif isinstance(value, np.ndarray):
        yield f"array {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    elif isinstance(value, CodeType):
        yield f"code {value.co_code.hex()} {value.co_names} {value.co_varnames} {value.co_freevars}"
        yield from _parts(value.co_consts, seen)
    elif hasattr(value, "py_func"):  # of njit
        yield f"options {sorted(value.targetoptions.items())}"
        yield from _parts(value.py_func, seen)
    elif isinstance(value, FunctionType):
        if id(value) not in seen:
            seen.add(id(value))
            yield from _function_parts(value, seen)
    elif isinstance(value, ModuleType):
        yield f"module {value.__name__}"
    else:
        yield _description(value)


def _description(value: Any) -> str:
    """Return the text of a constant, or of an intrinsic, say, for which all of its module counts."""
    module = str(getattr(value, "__module__", None))
    if not module.startswith("partita."):
        return f"{type(value).__name__} {getattr(value, '__qualname__', value)!r}"
    source = getattr(sys.modules.get(module), "__file__", None)
    return f"of {module} {hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else ''}"


def _function_parts(function: FunctionType, seen: set[int]) -> Iterator[str]:
    keywords = sorted((function.__kwdefaults__ or {}).items())
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    yield from _parts((function.__code__, function.__defaults__ or (), keywords, cells), seen)
    names = [*_names(function.__code__)]
    for name in names:
        if name in function.__globals__:
            value = function.__globals__[name]
            yield name
            yield from _parts(value, seen)
            if isinstance(value, ModuleType) and value.__name__.startswith("partita."):
                for attribute in names:
                    if hasattr(value, attribute):
                        yield attribute
                        yield from _parts(getattr(value, attribute), seen)


def _names(code: CodeType) -> Iterator[str]:
    """Names of globals and attributes in a piece of code and in those within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
