"""A score on held-out sentences after each epoch, and the weights that had the best."""

import math
import os
import warnings
from collections.abc import Callable

import keras
import numpy as np

from partita.callbacks.evaluate import Evaluate
from partita.crf.batches import Batches
from partita.crf.layer import DivergedError


class HeldOut(Evaluate):
    """Tag held-out sentences after each epoch, score the tags, keep the best weights.

    The score joins the epoch's `logs`, where the progress bar, `History`, `EarlyStopping` and
    `ModelCheckpoint` find it. When training ends the model gets its best weights back; with `path`, each best
    model is on disk at once, whole or not at all. Of equal scores the one of lower loss is best: the loss of
    the batches if they hold tags, else `val_loss`, else that of the training. A model whose scores are NaN is
    never best: training stops there, with a warning.

    Args:
        batches: The sentences, `Batches` with `shuffle=False`, best with their tags.
        score: Function of the predicted tags, a list of one id array `(time,)` a sentence in the corpus's
            order; larger is better.
        name: What the score is called.
        path: A `.keras` file for the best model so far, or None.

    Attributes:
        best, best_loss, best_epoch: The best score, its loss, and its epoch, counted from 0; None before the
            first.

    Raises:
        ValueError: if the batches shuffle, or the score is not a number.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from partita import crf
        >>> words, tags = [np.array([1, 2, 3]), np.array([4])], [np.array([0, 1, 1]), np.array([0])]
        >>> def accuracy(predicted):
        ...     return np.mean(np.concatenate(predicted) == np.concatenate(tags))
        >>> tagger = crf.Tagger(keras.layers.Embedding(5, 2), crf.CRF(2))
        >>> tagger.compile("adam")
        >>> held_out = HeldOut(crf.Batches(words, shuffle=False), accuracy, name="val_accuracy")
        >>> history = tagger.fit(crf.Batches(words, tags), epochs=2, verbose=0, callbacks=[held_out])
        >>> held_out.best == max(history.history["val_accuracy"])
        True
    """

    def __init__(
        self,
        batches: Batches,
        score: Callable[[list[np.ndarray]], float],
        name: str = "val_f1",
        path: str | os.PathLike[str] | None = None,
    ):
        if batches.shuffle:
            raise ValueError(
                "batches must keep their order for a score by sentence: Batches(..., shuffle=False)."
            )
        super().__init__(self._score, name, path=path, note=False)
        self.batches, self.score = batches, score

    def _score(self, model: keras.Model) -> float:
        epoch = (self._epoch or 0) + 1
        try:
            predicted = self.batches.restore(model.predict(self.batches, verbose=0))
        except DivergedError as error:
            self._has_failed = True
            if not model.stop_training:
                model.stop_training = True
                why = f"training was stopped after epoch {epoch}: {error}"
                warnings.warn(why, RuntimeWarning, stacklevel=2)
            return math.nan
        value = float(self.score(predicted))
        if math.isnan(value):
            raise ValueError(f"score must give a number, got {value} after epoch {epoch}.")
        return value

    def _loss(self, logs):
        if self.batches.tags is None:
            return super()._loss(logs)
        return "held out", float(self.model.evaluate(self.batches, verbose=0, return_dict=True)["loss"])
