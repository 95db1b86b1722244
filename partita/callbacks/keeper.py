"""A model stays whole when a batch of its data is refused.

x, keeper = checked(x, check), Keeper()
with refusals(keeper):
    model.fit(x, callbacks=[keeper])
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from partita.callbacks.given import joined

_REFUSAL = re.compile(r"batch \d+ of the data: [^\]\n]*")


class Keeper(keras.callbacks.Callback):
    """Hold the state of a model during the first batch of `fit` or `evaluate`.

    On JAX, Keras takes the variables' values away before it asks for that batch; if there is none but an
    error, the model has lost them.

    Example:
        >>> keeper = Keeper()
        >>> keeper.put_back()  # nothing is held
    """

    async_safe = True  # a thread may only drop what is held

    def __init__(self):
        super().__init__()
        self._held: list[tuple[keras.Variable, Any]] = []
        self._is_first = True

    def on_train_begin(self, logs=None):
        self._is_first = True

    def on_test_begin(self, logs=None):
        self._is_first = True

    def on_train_batch_begin(self, batch, logs=None):
        self._hold()

    def on_test_batch_begin(self, batch, logs=None):
        self._hold()

    def on_train_batch_end(self, batch, logs=None):
        self._held = []

    def on_test_batch_end(self, batch, logs=None):
        self._held = []

    def put_back(self) -> None:
        """Give the model its values again, after an error in the data."""
        _ = self.model  # on JAX this hands over what Keras had got to
        if self._held:
            for variable, value in self._held:
                variable.assign(value)
            self._held = []

    def _hold(self):
        self._held = []
        if self._is_first and keras.backend.backend() == "jax":
            model = self.model
            variables = [
                *model.variables,
                *model.metrics_variables,
                *(model.optimizer.variables if model.optimizer is not None else ()),
            ]
            self._held = [(variable, variable.value) for variable in variables]
        self._is_first = False


@contextmanager
def refusals(keeper: Keeper) -> Iterator[None]:
    """Raise a batch's refusal as the `ValueError` that it was, and leave the model whole.

    TensorFlow makes another error of it.

    Example:
        >>> with refusals(Keeper()):
        ...     raise RuntimeError("in a node: ValueError: batch 3 of the data: x must be finite")
        Traceback (most recent call last):
        ValueError: batch 3 of the data: x must be finite
    """
    try:
        yield
    except BaseException as error:
        keeper.put_back()
        found = (
            None
            if isinstance(error, ValueError) or not isinstance(error, Exception)
            else _REFUSAL.search(str(error))
        )
        if not found:
            raise
        raise ValueError(found[0].strip()) from error


@contextmanager
def whole(model: keras.Model, options: dict[str, Any]) -> Iterator[None]:
    """Leave a model whole whose `evaluate` meets data that are refused, as `refusals` does.

    Args:
        model: The model.
        options: The arguments of `evaluate` by name; its callbacks get a `Keeper`.

    Example:
        >>> options = {}
        >>> with whole(keras.Model(), options):
        ...     len(options["callbacks"])
        1
    """
    keeper = Keeper()
    if not isinstance(options.get("callbacks"), keras.callbacks.CallbackList):  # that of `fit` has one
        options["callbacks"] = joined(model, options.get("callbacks"), keeper)
    with refusals(keeper):
        yield
