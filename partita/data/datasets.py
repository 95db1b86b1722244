"""Checks of the data for `fit`: their numbers are looked at before a model is trained on them.

Arrays are checked at once, datasets batch by batch.
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from types import GeneratorType
from typing import Any

import keras

Check = Callable[[Any], None]


def checked(data: Any, check: Check, *, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Any:
    """Return data that raise before a batch is used which `check` refuses.

    Args:
        data: Whatever `fit` takes. Arrays are checked now and returned as they are; a PyDataset,
            `tf.data.Dataset`, DataLoader or generator is wrapped, and keeps its length, its workers and its
            epochs. Anything else is returned as it is.
        check: Function of a model's inputs, arrays in any nest, that raises a `ValueError` for what is wrong
            with them.
        bounds: Where the numbers of the first input lie. A `tf.data.Dataset` is looked at by TensorFlow
            itself, for numbers that are not finite or not within these.

    Raises:
        ValueError: what `check` raises, for arrays now, for datasets while they are read, with the number of
            the batch; `refusals` gives it its type back where a backend changes it.

    Example:
        >>> from partita.data.numbers import check_finite
        >>> batches = checked(((array,) for array in ([1.0], [float("nan")])), lambda x: check_finite("x", x))
        >>> next(batches)
        ([1.0],)
        >>> next(batches)
        Traceback (most recent call last):
        ValueError: batch 1 of the data: x must be finite: expected numbers, got nan at index (0,)
    """
    if data is None:
        return None
    if isinstance(data, keras.utils.PyDataset):
        return _Checked(data, check)
    if isinstance(data, GeneratorType):
        return _each_checked(data, check)
    if _is_one(data, "tensorflow", "data", "Dataset"):
        return _checked_by_tensorflow(data, bounds)
    if _is_one(data, "torch", "utils.data", "DataLoader"):
        return _checked_loader(data, check)
    if isinstance(data, list | tuple | dict) or hasattr(data, "shape"):
        check(data)
    return data


def _is_one(data: Any, package: str, module: str, name: str) -> bool:
    """Whether data are of a class of a package, which is not imported for the question."""
    found: Any = sys.modules.get(package)
    for part in (*module.split("."), name):
        found = getattr(found, part, None)
    return isinstance(found, type) and isinstance(data, found)


def _refuse_bad(number: int, batch: Any, check: Check) -> None:
    x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
    try:
        check(x)
    except ValueError as error:
        raise ValueError(f"batch {number} of the data: {error}") from None


def _each_checked(batches: Iterable[Any], check: Check) -> Iterator[Any]:
    for number, batch in enumerate(batches):
        _refuse_bad(number, batch, check)
        yield batch


class _Checked(keras.utils.PyDataset):
    """A PyDataset whose batches are checked, on the workers that make them."""

    def __init__(self, dataset: keras.utils.PyDataset, check: Check):
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self._dataset, self._check = dataset, check

    @property
    def num_batches(self):
        return self._dataset.num_batches

    def __getitem__(self, index):
        batch = self._dataset[index]
        _refuse_bad(index, batch, self._check)
        return batch

    def on_epoch_begin(self):
        self._dataset.on_epoch_begin()

    def on_epoch_end(self):
        self._dataset.on_epoch_end()


def _checked_by_tensorflow(data: Any, bounds: tuple[float, float]) -> Any:
    import tensorflow as tf

    def look(number, batch):
        for place, leaf in enumerate(tf.nest.flatten(batch, expand_composites=True)):
            if leaf.dtype.is_floating:
                low, high = bounds if place == 0 else (-math.inf, math.inf)
                name = "x" if place == 0 else f"input {place}"
                wanted = "be finite" if math.isinf(low) else f"hold numbers from {low:g} to {high:g}"
                good = tf.reduce_all(tf.math.is_finite(leaf) & (leaf >= low) & (leaf <= high))
                words = tf.strings.format(
                    f"batch {{}} of the data: {name} must {wanted}, got a number that is not so", number
                )
                tf.debugging.Assert(good, [words])
        return batch

    return data.enumerate().map(look)


def _checked_loader(data: Any, check: Check) -> Any:
    import torch

    class Batches(torch.utils.data.IterableDataset):
        def __iter__(self):
            return _each_checked(data, check)

    class Counted(Batches):
        def __len__(self):
            return len(data)

    dataset = Counted() if hasattr(data.dataset, "__len__") else Batches()
    # A generator of its own, or this would take a draw from the one that shuffles the data.
    return torch.utils.data.DataLoader(
        dataset, batch_size=None, collate_fn=_same, generator=torch.Generator()
    )


def _same(batch: Any) -> Any:
    return batch
