"""Batches of data and of the noise it is to be told from.

The noise is drawn outside the compiled step, so that any noise will do.

    x (batch, ...)   →   x,  {x' (batch, ν, ...),  log U(x') (batch, ν),  log U(x) (batch,)}

Points come alone, or as a pair [context, points]; the noise then stands in for the points.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import tree

from partita.contrast.noise import Noise
from partita.data.numbers import as_numbers, check_finite

BLOCK = 1 << 14  # points of noise drawn at once, at least: a flow is slow to draw few

Weights = np.ndarray | None  # one for each point; None: all count alike
Batch = tuple[Any, Weights]  # points, or contexts and points
Batches = Callable[[int], Iterator[Batch]]  # those of an epoch


def as_arrays(x: Any, name: str = "x") -> Any:
    """Points, or a pair of contexts and points, as arrays of NumPy; floats in Keras's own precision.

    Raises:
        ValueError: if there are none, or contexts and points are not as many.
    """
    if isinstance(x, list | tuple):
        if len(x) != 2:
            raise ValueError(f"{name} must be points, or a pair of contexts and points, got {len(x)} of them")
        # TensorFlow would make one tensor of a list
        x = tuple(as_array(part, f"{name}[{place}]") for place, part in enumerate(x))
        if len(x[0]) != len(x[1]):
            raise ValueError(f"{name} must have as many contexts as points, got {len(x[0])} and {len(x[1])}")
    else:
        x = as_array(x, name)
    if not len(points_of(x)):
        raise ValueError(f"{name} holds no points")
    return x


def as_array(x: Any, name: str = "x") -> np.ndarray:
    """An array of NumPy; floats in Keras's own precision."""
    x = as_numbers(name, x)
    if x.ndim == 0:
        raise ValueError(f"{name} must hold points, (n, ...), got the number {x}")
    with np.errstate(over="ignore"):
        return x.astype(keras.backend.floatx()) if np.issubdtype(x.dtype, np.floating) else x


def finite_arrays(x: Any, name: str = "x") -> Any:
    """As `as_arrays`, of data to learn from or to be scored.

    Raises:
        ValueError: if a number is NaN or infinite in Keras's own precision.

    Example:
        >>> finite_arrays(np.array([[1.0], [np.nan]]))
        Traceback (most recent call last):
        ValueError: x must be finite: expected numbers, got nan at index (1, 0)
    """
    arrays = as_arrays(x, name)
    check_finite(name, arrays)
    return arrays


def weights_of(sample_weight: Any) -> Weights:
    """Weights of points as an array, or None.

    Raises:
        ValueError: if a weight is NaN or infinite.
    """
    if sample_weight is None:
        return None
    weight = as_array(sample_weight, "sample_weight")
    check_finite("sample_weight", weight)
    return weight


def points_of(x: Any) -> Any:
    """The points, without their contexts."""
    return x[1] if isinstance(x, tuple) else x


def rows_of(x: Any, weight: Weights, rows: slice | np.ndarray) -> Batch:
    """Some rows of the data, and their weights."""
    return tree.map_structure(lambda part: part[rows], x), None if weight is None else weight[rows]


def log_noise(noise: Noise, x: Any) -> np.ndarray:
    """log U(x) `(n,)` of data.

    Raises:
        ValueError: if the noise cannot give a point.
    """
    points = points_of(x)
    logs = _log_prob(noise, points)
    if (bad := ~np.isfinite(logs)).any():
        where = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"noise must reach all data, but log U is {logs[where]} at {bad.sum()} of {len(points)} points, "
            f"the first of them x[{where}] = {points[where]}: take noise with a wider support"
        )
    return logs


def _log_prob(noise, points):
    logs, n = as_array(noise.log_prob(points), "noise.log_prob(x)"), len(points)
    if logs.shape != (n,):
        raise ValueError(f"noise.log_prob must give ({n},) for {n} points, got the shape {logs.shape}")
    return logs


