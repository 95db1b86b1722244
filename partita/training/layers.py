"""Layers that do what `fit` has no place for: split features, draw them to centres, mix them while training.

CenterLoss:  ℓ + ½ λ ‖f − c_y‖²
MixHidden:   h̃ = ε h_a + (1 − ε) h_b,   ε ℓ(y_a, ŷ) + (1 − ε) ℓ(y_b, ŷ)
"""

from itertools import accumulate, pairwise
from typing import Any

import keras
from keras import ops

from partita.data.labels import class_ids, not_unknown
from partita.layer_loss import Carrier, announce
from partita.training.blending import check_shares
from partita.types import Tensor


@keras.saving.register_keras_serializable(package="partita")
class SplitFeatures(keras.layers.Layer):
    """Cut the last axis into parts: `(..., features)` → a list of `(..., size)`, one for each size.

    Args:
        sizes: How many features each part gets; one may be −1 and gets what is left.

    Raises:
        ValueError: if the sizes are no sizes, or do not add up to the features.

    Example:
        >>> mean, rest = SplitFeatures([2, -1])(ops.zeros((4, 7)))
        >>> tuple(mean.shape), tuple(rest.shape)
        ((4, 2), (4, 5))
    """

    def __init__(self, sizes: list[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.sizes = [*sizes]
        if not self.sizes or any(size < 1 and size != -1 for size in self.sizes) or self.sizes.count(-1) > 1:
            raise ValueError(f"sizes must be positive numbers, one of them −1 at most, got {self.sizes}")
        self.supports_masking = True

    def _found(self, features):
        left = features - sum(size for size in self.sizes if size > 0)
        if left < (-1 in self.sizes) or (left and -1 not in self.sizes):
            raise ValueError(f"sizes {self.sizes} do not add up to the {features} features of the input")
        return [left if size == -1 else size for size in self.sizes]

    def call(self, inputs):
        ends = [0, *accumulate(self._found(inputs.shape[-1]))]
        return [inputs[..., low:high] for low, high in pairwise(ends)]

    def compute_mask(self, inputs, previous_mask=None):
        return None if previous_mask is None else [previous_mask] * len(self.sizes)

    def compute_output_shape(self, input_shape):
        return [(*input_shape[:-1], size) for size in self._found(input_shape[-1])]

    def get_config(self):
        return {**super().get_config(), "sizes": self.sizes}


@keras.saving.register_keras_serializable(package="partita")
class CenterLoss(keras.layers.Layer, Carrier):
    """Features pass unchanged; its `loss` adds their squared distance to a trained centre of their class.

        features = Dense(2)(h);  features = center(features);  outputs = Dense(10, "softmax")(features)
        model.compile("adam", loss=center.loss("sparse_categorical_crossentropy"))

    Targets that are probabilities, of mixtures say, take the mean over their classes, ½ λ Σ_c y_c ‖f − c_c‖².
    Where the class is not known, a negative id, the `ignore_class` of the inner loss or a row of zeros, a
    sample has no loss and does not count in the mean.

    Args:
        num_classes: How many centres, `(num_classes, features)`, are trained.
        weight: λ in ℓ + ½ λ ‖f − c_y‖².

    Raises:
        ValueError: if an argument is out of range, or in training where the targets are neither class ids
            `(batch,)` or `(batch, 1)` nor one-hot `(batch, num_classes)`; for NaN and class ids of
            `num_classes` or more, where the numbers are known. In a compiled step these make the loss NaN,
            and no step is taken for that sample.

    Source: Wen, Zhang, Li, Qiao 2016.

    Example:
        >>> center = CenterLoss(3, weight=0.5)
        >>> tuple(center(ops.ones((4, 2))).shape), tuple(center.centers.shape)
        ((4, 2), (3, 2))
        >>> value = center.loss("mse")(ops.zeros((4, 1), "int32"), ops.zeros((4, 1)))
        >>> float(ops.convert_to_numpy(value))  # ½ · 0.5 · 2
        0.5
    """

    def __init__(self, num_classes: int, weight: float = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        if num_classes < 1 or not weight > 0:
            raise ValueError(f"num_classes and weight must be above 0, got {num_classes} and {weight}")
        self.num_classes, self.weight = num_classes, weight
        self.supports_masking = True
        self._features: Any = None
        announce(self)

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(
                f"features must be (batch, features), got {tuple(input_shape)}: flatten or pool them"
            )
        self.centers = self.add_weight(
            name="centers",
            shape=(self.num_classes, input_shape[-1]),
            initializer="zeros",
            dtype="float32",
            autocast=False,
        )

    def call(self, inputs):
        self._features = inputs
        return inputs

    def carry(self, inner, y_true, y_pred, ignored=None):
        targets = ops.convert_to_tensor(y_true)
        features, centers = ops.cast(self._features, "float32"), ops.convert_to_tensor(self.centers)
        if self._is_one_hot(targets):
            known = valid = self._known(targets, ignored)
            shares = ops.cast(targets, "float32")
            total = ops.sum(shares, axis=-1)
            mean = ops.matmul(shares, centers) / ops.where(total == 0, 1.0, total)[:, None]
            spread = ops.matmul(shares, _squared_norm(centers)) - total * _squared_norm(mean)
            distance = total * _squared_norm(features - mean) + spread  # (batch,)
        else:
            ids, known, valid = class_ids(self._classes(targets, ignored), self.num_classes)
            distance = _squared_norm(features - ops.take(centers, ids, axis=0))
            targets = ops.cast(ops.reshape(ids, ops.shape(targets)), targets.dtype)
        losses = inner(targets, y_pred) + ops.cast(0.5 * self.weight * distance, y_pred.dtype)
        return ops.where(known, ops.where(valid, losses, float("nan")), 0.0)

    def counted(self, y_true, y_pred, ignored=None):
        known = self._known(ops.convert_to_tensor(y_true), ignored)
        return ops.ones_like(known), known

    def _is_one_hot(self, targets):
        return targets.ndim == 2 and targets.shape[-1] == self.num_classes and self.num_classes > 1

    def _classes(self, targets, ignored):
        """The class of each sample, −1 for the ignored one."""
        classes = targets[:, 0] if targets.ndim == 2 and targets.shape[-1] == 1 else targets
        if classes.ndim != 1:
            raise ValueError(
                f"targets must be class ids (batch,), or one-hot (batch, {self.num_classes}), got "
                f"{tuple(targets.shape)}"
            )
        return classes if ignored is None else ops.where(classes == ignored, -1, classes)

    def _known(self, targets, ignored):
        """Whether the class of each sample is known; NaN is no word for one that is not."""
        if self._is_one_hot(targets):
            return ops.any(targets != 0, axis=-1)
        return not_unknown(self._classes(targets, ignored))

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "weight": self.weight}


@keras.saving.register_keras_serializable(package="partita")
class MixHidden(keras.layers.Layer, Carrier):
    """Manifold mixup: a layer that mixes hidden features of any shape within the batch while training.

    Its `loss` mixes the losses of both targets alike.

        h = mix(h);  model.compile("adam", loss=mix.loss("sparse_categorical_crossentropy"))

    After an Embedding layer this is the mixup of text. A mask goes on as that of the first of the two. Where
    the second has ended and the first has not, the first goes on alone: its features are not mixed there, and
    targets `(batch, time, ...)` are its own. A CRF after it takes no `constraints` where lengths differ: what
    is cut at the end of the first, or goes on from the second to the first, may break them. One such layer a
    model; targets may be class ids. Weights of samples and classes given to `fit` are those of the first of
    the two.

    Args:
        alpha: Of ε ~ Beta(α, α), above 0.
        per: `"sample"` or `"batch"`: how many ε there are.
        seed: The same seed gives the same mixtures.

    Raises:
        ValueError: if an argument does not fit.

    Source: Verma, Lamb, Beckham et al. 2019 (manifold mixup).

    Example:
        >>> mix = MixHidden(seed=0)
        >>> h = mix(ops.convert_to_tensor([[0.0], [1.0]]), training=True)
        >>> bool(ops.all(h > 0) & ops.all(h < 1))
        True
        >>> mix(ops.ones((2, 1))).shape == (2, 1)  # in use, features pass unchanged
        True
    """

    def __init__(self, alpha: float = 1.0, per: str = "sample", seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        check_shares(alpha, per)
        self.alpha, self.per, self.seed = alpha, per, seed
        self.supports_masking = True
        self._generator = keras.random.SeedGenerator(seed)
        self._pairs: Any = None
        self._masks: Any = None
        announce(self)

    def call(self, inputs, training=False, mask=None):
        self._pairs, self._masks = None, None if mask is None else (mask, mask)
        if not training:
            return inputs
        size = ops.shape(inputs)[0]
        # A shift of 1 to size − 1: nobody is mixed with itself.
        shift = keras.random.randint((), 1, ops.maximum(size, 2), seed=self._generator)
        partner = (ops.arange(size) + shift) % size
        shape = (size if self.per == "sample" else 1,)
        share = keras.random.beta(shape, self.alpha, self.alpha, dtype="float32", seed=self._generator)
        self._pairs = share, partner
        broad = ops.cast(_as_deep_as(share, inputs), inputs.dtype)
        if mask is not None:
            mask = ops.cast(mask, "bool")
            self._masks = mask, ops.take(mask, partner, axis=0)
            broad = ops.where(_as_deep_as(self._masks[1], inputs), broad, 1)
        return broad * inputs + (1 - broad) * ops.take(inputs, partner, axis=0)

    def carry(self, inner, y_true, y_pred, ignored=None):
        if self._pairs is None:
            return inner(y_true, y_pred)
        first, second = inner(y_true, y_pred), inner(self._second(y_true, y_pred.ndim > 2), y_pred)
        share = ops.cast(_as_deep_as(self._pairs[0], first), first.dtype)
        return share * first + (1 - share) * second

    def counted(self, y_true, y_pred, ignored=None):
        if ignored is None:
            return None

        def known(y_true):
            ids = ops.squeeze(y_true, -1) if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1 else y_true
            return ops.cast(ids != ignored, "float32")

        found = known(ops.convert_to_tensor(y_true))
        if self._pairs is not None:
            share = _as_deep_as(self._pairs[0], found)
            found = share * found + (1 - share) * known(self._second(y_true, y_pred.ndim > 2))
        real = ops.ones_like(found)
        if self._masks is not None and found.ndim == self._masks[0].ndim:
            real = ops.cast(self._masks[0], found.dtype)
        return real, real * found

    def _second(self, y_true, of_steps):
        """Return the targets of the second of each pair.

        Where the second has ended and the targets are those of each step, they are the first's.
        """
        y_true = ops.convert_to_tensor(y_true)
        second = ops.take(y_true, self._pairs[1], axis=0)
        if self._masks is None or not of_steps or y_true.ndim < 2:
            return second
        mask = self._masks[1]
        if y_true.shape[1] != mask.shape[1]:
            return second
        return ops.where(_as_deep_as(mask, second), second, y_true)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "per": self.per, "seed": self.seed}


def _squared_norm(x: Tensor) -> Tensor:
    return ops.sum(ops.square(x), axis=-1)


def _as_deep_as(leading: Tensor, tensor: Tensor) -> Tensor:
    """A mask or shares of the first axes, with as many axes as the tensor."""
    return ops.reshape(leading, (*ops.shape(leading), *[1] * (tensor.ndim - leading.ndim)))
