"""Tests of words that do not count, in every loss over a vocabulary.

Masks, unknown labels, weights and labels that are no ids are tested against sums written out in NumPy.
"""

import keras
import numpy as np
import pytest
from keras import ops

from partita.contrast import SampledSoftmax, Unigram
from partita.layer_loss import LayerLoss

SIZE, WIDTH = 7, 4
COUNTS = np.array([40, 30, 5, 12, 9, 3, 1])
WORDS = np.array([[1, 2, 3, 0], [4, 5, 0, 0], [6, 1, 2, 3]])  # 0 is padding
NEXT = np.array([[2, 3, 6, 5], [5, 1, 4, 4], [1, 2, -1, 6]])
DRAWN = np.array([0, 5, 5])
UNKNOWN = np.where(NEXT == 6, -100, NEXT)


def model_of(loss="sampled_softmax", rate=None, mask_zero=True, wrapped=False, eager=False):
    output = SampledSoftmax(SIZE, len(DRAWN), Unigram(COUNTS), loss, rate)
    model = keras.Sequential([keras.layers.Embedding(SIZE, WIDTH, mask_zero=mask_zero), output])
    model.build((None, 4))
    rng = np.random.default_rng(0)
    for weight in (model.layers[0].embeddings, output.table, output.bias):
        weight.assign(rng.normal(size=weight.shape))
    output.sample = lambda n: ops.convert_to_tensor(DRAWN, "int32")
    model.compile(
        keras.optimizers.SGD(0.1), loss=LayerLoss(output) if wrapped else output.loss, run_eagerly=eager
    )
    return model, output


def of_each(model, output, labels, full):
    """The loss of each label, by the formula."""
    h = ops.convert_to_numpy(model.layers[0].embeddings)[WORDS]
    table, bias = (ops.convert_to_numpy(weight) for weight in (output.table, output.bias))
    scores = h @ table.T + bias
    labels = np.maximum(labels, 0)
    log_q = Unigram(COUNTS).log_prob(np.arange(SIZE))
    right = np.take_along_axis(scores, labels[..., None], -1)[..., 0]
    if full:
        scores = scores + log_q if output.loss_name == "negative_sampling" else scores
        right = np.take_along_axis(scores, labels[..., None], -1)[..., 0]
        return np.log(np.exp(scores).sum(-1)) - right
    corrected = scores - log_q - np.log(len(DRAWN))
    wrong = (scores if output.loss_name == "negative_sampling" else corrected)[..., DRAWN]
    if output.loss_name == "sampled_softmax":
        wrong = np.where(labels[..., None] == DRAWN, -np.inf, wrong)
        return np.log(np.exp(right) + np.exp(wrong).sum(-1)) - right
    if output.loss_name == "nce":
        right = np.take_along_axis(corrected, labels[..., None], -1)[..., 0]
    return np.log1p(np.exp(-right)) + np.log1p(np.exp(wrong)).sum(-1)


