"""Batches of pairs from whatever `fit` takes.

arrays, PyDataset, tf.data, DataLoader, generator → (batch, all others, rows of its partners)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

Batch = tuple[Any, ...]
Partners = Callable[[Batch], np.ndarray]
LOOKS = 2  # batches that Keras takes before the first epoch, at most, to see what they are


class Source(ABC):
    """Where batches come from. `any_order` says whether they may be asked for out of order, and from several threads."""

    num_batches: int
    any_order: bool

    @abstractmethod
    def pair(self, index: int, epoch: int, partners: Partners) -> tuple[Batch, Batch, np.ndarray]:
        """A batch, and where each of its samples finds the one it is mixed with: `partners` gives their rows within the batch."""

    @abstractmethod
    def begin(self) -> None:
        """An epoch begins."""

    @abstractmethod
    def end(self, is_over: bool) -> None:
        """An epoch is over, or some batches were looked at beforehand."""


def source(data: Any, batch_size: int, shuffle: bool, steps: int | None, seed: int) -> Source:
    """The source that suits the data.

    Raises:
        ValueError: if nothing does, or the number of batches is not known.
    """
    if isinstance(data, keras.utils.PyDataset):
        return _Indexed(data, steps)
    if hasattr(data, "shape") or isinstance(data, (tuple, list, dict)):
        return _Arrays(data if isinstance(data, tuple) else (data,), batch_size, shuffle, steps, seed)
    if isinstance(data, Iterable):
        return _Stream(data, steps)
    raise ValueError(f"data must be arrays, a PyDataset, a tf.data.Dataset, a DataLoader or a generator, got {type(data).__name__}")


class _Arrays(Source):
    any_order = True

    def __init__(self, data, batch_size, shuffle, steps, seed):
        if not 1 <= len(data) <= 3:
            raise ValueError(f"arrays must be (x,), (x, y) or (x, y, sample_weight), got {len(data)} of them")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._arrays = tuple(keras.tree.map_structure(np.asarray, part) for part in data)
        sizes = {len(leaf) for leaf in keras.tree.flatten(self._arrays)}
        if len(sizes) != 1 or min(sizes) < 2:
            raise ValueError(f"all arrays must have one length, of two samples at least, got {sorted(sizes)}")
        self._size = sizes.pop()
        self._batch_size, self._shuffle, self._seed = batch_size, shuffle, seed
        self.num_batches = -(-self._size // batch_size) if steps is None else steps
        self._order = (-1, np.arange(self._size), np.arange(self._size))

    def pair(self, index, epoch, partners):
        kept, order, others = self._order
        if kept != epoch:
            rng = np.random.default_rng([self._seed, epoch])
            order = rng.permutation(self._size) if self._shuffle else np.arange(self._size)
            ring = rng.permutation(self._size)  # each is mixed with the next in a ring, so nobody with itself
            others = np.empty_like(ring)
            others[ring] = np.roll(ring, 1)
            self._order = epoch, order, others
        first = index * self._batch_size % (-(-self._size // self._batch_size) * self._batch_size)
        rows = order[first : first + self._batch_size]
        batch = tuple(keras.tree.map_structure(lambda leaf: leaf[rows], part) for part in self._arrays)
        return batch, self._arrays, others[rows]

    def begin(self):
        pass

    def end(self, is_over):
        pass


class _Indexed(Source):
    any_order = True

    def __init__(self, dataset, steps):
        if dataset.num_batches is None and steps is None:
            raise ValueError("steps must be given for a PyDataset without an end")
        self._dataset = dataset
        self.num_batches = dataset.num_batches if steps is None else steps

    def pair(self, index, epoch, partners):
        batch = standard(self._dataset[index])
        return batch, batch, partners(batch)

    def begin(self):
        self._dataset.on_epoch_begin()

    def end(self, is_over):
        self._dataset.on_epoch_end()


class _Stream(Source):
    """Batches one after the other, whatever their index. Those that were looked at beforehand are kept for the epoch."""

    any_order = False

    def __init__(self, data, steps):
        if steps is None:
            steps = _length(data)
        if steps is None:
            raise ValueError(f"steps must be given: a {type(data).__name__} does not know how many batches it holds")
        self.num_batches = steps
        self._data = data
        self._once = isinstance(data, Iterator)
        self._batches = None
        self._kept: list[Batch] = []
        self._place = 0

    def pair(self, index, epoch, partners):
        if self._place < len(self._kept):
            batch = self._kept[self._place]
        else:
            if self._batches is None:
                self._batches = iter(self._data)
            try:
                batch = standard(next(self._batches))
            except StopIteration:
                raise ValueError(f"the data end before batch {self._place} of {self.num_batches}: give fewer steps") from None
            if len(self._kept) < LOOKS:
                self._kept.append(batch)
        self._place += 1
        return batch, batch, partners(batch)

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
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"a batch must be (x,), (x, y) or (x, y, sample_weight), got {len(parts)} parts")
    return tuple(_arrays(part) for part in parts)


def _arrays(part: Any) -> Any:
    if isinstance(part, list) and part and not hasattr(part[0], "shape"):
        return np.asarray(part)  # numbers, not tensors
    return keras.tree.map_structure(keras.ops.convert_to_numpy, part)
