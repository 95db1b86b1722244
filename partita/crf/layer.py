"""The CRF as a Keras layer: it owns the transitions, and knows which steps are real.

P(y|x) = exp(Σ_t h(y_t; x) + Σ_t g(y_t, y_{t+1})) / Z(x),   h the layer's input, g its trained matrix
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from partita.backend import is_known, uncompiled
from partita.crf import paths, recursion
from partita.crf.messages import INFINITY, shift_to_zero
from partita.crf.tags import Constraints
from partita.layer_loss import LayerLoss, announce
from partita.types import Tensor


@keras.saving.register_keras_serializable(package="partita")
class CRF(keras.layers.Layer):
    """Linear-chain conditional random field over the tag scores that an encoder computes.

    Called on scores, the layer returns them in float32, with −inf at padding: what a loss or a decoder needs
    to know of the mask travels with them. A functional model may thus end in this layer and train with
    `loss=layer.loss`. In all methods `mask` `(batch, time)` is True at real steps; None means that padding is
    where every score of a step is −inf. NaN is no padding: it makes every result of its sequence NaN, and
    `decode` and `sample` refuse it. In a compiled function, where they cannot, the tags of such a sequence
    are −2.

    Args:
        num_tags: Number of tags.
        constraints: What is allowed, as `tags.legal` gives it, or any (transitions `(tags, tags)`, start
            `(tags,)`, end `(tags,)`) of booleans, True = allowed. What is not has probability zero. None
            allows everything.
        learning_rate_factor: The transitions learn this many times as fast as the optimizer's learning rate
            says.

    Raises:
        ValueError: if an argument does not fit, or the scores are not `(batch, time, num_tags)`.

    Source: Lafferty, McCallum, Pereira 2001.

    Example:
        >>> import numpy as np
        >>> layer = CRF(2)
        >>> scores = layer(np.array([[[1.0, 0], [0, 2]]]))
        >>> np.array(layer.decode(scores)).tolist()
        [[0, 1]]
    """

    def __init__(
        self,
        num_tags: int,
        constraints: Constraints | None = None,
        learning_rate_factor: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if num_tags < 1:
            raise ValueError(f"num_tags must be at least 1, got {num_tags}.")
        if not learning_rate_factor > 0:
            raise ValueError(f"learning_rate_factor must be above 0, got {learning_rate_factor}.")
        self.num_tags = num_tags
        shapes = {"transitions": (num_tags, num_tags), "start": (num_tags,), "end": (num_tags,)}
        self.constraints = None if constraints is None else self._checked(constraints, shapes)
        self.learning_rate_factor = learning_rate_factor
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: num_tags})
        self._transitions, self._start, self._end = (
            self.add_weight(name=name, shape=shape, initializer="zeros", dtype="float32", autocast=False)
            for name, shape in shapes.items()
        )
        announce(self)

    def _checked(self, constraints, shapes):
        allowed = [np.asarray(values, bool) for values in constraints]
        for (part, shape), values in zip(shapes.items(), allowed, strict=True):
            if values.shape != shape:
                wanted = f"the shape {shape} for {self.num_tags} tags"
                raise ValueError(f"constraints.{part} must have {wanted}, got {values.shape}.")
        return Constraints(*allowed)

    @property
    def transitions(self) -> Tensor:
        """Log weights of going from the row's tag to the column's, `(tags, tags)`; −inf where forbidden."""
        return self._effective(self._transitions, 0)

    @property
    def start(self) -> Tensor:
        """Log weights of the first tag, `(tags,)`."""
        return self._effective(self._start, 1)

    @property
    def end(self) -> Tensor:
        """Log weights of the last tag, `(tags,)`."""
        return self._effective(self._end, 2)

    def _scaled(self, weight):
        # factor · weight with the gradient of weight: a step of any optimizer is then a step of factor times
        # its size.
        weight = ops.convert_to_tensor(weight)
        return weight + ops.stop_gradient((self.learning_rate_factor - 1.0) * weight)

    def _effective(self, weight, part):
        weight = self._scaled(weight)
        return weight if self.constraints is None else ops.where(self.constraints[part], weight, -INFINITY)

    def call(self, scores, mask=None):
        scores = ops.cast(scores, "float32")
        return scores if mask is None else ops.where(ops.cast(mask, "bool")[..., None], scores, -INFINITY)

    def compute_mask(self, inputs, previous_mask=None):
        return None  # it is in the output

    def compute_output_spec(self, scores, mask=None):
        return keras.KerasTensor(scores.shape, "float32")

    def _chain(self, scores, mask):
        scores = ops.convert_to_tensor(scores)
        if mask is None:
            mask = ~ops.all(scores == -INFINITY, axis=-1)
        weights = {"transitions": self.transitions, "start": self.start, "end": self.end}
        return {"scores": scores, "mask": mask, **weights}

    def log_prob(self, scores: Tensor, tags: Tensor, mask: Tensor | None = None) -> Tensor:
        """Log-probability `(batch,)` of the paths `tags` `(batch, time)`; −1 = unknown, summed over."""
        return self._log_prob(self._chain(scores, mask), tags)

    def _log_prob(self, chain, tags):
        # A shift common to all tags of a step cancels; taken off first, it costs no digits.
        chain = {**chain, "scores": shift_to_zero(chain["scores"], axis=-1)[0]}
        score = paths.path_score(tags=tags, **chain)
        return ops.where(score == -INFINITY, -INFINITY, score - recursion.log_partition(**chain))

    @property
    def loss(self) -> LayerLoss:
        """Return the loss −log P(tags|scores) `(batch,)`, for `compile(loss=layer.loss)`.

        It is a function of tags and the layer's output, and is saved along with the model.

        Tags that the constraints forbid have no probability: for such a sequence it is the loss of the chain
        without constraints, so that one mistake in a corpus does not make every epoch's loss infinite.
        """
        return LayerLoss(self)

    def _loss(self, y_true, y_pred):
        chain = self._chain(y_pred, None)
        log_p = self._log_prob(chain, y_true)
        if self.constraints is None:
            return -log_p
        forbidden = log_p == -INFINITY
        transitions, start, end = map(self._scaled, (self._transitions, self._start, self._end))
        free = {**chain, "transitions": transitions, "start": start, "end": end}
        without = ops.cond(
            ops.any(forbidden), lambda: self._log_prob(free, y_true), lambda: ops.zeros_like(log_p)
        )
        return -ops.where(forbidden, without, log_p)

    def decode(self, scores: Tensor, mask: Tensor | None = None, k: int = 1) -> Tensor:
        """Return the tags of the best path, `(batch, time)` int32, −1 at padding.

        With k > 1, return those of the k best paths, `(batch, k, time)`.

        Raises:
            ValueError: if a real step has a score of NaN or +inf. In a compiled function the sequence's tags
                are then −2.
        """
        return refuse_undefined(self._best(scores, mask, k))

    def _best(self, scores, mask=None, k=1):
        return uncompiled(paths.viterbi)(**uncompiled(self._chain)(scores, mask), k=k)[0]

    def marginals(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Probability of each tag at each step, `(batch, time, tags)`."""
        return recursion.marginals(**self._chain(scores, mask))

    def sample(
        self, scores: Tensor, mask: Tensor | None = None, n: int = 1, seed: int | None = None
    ) -> Tensor:
        """`n` draws of the path, `(n, batch, time)` int32, −1 at padding; scores of NaN as in `decode`."""
        return refuse_undefined(paths.sample(**self._chain(scores, mask), n=n, seed=seed))

    def entropy(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Entropy of the path, `(batch,)`, in nats."""
        return recursion.entropy(**self._chain(scores, mask))

    def get_config(self):
        constraints = None if self.constraints is None else [allowed.tolist() for allowed in self.constraints]
        return {
            **super().get_config(),
            "num_tags": self.num_tags,
            "constraints": constraints,
            "learning_rate_factor": self.learning_rate_factor,
        }


class DivergedError(ValueError):
    """Raised where scores of NaN or +inf leave no tag to give.

    Example:
        >>> issubclass(DivergedError, ValueError)
        True
    """


def refuse_undefined(tags: Any) -> Any:
    """Return tags as they are.

    Raises:
        DivergedError: if they are known and some are −2, the mark of a sequence whose scores are no numbers.

    Example:
        >>> import numpy as np
        >>> refuse_undefined(np.array([[0, -1], [-2, -2]]))
        Traceback (most recent call last):
        partita.crf.layer.DivergedError: scores must be numbers, got NaN or +inf in 1 of 2 sequences, ...
    """
    if is_known(tags):
        rows = (np.asarray(ops.convert_to_numpy(tags)) == paths.UNDEFINED).any(axis=-1)
        if rows.any():
            raise DivergedError(
                f"scores must be numbers, got NaN or +inf in {rows.sum()} of {rows.size} sequences, or in "
                "the transitions: has the training diverged? Look at its loss, and train again with a lower "
                "learning rate."
            )
    return tags
