"""Training on mixtures of two samples: mixup, and SamplePairing.

x̃ = ε x_a + (1 − ε) x_b,   ỹ = ε y_a + (1 − ε) y_b,   ε ~ Beta(α, α)
SamplePairing: ε = ½ and ỹ = y_a

Neither is augmentation: f(εx_a + (1 − ε)x_b) = εf(x_a) + (1 − ε)f(x_b) has linear solutions only, so both
prefer, among the models that fit, the one nearest to linear.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import RLock
from typing import Any

import keras
import numpy as np

from partita.backend.keras_internals import epoch_is_over
from partita.training.blending import (
    Batch,
    blend_inputs,
    check_batch,
    check_shares,
    checked_class_weight,
    draw_shares,
    mix,
    partners,
    size,
)
from partita.training.sources import source, standard


def mixup(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    alpha: float = 1.0,
    per: str = "sample",
    num_classes: int | None = None,
    class_weight: Mapping[int, float] | None = None,
    seed: int | None = None,
) -> Any:
    """Mix every sample of a batch with another one of it, and their targets alike.

    Args:
        x: Arrays `(batch, ...)`, in any nest of lists, tuples and dicts. Numbers are mixed, as float32 where
            they were pixels (uint8); booleans are masks, True in the mixture where either is.
        y: Targets in any nest; whole numbers are classes and need `num_classes`.
        sample_weight: Weights of the samples, mixed like everything else.
        alpha: Of ε ~ Beta(α, α), above 0; 1 is uniform.
        per: `"sample"`: each sample has an ε of its own; `"batch"`: all have one.
        num_classes: Of targets that are whole numbers: they become probabilities `(batch, ..., num_classes)`.
            If y is one array, floats must then be probabilities with that many columns, or class ids.
        class_weight: Class → weight w, 1 where none is given; needs `num_classes`. The weight of a mixture is
            Σ_c y_c w_c, mixed like the targets, and times the sample weight; it is returned as the sample
            weight.
        seed: The same seed gives the same mixtures.

    Returns:
        What was given of x, y and sample_weight, mixed: x alone, or a tuple; with `class_weight` always all
            three.

    Raises:
        ValueError: for token ids (mix their embeddings instead, with `MixHidden`), class ids without
            `num_classes`, a batch of one, arrays of different lengths, NaN or infinity, what is no real
            number, or an argument out of range.

    Source: Zhang, Cissé, Dauphin, Lopez-Paz 2018.

    Example:
        >>> x, y = mixup(np.array([[0.0], [1.0]]), np.array([0, 1]), num_classes=2, seed=0)
        >>> bool(np.allclose(x[:, 0], y[:, 1]))
        True
    """
    batch = _given(x, y, sample_weight)
    weights = checked_class_weight(class_weight, num_classes)
    rng = np.random.default_rng(seed)
    rows = partners(batch, rng)
    return _returned(mix(batch, batch, rows, draw_shares(rng, len(rows), alpha, per), num_classes, weights))


def sample_pairing(
    x: Any, y: Any = None, sample_weight: Any = None, *, share: float = 0.5, seed: int | None = None
) -> Any:
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
        ValueError: for token ids, NaN or infinity, what is no real number, a batch of one, arrays of
            different lengths, or a share not between 0 and 1.

    Source: Inoue 2018.

    Example:
        >>> sample_pairing(np.array([[0.0], [1.0]]), np.array([7, 8]))
        (array([[0.5], [0.5]]), array([7, 8]))
    """
    batch = _given(x, y, sample_weight)
    rows = partners(batch, np.random.default_rng(seed))
    return _returned((blend_inputs(batch[0], batch[0], rows, _checked_share(share)), *batch[1:]))


