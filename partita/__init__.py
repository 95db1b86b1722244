"""Models around the partition function: p(x) = exp(G(x)) / Z, and one part for each thing that can happen to Z."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from partita import crf, ode, reactions, variational

__version__ = "0.1.0"
__all__ = ("crf", "ode", "reactions", "variational")  # the parts, each imported on first use: `import partita` alone is light


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"partita.{name}")
    raise AttributeError(f"module 'partita' has no attribute {name!r}; its parts are: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