class Pairing(keras.utils.PyDataset):
    """Batches of data, each with fresh noise.

    Args:
        batches: epoch → its batches.
        length: How many.
        noise: What to draw from.
        num_noise: ν.
        seed: Of the noise.
        frozen: Draw the same noise in every epoch.

    Attributes:
        epoch: The one that is drawn, counted from 0.
        failure: What went wrong in making a batch: TensorFlow hides it in an error of its own.
    """

    def __init__(
        self, batches: Batches, length: int, noise: Noise, num_noise: int, seed: int, frozen: bool = False
    ):
        super().__init__()
        self._batches, self._length, self._noise, self._num_noise = batches, length, noise, num_noise
        self._seed, self._frozen = seed, frozen
        self.epoch = 0
        self.failure: Exception | None = None
        self._begin()

    def _begin(self) -> None:
        epoch = 0 if self._frozen else self.epoch
        self._iterator, self._next = self._batches(epoch), 0
        self._rng = np.random.default_rng([self._seed, epoch])
        # points and log U of them, not yet used
        self._drawn: tuple[np.ndarray, np.ndarray] = np.empty(0), np.empty(0)

    def __len__(self) -> int:
        return self._length

    def begin(self, epoch: int) -> None:
        """Draw the noise of this epoch next: a training that is resumed begins with a later one."""
        self.epoch = epoch

    def on_epoch_end(self) -> None:
        if self._next == self._length:
            next(self._iterator, None)  # a dataset hears that its epoch is over
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple:
        try:
            return self._batch(index)
        except Exception as error:
            self.failure = error
            raise

    def _batch(self, index: int) -> tuple:
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
        return {
            "noise": points.reshape(*shape, *points.shape[1:]),
            "log_noise": logs.reshape(shape),
            "log_data": log_noise(self._noise, x),
        }

    def _draw(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        points, logs = self._drawn
        if len(points) < n:
            points, logs = draw(self._noise, max(n, BLOCK // n * n), int(self._rng.integers(2**31 - 1)))
        self._drawn = points[n:], logs[n:]
        return points[:n], logs[:n]


def draw(noise: Noise, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`n` points of noise, and log U of them `(n,)`.

    Raises:
        ValueError: if they are not as many, or a point or its log U is not finite.

    Example:
        >>> from partita.contrast import Uniform
        >>> points, logs = draw(Uniform(0, 1), 3, seed=0)
        >>> points.shape, logs.tolist()
        ((3, 1), [0.0, 0.0, 0.0])
    """
    points = as_array(noise.sample(n, seed=seed), "noise.sample(n)")
    if len(points) != n:
        raise ValueError(f"noise.sample({n}) must give {n} points, got the shape {points.shape}")
    check_finite(f"noise.sample({n})", points)
    logs = _log_prob(noise, points)
    if (bad := ~np.isfinite(logs)).any():
        raise ValueError(
            f"noise.log_prob must be finite at the noise's own samples, got {logs[bad][0]} at {bad.sum()} of "
            f"{n}, the first of them {points[bad][0]}"
        )
    return points, logs


def check_start(model: Any, x: Any) -> None:
    """Raise unless the noise reaches all data and is what the loss needs, and the first energies are finite.

    Args:
        model: The `EnergyModel`.
        x: All points, perhaps with contexts.

    Raises:
        ValueError: if they do not fit.
    """
    log_noise(model.noise, x)
    some = tree.map_structure(lambda part: part[:256], x)
    energies = keras.ops.convert_to_numpy(model(some))
    if (bad := ~np.isfinite(energies)).any():
        where = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"energy must be finite where there is data, got {energies[where]} at x[{where}] = "
            f"{points_of(some)[where]}"
        )
    if model.loss_name == "article":
        logs = draw(model.noise, 100, seed=0)[1]  # as far as 100 points tell
        if np.ptp(logs) > 1e-4:
            raise ValueError(
                f"loss 'article' needs uniform noise, got log U from {logs.min():.4g} to {logs.max():.4g}: "
                f"take 'nce'"
            )


def split(x: Any, weight: Weights, share: float) -> tuple[Batch, tuple[Any, None, Weights]]:
    """Data and weights without the last `share` of them, and that share as `validation_data`."""
    cut = int(len(points_of(x)) * (1 - share))
    last, last_weight = rows_of(x, weight, slice(cut, None))
    return rows_of(x, weight, slice(cut)), (last, None, last_weight)


@contextmanager
def own_errors(*pairings: Any) -> Iterator[None]:
    """Raise an error in making a batch as it was, whatever the backend makes of it.

    Among `pairings`, what is no `Pairing` is passed over.
    """
    try:
        yield
    except Exception:
        for pairing in pairings:
            if isinstance(pairing, Pairing) and pairing.failure is not None:
                raise pairing.failure from None
        raise


def from_arrays(x: Any, weight: Weights, batch_size: int, shuffle: bool, seed: int) -> tuple[Batches, int]:
    """What `Pairing` takes, from all data at once."""
    size = len(points_of(x))
    if weight is not None and weight.shape != (size,):
        raise ValueError(f"sample_weight must be ({size},), got the shape {weight.shape}")

    def batches(epoch: int) -> Iterator[Batch]:
        order = np.random.default_rng([seed, 1, epoch]).permutation(size) if shuffle else np.arange(size)
        for start in range(0, size, batch_size):
            yield rows_of(x, weight, order[start : start + batch_size])

    return batches, -(-size // batch_size)


def from_dataset(dataset: Any) -> tuple[Batches, int]:
    """What `Pairing` takes, from anything that has a length and gives batches, over and over.

    Raises:
        ValueError: if it has no length.
    """
    try:
        length = len(dataset)
    except TypeError:
        raise ValueError(
            f"x must be arrays, or a dataset that knows how many batches it has, got {type(dataset).__name__}"
        ) from None

    def batches(epoch: int) -> Iterator[Batch]:
        is_keras = isinstance(dataset, keras.utils.PyDataset)
        for batch in (dataset[i] for i in range(length)) if is_keras else dataset:
            x, _, weight = keras.utils.unpack_x_y_sample_weight(batch)
            yield finite_arrays(x), weights_of(weight)
        if is_keras:
            dataset.on_epoch_end()

    return batches, length


def in_order(x: Any, batch_size: int, name: str) -> tuple[Batches, int]:
    """Return data for validation as `Pairing` takes them.

    They come as arrays, a tuple (x, None, weights), or a dataset.
    """
    weight = None
    if isinstance(x, tuple) and len(x) > 1 and x[1] is None:
        x, _, weight = keras.utils.unpack_x_y_sample_weight(x)
    if not is_arrays(x):
        return from_dataset(x)
    return from_arrays(finite_arrays(x, name), weights_of(weight), batch_size, False, 0)


def is_arrays(x: Any) -> bool:
    """Whether x is data itself, and no dataset that gives it."""
    return isinstance(x, list | tuple) or hasattr(x, "__array__") or keras.ops.is_tensor(x)
