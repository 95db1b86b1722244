"""NaN in means NaN out; what stands at padding counts for nothing."""

import keras
import numpy as np
import pytest
from keras import ops

from partita import crf
from partita.backend import compiled
from tests.autodiff import gradients

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(3, 4, 3)).astype("float32")
TRANSITIONS = RNG.normal(size=(3, 3)).astype("float32")
MASK = np.array([[True] * 4, [True, False, True, True], [True] * 4])
TAGS = np.zeros((3, 4), "int32")


def numpy(x):
    return np.array(ops.convert_to_numpy(x))


def results(scores, transitions, mask):
    """All float results of a batch, (batch, ...) each."""
    _, best = crf.viterbi(scores, transitions, mask)
    _, three = crf.viterbi(scores, transitions, mask, k=3)
    found = {
        "log_partition": crf.log_partition(scores, transitions, mask),
        "path_score": crf.path_score(scores, TAGS, transitions, mask),
        "path_score, unknown": crf.path_score(scores, TAGS - 1, transitions, mask),
        "marginals": crf.marginals(scores, transitions, mask),
        "entropy": crf.entropy(scores, transitions, mask),
        "viterbi": best,
        "viterbi, three": three,
    }
    return {name: numpy(x) for name, x in found.items()}


def with_bad(place, value=np.nan):
    scores = SCORES.copy()
    scores[place] = value
    return scores


@pytest.mark.parametrize("place", [(0, 0, 1), (0, 2), (0,), (0, 3, 2)])
@pytest.mark.parametrize(
    "transitions", [TRANSITIONS, np.where(np.eye(3, dtype=bool), -np.inf, TRANSITIONS).astype("float32")]
)
def test_nan_at_a_real_step_is_nan_in_every_result_of_its_sequence_alone(place, transitions):
    right = results(SCORES, transitions, MASK)
    for name, got in results(with_bad(place), transitions, MASK).items():
        assert np.isnan(got[0][MASK[0]] if name == "marginals" else got[0]).all(), name
        np.testing.assert_array_equal(got[1:], right[name][1:], name)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
def test_nothing_at_padding_reaches_a_result_or_a_gradient(value):
    padded = with_bad((1, 1), value)
    for name, want in results(SCORES, TRANSITIONS, MASK).items():
        np.testing.assert_array_equal(results(padded, TRANSITIONS, MASK)[name], want, name)

    def total(scores, transitions):
        log_p = crf.path_score(scores, TAGS, transitions, MASK) - crf.log_partition(scores, transitions, MASK)
        return (
            log_p
            + ops.sum(crf.marginals(scores, transitions, MASK), axis=(1, 2))
            + crf.entropy(scores, transitions, MASK)
        )

    for got, want in zip(
        gradients(total, padded, TRANSITIONS)[1], gradients(total, SCORES, TRANSITIONS)[1], strict=True
    ):
        np.testing.assert_allclose(got, want, atol=1e-6)


def test_the_gradient_of_nan_is_nan_where_it_comes_from():
    by_scores, by_transitions = gradients(
        lambda s, t: crf.log_partition(s, t, MASK), with_bad((0, 2)), TRANSITIONS
    )[1]
    assert np.isnan(by_scores[0]).all()
    assert np.isfinite(by_scores[1:]).all()
    assert np.isnan(by_transitions).any()


