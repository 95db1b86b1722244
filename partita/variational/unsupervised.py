"""Base class of models that are trained without targets, on data that are checked first."""

from abc import ABC, abstractmethod
from typing import Any

import keras

from partita.callbacks.finite import StopOnNonFinite
from partita.callbacks.given import guards, joined
from partita.callbacks.keeper import Keeper, refusals, whole
from partita.data.datasets import checked
from partita.files.saving import SavedWithSeeds
from partita.variational import nets


class Unsupervised(SavedWithSeeds, ABC):
    """Base class of models that are fitted to x, or to [x, condition] if they are conditional.

    Subclasses say which data they refuse. A guard of the training comes along unless one was given.
    """

    conditional = False
    _guard: type[keras.callbacks.Callback] = StopOnNonFinite

    @property
    @abstractmethod
    def _bounds(self) -> tuple[float, float]:
        """Where the numbers of x lie."""

    @abstractmethod
    def _check(self, data: Any) -> None:
        """Raise if the model refuses data, those of a batch or all of them."""

    def _checked(self, data):
        return checked(data, self._check, bounds=self._bounds)

    def _checked_validation(self, data):
        """Return `validation_data` checked like the data of a training.

        Raises:
            ValueError: if a number is refused, or there are targets or weights.
        """
        if not isinstance(data, list | tuple):
            return self._checked(data)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        nets.refuse_targets(y, weight, "validation_data", "validation_data=([x, condition],)")
        try:
            return (self._checked(x),)
        except ValueError as error:
            raise ValueError(f"validation_data: {error}") from None

    def fit(self, x=None, y=None, **options):
        nets.refuse_targets(y, options.get("sample_weight"))  # weights without targets do not reach a step
        x, given = self._checked(x), options.get("callbacks")
        options["validation_data"] = self._checked_validation(options.get("validation_data"))
        with refusals(keeper := Keeper()):
            options["callbacks"] = joined(self, given, keeper, *guards(given, self._guard))
            return super().fit(x, y, **options)

    def evaluate(self, x=None, y=None, **options):
        x = self._checked(x)
        with whole(self, options):
            return super().evaluate(x, y, **options)

    def train_on_batch(self, x, y=None, **options):
        self._check(x)
        return super().train_on_batch(x, y, **options)

    def test_on_batch(self, x, y=None, **options):
        self._check(x)
        return super().test_on_batch(x, y, **options)
