"""Tests of unknown labels and labels that are no ids, in losses that carry another one.

They are tested against means written out in NumPy.
"""

import keras
import numpy as np
import pytest
from keras import ops

from partita.data.labels import class_ids
from partita.training import CenterLoss, MixHidden

X = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
LABELS = np.array([0, 2, -1, 1, -100, 2])


def model_of(inner="sparse_categorical_crossentropy", eager=True):
    center = CenterLoss(3, weight=0.5)
    model = keras.Sequential([keras.Input((2,)), center, keras.layers.Dense(3, "softmax")])
    center.centers.assign(np.arange(6).reshape(3, 2))
    model.compile(keras.optimizers.SGD(0.1), loss=center.loss(inner), run_eagerly=eager)
    return model, center


@pytest.mark.parametrize("kind", ["ids", "column", "one-hot"])
def test_unknown_classes_do_not_count(kind):
    inner = "categorical_crossentropy" if kind == "one-hot" else "sparse_categorical_crossentropy"
    model, center = model_of(inner)
    p, centers = model.predict(X, verbose=0), ops.convert_to_numpy(center.centers)
    known = LABELS >= 0
    expected = np.mean(
        [-np.log(p[i, c]) + 0.25 * ((X[i] - centers[c]) ** 2).sum() for i, c in enumerate(LABELS) if c >= 0]
    )
    labels = {
        "ids": LABELS,
        "column": LABELS[:, None],
        "one-hot": np.eye(3)[np.maximum(LABELS, 0)] * known[:, None],
    }[kind]
    assert float(model.test_on_batch(X, labels)) == pytest.approx(expected, rel=1e-5)
    before = ops.convert_to_numpy(center.centers).copy()
    model.train_on_batch(X, np.where(LABELS == 2, -1, LABELS) if kind == "ids" else labels)
    moved = np.abs(ops.convert_to_numpy(center.centers) - before).max(axis=1) > 0
    assert moved.tolist() == [True, True, kind != "ids"]


def test_a_class_that_is_none_is_named_or_no_number():
    model, center = model_of()
    labels = np.array([0, 1, 2, 3, 0, 1])
    with pytest.raises(ValueError, match=r"labels must be ids: expected integers from 0 to 2, .* got 3"):
        center.carry(lambda y_true, y_pred: ops.zeros(6), labels, ops.zeros((6, 3)))
    model, center = model_of(eager=False)
    try:
        assert np.isnan(float(model.train_on_batch(X, labels)))
    except ValueError as error:
        assert keras.backend.backend() == "torch"
        assert "got 3" in str(error)  # noqa: PT017
    assert all(np.isfinite(ops.convert_to_numpy(weight)).all() for weight in model.weights)


def test_what_the_inner_loss_ignores_does_not_count_after_mixing():
    mix = MixHidden(seed=0)
    model = keras.Sequential([keras.Input((2,)), mix, keras.layers.Dense(3, "softmax")])
    model.compile(
        "sgd", loss=mix.loss(keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)), run_eagerly=True
    )
    labels = np.array([0, -1, -1, 1, -1, 2])
    p = model.predict(X, verbose=0)
    expected = np.mean([-np.log(p[i, c]) for i, c in enumerate(labels) if c >= 0])
    assert float(model.test_on_batch(X, labels)) == pytest.approx(expected, rel=1e-5)
    y_pred = mix(ops.convert_to_tensor(X), training=True)
    share, partner = (ops.convert_to_numpy(part) for part in mix._pairs)
    p = np.abs(np.random.default_rng(1).normal(size=(6, 3))).astype("float32")
    p /= p.sum(axis=1, keepdims=True)
    each = [[-np.log(p[i, labels[j]]) if labels[j] >= 0 else 0 for j in (i, partner[i])] for i in range(6)]
    counted = share * (labels >= 0) + (1 - share) * (labels[partner] >= 0)
    expected = sum(share[i] * each[i][0] + (1 - share[i]) * each[i][1] for i in range(6)) / counted.sum()
    found = mix.loss(keras.losses.SparseCategoricalCrossentropy(ignore_class=-1))(
        labels, ops.convert_to_tensor(p)
    )
    assert y_pred.shape == (6, 2)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "bool"])
def test_labels_of_small_types_are_labels(dtype):
    """300 is no number of theirs."""
    labels = np.array([1, 0, 1]).astype(dtype)
    ids, known, valid = map(ops.convert_to_numpy, class_ids(labels, 300))
    assert ids.tolist() == [1, 0, 1]
    assert known.all()
    assert valid.all()
