"""Callbacks that a model brings along when it is fitted."""

from typing import Any

import keras


def all_of(given: Any) -> list[keras.callbacks.Callback]:
    """Return the callbacks given to `fit(callbacks=)`, in any form that Keras takes, as a list.

    Example:
        >>> one = keras.callbacks.TerminateOnNaN()
        >>> all_of(None), all_of(one) == all_of([one]) == all_of(keras.callbacks.CallbackList([one]))
        ([], True)
    """
    if isinstance(given, keras.callbacks.CallbackList):
        return given.callbacks
    return [callback for callback in keras.tree.flatten(given) if callback is not None]


def joined(model: keras.Model, given: Any, *own: keras.callbacks.Callback) -> Any:
    """Join our own callbacks and those that were given, for Keras's own `fit`.

    Ours come first, so that what stops a training does so before a backup is made.

    Example:
        >>> own = keras.callbacks.Callback()
        >>> len(joined(keras.Model(), [keras.callbacks.TerminateOnNaN()], own))
        2
    """
    together = [*own, *all_of(given)]
    if not isinstance(given, keras.callbacks.CallbackList):
        return together
    # A new list asks anew who may run in a thread.
    return keras.callbacks.CallbackList(together, model=model, **(given.params or {}))


def guards(
    given: Any, guard: type[keras.callbacks.Callback], **settings: Any
) -> list[keras.callbacks.Callback]:
    """Return a guard of the training to bring along, unless one of its class was given.

    Example:
        >>> guards(None, keras.callbacks.TerminateOnNaN)
        [<...TerminateOnNaN object at ...>]
        >>> guards([keras.callbacks.TerminateOnNaN()], keras.callbacks.TerminateOnNaN)
        []
    """
    return [] if any(isinstance(callback, guard) for callback in all_of(given)) else [guard(**settings)]
