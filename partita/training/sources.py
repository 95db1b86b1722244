"""Batches of pairs from whatever `fit` takes.

arrays, PyDataset, tf.data, DataLoader, generator → (batch, all others, rows of its partners)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from partita.data.numbers import as_numbers
from partita.training.blending import Batch, check_batch, lengths, partners

Choose = Callable[[Batch], np.ndarray]
LOOKS = 2  # batches that Keras takes before the first epoch, at most, to see what they are


class Source(ABC):
    """Where batches come from.

    `any_order` says whether they may be asked for out of order, and from several threads.
    """

    any_order: bool

    def __init__(self, num_batches: int, shuffle_seed: int | None = None):
        self.num_batches, self._shuffle_seed = num_batches, shuffle_seed

    def order(self, epoch: int) -> np.ndarray:
        """The indices of the batches, in the order in which an epoch takes them."""
        if self._shuffle_seed is None:
            return np.arange(self.num_batches)
        rng = np.random.default_rng([self._shuffle_seed, epoch, self.num_batches])
        return rng.permutation(self.num_batches)

    @abstractmethod
    def pair(self, index: int, epoch: int, choose: Choose) -> tuple[Batch, Batch, np.ndarray]:
        """Return a batch, the data that it is mixed with, and the row of each sample's partner in them.

        `choose` gives the rows of the partners within the batch.
        """

    @abstractmethod
    def begin(self) -> None:
        """An epoch begins."""

    @abstractmethod
    def end(self, is_over: bool) -> None:
        """An epoch is over, or some batches were looked at beforehand."""


def source(data: Any, batch_size: int, shuffle: bool, steps: int | None, seed: int) -> Source:
    """The source that suits the data.

    Raises:
        ValueError: if nothing does, there is no batch, or the number of batches is not known.
    """
    is_whole = isinstance(steps, int | np.integer) and not isinstance(steps, bool)
    if steps is not None and not (is_whole and steps >= 1):
        raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
    found: Source
    if isinstance(data, keras.utils.PyDataset):
        found = _Indexed(data, shuffle, steps, seed)
    elif hasattr(data, "shape") or isinstance(data, (tuple, list, dict)):
        found = _Arrays(data if isinstance(data, tuple) else (data,), batch_size, shuffle, steps, seed)
    elif isinstance(data, Iterable):
        found = _Stream(data, steps)
    else:
        raise ValueError(
            f"data must be arrays, a PyDataset, a tf.data.Dataset, a DataLoader or a generator, got "
            f"{type(data).__name__}"
        )
    if found.num_batches < 1:
        raise ValueError(f"data must hold at least one batch, got a {type(data).__name__} without any")
    return found


class _Arrays(Source):
    any_order = True

    def __init__(self, data, batch_size, shuffle, steps, seed):
        if not 1 <= len(data) <= 3:
            raise ValueError(f"arrays must be (x,), (x, y) or (x, y, sample_weight), got {len(data)} of them")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._arrays = tuple(map(arrays, data))
        sizes = lengths(self._arrays)
        if len(sizes) != 1 or sizes[0] < 2:
            raise ValueError(f"all arrays must have one length, of two samples at least, got {sizes}")
        self._size = sizes[0]
        check_batch(self._arrays)
        self._batch_size, self._shuffle, self._seed = batch_size, shuffle, seed
        self._whole_epoch = -(-self._size // batch_size)  # batches in which every sample comes once
        super().__init__(self._whole_epoch if steps is None else steps)
        self._drawn = (-1, np.arange(self._size), np.arange(self._size))  # epoch, order, partners

    def pair(self, index, epoch, choose):
        drawn_for, order, others = self._drawn
        if drawn_for != epoch:
            rng = np.random.default_rng([self._seed, epoch])
            order = rng.permutation(self._size) if self._shuffle else np.arange(self._size)
            others = partners(self._arrays, rng)
            self._drawn = epoch, order, others
        first = index % self._whole_epoch * self._batch_size
        rows = order[first : first + self._batch_size]
        batch = keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[rows], self._arrays)
        return batch, self._arrays, others[rows]

    def begin(self):
        pass

    def end(self, is_over):
        pass


class _Indexed(Source):
    any_order = True

    def __init__(self, dataset, shuffle, steps, seed):
        try:
            length = dataset.num_batches
        except NotImplementedError:
            length = None
        if length is None and steps is None:
            raise ValueError("steps must be given for a PyDataset without an end")
        super().__init__(length if steps is None else steps, seed if shuffle else None)
        self._dataset, self._length = dataset, length

    def pair(self, index, epoch, choose):
        batch = standard(self._dataset[index % self._length if self._length else index])
        check_batch(batch, index)
        return batch, batch, choose(batch)

    def begin(self):
        self._dataset.on_epoch_begin()

    def end(self, is_over):
        self._dataset.on_epoch_end()


class _Stream(Source):
    """Batches one after the other, whatever their index.

    Those that were looked at beforehand are kept for the epoch.
    """

    any_order = False

    def __init__(self, data, steps):
        if steps is None:
            steps = _length(data)
        if steps is None:
            raise ValueError(
                f"steps must be given: a {type(data).__name__} does not know how many batches it holds"
            )
        super().__init__(steps)
        self._data = data
        self._once = isinstance(data, Iterator)
        self._batches = None
        self._kept: list[Batch] = []
        self._place = 0

    def pair(self, index, epoch, choose):
        batch = self._kept[self._place] if self._place < len(self._kept) else self._next()
        self._place += 1
        return batch, batch, choose(batch)

    def _next(self):
        if self._batches is None:
            self._batches = iter(self._data)
        try:
            batch = standard(next(self._batches))
        except StopIteration:
            raise ValueError(
                f"the data end before batch {self._place} of {self.num_batches}: give fewer steps"
            ) from None
        check_batch(batch, self._place)
        if len(self._kept) < LOOKS:
            self._kept.append(batch)
        return batch

    def begin(self):
        pass

    def end(self, is_over):
        self._place = 0
        if is_over:
            self._kept = []
            self._batches = self._batches if self._once else None


def _length(data: Any) -> int | None:
    try:
        return len(data)
    except TypeError:  # a generator, or a tf.data.Dataset that does not know
        return None


def standard(batch: Any) -> Batch:
    """A batch as a tuple of nests of NumPy arrays.

    Example:
        >>> standard([[1.0, 2.0], [0, 1]])
        (array([1., 2.]), array([0, 1]))
    """
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    while len(parts) > 1 and parts[-1] is None:
        parts = parts[:-1]
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"a batch must be (x,), (x, y) or (x, y, sample_weight), got {len(parts)} parts")
    return tuple(map(arrays, parts))


def arrays(part: Any) -> Any:
    """A nest of arrays, tensors, tables and lists of numbers as the same nest of NumPy arrays; None stays.

    Example:
        >>> arrays({"a": [[1.0, 2.0]], "b": (np.ones(1), None)})
        {'a': array([[1., 2.]]), 'b': (array([1.]), None)}
    """
    if part is None:
        return None
    if isinstance(part, Mapping):
        return {key: arrays(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)) and any(
        hasattr(leaf, "shape") and leaf.shape != () for leaf in keras.tree.flatten(part)
    ):
        parts = map(arrays, part)
        return type(part)(parts) if type(part) in (list, tuple) else type(part)(*parts)
    if isinstance(part, np.ma.MaskedArray):
        return np.ma.filled(part.astype(float), np.nan)  # what is masked is missing
    if hasattr(part, "columns"):
        return as_numbers("a table", part)
    part = part.detach().cpu() if hasattr(part, "detach") else part  # a tensor of PyTorch
    return keras.ops.convert_to_numpy(part) if keras.ops.is_tensor(part) else np.asarray(part)
