"""Data and the noise it is to be told from, batch by batch: drawn outside the compiled step, so that any noise will do.

    x (batch, ...)   →   x,  {x' (batch, ν, ...),  log U(x') (batch, ν),  log U(x) (batch,)}

Points come alone, or as a pair [context, points]; the noise then stands in for the points.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import tree

from partita.contrast.noise import Noise

BLOCK = 1 << 14  # points of noise drawn at once, at least: a flow is slow to draw few


def as_arrays(x: Any) -> Any:
    """Points, or a pair of contexts and points, as arrays of NumPy; floats in Keras's own precision.

    Raises:
        ValueError: if there are none, or contexts and points are not as many.
    """
    if isinstance(x, list | tuple):
        if len(x) != 2:
            raise ValueError(f"x must be points, or a pair of contexts and points, got {len(x)} of them")
        x = tuple(as_array(part) for part in x)  # TensorFlow would make one tensor of a list
        if len(x[0]) != len(x[1]):
            raise ValueError(f"x must have as many contexts as points, got {len(x[0])} and {len(x[1])}")
    else:
        x = as_array(x)
    if not len(points_of(x)):
        raise ValueError("x holds no points")
    return x


def as_array(x: Any) -> np.ndarray:
    """An array of NumPy; floats in Keras's own precision."""
    x = np.asarray(keras.ops.convert_to_numpy(x))
    if x.ndim == 0:
        raise ValueError(f"x must hold points, (n, ...), got the number {x}")
    return x.astype(keras.backend.floatx()) if np.issubdtype(x.dtype, np.floating) else x


def points_of(x: Any) -> Any:
    """The points, without their contexts."""
    return x[1] if isinstance(x, tuple) else x


def log_noise(noise: Noise, x: Any) -> np.ndarray:
    """log U(x) `(n,)` of data.

    Raises:
        ValueError: if the noise cannot give a point.
    """
    points = points_of(x)
    found = as_array(noise.log_prob(points))
    if found.shape != (len(points),):
        raise ValueError(f"noise.log_prob must give ({len(points)},) for {len(points)} points, got the shape {found.shape}")
    if missed := int((~np.isfinite(found)).sum()):
        where = int(np.flatnonzero(~np.isfinite(found))[0])
        raise ValueError(
            f"noise must reach all data, but log U is {found[where]} at {missed} of {len(points)} points, the first of them x[{where}] = "
            f"{points[where]}: take noise with a wider support"
        )
    return found


class Pairing(keras.utils.PyDataset):
    """Batches of data, each with fresh noise.

    Args:
        batches: epoch → its batches, each of points or of contexts and points, and weights or None.
        length: How many.
        noise: What to draw from.
        num_noise: ν.
        seed: Of the noise.
        frozen: Draw the same noise in every epoch.

    Attributes:
        epoch: The one that is drawn, counted from 0.
    """

    def __init__(
        self,
        batches: Callable[[int], Iterator[tuple[Any, np.ndarray | None]]],
        length: int,
        noise: Noise,
        num_noise: int,
        seed: int,
        frozen: bool = False,
    ):
        super().__init__()
        self._batches, self._length, self._noise, self._num_noise = batches, length, noise, num_noise
        self._seed, self._frozen = seed, frozen
        self.epoch = 0
        self._begin()

    def _begin(self) -> None:
        epoch = 0 if self._frozen else self.epoch
        self._iterator, self._next = self._batches(epoch), 0
        self._rng = np.random.default_rng([self._seed, epoch])
        self._points: Any = None
        self._left = 0

    def __len__(self) -> int:
        return self._length

    def on_epoch_end(self) -> None:
        if self._next == self._length:
            next(self._iterator, None)  # a dataset hears that its epoch is over
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple:
        if index == 0 or index != self._next:  # Keras asks in order, and begins anew
            self._begin()
            for _ in range(index):
                next(self._iterator)
        self._next = index + 1
        x, weight = next(self._iterator)
        return (x, self.contrast(x)) if weight is None else (x, self.contrast(x), weight)

    def contrast(self, x: Any) -> dict[str, np.ndarray]:
        """Noise for a batch, and log U of both."""
        size = len(points_of(x))
        points, logs = self._draw(size * self._num_noise)
        shape = (size, self._num_noise)
        return {"noise": points.reshape(*shape, *points.shape[1:]), "log_noise": logs.reshape(shape), "log_data": log_noise(self._noise, x)}

    def _draw(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        if self._left < n:
            many = max(n, BLOCK // n * n)
            points = as_array(self._noise.sample(many, seed=int(self._rng.integers(2**31 - 1))))
            if len(points) != many:
                raise ValueError(f"noise.sample({many}) must give {many} points, got the shape {points.shape}")
            self._points, self._left = (points, as_array(self._noise.log_prob(points))), many
        start = len(self._points[0]) - self._left
        self._left -= n
        points, logs = self._points
        return points[start : start + n], logs[start : start + n]


class Follow(keras.callbacks.Callback):
    """Tells a `Pairing` which epoch it is: a training that is resumed begins with a later one."""

    def __init__(self, pairing: Pairing):
        super().__init__()
        self._pairing = pairing

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._pairing.epoch = epoch


def from_arrays(x: Any, weight: np.ndarray | None, batch_size: int, shuffle: bool, seed: int) -> tuple[Callable, int]:
    """What `Pairing` takes, from all data at once."""
    size = len(points_of(x))
    if weight is not None and weight.shape != (size,):
        raise ValueError(f"sample_weight must be ({size},), got the shape {weight.shape}")

    def batches(epoch: int) -> Iterator[tuple[Any, np.ndarray | None]]:
        order = np.random.default_rng([seed, 1, epoch]).permutation(size) if shuffle else np.arange(size)
        for start in range(0, size, batch_size):
            rows = order[start : start + batch_size]
            yield tree.map_structure(lambda part, rows=rows: part[rows], x), None if weight is None else weight[rows]

    return batches, -(-size // batch_size)


def from_dataset(dataset: Any) -> tuple[Callable, int]:
    """What `Pairing` takes, from anything that has a length and gives batches, over and over.

    Raises:
        ValueError: if it has no length.
    """
    try:
        length = len(dataset)
    except TypeError:
        raise ValueError(f"x must be arrays, or a dataset that knows how many batches it has, got {type(dataset).__name__}") from None

    def batches(epoch: int) -> Iterator[tuple[Any, np.ndarray | None]]:
        for batch in (dataset[i] for i in range(length)) if isinstance(dataset, keras.utils.PyDataset) else dataset:
            x, _, weight = keras.utils.unpack_x_y_sample_weight(tuple(batch) if isinstance(batch, list | tuple) else batch)
            yield as_arrays(x), None if weight is None else as_array(weight)
        if isinstance(dataset, keras.utils.PyDataset):
            dataset.on_epoch_end()

    return batches, length


def is_arrays(x: Any) -> bool:
    """Whether x is data itself, and no dataset that gives it."""
    return isinstance(x, list | tuple) or hasattr(x, "__array__") or keras.ops.is_tensor(x)
