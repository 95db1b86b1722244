"""Mixtures of samples: arrays in, arrays out.

ε a + (1 − ε) b
"""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from partita.data.numbers import check_finite
from partita.kernels import njit

Batch = tuple[Any, ...]  # (x,), (x, y) or (x, y, sample weights), each an array or a nest of them
_NAMES = ("x", "y", "sample_weight")


def lengths(batch: Batch) -> list[int]:
    """Return the different lengths of the arrays, in ascending order."""
    return sorted({len(leaf) if leaf.ndim else 0 for leaf in keras.tree.flatten(batch) if leaf is not None})


def size(batch: Batch) -> int:
    """Return the number of samples.

    Raises:
        ValueError: if the arrays differ in length.
    """
    found = lengths(batch)
    if len(found) != 1:
        raise ValueError(f"all arrays of a batch must have one length, got {found}")
    return found[0]


def check_batch(batch: Batch, number: int | None = None) -> None:
    """Raise if a number in a batch is NaN or infinite; `number` is that of the batch, for the message.

    Raises:
        ValueError: if one is.
    """
    try:
        for name, part in zip(_NAMES, batch, strict=False):
            for label, leaf in _labelled(name, part):
                if leaf is not None and leaf.dtype.kind in "fV":
                    check_finite(label, leaf)
    except ValueError as error:
        raise (error if number is None else ValueError(f"batch {number} of the data: {error}")) from None


