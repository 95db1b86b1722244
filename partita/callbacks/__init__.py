"""Callbacks for any Keras model, and those that partita's models bring along when they are fitted."""

from partita.callbacks.evaluate import Evaluate
from partita.callbacks.finite import StopOnNonFinite

__all__ = ("Evaluate", "StopOnNonFinite")
