"""Training on mixtures of two samples: mixup, and SamplePairing.

x̃ = ε x_a + (1 − ε) x_b,   ỹ = ε y_a + (1 − ε) y_b,   ε ~ Beta(α, α)          (SamplePairing: ε = ½ and ỹ = y_a)

Neither is augmentation: f(εx_a + (1 − ε)x_b) = εf(x_a) + (1 − ε)f(x_b) has linear solutions only, so both prefer, among the models that
fit, the one nearest to linear.
"""

from abc import abstractmethod
from inspect import stack
from pathlib import Path
from typing import Any

import keras
import numpy as np

from partita.kernels import njit
from partita.training.sources import source

Batch = tuple[Any, ...]  # (x,), (x, y) or (x, y, sample weights), each an array or a nest of them


def mixup(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    alpha: float = 1.0,
    per: str = "sample",
    num_classes: int | None = None,
    seed: int | None = None,
) -> Any:
    """Mix every sample of a batch with another one of it, and their targets alike.

    Args:
        x: Arrays `(batch, ...)`, in any nest of lists, tuples and dicts. Numbers are mixed, as float32 where they were pixels (uint8);
            booleans are masks, True in the mixture where either is.
        y: Targets in any nest; whole numbers are classes and need `num_classes`.
        sample_weight: Weights of the samples, mixed like everything else.
        alpha: Of ε ~ Beta(α, α), above 0; 1 is uniform.
        per: `"sample"`: each sample has an ε of its own; `"batch"`: all have one.
        num_classes: Of targets that are whole numbers: they become probabilities `(batch, ..., num_classes)`.
        seed: The same seed gives the same mixtures.

    Returns:
        What was given of x, y and sample_weight, mixed: x alone, or a tuple.

    Raises:
        ValueError: for token ids (mix their embeddings instead, with `MixHidden`), class ids without `num_classes`, a batch of one,
            arrays of different lengths, what is no real number, or alpha not above 0.

    Source: Zhang, Cissé, Dauphin, Lopez-Paz 2018.

    Example:
        >>> x, y = mixup(np.array([[0.0], [1.0]]), np.array([0, 1]), num_classes=2, seed=0)
        >>> bool(np.allclose(x[:, 0], y[:, 1]))
        True
    """
    batch, rng = _given(x, y, sample_weight), np.random.default_rng(seed)
    rows = _partners(batch, rng)
    return _returned(_mixed(batch, batch, rows, _shares(rng, len(rows), alpha, per), num_classes))


def sample_pairing(x: Any, y: Any = None, sample_weight: Any = None, *, share: float = 0.5, seed: int | None = None) -> Any:
    """Mix every sample of a batch with another one of it, and keep its target.

    Args:
        x: As `mixup`.
        y: Targets, returned as they are.
        sample_weight: Weights, returned as they are.
        share: ε, of the sample whose target is kept; between 0 and 1.
        seed: The same seed gives the same pairs.

    Returns:
        What was given of x, y and sample_weight.

    Raises:
        ValueError: for token ids, what is no real number, a batch of one, arrays of different lengths, or a share not between 0 and 1.

    Source: Inoue 2018.

    Example:
        >>> sample_pairing(np.array([[0.0], [1.0]]), np.array([7, 8]))
        (array([[0.5], [0.5]]), array([7, 8]))
    """
    batch = _given(x, y, sample_weight)
    rows = _partners(batch, np.random.default_rng(seed))
    return _returned((_blend_inputs(batch[0], batch[0], rows, _checked_share(share)), *batch[1:]))