@pytest.mark.parametrize("full", [True, False], ids=["full", "sampled"])
@pytest.mark.parametrize(
    ("mask_zero", "labels", "weights", "counts"),
    [
        pytest.param(True, np.abs(NEXT), None, WORDS > 0, id="mask"),
        pytest.param(False, NEXT, None, NEXT >= 0, id="unknown"),
        pytest.param(False, UNKNOWN, None, UNKNOWN >= 0, id="unknown-100"),
        pytest.param(True, NEXT, None, (WORDS > 0) & (NEXT >= 0), id="both"),
        pytest.param(True, NEXT, np.array([[1, 2, 0, 5]] * 3), (WORDS > 0) & (NEXT >= 0), id="weights"),
        pytest.param(
            True, np.where(WORDS > 0, NEXT, 99), None, (WORDS > 0) & (NEXT >= 0), id="anything-under-the-mask"
        ),
        pytest.param(False, np.full((3, 4), -1), None, np.zeros((3, 4)), id="nothing-known"),
    ],
)
@pytest.mark.parametrize(
    ("loss", "wrapped"),
    [("sampled_softmax", False), ("sampled_softmax", True), ("nce", False), ("negative_sampling", False)],
)
def test_a_loss_is_the_mean_over_what_counts(
    loss, wrapped, mask_zero, labels, weights, counts, full, request
):
    eager = not (
        "both" in request.node.name and loss == "sampled_softmax"
    )  # compiling takes most of the time
    model, output = model_of(loss, mask_zero=mask_zero, wrapped=wrapped, eager=eager)
    each = of_each(model, output, np.where(counts, labels, 0), full) * (1 if weights is None else weights)
    expected = (each * counts).sum() / max(counts.sum(), 1)
    run = model.test_on_batch if full else model.train_on_batch
    assert float(run(WORDS, labels, sample_weight=weights)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_weights_of_sequences_are_those_of_their_words():
    model, output = model_of(eager=True)
    counts = (WORDS > 0) & (NEXT >= 0)
    weights = np.array([1.0, 0.0, 3.0])
    expected = (of_each(model, output, NEXT, full=True) * weights[:, None] * counts).sum() / counts.sum()
    assert float(model.test_on_batch(WORDS, NEXT, sample_weight=weights)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("rate", [None, 0.1])
@pytest.mark.parametrize("loss", ["sampled_softmax", "nce", "negative_sampling"])
def test_what_does_not_count_teaches_nothing(loss, rate):
    """Other labels under the mask, other unknown ones, words of weight 0: the same weights after the step."""
    hidden, zero = (WORDS == 0) | (NEXT < 0), np.array([[1, 1, 0, 1]] * 3)
    after = []
    for filler in (0, 3, -7):
        model, output = model_of(loss, rate, eager=True)
        labels = np.where(WORDS == 0, filler, NEXT)
        labels = np.where((zero == 0) & ~hidden, filler % SIZE, labels)
        model.train_on_batch(WORDS, labels, sample_weight=zero)
        after.append(
            np.concatenate([np.ravel(ops.convert_to_numpy(weight)) for weight in (output.table, output.bias)])
        )
    assert np.abs(after[0] - after[1]).max() < 1e-6
    assert np.abs(after[0] - after[2]).max() < 1e-6
    untouched = ops.convert_to_numpy(model_of(loss, rate)[1].table)
    changed = np.abs(ops.convert_to_numpy(output.table) - untouched).max(axis=1) > 0
    assert changed.tolist() == [True, True, True, True, False, True, True]  # 4 is no label but under the mask


@pytest.mark.parametrize(
    ("full", "rate", "label"),
    [(True, None, SIZE), (False, None, 99), (False, 0.1, 2**31 - 1), (False, 0.1, SIZE)],
)
def test_a_label_beyond_the_vocabulary_is_no_number_and_ruins_nothing(label, rate, full):
    model, _ = model_of(rate=rate)
    labels = NEXT.copy()
    labels[0, 1] = label
    try:
        loss = float((model.test_on_batch if full else model.train_on_batch)(WORDS, labels))
    except ValueError as error:  # PyTorch knows its numbers while it trains
        assert keras.backend.backend() == "torch"
        assert (  # noqa: PT017
            f"integers from 0 to {SIZE - 1}, or negative ones for unknown, got {label} at index (0, 1)"
            in str(error)
        )
    else:
        assert np.isnan(loss)
    assert all(np.isfinite(ops.convert_to_numpy(weight)).all() for weight in model.weights)
    assert np.isfinite(model.train_on_batch(WORDS, NEXT))


@pytest.mark.parametrize(
    "labels", [[0, 7, 1], [0, 2**40, 1], [0.0, 1.5, 2.0], [0.0, np.nan, 2.0], [1, 2, np.inf]]
)
def test_labels_that_are_no_ids_are_named_where_they_are_known(labels):
    output = SampledSoftmax(SIZE, 3)
    h = ops.ones((3, WIDTH))
    for given in (output(h), output(h, training=True)):
        with pytest.raises(
            ValueError,
            match="labels must be ids: expected integers from 0 to 6, or negative ones for unknown, got",
        ):
            output.loss(np.array(labels), given)


@pytest.mark.parametrize("loss", ["sampled_softmax", "nce", "negative_sampling"])
@pytest.mark.parametrize("rate", [None, 0.1])
def test_nan_goes_through_and_stays_where_it_is(loss, rate):
    """NaN in a word that counts is NaN in its loss and no other.

    It does not get into rows that the layer changes by itself.
    """
    output = SampledSoftmax(SIZE, 3, Unigram(COUNTS), loss, rate)
    h = np.ones((3, WIDTH), "float32")
    h[1, 2] = np.nan
    output.build(h.shape)
    for given in (output(h), ops.convert_to_tensor(h)):
        found = ops.convert_to_numpy(output.loss(np.array([0, 1, 2]), given))
        assert np.isnan(found).tolist() == [False, True, False]
        hidden = ops.convert_to_numpy(output.loss(np.array([0, -1, 2]), given))
        assert hidden[1] == 0
        assert np.isfinite(hidden).all()
    assert np.isfinite(ops.convert_to_numpy(output.table)).all()


def test_ids_do_not_become_floats():
    """2²⁴ + 1 is no float32."""
    output = SampledSoftmax(SIZE, 3)
    with pytest.raises(ValueError, match="got 16777217 at index"):
        output.loss(np.array([0, 2**24 + 1]), output(ops.ones((2, WIDTH))), None)
