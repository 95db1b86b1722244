"""Sentences of all lengths in, batches of few shapes out.

Batches group sentences by length: of all ways to cut the lengths into a few buckets, the one that computes on
the fewest cells, padding included.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """Sentences of similar length padded to one of few shapes, so that a compiled model compiles few times.

    Every batch of a bucket has the same shape, (rows, time): its last one is filled up with rows of padding.
    Padding is id 0 and tag 0, so real ids start at 1. The order of sentences and batches is drawn anew after
    each epoch, the same for the same seed.

    Args:
        sequences: Ids of each sentence, int, `(time,)` or `(time, features)`.
        tags: Tag ids of each sentence, int `(time,)`.
        batch_size: Rows of a batch.
        num_shapes: Number of buckets at most, cut so that the fewest cells are computed.
        lengths: Padded lengths to use instead, ascending, the last one doubled for longer sentences until it
            holds them. To see the same shapes in any chunk of a stream.
        max_tokens: Cells of a batch at most, where long sentences would make it larger: it then has fewer
            rows, down to one.
        shuffle: Whether to draw the order; else sentences keep theirs within a bucket, and `restore` works.
        seed: Of that order.
        sample_weight: One weight a sentence, `(sentences,)`; rows of padding weigh 0.
        **kwargs: For `keras.utils.PyDataset`: `workers`, `use_multiprocessing`, `max_queue_size`.

    Attributes:
        shapes: The `(rows, time)` that occur.
        trained: Epochs that a `Tagger` was trained on.
        order: Sentence of each row of the batches in turn, −1 for a row of padding, `(rows,)`.

    Raises:
        ValueError: if there is no sentence, if tags or weights do not fit the sentences, or a size is below
            1.

    Example:
        >>> batches = Batches(
        ...     [[4, 5, 6], [7], [8, 9], [2]],
        ...     tags=[[0, 1, 2], [3], [0, 2], [3]],
        ...     batch_size=2,
        ...     num_shapes=2,
        ...     shuffle=False,
        ... )
        >>> batches.shapes, batches.order
        ([(2, 1), (2, 3)], array([1, 3, 0, 2]))
        >>> x, y = batches[1]
        >>> x
        array([[4, 5, 6],
               [8, 9, 0]], dtype=int32)
        >>> batches.restore([[1, -1, -1], [2, -1, -1], [3, 4, 5], [6, 7, -1]])
        [array([3, 4, 5]), array([1]), array([6, 7]), array([2])]
    """

    def __init__(  # noqa: PLR0913 - options, each given by its name
        self,
        sequences: Sequence[Any],
        tags: Sequence[Any] | None = None,
        batch_size: int = 32,
        num_shapes: int = 8,
        lengths: Sequence[int] | None = None,
        *,
        max_tokens: int = 65536,
        shuffle: bool = True,
        seed: int = 0,
        sample_weight: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not len(sequences):
            raise ValueError("sequences must hold at least one sentence, got none")
        if min(batch_size, num_shapes, max_tokens) < 1:
            raise ValueError(
                f"batch_size, num_shapes and max_tokens must be at least 1, got {batch_size}, {num_shapes}, "
                f"{max_tokens}"
            )
        if lengths is not None and (min(lengths, default=0) < 1 or sorted(set(lengths)) != list(lengths)):
            raise ValueError(f"lengths must be some, ascending and at least 1, got {list(lengths)}")
        self.sequences = [np.asarray(ids, "int32") for ids in sequences]
        self.tags = None if tags is None else [np.asarray(ids, "int32") for ids in tags]
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight, "float32")
        self.batch_size, self.max_tokens, self.shuffle, self.seed = batch_size, max_tokens, shuffle, seed
        self._check()
        self._lengths = np.array([len(ids) for ids in self.sequences])  # (sentences,)
        ladder = bucket_lengths(self._lengths, num_shapes, self._rows) if lengths is None else list(lengths)
        while ladder[-1] < self._lengths.max():
            ladder.append(2 * ladder[-1])
        self._times = np.array(ladder)[np.searchsorted(ladder, self._lengths)]  # (sentences,)
        self.shapes = [(self._rows(time), time) for time in np.unique(self._times).tolist()]
        self._epoch = self.trained = 0
        self._arrange()

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        time, members = self._batches[index]
        batch = [self._pad(self.sequences, time, members)]  # (rows, time) or (rows, time, features)
        if self.tags is not None:
            batch.append(self._pad(self.tags, time, members))  # (rows, time)
        if self.sample_weight is not None:
            batch.append(np.where(members < 0, np.float32(0), self.sample_weight[members]))  # (rows,)
        return tuple(batch)

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._arrange()

    def arrange(self, epoch: int) -> None:
        """Arrange the batches in the order of an epoch, counted from 0.

        A training that is resumed gets the orders that it would have had.
        """
        if epoch != self._epoch:
            self._epoch = epoch
            self._arrange()

    def restore(self, predictions: np.ndarray) -> list[np.ndarray]:
        """Split the rows of a prediction over all batches into sentences, without padding.

        The sentences come in their first order.

        Args:
            predictions: `(rows, time, ...)`, one row for each of `order`, at least as long as the longest
                sentence.

        Raises:
            ValueError: if `shuffle` is on, because the order has then changed since; or if the shape does not
                fit.
        """
        if self.shuffle:
            raise ValueError("restore needs shuffle=False: the order has changed since the prediction")
        predictions = np.asarray(predictions)
        rows, time = len(self.order), self._lengths.max()
        if predictions.ndim < 2 or predictions.shape[0] != rows or predictions.shape[1] < time:
            raise ValueError(f"predictions must be ({rows}, {time} or more, ...), got {predictions.shape}")
        row_of = np.argsort(self.order)[-len(self.sequences) :]  # (sentences,) padding, −1, sorts first
        return [predictions[row, :length] for row, length in zip(row_of, self._lengths, strict=True)]

    def _rows(self, time: int) -> int:
        return max(1, min(self.batch_size, self.max_tokens // time))

    def _arrange(self) -> None:
        generator = np.random.default_rng([self.seed, self._epoch])
        sentences = np.arange(len(self.sequences))
        if self.shuffle:
            generator.shuffle(sentences)
        self._batches = []
        for rows, time in self.shapes:
            members = sentences[self._times[sentences] == time]
            filled = np.pad(members, (0, -len(members) % rows), constant_values=-1)
            self._batches += [(time, batch) for batch in filled.reshape(-1, rows)]
        if self.shuffle:
            generator.shuffle(self._batches)
        # On TensorFlow Keras takes the shapes of the first two batches for those of all, unless they differ.
        other = next((i for i, batch in enumerate(self._batches) if batch[0] != self._batches[0][0]), 0)
        if other:
            self._batches[1], self._batches[other] = self._batches[other], self._batches[1]
        self.order = np.concatenate([members for _, members in self._batches])

    @staticmethod
    def _pad(sequences: list[np.ndarray], time: int, members: np.ndarray) -> np.ndarray:
        padded = np.zeros((len(members), time, *sequences[0].shape[1:]), "int32")
        for row, sentence in enumerate(members[members >= 0]):
            ids = sequences[sentence]
            padded[row, : len(ids)] = ids
        return padded

    def _check(self) -> None:
        first, count, weight = self.sequences[0], len(self.sequences), self.sample_weight
        for number, ids in enumerate(self.sequences, 1):
            if ids.ndim != first.ndim or ids.shape[1:] != first.shape[1:]:
                raise ValueError(
                    f"sequences must be (time,) or (time, features) alike, got {ids.shape} for sentence "
                    f"{number}"
                )
        if self.tags is not None:
            if len(self.tags) != count:
                raise ValueError(f"tags must be given for each of {count} sentences, got {len(self.tags)}")
            for number, (ids, tags) in enumerate(zip(self.sequences, self.tags, strict=True), 1):
                if tags.shape != ids.shape[:1]:
                    raise ValueError(f"tags must be ({len(ids)},) for sentence {number}, got {tags.shape}")
        if weight is not None and (self.tags is None or weight.shape != (count,)):
            raise ValueError(f"sample_weight must be ({count},) and come with tags, got {weight.shape}")


def bucket_lengths(lengths: Any, num_shapes: int, rows: Callable[[int], int]) -> list[int]:
    """The padded lengths, at most `num_shapes`, that put sentences into batches of the fewest cells in all.

    Exact, by dynamic programming over the distinct lengths: the best cut up to a length is the best cut up to
    a shorter one plus a bucket. Past 1024 distinct lengths, 1024 of them, evenly apart in rank, may end a
    bucket.

    Args:
        lengths: Length of each sentence, `(sentences,)`.
        num_shapes: Number of lengths to choose at most.
        rows: Rows of a batch of a given length; a bucket's last batch counts in full.

    Example:
        >>> bucket_lengths([3, 4, 4, 9, 10, 30], num_shapes=3, rows=lambda length: 1)
        [4, 10, 30]
    """
    distinct = np.unique(np.maximum(lengths, 1))
    ranks = np.linspace(0, len(distinct) - 1, min(len(distinct), 1024)).round().astype(int)
    ends = distinct[ranks]
    counts = np.bincount(np.searchsorted(ends, lengths), minlength=len(ends))
    up_to = np.concatenate([[0], np.cumsum(counts)])  # sentences up to each end
    height = np.array([rows(end) for end in ends.tolist()])
    num_batches = -(-(up_to[1:] - up_to[:-1, None]) // height)  # (first end, last end) of a bucket
    cells = np.where(np.triu(np.ones((len(ends), len(ends)), bool)), num_batches * height * ends, np.inf)
    best, cuts = [cells[0]], [np.zeros(len(ends), int)]
    for _ in range(min(num_shapes, len(ends)) - 1):
        total = best[-1][:-1, None] + cells[1:]  # (last end of the bucket before, last end)
        cuts.append(total.argmin(axis=0))
        best.append(total.min(axis=0))
    end, chosen = len(ends) - 1, []
    for cut in reversed(cuts[: int(np.argmin([cost[-1] for cost in best])) + 1]):
        chosen.append(int(ends[end]))
        end = cut[end]
    return chosen[::-1]
