"""Sampled softmax: an output layer for large vocabularies.

It scores all words when it predicts, the right one and a few drawn ones when it learns.

    −log exp(s_y) / (exp(s_y) + Σ_(w in S, w ≠ y) exp(s_w − log k Q(w))),
    s_w = ⟨h, v_w⟩ + b_w,   S: k words drawn from Q

The sum has the mean Z − exp(s_y). All positions of a batch share S, so its scores are one product of matrices
(Bengio and Senécal 2008; Jean et al. 2015; Blanc and Rendle 2018).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from partita.backend import add_rows, mask_of, set_mask
from partita.contrast.alias import alias_table
from partita.contrast.noise import LogUniform
from partita.data.labels import class_ids
from partita.layer_loss import Owner, announce
from partita.types import Tensor

LOSSES = ("sampled_softmax", "nce", "negative_sampling")
_NOT_GIVEN: Any = object()


@keras.saving.register_keras_serializable(package="partita")
class SampledSoftmax(keras.layers.Layer):
    """Scores of every word of a vocabulary, trained on a few at a time.

    Called when training, it hands its input on, with a zero appended to one of width `size`; called
    otherwise, it returns log-probabilities of all words `(..., size)`. Its `loss` takes either. A model that
    ends in it is thus compiled with `loss=layer.loss`, fitted on ids, and evaluated on the full softmax.

    Args:
        size: Number of words.
        num_sampled: k, words drawn for each batch.
        noise: Q: what they are drawn from: anything whose `log_prob` takes ids, such as `Unigram(counts)`.
            None: `LogUniform(size)`, for words sorted by frequency, the most frequent first.
        loss: `"sampled_softmax"`, `"nce"` (each word a question of its own, against log k Q(w)), or
            `"negative_sampling"` (the same without log k Q(w); what is learned is log p/Q − log k).
        learning_rate: None: the weights of the words belong to the model's optimizer, most of which go
            through the whole table at every step. A number: the layer changes the rows that a batch touches
            by itself, with Adagrad at this rate (0.1, say), and a step takes as long whatever the size.

    Calling:
        Inputs `(..., width)`; labels for `loss` `(...)`, ids. A mask of the inputs, as
        `Embedding(mask_zero=True)` sends it along, is handed on. What is masked, or has a negative label (−1,
        −100: unknown), is neither trained nor scored, and does not count in the mean. A label that is no id
        makes the loss NaN and leaves the weights as they are.

    Raises:
        ValueError: if an argument does not fit, or the noise cannot draw some word. Of `loss`: if a label is
            `size` or more, where the numbers are known: not in a compiled step.

    Source: Bengio and Senécal 2008; Mnih and Teh 2012; Mikolov et al. 2013; Adagrad: Duchi et al. 2011.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from partita.contrast import SampledSoftmax
        >>> output = SampledSoftmax(1000, num_sampled=20)
        >>> model = keras.Sequential([keras.layers.Embedding(1000, 8), output])
        >>> model.compile("adam", loss=output.loss)
        >>> words = np.arange(60).reshape(6, 10)
        >>> history = model.fit(words, words + 1, verbose=0)
        >>> model.predict(words, verbose=0).shape
        (6, 10, 1000)
    """

    def __init__(
        self,
        size: int,
        num_sampled: int = 100,
        noise: Any = None,
        loss: str = "sampled_softmax",
        learning_rate: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if size < 2 or num_sampled < 1:
            raise ValueError(
                f"size must be at least 2 and num_sampled at least 1, got {size} and {num_sampled}"
            )
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}")
        if learning_rate is not None and not learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
        self.size, self.num_sampled = size, num_sampled
        self.loss_name, self.learning_rate = loss, learning_rate
        noise = LogUniform(size) if noise is None else noise
        log_q = np.asarray(noise.log_prob(np.arange(size)), np.float64)
        if log_q.shape != (size,) or not np.isfinite(log_q).all():
            raise ValueError(
                f"noise must be able to draw all {size} words, got log_prob "
                f"{log_q[~np.isfinite(log_q)][:1]} for some"
            )
        probabilities = np.exp(log_q - np.logaddexp.reduce(log_q))
        thresholds, others = alias_table(probabilities)
        self.supports_masking = True
        self.seeds = keras.random.SeedGenerator()
        self._log_q = self._constant("log_q", np.log(probabilities), "float32")
        self._thresholds = self._constant("thresholds", thresholds, "float32")
        self._others = self._constant("others", others, "int32")
        announce(self)

    def _constant(self, name, values, dtype):
        weight = self.add_weight(
            name=name, shape=values.shape, dtype=dtype, initializer="zeros", trainable=False, autocast=False
        )
        weight.assign(values)
        return weight

    def build(self, input_shape):
        width = input_shape[-1]
        self._training_width = self._marked(width)
        owned = self.learning_rate is None
        common = {"dtype": "float32", "autocast": False, "trainable": owned}
        self.table = self.add_weight(
            name="table", shape=(self.size, width), initializer="glorot_uniform", **common
        )
        self.bias = self.add_weight(name="bias", shape=(self.size,), initializer="zeros", **common)
        if self.loss_name != "negative_sampling":
            # as if the input said nothing; a copy, for JAX gives a step each array once
            self.bias.assign(self._log_q + 0.0)
        if not owned:
            self._squares = self.add_weight(name="squares", shape=(self.size,), initializer="zeros", **common)
        self.built = True

    def call(self, inputs, training=None):
        if not training:
            return self.log_prob(inputs)
        inputs = ops.cast(inputs, "float32")  # a cast within the loss would lose the mask
        if self._training_width > inputs.shape[-1]:
            return ops.pad(inputs, [(0, 0)] * (len(inputs.shape) - 1) + [(0, 1)])
        return inputs

    def compute_output_spec(self, inputs, training=None):
        width = self._marked(inputs.shape[-1]) if training else self.size
        return keras.KerasTensor((*inputs.shape[:-1], width), "float32")

    def _marked(self, width):
        """Return the width of an output in training, never `size`: so the loss knows log-probabilities."""
        return width + 1 if width == self.size else width

    def log_prob(self, inputs: Tensor) -> Tensor:
        """Log-probabilities of all words, `(..., size)`."""
        scores = ops.matmul(ops.cast(inputs, "float32"), ops.transpose(self.table)) + self.bias
        return ops.log_softmax(
            scores + self._log_q if self.loss_name == "negative_sampling" else scores, axis=-1
        )

    def sample(self, n: int) -> Tensor:
        """`n` ids drawn from the noise, int32."""
        places = keras.random.randint((n,), 0, self.size, seed=self.seeds)
        stay = keras.random.uniform((n,), seed=self.seeds) < ops.take(self._thresholds, places)
        return ops.where(stay, places, ops.take(self._others, places))

    @property
    def loss(self) -> "SampledLoss":
        """Return the loss in nats, for `compile`.

        It compares ids with the layer's input, against a few words, or with its output, against all.
        """
        return SampledLoss(self)

    def _loss(self, y_true, y_pred, sample_weight=None):
        """Loss of each label, with a mask of those that count."""
        mask = mask_of(y_pred)
        ids, known, valid = class_ids(y_true, self.size, mask)
        if y_pred.shape[-1] not in (self.size, self._training_width):
            raise ValueError(
                f"expected the layer's output, (..., {self._training_width}) in training or "
                f"(..., {self.size}) otherwise, got the shape {tuple(y_pred.shape)}"
            )
        if y_pred.shape[-1] == self.size:  # no output in training is as wide, see `_marked`
            losses = -ops.take_along_axis(y_pred, ids[..., None], axis=-1)[..., 0]
        else:
            weight = ops.cast(ops.logical_and(known, valid), "float32")
            # without the zero of `call`; what is masked may be anything, NaN too
            inputs = ops.cast(y_pred[..., : self.table.shape[1]], "float32")
            inputs = ops.where(known[..., None], inputs, 0.0)
            losses = self._sampled(inputs, ids, weight if sample_weight is None else weight * sample_weight)
        losses = ops.where(known, ops.where(valid, losses, float("nan")), 0.0)
        set_mask(losses, known)
        return losses

    def _sampled(self, inputs, ids, weight):
        # (rows, width)
        inputs, labels = ops.reshape(inputs, (-1, inputs.shape[-1])), ops.reshape(ids, (-1,))
        drawn = self.sample(self.num_sampled)  # (k,)
        # (rows, width), (k, width)
        right, wrong = (ops.take(self.table, labels, axis=0), ops.take(self.table, drawn, axis=0))
        s_right = ops.sum(inputs * right, axis=-1) + ops.take(self.bias, labels)  # (rows,)
        s_wrong = ops.matmul(inputs, ops.transpose(wrong)) + ops.take(self.bias, drawn)  # (rows, k)
        log_k = float(np.log(self.num_sampled))
        if self.loss_name != "negative_sampling":
            s_wrong = s_wrong - ops.take(self._log_q, drawn) - log_k
        if self.loss_name == "nce":
            s_right = s_right - ops.take(self._log_q, labels) - log_k
        if self.loss_name == "sampled_softmax":
            s_wrong = ops.where(drawn == labels[:, None], -1e9, s_wrong)
            total = ops.logaddexp(s_right, ops.logsumexp(s_wrong, axis=-1))
            losses = total - s_right
            at_right, at_wrong = ops.exp(-losses) - 1, ops.exp(s_wrong - total[:, None])
        else:
            losses = ops.softplus(-s_right) + ops.sum(ops.softplus(s_wrong), axis=-1)
            at_right, at_wrong = ops.sigmoid(s_right) - 1, ops.sigmoid(s_wrong)  # the slopes of the loss
        if self.learning_rate is not None:
            weight = ops.reshape(weight, (-1,))
            self._learn(inputs, labels, drawn, at_right, at_wrong, weight, ops.isfinite(losses))
        return ops.reshape(losses, ops.shape(ids))

    def _learn(self, inputs, labels, drawn, at_right, at_wrong, weight, finite):
        """Adagrad on the rows of this batch; the squares of a row's gradient are added up as their mean."""
        inputs, at_right, at_wrong = map(ops.stop_gradient, (inputs, at_right, at_wrong))
        inputs, at_right = ops.where(finite[:, None], inputs, 0.0), ops.where(finite, weight * at_right, 0.0)
        at_wrong = ops.where(finite[:, None], weight[:, None] * at_wrong, 0.0)
        rows = ops.concatenate([labels, drawn])
        # (rows + k, width)
        slopes = ops.concatenate([at_right[:, None] * inputs, ops.matmul(ops.transpose(at_wrong), inputs)])
        bias_slopes = ops.concatenate([at_right, ops.sum(at_wrong, axis=0)])
        squares = add_rows(self._squares, rows, ops.mean(slopes**2, axis=-1) + bias_slopes**2)
        rates = self.learning_rate / (ops.sqrt(squares) + 1e-7)  # (rows + k,)
        add_rows(self.table, rows, -rates[:, None] * slopes)
        add_rows(self.bias, rows, -rates * bias_slopes)

    def get_config(self):
        sizes = {"size": self.size, "num_sampled": self.num_sampled}  # the noise is in the weights
        return {**super().get_config(), **sizes, "loss": self.loss_name, "learning_rate": self.learning_rate}


