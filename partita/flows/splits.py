"""Which features of x stay and which are moved.

(kept, moved) = part(x),   x = join(kept, moved)
"""

from abc import ABC, abstractmethod

import numpy as np
from keras import ops

from partita.types import Tensor

NAMES = ("even", "odd", "first", "second", "black", "white")


class Split(ABC):
    """Parts features and puts them together again."""

    num_moved: int  # along the last axis
    kept_shape: tuple[int | None, ...]
    kept: np.ndarray | None = None  # where `part` leaves features in their places, those that stay

    @abstractmethod
    def part(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features that stay, and features to be moved."""

    @abstractmethod
    def join(self, kept: Tensor, moved: Tensor) -> Tensor:
        """Undo `part`."""

    def only_moved(self, x: Tensor) -> Tensor:
        """Return x with zeros at whatever is not a moved feature; x has the shape of `moved`."""
        return x if self.kept is None else ops.where(self.kept, ops.zeros_like(x), x)


def split_for(name: str, shape: tuple[int | None, ...]) -> Split:
    """The split of that name, one of `NAMES`, for x of that shape.

    Raises:
        ValueError: if the shape cannot be split so.
    """
    if name in ("black", "white"):
        if len(shape) != 4:
            wanted = "images (batch, height, width, channels)"
            raise ValueError(f"split {name!r} is for {wanted}, got the shape {shape}")
        return _Checkerboard(shape, name == "black")
    features = shape[-1]
    if features is None or features < 2:
        raise ValueError(f"split {name!r} needs 2 features or more, got {features}")
    if name in ("even", "odd"):
        if features % 2:
            remedy = "add one, or split by 'first' and 'second'"
            raise ValueError(f"split {name!r} needs an even number of features, got {features}: {remedy}")
        return _Alternating(shape, name == "even")
    return _Halves(shape, name == "first")


class _Halves(Split):
    """The first half of the last axis, the larger one if they differ, and the second."""

    def __init__(self, shape, first):
        self.first, self.cut = first, -(-shape[-1] // 2)
        kept = self.cut if first else shape[-1] - self.cut
        self.num_moved = shape[-1] - kept
        self.kept_shape = (None, *shape[1:-1], kept)

    def part(self, x):
        first, second = x[..., : self.cut], x[..., self.cut :]
        return (first, second) if self.first else (second, first)

    def join(self, kept, moved):
        return ops.concatenate([kept, moved] if self.first else [moved, kept], axis=-1)


class _Alternating(Split):
    """Features 0, 2, 4, … of the last axis, and 1, 3, 5, …."""

    def __init__(self, shape, even):
        self.even, self.num_moved = even, shape[-1] // 2
        self.kept_shape = (None, *shape[1:-1], self.num_moved)

    def part(self, x):
        even, odd = x[..., 0::2], x[..., 1::2]
        return (even, odd) if self.even else (odd, even)

    def join(self, kept, moved):
        # (batch, ..., features / 2, 2)
        pair = ops.stack([kept, moved] if self.even else [moved, kept], axis=-1)
        return ops.reshape(pair, (*ops.shape(pair)[:-2], 2 * self.num_moved))


class _Checkerboard(Split):
    """Pixels whose row and column add up to an even number, and the others.

    Both parts keep the image's shape, for nets to convolve.
    """

    def __init__(self, shape, black):
        rows, columns = np.indices(shape[1:3])
        self.kept = ((rows + columns) % 2 == (0 if black else 1))[None, :, :, None]  # (1, height, width, 1)
        self.num_moved = shape[-1]
        self.kept_shape = (None, *shape[1:])

    def part(self, x):
        return ops.where(self.kept, x, ops.zeros_like(x)), x

    def join(self, kept, moved):
        return ops.where(self.kept, kept, moved)
