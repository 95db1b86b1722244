"""A score on held-out sentences after each epoch, and the weights that had the best."""

import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from partita.crf.batches import Batches
from partita.crf.layer import DivergedError
from partita.files import replacing


class HeldOut(keras.callbacks.Callback):
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
        best, best_loss, best_epoch: The best score, its loss, and its epoch, counted from 0; −inf, inf and −1
            before the first.

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
        super().__init__()
        if batches.shuffle:
            raise ValueError(
                "batches must keep their order for a score by sentence: Batches(..., shuffle=False)."
            )
        self.batches, self.score, self.name = batches, score, name
        self.path = None if path is None else Path(path)
        self.best, self.best_loss, self.best_epoch = -math.inf, math.inf, -1
        self._weights: Any = None

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        try:
            predicted = self.batches.restore(self.model.predict(self.batches, verbose=0))
        except DivergedError as error:
            logs[self.name] = math.nan
            if not self.model.stop_training:
                self.model.stop_training = True
                warnings.warn(
                    f"training was stopped after epoch {epoch + 1}: {error}", RuntimeWarning, stacklevel=2
                )
            return
        value = float(self.score(predicted))
        if np.isnan(value):
            raise ValueError(f"score must give a number, got {value} after epoch {epoch + 1}.")
        logs[self.name] = value
        if value < self.best:
            return
        loss = self._loss(logs)
        if value > self.best or loss < self.best_loss:
            self.best, self.best_loss, self.best_epoch = value, loss, epoch
            self._weights = self.model.get_weights()
            if self.path is not None:
                with replacing(self.path) as beside:
                    self.model.save(beside)

    def _loss(self, logs):
        if self.batches.tags is not None:
            loss = self.model.evaluate(self.batches, verbose=0, return_dict=True)["loss"]
        else:
            loss = logs.get("val_loss", logs.get("loss", math.inf))
        return math.inf if math.isnan(loss) else float(loss)

    def on_train_end(self, logs=None):
        if self._weights is not None:
            self.model.set_weights(self._weights)
