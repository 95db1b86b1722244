"""Models around the partition function: p(x) = exp(G(x)) / Z, and one part for each thing that can happen to Z."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from partita import contrast, crf, flows, ode, reactions, training, variational

__version__ = "0.1.0"
__all__ = ("contrast", "crf", "flows", "ode", "reactions", "training", "variational")  # each imported on first use


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"partita.{name}")
    raise AttributeError(f"module 'partita' has no attribute {name!r}; its parts are: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
