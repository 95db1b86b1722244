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


def weights_of(sample_weight: Any) -> np.ndarray | None:
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


def log_noise(noise: Noise, x: Any) -> np.ndarray:
    """log U(x) `(n,)` of data.

    Raises:
        ValueError: if the noise cannot give a point.
    """
    points = points_of(x)
    found = as_array(noise.log_prob(points), "noise.log_prob(x)")
    if found.shape != (len(points),):
        raise ValueError(
            f"noise.log_prob must give ({len(points)},) for {len(points)} points, got the shape {found.shape}"
        )
    if missed := int((~np.isfinite(found)).sum()):
        where = int(np.flatnonzero(~np.isfinite(found))[0])
        raise ValueError(
            f"noise must reach all data, but log U is {found[where]} at {missed} of {len(points)} points, "
            f"the first of them x[{where}] = "
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
        failure: What went wrong in making a batch: TensorFlow hides it in an error of its own.
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
        self.failure: Exception | None = None
        self._begin()

    def _begin(self) -> None:
        epoch = 0 if self._frozen else self.epoch
        self._iterator, self._next = self._batches(epoch), 0
        self._rng = np.random.default_rng([self._seed, epoch])
        self._points: Any = None
        self._left = 0

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
        if self._left < n:
            many = max(n, BLOCK // n * n)
            self._points, self._left = draw(self._noise, many, int(self._rng.integers(2**31 - 1))), many
        start = len(self._points[0]) - self._left
        self._left -= n
        points, logs = self._points
        return points[start : start + n], logs[start : start + n]


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
    logs = as_array(noise.log_prob(points), "noise.log_prob(x)")
    if logs.shape != (n,):
        raise ValueError(f"noise.log_prob must give ({n},) for {n} points, got the shape {logs.shape}")
    if (bad := ~np.isfinite(logs)).any():
        where = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"noise.log_prob must be finite at the noise's own samples, got {logs[where]} at {bad.sum()} of "
            f"{n}, the first of them "
            f"{points[where]}"
        )
    return points, logs


def check_start(x: Any, noise: Noise, energy: Callable[[Any], Any], *, is_uniform: bool) -> None:
    """Raise unless the noise reaches all data, and the energy of the first is finite.

    Args:
        x: All points, perhaps with contexts.
        noise: What they are told from.
        energy: G of points, perhaps with contexts.
        is_uniform: Whether the noise has to be uniform.

    Raises:
        ValueError: if they do not fit.
    """
    log_noise(noise, x)
    some = tree.map_structure(lambda part: part[:256], x)
    energies = keras.ops.convert_to_numpy(energy(some))
    if not np.isfinite(energies).all():
        where = int(np.flatnonzero(~np.isfinite(energies))[0])
        raise ValueError(
            f"energy must be finite where there is data, got {energies[where]} at x[{where}] = "
            f"{points_of(some)[where]}"
        )
    if is_uniform:
        check_uniform(noise)


def check_uniform(noise: Noise) -> None:
    """Raise unless log U is the same everywhere, as far as 100 points tell.

    Raises:
        ValueError: if it is not.
    """
    logs = draw(noise, 100, seed=0)[1]
    if np.ptp(logs) > 1e-4:
        raise ValueError(
            f"loss 'article' needs uniform noise, got log U from {logs.min():.4g} to {logs.max():.4g}: take "
            f"'nce'"
        )


def split(
    x: Any, weight: np.ndarray | None, share: float
) -> tuple[tuple[Any, np.ndarray | None], tuple[Any, None, np.ndarray | None]]:
    """Data and weights without the last `share` of them, and that share as `validation_data`."""
    cut = int(len(points_of(x)) * (1 - share))
    first, last = (
        tree.map_structure(lambda part, rows=rows: part[rows], x) for rows in (slice(cut), slice(cut, None))
    )
    return (first, None if weight is None else weight[:cut]), (
        last,
        None,
        None if weight is None else weight[cut:],
    )


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


def from_arrays(
    x: Any, weight: np.ndarray | None, batch_size: int, shuffle: bool, seed: int
) -> tuple[Callable, int]:
    """What `Pairing` takes, from all data at once."""
    size = len(points_of(x))
    if weight is not None and weight.shape != (size,):
        raise ValueError(f"sample_weight must be ({size},), got the shape {weight.shape}")

    def batches(epoch: int) -> Iterator[tuple[Any, np.ndarray | None]]:
        order = np.random.default_rng([seed, 1, epoch]).permutation(size) if shuffle else np.arange(size)
        for start in range(0, size, batch_size):
            rows = order[start : start + batch_size]
            yield (
                tree.map_structure(lambda part, rows=rows: part[rows], x),
                None if weight is None else weight[rows],
            )

    return batches, -(-size // batch_size)


def from_dataset(dataset: Any) -> tuple[Callable, int]:
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

    def batches(epoch: int) -> Iterator[tuple[Any, np.ndarray | None]]:
        for batch in (
            (dataset[i] for i in range(length)) if isinstance(dataset, keras.utils.PyDataset) else dataset
        ):
            x, _, weight = keras.utils.unpack_x_y_sample_weight(
                tuple(batch) if isinstance(batch, list | tuple) else batch
            )
            yield finite_arrays(x), weights_of(weight)
        if isinstance(dataset, keras.utils.PyDataset):
            dataset.on_epoch_end()

    return batches, length


def in_order(x: Any, batch_size: int, name: str) -> tuple[Callable, int]:
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
