"""The encoders: what a batch or padding must not change, and what the n-grams add."""

import keras
import numpy as np
import pytest

from partita import crf
from partita.backend import double_precision
from partita.crf.encoder import WEIGHTS, WINDOW

SIZES, COLUMNS = (9, 9, 7, 5), ("word", "word", "word_bigram", "column1")


def ids_of(rows=3, time=8, seed=0):
    return np.random.default_rng(seed).integers(1, 5, (rows, time, len(SIZES))).astype("int32")


def with_random_weights(model, seed=0):
    generator = np.random.default_rng(seed)
    model.set_weights([generator.normal(size=weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(params=[crf.cnn, crf.bilstm])
def encoder(request):
    return with_random_weights(request.param(SIZES, COLUMNS, width=6, embedding=4))


@pytest.mark.parametrize("kind", [crf.cnn, crf.bilstm])
def test_what_is_said_of_a_sentence_does_not_depend_on_its_batch(kind):
    """The encoding of a sentence in float64 does not depend on its batch.

    Numbers of a hundred in float32 differ by 1e-5 on some processors, which sum in another order for another
    length.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        with double_precision():
            encoder = with_random_weights(kind(SIZES, COLUMNS, width=6, embedding=4))
            ids = ids_of()
            alone = encoder.predict(ids, verbose=0)
            ids[1, 5:] = 0
            beside = encoder.predict(np.pad(ids, [(0, 1), (0, 3), (0, 0)]), verbose=0)
            short = encoder.predict(ids[1:2, :5], verbose=0)
    finally:
        keras.config.set_dtype_policy(policy)
    assert alone.shape == (3, 8, 6 + WEIGHTS)
    assert alone.dtype == "float64"
    np.testing.assert_allclose(beside[[0, 2], :8], alone[[0, 2]], atol=1e-9)
    np.testing.assert_allclose(beside[1, :5], short[0], atol=1e-9)


def test_ngrams_are_summed_over_the_window(encoder):
    ids = ids_of()
    table = next(w for w in encoder.get_weights() if w.shape == (7, WINDOW * WEIGHTS)).reshape(
        7, WINDOW, WEIGHTS
    )
    found = encoder.predict(ids, verbose=0)[..., 6:]
    for t in range(8):
        around = range(max(0, t - WINDOW // 2), min(8, t + WINDOW // 2 + 1))
        # The n-gram at `s` has its weights for the place that it stands at as seen from `t`.
        want = sum(table[ids[:, s, 2], s - t + WINDOW // 2] for s in around)
        np.testing.assert_allclose(found[:, t], want, atol=1e-5)


def test_ngrams_say_nothing_before_training():
    untrained = crf.cnn(SIZES, COLUMNS, width=6)
    assert not np.any(untrained.predict(ids_of(), verbose=0)[..., 6:])


def test_columns_of_one_name_share_their_embedding(encoder):
    tables = [
        weight.shape for weight in encoder.get_weights() if weight.shape[0] in SIZES and weight.ndim == 2
    ]
    assert sorted(tables) == [(5, 4), (7, WINDOW * WEIGHTS), (9, 4)]


def test_something_must_be_embedded():
    with pytest.raises(
        ValueError, match="columns must hold one that is no n-gram, got word_bigram, column1_trigram"
    ):
        crf.cnn((5, 5), ("word_bigram", "column1_trigram"))
