"""The same net without a CRF: a softmax over the tags of each token, trained and scored as its rival."""

from collections.abc import Sequence

import keras
import numpy as np

from partita import crf
from partita.crf.command import schedule


class Softmax:
    """CNN tagger whose tags are chosen each for itself.

    It is trained with the batches, the steps and the seed of `recipe`.

    Args:
        lexicon: As for the tagger.
        ids: Ids of each sentence, `(time, features)`.
        tags: Tag ids of each sentence, `(time,)`.
        epochs: How long to train.
        num_shapes: As for `Batches`.
    """

    def __init__(
        self,
        lexicon: crf.Lexicon,
        ids: Sequence[np.ndarray],
        tags: Sequence[np.ndarray],
        epochs: int,
        num_shapes: int = 8,
    ):
        batches = _Framewise(ids, tags, batch_size=64, num_shapes=num_shapes)
        keras.utils.set_random_seed(0)
        encoder = crf.cnn(lexicon.sizes, lexicon.columns)
        self._net = keras.Model(encoder.input, keras.layers.Dense(lexicon.num_tags)(encoder.output))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
        self._net.compile(keras.optimizers.Adam(schedule(epochs * len(batches))), loss=loss)
        self._net.fit(batches, epochs=epochs, verbose=0)

    def predict(self, batches: crf.Batches) -> np.ndarray:
        """Tags `(rows, time)`, as `Tagger.predict`."""
        rows = [
            np.argmax(self._net.predict_on_batch(batches[index][0]), axis=-1) for index in range(len(batches))
        ]
        longest = max(row.shape[1] for row in rows)
        return np.concatenate([np.pad(row, [(0, 0), (0, longest - row.shape[1])]) for row in rows])


class _Framewise(crf.Batches):
    """Batches whose padding has the tag −1, which the softmax's loss leaves out."""

    def __getitem__(self, index):
        ids, tags = super().__getitem__(index)
        return ids, np.where((ids != 0).any(axis=-1), tags, -1)
