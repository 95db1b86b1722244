"""Tests of corpora that break their scheme: counted, named, read and trained on.

They are read as the CoNLL scorer reads them, and trained on with a finite loss.
"""

from itertools import product

import keras
import numpy as np
import pytest
from keras import ops

from partita import crf
from partita.crf.repair import first_break, first_break_of_ids
from partita.crf.tags import SCHEMES, legal, tag_set, tags_to_spans


@pytest.mark.parametrize("scheme", SCHEMES)
def test_repaired_tags_keep_to_the_scheme_and_spell_the_spans_that_the_scorer_reads(scheme):
    names = tag_set(["O", "B-A", "B-B"], scheme)
    constraints = legal(names, scheme)
    for length in range(4):
        for tags in product(names, repeat=length):
            repaired = crf.repair_tags(tags, scheme)
            broken = first_break(tags, scheme)
            assert first_break(repaired, scheme) is None
            assert (
                first_break_of_ids(np.array([names.index(tag) for tag in tags], int), constraints) == broken
            )
            assert (repaired == list(tags)) == (broken is None)
            if scheme != "bmes":  # whose M the scorer does not know
                assert tags_to_spans(repaired) == tags_to_spans(tags)


@pytest.mark.parametrize(
    ("scheme", "tags", "repaired"),
    [
        ("bio", "O I-PER I-PER", "O B-PER I-PER"),
        ("bio", "I-PER I-LOC", "B-PER B-LOC"),
        ("bioes", "B-PER I-PER O", "B-PER E-PER O"),
        ("bioes", "B-PER", "S-PER"),
        ("bioes", "E-PER I-PER I-LOC", "S-PER S-PER S-LOC"),
        ("bmes", "b b m s", "s b e s"),
        ("bmes", "O M-NN E-NN", "O B-NN E-NN"),
        ("bio", "", ""),
    ],
)
def test_repair(scheme, tags, repaired):
    assert crf.repair_tags(tags.split(), scheme) == repaired.split()


GOOD = ["B-PER", "I-PER", "O"]
CORPUS = [
    GOOD,
    ["O", "I-PER", "O"],
    GOOD,
    ["I-PER", "O", "O"],
    GOOD,
    ["O", "O", "I-PER"],
    ["I-PER", "I-PER", "I-PER"],
]
WORDS = [["Ann", "Lee", "ran"]] * len(CORPUS)
COUNTED = (
    r"4 of 7 sentences have tags that break scheme bio: sentence 2 \('I-PER' after 'O'\), sentence 4 "
    r"\('I-PER' at the beginning\), "
    r"sentence 6 \('I-PER' after 'O'\), …\. They are read"
)


@pytest.fixture
def lexicon():
    with pytest.warns(UserWarning, match=COUNTED):
        return crf.Lexicon.fit(WORDS, CORPUS, "bio", features="words", min_count=1)


def test_a_lexicon_repairs_tags_and_says_so_once(lexicon):
    assert [lexicon.decode_tags(lexicon.encode_tags(tags)) for tags in CORPUS] == [
        crf.repair_tags(tags, "bio") for tags in CORPUS
    ]
    with pytest.warns(UserWarning, match=r"must keep to scheme bio, got 'I-PER' after 'O': they are read"):
        assert lexicon.decode_tags(lexicon.encode_tags(["B-PER", "O", "I-PER"])) == ["B-PER", "O", "B-PER"]
    assert lexicon.decode_tags(lexicon.encode_tags(["O", "I-PER"], repair=False)) == ["O", "I-PER"]


def test_a_scheme_that_all_sentences_keep_to_is_named():
    with pytest.warns(UserWarning, match="All sentences keep to scheme bio: is it that"):
        crf.Lexicon.fit(WORDS[:2], [GOOD, GOOD], "bioes", features="words")