class _Pairs(keras.utils.PyDataset):
    """Batches of pairs: what the two kinds of mixing have in common.

    Keras is told of one worker, whatever `workers` is: with several it would take batches in another order,
    and some of the last epoch. The threads are here. Within an epoch the batches come in the order of the
    source, whichever index Keras asks for.
    """

    def __init__(
        self, data, batch_size, shuffle, steps, seed, workers=1, use_multiprocessing=False, max_queue_size=10
    ):
        super().__init__()
        if use_multiprocessing:
            raise ValueError(
                "use_multiprocessing must be False: batches are mixed on threads, which share the arrays; "
                "set workers instead"
            )
        if max_queue_size < 1:
            raise ValueError(f"max_queue_size must be at least 1, got {max_queue_size}")
        self._seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
        self._source = source(data, batch_size, shuffle, steps, self._seed)
        self.epoch = 0
        if workers > 1 and not self._source.any_order:
            raise ValueError(f"workers must be 1 for data that come one after the other, got {workers}")
        self._threads: int = workers if workers > 1 else 0
        self._reach: int = min(workers, max_queue_size)
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: dict[tuple[int, int], Future] = {}
        self._order: tuple[int, np.ndarray] | None = None
        self._lock = RLock()
        # Index that Keras asks for → place in the epoch; None outside of one.
        self._places: dict[int, int] | None = None
        self._start = 0  # the place of the epoch's first batch: above 0 after epochs of fewer steps

    def __len__(self):
        return self._source.num_batches

    def on_epoch_begin(self):
        self._source.begin()
        with self._lock:
            self._places = {}

    def on_epoch_end(self):
        is_over = epoch_is_over()
        with self._lock:
            taken, self._places = len(self._places or ()), None
            pool, self._pool, self._ahead = self._pool, None, {}
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        self._source.end(is_over)
        if is_over:
            self._start = (self._start + taken) % len(self)
        self.epoch += is_over

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"index must be from 0 to {len(self) - 1}, got {index}")
        with self._lock:
            if self._places is None:
                return self._batch(index, self.epoch)
            place = (self._start + self._places.setdefault(index, len(self._places))) % len(self)
            if self._order is None or self._order[0] != self.epoch:
                self._order = self.epoch, self._source.order(self.epoch)
            order = self._order[1]
            if not self._threads:
                return self._batch(order[place], self.epoch)
            future = self._submitted(order, place)
        return future.result()

    def _submitted(self, order, place):
        """The batch at a place of the epoch, which threads mix together with those after it."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "mixing")
        for coming in range(place, min(place + self._reach + 1, len(order))):
            if (self.epoch, coming) not in self._ahead:
                self._ahead[self.epoch, coming] = self._pool.submit(self._batch, order[coming], self.epoch)
        return self._ahead.pop((self.epoch, place))

    def _batch(self, index, epoch):
        rng = np.random.default_rng([self._seed, epoch, index])
        pair = self._source.pair(int(index), epoch, lambda batch: partners(batch, rng))
        return self._mix(*pair, rng, epoch)

    @abstractmethod
    def _mix(
        self, batch: Batch, others: Batch, rows: np.ndarray, rng: np.random.Generator, epoch: int
    ) -> Batch:
        """The batch to train on: mixed with these rows of others."""


class Mixup(_Pairs):
    """Whatever `fit` takes, mixed anew in every batch: `model.fit(Mixup((x, y), alpha=0.2), epochs=10)`.

    Args:
        data: Arrays `(x, y)` or `(x, y, sample_weight)` in any nest, a PyDataset, a `tf.data.Dataset`, a
            DataLoader, or a generator of batches. Arrays are mixed with samples of the whole set, the others
            within a batch.
        alpha, per, num_classes, class_weight: See `mixup`. Give `class_weight` here: that of `fit` takes the
            likeliest class of a mixture.
        batch_size: Of arrays; the others bring their own batches. A batch of one sample is mixed with itself.
        shuffle: Whether arrays, or the batches of a PyDataset, are shuffled before every epoch. The `shuffle`
            of `fit` has no say.
        steps: Batches an epoch; must be given where the data do not know their length.
        seed: A batch follows from the seed, the epoch and its place in the epoch, whatever the workers.
        **kwargs: `workers`, the threads that mix batches ahead of time (1 for data that come one after the
            other), and `max_queue_size`, how many batches they may be ahead.

    Attributes:
        epoch: The epoch that is drawn, counted from 0; what is mixed follows from it and the seed. A training
            that is resumed sets it, by `keras.callbacks.LambdaCallback(on_epoch_begin=begin)` with
            `begin = lambda epoch, logs: setattr(batches, "epoch", epoch)`.

    Raises:
        ValueError: as `mixup`, or if there is no batch; while training where the data end before `steps`, or
            a batch holds NaN or infinity. Arrays are looked at beforehand.

    Example:
        >>> batches = Mixup((np.zeros((10, 3)), np.arange(10) % 2), num_classes=2, batch_size=4, seed=0)
        >>> len(batches), batches[0][1].shape
        (3, (4, 2))
    """

    def __init__(  # noqa: PLR0913 - options, each given by its name
        self,
        data: Any,
        alpha: float = 1.0,
        *,
        per: str = "sample",
        num_classes: int | None = None,
        class_weight: Mapping[int, float] | None = None,
        batch_size: int = 32,
        shuffle: bool = True,
        steps: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        check_shares(alpha, per)
        self._class_weight = checked_class_weight(class_weight, num_classes)
        super().__init__(data, batch_size, shuffle, steps, seed, **kwargs)
        self._alpha, self._per, self._num_classes = alpha, per, num_classes

    def _mix(self, batch, others, rows, rng, epoch):
        shares = draw_shares(rng, size(batch), self._alpha, self._per)
        return mix(batch, others, rows, shares, self._num_classes, self._class_weight)


class SamplePairing(_Pairs):
    """Data for `fit`, each sample averaged with another and under its own target (SamplePairing).

    The data are whatever `fit` takes. Which epochs are mixed follows the published schedule.

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
        >>> pairs = SamplePairing(
        ...     (np.eye(10), np.arange(10)), begin=1, cycle=(8, 2), end=20, batch_size=5, seed=0
        ... )
        >>> [pairs.mixes(epoch) for epoch in (0, 1, 8, 9, 10, 11, 20)]
        [False, True, True, False, False, True, False]
    """

    def __init__(  # noqa: PLR0913 - options, each given by its name
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
        last = math.inf if end is None else end
        if begin < 0 or on < 1 or off < 0 or last < begin:
            raise ValueError(
                f"begin, cycle and end must be epochs, in this order, got {begin}, {cycle} and {end}"
            )
        super().__init__(data, batch_size, shuffle, steps, seed, **kwargs)
        self._share, self._begin, self._cycle, self._end = _checked_share(share), begin, (on, off), last

    def mixes(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, is mixed."""
        on, off = self._cycle
        return self._begin <= epoch < self._end and (epoch - self._begin) % (on + off) < on

    def _mix(self, batch, others, rows, rng, epoch):
        if not self.mixes(epoch):
            others, rows = batch, np.arange(size(batch))  # each with itself: the types are those of a mixture
        return (blend_inputs(batch[0], others[0], rows, self._share), *batch[1:])


def _given(*parts: Any) -> Batch:
    batch = standard(parts)
    if (count := size(batch)) < 2:
        raise ValueError(
            f"a batch must have two samples at least to be mixed, got {count}: leave out the remainder, or "
            f"change batch_size"
        )
    check_batch(batch)
    return batch


def _returned(batch: Batch) -> Any:
    return batch[0] if len(batch) == 1 else batch


def _checked_share(share: float) -> np.ndarray:
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    return np.array([share])
