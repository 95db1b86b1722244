"""A flow's functions of any number of rows, and a check of its inverse by them.

rows `(n, ...)` → batches of few sizes → compiled piece → NumPy
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from partita.backend import compiled

_DRAWS = 16  # by which the inverse is checked
_ALLOWED = 0.05  # of a feature's standard deviation: how far a draw may be from the inverse of its latent
_NUMBERS_AT_ONCE = 2**18  # of data in a batch, where many rows are cut into batches


class LostInverseWarning(RuntimeWarning):
    """A flow does not invert what it computes, in the precision it has: its draws do not follow its density.

    Example:
        >>> issubclass(LostInverseWarning, RuntimeWarning)
        True
    """


class OverRows:
    """Functions of a model's rows, compiled once for each size of batch.

    Args:
        model: Its weights are arguments of what is compiled, which would otherwise keep today's.
        dtype: Of the rows.
        **functions: By name, functions of tensors `(batch, ...)` and a context or None.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(3.0)])
        >>> rows = OverRows(model, "float32", scale=lambda x, context: model(x))
        >>> rows.arrays("scale", np.ones((100, 2)), None).shape
        (100, 2)
    """

    def __init__(self, model: keras.Model, dtype: str, **functions: Callable):
        self._model, self._dtype, self._functions = model, dtype, functions
        self._compiled: dict[str, Callable] = {}
        self._checked_sum: float | None = None

    def tensors(self, name: str, x: Any, context: Any) -> Any:
        """Return a function's value for tensors, as a tensor that can be differentiated."""
        return self._piece(name)(x, context, self._values())

    def arrays(self, name: str, x: np.ndarray, context: np.ndarray | None) -> np.ndarray:
        """Return a function's value for arrays, as an array."""
        piece, values, found = self._piece(name), self._values(), []
        size = 1 << max(6, (_NUMBERS_AT_ONCE // math.prod(x.shape[1:])).bit_length() - 1)
        for start in range(0, len(x), size):
            count = min(size, len(x) - start)
            # few shapes to compile for, whatever the number of rows
            padding = min(size, 1 << (count - 1).bit_length()) - count
            rows = (
                None if part is None else self._padded(part[start : start + size], padding)
                for part in (x, context)
            )
            found.append(ops.convert_to_numpy(piece(*rows, values))[:count])
        return np.concatenate(found)

    def check_inverse(self, sample: Callable[[int], Any], context: np.ndarray | None) -> None:
        """Check that draws come back from their latents, once for the same weights.

        Args:
            sample: Gives so many latents.
            context: Its first rows go with them.

        Warns:
            LostInverseWarning: if they do not.
        """
        if (found := self._sum_of_weights()) == self._checked_sum:
            return
        self._checked_sum = found
        z = ops.convert_to_numpy(sample(_DRAWS))
        context = None if context is None else np.resize(context, (_DRAWS, *context.shape[1:]))
        x = self.arrays("decode", z, context)
        again = self.arrays("decode", self.arrays("encode", x, context), context)
        with np.errstate(all="ignore"):
            resolution = 64 * np.finfo(x.dtype).eps * np.abs(x).max(axis=0)
            lost = np.abs(again - x) / (x.std(axis=0) + resolution + np.finfo(x.dtype).tiny)
        if not (lost <= _ALLOWED).all():
            worst = (
                "beyond all numbers"
                if np.isnan(lost).any()
                else f"by up to {lost.max():.2g} standard deviations"
            )
            warnings.warn(
                f"this flow has lost its inverse in {x.dtype}: decode(encode(x)) is off {worst}, so draws "
                f"do not follow log_prob. "
                "Try fewer couplings, a smaller max_log_scale, a lower learning rate, or dtype='float64'",
                LostInverseWarning,
                stacklevel=2,
            )

    def _values(self):
        return [weight.value for weight in self._model.weights]

    def _piece(self, name):
        if name not in self._compiled:
            function = self._functions[name]

            def piece(x, context, values):
                with keras.StatelessScope([*zip(self._model.weights, values, strict=True)]):
                    return function(x, context)

            self._compiled[name] = compiled(piece)
        return self._compiled[name]

    def _padded(self, rows, padding):
        return ops.convert_to_tensor(
            np.pad(rows, [(0, padding)] + [(0, 0)] * (rows.ndim - 1), mode="edge"), self._dtype
        )

    def _sum_of_weights(self):
        numbers = [value for value in self._values() if keras.backend.is_float_dtype(value.dtype)]
        if not numbers:
            return 0.0
        if "sum" not in self._compiled:
            self._compiled["sum"] = compiled(
                lambda values: sum(ops.sum(ops.cast(value, "float32")) for value in values)
            )
        return float(ops.convert_to_numpy(self._compiled["sum"](numbers)))
