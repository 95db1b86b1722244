"""An encoder and a CRF under one Keras model: token ids in, tag ids out.

loss = −log P(tags | encoder(x)),   prediction = the best path
"""

import warnings
from collections.abc import Iterable
from inspect import signature
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from partita.backend import uncompiled
from partita.callbacks.finite import StopOnNonFinite
from partita.callbacks.given import guards, joined
from partita.crf.batches import Batches
from partita.crf.layer import CRF, refuse_undefined
from partita.crf.lexicon import Lexicon
from partita.crf.messages import INFINITY
from partita.crf.repair import describe_break, first_break_of_ids, name_sentences
from partita.files.saving import SavedWithSeeds


@keras.saving.register_keras_serializable(package="partita")
class Tagger(SavedWithSeeds):
    """A Keras model that tags sequences: `compile`, `fit`, `evaluate` and `predict` as ever.

    Targets are integer tags `(batch, time)`; −1 = unknown, summed over. The loss is the mean over sequences
    of −log P(tags|x) in nats, with `sample_weight` `(batch,)`; "accuracy" counts the best path's tags at
    real, known steps.

    Args:
        encoder: Model or layer, inputs `(batch, time, ...)` → `(batch, time, width)`. Where `width` is not
            the number of tags, a dense layer between computes the scores.
        crf: The `CRF`.
        padding: In integer inputs, the id that marks padding: a step is real unless all its ids are this one.
            None: no id does, and the mask is whatever the encoder propagates (as it is for inputs that are
            not integers).
        lexicon: The `Lexicon` that turned text into ids, to be saved with the model; or None.

    `fit` stops with a warning when the loss is no longer finite, and warns of targets that the constraints
    forbid.

    Raises:
        ValueError: if an argument is of another kind, or targets or sample weights do not have the shape of a
            batch of sequences.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> tagger = Tagger(keras.layers.Embedding(5, 8), CRF(3))
        >>> tagger.compile("adam")
        >>> words, tags = np.array([[1, 2, 4], [3, 4, 0]]), np.array([[0, 1, 2], [2, 2, 0]])
        >>> history = tagger.fit(words, tags, epochs=2, verbose=0)
        >>> tagger.predict(words, verbose=0).shape
        (2, 3)
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        crf: CRF,
        padding: int | None = 0,
        lexicon: Lexicon | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not isinstance(encoder, keras.layers.Layer) or not isinstance(crf, CRF):
            raise ValueError(
                f"encoder must be a Keras layer or model and crf a CRF, got {encoder!r} and {crf!r}"
            )
        self.encoder, self.crf, self.padding, self.lexicon = encoder, crf, padding, lexicon
        self.projection: Any = None
        self._right = keras.metrics.Mean(name="accuracy")
        self._decoding = False

    def build(self, input_shape):
        if not self.encoder.built:
            self.encoder.build(input_shape)
        *steps, width = self.encoder.compute_output_shape(input_shape)
        if width != self.crf.num_tags:
            self.projection = keras.layers.Dense(self.crf.num_tags, name="projection")
            self.projection.build((*steps, width))

    def call(self, inputs, training=None):
        scores = self.encoder(inputs, training=training)
        if self.projection is not None:
            scores = self.projection(scores)
        scores = self.crf(scores, **self._mask(inputs))
        return self.crf._best(scores) if self._decoding else scores

    def _mask(self, inputs):
        ids = next((x for x in tree.flatten(inputs) if keras.backend.is_int_dtype(x.dtype)), None)
        if ids is None or self.padding is None:
            return {}  # Keras hands over the mask that the encoder propagates
        return {"mask": ops.any(ops.reshape(ids, (*ops.shape(ids)[:2], -1)) != self.padding, axis=-1)}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return uncompiled(self._loss_of)(y, y_pred, sample_weight)

    def _loss_of(self, y, y_pred, sample_weight):
        shape = None if y is None else tuple(y.shape)
        if shape is None or len(shape) != 2:
            raise ValueError(f"tags must be integers of the shape (batch, time), got {shape}.")
        loss = self.crf.loss(y, y_pred)  # (batch,)
        if sample_weight is not None:
            if len(shape := tuple(sample_weight.shape)) != 1:
                raise ValueError(f"sample_weight must weigh sequences, (batch,), got the shape {shape}.")
            loss = loss * ops.cast(sample_weight, loss.dtype)
        # rows of padding alone fill up a batch
        rows = ops.sum(ops.cast(~ops.all(y_pred == -INFINITY, axis=(1, 2)), loss.dtype))
        # Here rather than in `compute_metrics`, where JAX has no weights to decode with.
        best, y = self.crf._best(y_pred), ops.cast(y, "int32")
        self._right.update_state(best == y, sample_weight=ops.cast((best != -1) & (y >= 0), "float32"))
        return ops.sum(loss) / ops.maximum(rows, 1.0) + sum(self.losses)

    def fit(self, *args, **options):
        given = signature(super().fit).bind_partial(*args, **options).arguments
        if isinstance(given.get("x"), Batches):
            # they are, by themselves: what Keras draws besides would be another in a resumed training
            given.setdefault("shuffle", False)
            given["callbacks"] = joined(self, given.get("callbacks"), _following(given["x"]))
        self._look_for_forbidden(given.get("x"), given.get("y"), "training")
        held_out = given.get("validation_data")
        x, y = held_out[:2] if isinstance(held_out, tuple | list) and len(held_out) > 1 else (held_out, None)
        self._look_for_forbidden(x, y, "validation")
        callbacks = given.get("callbacks")
        own = guards(callbacks, StopOnNonFinite, every=25, action="warn")
        given["callbacks"] = joined(self, callbacks, *own)
        return super().fit(**given)

    def _look_for_forbidden(self, x, y, which):
        """Warn of sentences whose tags the constraints forbid.

        They are found where sentences can be seen before Keras takes them.
        """
        constraints = self.crf.constraints
        if constraints is None:
            return
        if isinstance(x, Batches) and x.tags is not None:
            sentences = x.tags
        elif isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and y.ndim == 2 and self._mask(x):
            real = keras.ops.convert_to_numpy(self._mask(x)["mask"])
            sentences = [tags[mask] for tags, mask in zip(y.astype("int32"), real, strict=False)]
        else:
            return
        names = None if self.lexicon is None else self.lexicon.tag_names
        found = []
        for number, tags in enumerate(sentences, 1):
            if (place := first_break_of_ids(tags, constraints)) is not None:
                words = [tag if names is None or tag < 0 else names[tag] for tag in tags]
                found.append((f"sentence {number}", describe_break(words, place)))
        if found:
            what = name_sentences(found, len(sentences), f"the constraints forbid, in the {which} data")
            warnings.warn(
                f"{what}. Their loss is that of the chain without constraints; repair_tags, which "
                "Lexicon.encode_tags uses, makes them fit.",
                stacklevel=3,
            )

    def predict_step(self, *args):
        # Where Keras traces the step of `predict`, whatever the backend's arguments, `call` goes on to the
        # best path.
        self._decoding = True
        try:
            return super().predict_step(*args)
        finally:
            self._decoding = False

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> np.ndarray:
        """Tags of the best paths, `(sequences, time)` int32, −1 at padding.

        Batches of different lengths, as `Batches` gives, come padded to the longest, in the order of the
        batches.

        Raises:
            ValueError: if the scores of a sequence hold NaN or +inf, as those of a model that diverged.
        """
        is_array = hasattr(x, "shape") or isinstance(x, dict | list | tuple)
        if is_array or not isinstance(x, keras.utils.PyDataset | Iterable):
            return refuse_undefined(super().predict(x, batch_size, verbose, steps, callbacks))
        batches = (x[i] for i in range(len(x))) if isinstance(x, keras.utils.PyDataset) else x
        rows = [self.predict_on_batch(batch[0] if isinstance(batch, tuple) else batch) for batch in batches]
        longest = max((row.shape[1] for row in rows), default=0)
        padded = [np.pad(row, [(0, 0), (0, longest - row.shape[1])], constant_values=-1) for row in rows]
        return np.concatenate(padded) if rows else np.zeros((0, 0), "int32")

    def predict_on_batch(self, x):
        return refuse_undefined(super().predict_on_batch(x))

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "crf": keras.saving.serialize_keras_object(self.crf),
            "padding": self.padding,
            "lexicon": None if self.lexicon is None else self.lexicon.to_config(),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if missing := {"encoder", "crf", "lexicon"} - config.keys():
            names = ", ".join(sorted(missing))
            raise ValueError(f"config must hold encoder, crf and lexicon, got no {names}")
        parts = {
            part: keras.saving.deserialize_keras_object(config[part], custom_objects=custom_objects)
            for part in ("encoder", "crf")
        }
        lexicon = None if config["lexicon"] is None else Lexicon.from_config(config["lexicon"])
        return cls(**{**config, **parts, "lexicon": lexicon})


def _following(batches: Batches) -> keras.callbacks.Callback:
    """Return a callback that keeps the batches in step with the epochs.

    Keras itself does not tell the batches the epoch, and in a resumed training the epochs begin later.
    """
    before = batches.trained

    def finish(epoch, logs):
        batches.trained = before + epoch + 1

    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: batches.arrange(before + epoch), on_epoch_end=finish
    )