def tagger_of(lexicon):
    tagger = crf.Tagger(
        crf.cnn(lexicon.sizes, width=4, depth=1),
        crf.CRF(lexicon.num_tags, lexicon.constraints),
        lexicon=lexicon,
    )
    tagger.compile("adam")
    return tagger


def test_training_and_validation_on_what_is_repaired_have_finite_losses(lexicon):
    ids, targets = [lexicon.encode(words) for words in WORDS], [lexicon.encode_tags(tags) for tags in CORPUS]
    batches = crf.Batches(ids, targets, batch_size=4)
    history = tagger_of(lexicon).fit(batches, epochs=2, verbose=0, validation_data=batches)
    assert np.isfinite([history.history["loss"], history.history["val_loss"]]).all()


def test_targets_that_the_constraints_forbid_are_counted_and_have_a_finite_loss(lexicon):
    ids = [lexicon.encode(words) for words in WORDS]
    targets = [lexicon.encode_tags(tags, repair=False) for tags in CORPUS]
    batches = crf.Batches(ids, targets, batch_size=4)
    good = crf.Batches(ids[:1], targets[:1])
    found = (
        r"4 of 7 sentences have tags that the constraints forbid, in the {} data: sentence 2 \('I-PER' "
        r"after 'O'\)"
    )
    with pytest.warns(UserWarning, match=found.format("training")):
        history = tagger_of(lexicon).fit(batches, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    with pytest.warns(UserWarning, match=found.format("validation")):
        history = tagger_of(lexicon).fit(good, verbose=0, validation_data=(np.stack(ids), np.stack(targets)))
    assert np.isfinite(history.history["val_loss"]).all()
    with pytest.warns(UserWarning, match=found.format("training")):
        tagger_of(lexicon).fit(np.stack(ids), np.stack(targets), verbose=0)


def test_the_loss_of_forbidden_tags_is_that_of_the_chain_without_constraints():
    constraints = legal(["O", "B-A", "I-A"], "bio")
    rng = np.random.default_rng(0)
    bound, free = crf.CRF(3, constraints), crf.CRF(3)
    weights = [rng.normal(size=weight.shape) for weight in bound.get_weights()]
    bound.set_weights(weights)
    free.set_weights(weights)
    scores = rng.normal(size=(3, 4, 3)).astype("float32")
    tags = np.array([[0, 1, 2, 0], [0, 2, 2, 0], [2, -1, 0, 0]])
    loss, without = (ops.convert_to_numpy(layer.loss(tags, scores)) for layer in (bound, free))
    np.testing.assert_allclose(loss[1:], without[1:], rtol=1e-6)
    np.testing.assert_allclose(loss[0], -ops.convert_to_numpy(bound.log_prob(scores, tags))[0], rtol=1e-6)
    assert loss[0] < without[0]
    assert np.isneginf(ops.convert_to_numpy(bound.log_prob(scores, tags))).tolist() == [False, True, True]


def test_ids_of_no_tag_are_refused(lexicon):
    for ids in ([0, -1], [-2], [3]):
        with pytest.raises(ValueError, match="ids must be from 0 to 2, got"):
            lexicon.decode_tags(ids)


def test_a_functional_model_trains_on_forbidden_tags_with_a_finite_loss():
    layer = crf.CRF(3, legal(["O", "B-A", "I-A"], "bio"))
    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, layer(inputs))
    model.compile("adam", loss=layer.loss)
    history = model.fit(np.zeros((4, 4, 3)), np.array([[0, 2, 2, 0]] * 4), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(layer.get_weights()[0]).all()


def test_unknown_tags_of_any_negative_id_break_nothing():
    constraints = legal(["O", "B-A", "I-A"], "bio")
    assert first_break_of_ids(np.array([1, -100, 2]), constraints) is None
    assert first_break_of_ids(np.array([-100, 0, 2]), constraints) == 2
    with pytest.raises(
        ValueError, match="expected integers from 0 to 2, or negative ones for unknown, got 3"
    ):
        first_break_of_ids(np.array([0, 3]), constraints)