class _Pairs(keras.utils.PyDataset):
    """Batches of pairs: what the two kinds of mixing have in common."""

    def __init__(self, data, batch_size, shuffle, steps, seed, **kwargs):
        super().__init__(**kwargs)
        self._seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
        self._source = source(data, batch_size, shuffle, steps, self._seed)
        self.epoch = 0
        if self.workers > 1 and not self._source.any_order:
            raise ValueError(f"workers must be 1 for data that come one after the other, got {self.workers}")

    @property
    def num_batches(self):
        return self._source.num_batches

    def on_epoch_begin(self):
        self._source.begin()

    def on_epoch_end(self):
        # Keras calls this once more, before the first epoch, when it has looked at some batches: who calls is all that tells the two apart.
        is_over = not any(call.function == "reset" and Path(call.filename).stem == "epoch_iterator" for call in stack(0)[1:4])
        self._source.end(is_over)
        self.epoch += is_over

    def __getitem__(self, index):
        rng = np.random.default_rng([self._seed, self.epoch, index])
        return self._mix(*self._source.pair(index, self.epoch, lambda batch: _partners(batch, rng)), rng)

    @abstractmethod
    def _mix(self, batch: Batch, others: Batch, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """The batch to train on: mixed with these rows of others."""


class Mixup(_Pairs):
    """Whatever `fit` takes, mixed anew in every batch: `model.fit(Mixup((x, y), alpha=0.2), epochs=10)`.

    Args:
        data: Arrays `(x, y)` or `(x, y, sample_weight)` in any nest, a PyDataset, a `tf.data.Dataset`, a DataLoader, or a generator of
            batches. Arrays are mixed with samples of the whole set, the others within a batch.
        alpha, per, num_classes: See `mixup`.
        batch_size: Of arrays; the others bring their own batches.
        shuffle: Whether arrays are shuffled before every epoch.
        steps: Batches an epoch; must be given where the data do not know their length.
        seed: The same seed gives the same mixtures, whatever the workers.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size` of a PyDataset.

    Attributes:
        epoch: The epoch that is drawn, counted from 0; what is mixed follows from it and the seed. A training that is resumed sets it, by
            `keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch))`.

    Raises:
        ValueError: as `mixup`; and while training where the data end before `steps`.

    Example:
        >>> batches = Mixup((np.zeros((10, 3)), np.arange(10) % 2), num_classes=2, batch_size=4, seed=0)
        >>> batches.num_batches, batches[0][1].shape
        (3, (4, 2))
    """

    def __init__(
        self,
        data: Any,
        alpha: float = 1.0,
        *,
        per: str = "sample",
        num_classes: int | None = None,
        batch_size: int = 32,
        shuffle: bool = True,
        steps: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        _shares(np.random.default_rng(0), 1, alpha, per)
        super().__init__(data, batch_size, shuffle, steps, seed, **kwargs)
        self._alpha, self._per, self._num_classes = alpha, per, num_classes

    def _mix(self, batch, others, rows, rng):
        return _mixed(batch, others, rows, _shares(rng, _size(batch), self._alpha, self._per), self._num_classes)


class SamplePairing(_Pairs):
    """Whatever `fit` takes, each sample averaged with another and under its own target, on the published schedule.

    Args:
        data, batch_size, shuffle, steps, seed, **kwargs: See `Mixup`.
        share: See `sample_pairing`.
        begin: Epochs at first that are not mixed.
        cycle: Then so many epochs are mixed, and so many not, in turn.
        end: The epoch from which nothing is mixed any more: the fine-tuning. None: never.

    Attributes:
        epoch: See `Mixup`.

    Raises:
        ValueError: as `sample_pairing`, or if the schedule is none.

    Source: Inoue 2018, section 3.2.

    Example:
        >>> pairs = SamplePairing((np.eye(10), np.arange(10)), begin=1, cycle=(8, 2), end=20, batch_size=5, seed=0)
        >>> [pairs.mixes(epoch) for epoch in (0, 1, 8, 9, 10, 11, 20)]
        [False, True, True, False, False, True, False]
    """

    def __init__(
        self,
        data: Any,
        *,
        share: float = 0.5,
        begin: int = 0,
        cycle: tuple[int, int] = (8, 2),
        end: int | None = None,
        batch_size: int = 32,
        shuffle: bool = True,
        steps: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        on, off = cycle
        if begin < 0 or on < 1 or off < 0 or (end is not None and end < begin):
            raise ValueError(f"begin, cycle and end must be epochs, in this order, got {begin}, {cycle} and {end}")
        super().__init__(data, batch_size, shuffle, steps, seed, **kwargs)
        self._share, self._begin, self._cycle, self._end = _checked_share(share), begin, (on, off), end

    def mixes(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, is mixed."""
        on, off = self._cycle
        return epoch >= self._begin and (self._end is None or epoch < self._end) and (epoch - self._begin) % (on + off) < on

    def _mix(self, batch, others, rows, rng):
        if not self.mixes(self.epoch):
            others, rows = batch, np.arange(_size(batch))  # each with itself: the types are those of a mixture
        return (_blend_inputs(batch[0], others[0], rows, self._share), *batch[1:])


def _given(*parts: Any) -> Batch:
    while parts and parts[-1] is None:
        parts = parts[:-1]
    return tuple(None if part is None else keras.tree.map_structure(np.asarray, part) for part in parts)


def _returned(batch: Batch) -> Any:
    return batch[0] if len(batch) == 1 else batch


def _size(batch: Batch) -> int:
    lengths = {len(leaf) if leaf.ndim else 0 for leaf in keras.tree.flatten(batch) if leaf is not None}
    if len(lengths) != 1:
        raise ValueError(f"all arrays of a batch must have one length, got {sorted(lengths)}")
    return lengths.pop()


def _partners(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Who is mixed with whom: the next one in a random order, so that nobody is mixed with itself."""
    size = _size(batch)
    if size < 2:
        raise ValueError(f"a batch must have two samples at least to be mixed, got {size}: leave out the remainder, or change batch_size")
    order = rng.permutation(size)
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    return partner


def _shares(rng: np.random.Generator, size: int, alpha: float, per: str) -> np.ndarray:
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0, got {alpha}")
    if per not in ("sample", "batch"):
        raise ValueError(f"per must be 'sample' or 'batch', got {per!r}")
    return rng.beta(alpha, alpha, size if per == "sample" else 1)


def _checked_share(share: float) -> np.ndarray:
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    return np.array([share])


def _mixed(batch: Batch, others: Batch, rows: np.ndarray, share: np.ndarray, num_classes: int | None) -> Batch:
    x, *rest = batch
    mixed = [_blend_inputs(x, others[0], rows, share)]
    if rest:
        mixed.append(keras.tree.map_structure(lambda a, b: _blend_targets(a, b, rows, share, num_classes), rest[0], others[1]))
    if len(rest) == 2:
        mixed.append(keras.tree.map_structure(lambda a, b: _blend(a, b, rows, share), rest[1], others[2]))
    return tuple(mixed)


def _blend_inputs(x: Any, others: Any, rows: np.ndarray, share: np.ndarray) -> Any:
    def blend(a, b):
        if a.dtype.kind in "iu" and a.dtype != np.uint8:
            raise ValueError(
                f"x holds whole numbers ({a.dtype}): ids cannot be mixed. Mix their embeddings, with MixHidden after the Embedding layer; "
                "or make measurements floats, x.astype('float32')"
            )
        return a | b[rows] if a.dtype == bool else _blend(a, b, rows, share)

    return keras.tree.map_structure(blend, x, others)


def _blend_targets(a: np.ndarray, b: np.ndarray, rows: np.ndarray, share: np.ndarray, num_classes: int | None) -> np.ndarray:
    if a.dtype.kind in "iub":
        if num_classes is None:
            raise ValueError(
                f"y holds whole numbers ({a.dtype}): give num_classes if they are classes, for a loss that takes probabilities "
                "('categorical_crossentropy'), or make them floats"
            )
        a, b, rows = _one_hot(a.astype(int), num_classes), _one_hot(b[rows].astype(int), num_classes), np.arange(len(a))
    return _blend(a, b, rows, share)


def _one_hot(ids: np.ndarray, num_classes: int) -> np.ndarray:
    if ids.size and (ids.min() < 0 or ids.max() >= num_classes):
        raise ValueError(f"classes must be from 0 to num_classes − 1 = {num_classes - 1}, got {ids.min()} to {ids.max()}")
    ids = ids[..., 0] if ids.ndim > 1 and ids.shape[-1] == 1 else ids  # a column of classes, as Keras allows
    return np.eye(num_classes, dtype="float32")[ids]


def _blend(a: np.ndarray, b: np.ndarray, rows: np.ndarray, share: np.ndarray) -> np.ndarray:
    """ε a + (1 − ε) b[rows], in the type of a if that is a float, else in float32."""
    if a.dtype.kind not in "biufV":  # V: bfloat16
        raise ValueError(f"only real numbers can be mixed, got {a.dtype}")
    kind = a.dtype if a.dtype.kind == "f" else np.dtype("float32")
    if not b.flags.c_contiguous:
        b, rows = b[rows], np.arange(len(rows))  # or all of b would be copied for a batch
    if not (a.dtype.isnative and (a.dtype.kind in "biu" or a.dtype in (np.float32, np.float64))):  # others are not known to Numba
        a, b, rows = a.astype("float64"), b[rows].astype("float64"), np.arange(len(rows))
    mixed = np.empty(a.shape, kind if kind in (np.float32, np.float64) else "float64")
    flat = (part.reshape(len(part), -1) for part in (a, b, mixed))
    _blend_rows(*flat, rows, np.full(len(rows), share, mixed.dtype))
    return mixed.astype(kind, copy=False)


@njit(nogil=True)
def _blend_rows(a, b, mixed, rows, share):
    """In one pass, where NumPy takes four."""
    number = mixed.dtype.type
    for i in range(len(a)):
        ours, others, epsilon = a[i], b[rows[i]], share[i]
        for j in range(a.shape[1]):
            theirs = number(others[j])
            mixed[i, j] = theirs + epsilon * (number(ours[j]) - theirs)