def test_nan_in_a_transition_reaches_all_but_sequences_of_one_step():
    transitions = TRANSITIONS.copy()
    transitions[0, 1] = np.nan
    mask = np.array([[True] * 4, [False, True, False, False], [False] * 4])
    log_z = numpy(crf.log_partition(SCORES, transitions, mask))
    assert np.isnan(log_z[0])
    np.testing.assert_allclose(
        log_z[1:], [np.log(np.exp(SCORES[1, 1].astype("float64")).sum()), 0.0], rtol=1e-6
    )
    assert numpy(crf.viterbi(SCORES, transitions, mask)[0]).tolist() == [
        [-2] * 4,
        [-1, SCORES[1, 1].argmax(), -1, -1],
        [-1] * 4,
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_path_is_best_or_drawn_among_nan(value):
    scores = with_bad((0, 2, 1), value)
    for k, shape in ((1, (4,)), (2, (2, 4))):
        tags, score = map(numpy, crf.viterbi(scores, TRANSITIONS, MASK, k=k))
        assert np.array_equal(tags[0], np.full(shape, -2))
        assert np.isnan(score[0]).all()
        assert np.isfinite(score[1:]).all()
        assert np.all((tags[1:] >= 0) == (MASK[1:] if k == 1 else MASK[1:, None]))
    draws = numpy(crf.sample(scores, TRANSITIONS, MASK, n=2, seed=0))
    assert np.all(draws[:, 0] == -2)
    assert np.all((draws[:, 1:] >= 0) == MASK[1:])


def test_an_impossible_sentence_is_not_nan():
    scores = with_bad((0, 2), -np.inf)
    assert numpy(crf.log_partition(scores, TRANSITIONS, MASK))[0] == -np.inf
    layer = crf.CRF(3)
    assert numpy(layer.log_prob(scores, TAGS, mask=MASK))[0] == -np.inf
    assert np.isfinite(numpy(layer.log_prob(scores, TAGS))).all()  # without a mask, −inf is padding


def test_the_layer_does_not_take_nan_for_padding():
    layer = crf.CRF(3)
    scores = layer(with_bad((0, 2)), mask=MASK)
    assert np.isnan(numpy(layer.log_prob(scores, TAGS))).tolist() == [True, False, False]
    assert np.isnan(numpy(layer.loss(TAGS, scores))).tolist() == [True, False, False]
    assert np.isnan(numpy(layer.entropy(scores))).tolist() == [True, False, False]
    for refused in (layer.decode, layer.sample, lambda scores: layer.decode(scores, k=2)):
        with pytest.raises(crf.DivergedError, match="scores must be numbers, got NaN or"):
            refused(scores)
    with pytest.raises(ValueError, match="in 3 of 3 sequences"):
        layer.decode(np.full((3, 4, 3), np.nan))
    if keras.backend.backend() != "torch":  # compiled, it cannot know
        decoded = numpy(compiled(layer.decode)(ops.convert_to_tensor(scores)))
        assert decoded[0].tolist() == [-2] * 4
        assert ((decoded[1:] >= 0) == MASK[1:]).all()


def tagger_and_data(learning_rate=0.01, constraints=None):
    ids, tags = RNG.integers(1, 10, (60, 5)), RNG.integers(0, 3, (60, 5))
    encoder = keras.Sequential([keras.layers.Embedding(10, 8), keras.layers.Dense(3)])
    tagger = crf.Tagger(encoder, crf.CRF(3, constraints))
    tagger.compile(keras.optimizers.SGD(learning_rate))
    return tagger, ids, tags


def test_a_diverged_tagger_has_a_loss_of_nan_and_tags_nothing():
    tagger, ids, tags = tagger_and_data()
    tagger(ids[:1])
    tagger.encoder.layers[-1].kernel.assign(np.full((8, 3), np.nan, "float32"))
    measured = tagger.evaluate(ids, tags, verbose=0, return_dict=True)
    assert np.isnan(measured["loss"])
    assert measured["accuracy"] == 0.0
    batches = crf.Batches(list(ids), shuffle=False)
    for predict in (
        lambda: tagger.predict(ids, verbose=0),
        lambda: tagger.predict(batches),
        lambda: tagger.predict_on_batch(ids),
    ):
        with pytest.raises(ValueError, match="has the training diverged"):
            predict()


@pytest.mark.parametrize("learning_rate", [np.nan, 1e30])
def test_training_that_diverges_stops_with_a_word_and_the_best_weights(learning_rate):
    tagger, ids, tags = tagger_and_data()
    batches = crf.Batches(list(ids), list(tags), batch_size=20, num_shapes=1, shuffle=False)
    held_out = crf.HeldOut(batches, lambda predicted: np.mean(np.concatenate(predicted) == tags.ravel()))

    class Explode(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.optimizer.learning_rate.assign(learning_rate)

    with pytest.warns(RuntimeWarning, match="training was stopped"):
        history = tagger.fit(ids, tags, epochs=9, verbose=0, batch_size=20, callbacks=[Explode(), held_out])
    assert len(history.history["loss"]) < 6
    assert held_out.best_epoch <= 2
    assert np.isfinite(tagger.evaluate(ids, tags, verbose=0)[0])


class Scores:
    """A score that is the same after every epoch but the first, which is worse."""

    def __init__(self):
        self.calls = 0

    def __call__(self, predicted):
        self.calls += 1
        return min(self.calls, 2) / 2


@pytest.mark.parametrize("with_tags", [True, False])
def test_of_equal_scores_the_lower_loss_is_best(with_tags):
    tagger, ids, tags = tagger_and_data(learning_rate=0.5)
    held_out = crf.HeldOut(
        crf.Batches(list(ids[:20]), list(tags[:20]) if with_tags else None, shuffle=False), Scores()
    )
    losses = []

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            losses.append(
                self.model.evaluate(ids[:20], tags[:20], verbose=0)[0] if with_tags else logs["loss"]
            )

    tagger.fit(ids[:20], tags[:20], epochs=4, verbose=0, callbacks=[Note(), held_out])
    assert held_out.best == 1.0
    assert held_out.best_epoch == 1 + int(np.argmin(losses[1:]))
    assert held_out.best_loss == pytest.approx(min(losses[1:]), rel=1e-4)