def _labelled(name: str, part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield from _labelled(f"{name}[{key!r}]", value)
    elif isinstance(part, list | tuple):
        for place, value in enumerate(part):
            yield from _labelled(f"{name}[{place}]", value)
    else:
        yield name, part


def partners(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Choose the partner that each sample is mixed with: the next one in a random order.

    So no sample is mixed with itself, unless it is the only one.

    Raises:
        ValueError: if there is no sample.
    """
    count = size(batch)
    if count < 1:
        raise ValueError("a batch must hold samples, got one without any")
    order = rng.permutation(count)
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    return partner


def check_shares(alpha: float, per: str) -> None:
    """Raise unless shares ε ~ Beta(α, α) can be drawn, one per sample or per batch.

    Raises:
        ValueError: if an argument does not fit.
    """
    if not 0 < alpha < np.inf:
        raise ValueError(f"alpha must be above 0, got {alpha}")
    if per not in ("sample", "batch"):
        raise ValueError(f"per must be 'sample' or 'batch', got {per!r}")


def draw_shares(rng: np.random.Generator, count: int, alpha: float, per: str) -> np.ndarray:
    """Draw ε ~ Beta(α, α), one for each of `count` samples or one for all.

    Raises:
        ValueError: if an argument does not fit.
    """
    check_shares(alpha, per)
    return rng.beta(alpha, alpha, count if per == "sample" else 1)


def checked_class_weight(
    class_weight: Mapping[int, float] | None, num_classes: int | None
) -> np.ndarray | None:
    """Return the weight of each class `(num_classes,)`, 1 where none is given.

    Raises:
        ValueError: if a class or a weight does not fit.
    """
    if class_weight is None:
        return None
    if num_classes is None:
        raise ValueError("class_weight must come with num_classes: expected both, got class_weight alone")
    weights = np.ones(num_classes, "float32")
    for number, weight in class_weight.items():
        if number not in range(num_classes) or not 0 <= weight < np.inf:
            raise ValueError(
                f"class_weight must map classes from 0 to {num_classes - 1} to finite weights of at least "
                f"0, got {number!r}: {weight!r}"
            )
        weights[int(number)] = weight
    return weights


def mix(
    batch: Batch,
    others: Batch,
    rows: np.ndarray,
    share: np.ndarray,
    num_classes: int | None,
    class_weight: np.ndarray | None,
) -> Batch:
    """Mix a batch with these rows of others: inputs, targets and weights.

    Raises:
        ValueError: if something cannot be mixed.
    """
    x, y, weight = (*batch, None, None)[:3]
    other_x, other_y, other_weight = (*others, None, None)[:3]
    alone = not keras.tree.is_nested(y)
    if class_weight is not None and (y is None or not alone):
        raise ValueError(
            f"class_weight must come with one array of targets, got {'none' if y is None else 'several'}"
        )

    def blend_targets(a, b):
        return _blend_targets(a, b, rows, share, num_classes, alone)

    mixed = blend_inputs(x, other_x, rows, share), keras.tree.map_structure(blend_targets, y, other_y)
    if class_weight is not None:
        theirs = None if other_weight is None else other_weight[rows]
        sides = _weights_of(y, weight, class_weight), _weights_of(other_y[rows], theirs, class_weight)
        return *mixed, _blend(*sides, np.arange(len(rows)), share)
    if weight is not None:
        weight = keras.tree.map_structure(lambda a, b: _blend(a, b, rows, share), weight, other_weight)
    return (*mixed, weight)[: len(batch)]


def blend_inputs(x: Any, others: Any, rows: np.ndarray, share: np.ndarray) -> Any:
    """Mix inputs: numbers by their shares, masks by or.

    Raises:
        ValueError: for ids, and what is no real number.
    """

    def blend(a, b):
        if a.dtype.kind in "iu" and a.dtype != np.uint8:
            raise ValueError(
                f"x holds whole numbers ({a.dtype}): ids cannot be mixed. Mix their embeddings, with "
                "MixHidden after the Embedding layer; or make measurements floats, x.astype('float32')"
            )
        return a | b[rows] if a.dtype == bool else _blend(a, b, rows, share)

    return keras.tree.map_structure(blend, x, others)


def _weights_of(y: np.ndarray, weight: Any, class_weight: np.ndarray) -> np.ndarray:
    """The weight of each sample: Σ_c y_c w_c, times its own."""
    of_class = _probabilities(y, len(class_weight), alone=True) @ class_weight
    if weight is None:
        return of_class
    weight = np.asarray(weight)
    return of_class * weight.reshape(weight.shape + (1,) * (of_class.ndim - weight.ndim))


def _blend_targets(
    a: Any, b: Any, rows: np.ndarray, share: np.ndarray, num_classes: int | None, alone: bool
) -> Any:
    if a is None:
        return None
    if a.dtype.kind in "iub" and num_classes is None:
        raise ValueError(
            f"y holds whole numbers ({a.dtype}): give num_classes if they are classes, for a loss that "
            "takes probabilities ('categorical_crossentropy'), or make them floats"
        )
    if a.dtype.kind in "OUST":
        raise ValueError(
            f"y must hold numbers, got {a.dtype}: number the classes, np.unique(y, return_inverse=True)[1], "
            f"and give num_classes"
        )
    if num_classes is not None:
        a, b = _probabilities(a, num_classes, alone), _probabilities(b[rows], num_classes, alone)
        rows = np.arange(len(a))
    return _blend(a, b, rows, share)


def _probabilities(y: np.ndarray, num_classes: int, alone: bool) -> np.ndarray:
    """Return class ids as ones and zeros on a new last axis.

    Floats stay as they are, where they are probabilities or not the only targets.
    """
    if y.dtype.kind in "iub":
        return _one_hot(y.astype(int), num_classes)
    if not alone or (y.ndim > 1 and y.shape[-1] == num_classes):
        return y
    if not (y == np.floor(y)).all():
        raise ValueError(
            f"y must hold class ids from 0 to {num_classes - 1}, or probabilities with {num_classes} "
            f"columns, where num_classes is given; got fractions in the shape {y.shape}"
        )
    return _one_hot(y.astype(int), num_classes)


def _one_hot(ids: np.ndarray, num_classes: int) -> np.ndarray:
    if ids.size and (ids.min() < 0 or ids.max() >= num_classes):
        raise ValueError(
            f"classes must be from 0 to num_classes − 1 = {num_classes - 1}, got {ids.min()} to {ids.max()}"
        )
    ids = ids[..., 0] if ids.ndim > 1 and ids.shape[-1] == 1 else ids  # a column of classes, as Keras allows
    return np.eye(num_classes, dtype="float32")[ids]


def _blend(a: np.ndarray, b: np.ndarray, rows: np.ndarray, share: np.ndarray) -> np.ndarray:
    """ε a + (1 − ε) b[rows], in the type of a if that is a float, else in float32."""
    if a.dtype.kind not in "biufV":  # V: bfloat16
        raise ValueError(f"only real numbers can be mixed, got {a.dtype}")
    kind = a.dtype if a.dtype.kind == "f" else np.dtype("float32")
    if not b.flags.c_contiguous:
        b, rows = b[rows], np.arange(len(rows))  # or all of b would be copied for a batch
    is_known_to_numba = a.dtype.kind in "biu" or a.dtype in (np.float32, np.float64)
    if not (is_known_to_numba and a.dtype.isnative):
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