@keras.saving.register_keras_serializable(package="partita")
class SampledLoss(keras.losses.Loss):
    """The loss of a `SampledSoftmax`: what `layer.loss` is. It is saved with a model by the layer's name.

    Called as Keras does, with labels, what the layer gives, and weights or None, it returns the mean: over
    what is neither masked nor unknown, each label's loss times its weight. Called with labels and what the
    layer gives alone, it returns the loss of each label. Weights `(batch,)` of sequences are those of all
    their words. They also reach the updates that the layer makes by itself.

    Args:
        layer: The layer, or the name of one that was announced.
        name: The name of the loss.
        **kwargs: Others of `keras.losses.Loss`.

    Raises:
        ValueError: when called, if there was no layer of that name, or a label is no id; see
            `SampledSoftmax`.

    Example:
        >>> import numpy as np
        >>> from partita.contrast import SampledSoftmax
        >>> output = SampledSoftmax(3)
        >>> log_p = output(np.zeros((3, 2), "float32"))
        >>> labels = np.array([0, 1, -1])
        >>> keras.ops.convert_to_numpy(output.loss(labels, log_p)).round(3).tolist()
        [0.693, 1.228, 0.0]
        >>> keras.ops.convert_to_numpy(output.loss(labels, log_p, None)).round(3).item()  # of two
        0.961
    """

    def __init__(self, layer: SampledSoftmax | str, name: str | None = None, **kwargs: Any):
        self._owner = Owner(layer)
        super().__init__(name=name or f"{self._owner.name}_loss", **kwargs)

    def __call__(self, y_true, y_pred, sample_weight=_NOT_GIVEN):
        y_true, y_pred = (value if ops.is_tensor(value) else np.asarray(value) for value in (y_true, y_pred))
        if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
            y_true = y_true[..., 0]
        if sample_weight is _NOT_GIVEN:
            return self._owner.layer._loss(y_true, y_pred)
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, "float32")
            while len(sample_weight.shape) < len(y_true.shape):
                sample_weight = sample_weight[..., None]
        losses = self._owner.layer._loss(y_true, y_pred, sample_weight)
        if sample_weight is not None:
            sample_weight = sample_weight * ops.ones_like(losses)
        return super().__call__(losses, losses, sample_weight)

    def call(self, y_true, y_pred):
        return y_pred  # `__call__` has computed it, before Keras makes floats of the ids

    def get_config(self):
        return {**super().get_config(), "layer": self._owner.name}
