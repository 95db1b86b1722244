from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from partita.crf.tags import (
    SCHEMES,
    Span,
    legal,
    spans_to_tags,
    split_tag,
    tag_set,
    tags_to_spans,
    tags_to_words,
    words_to_tags,
)

WORDS = st.lists(st.text(min_size=1, max_size=6))
LETTERS = st.sampled_from([*"BIESOMX.-bmes"])
LABELS = st.sampled_from(["", "-", "-A", "-B", "A", "-A-B", "--", "-_", "-人"])
ANY_TAG = st.builds(str.__add__, LETTERS, LABELS) | st.text(min_size=1, max_size=4)


@st.composite
def spans_and_length(draw):
    ends = sorted(draw(st.sets(st.integers(0, 12))))
    labels = draw(
        st.lists(
            st.text(min_size=1, max_size=3) | st.sampled_from("AB"), min_size=len(ends), max_size=len(ends)
        )
    )
    spans = [Span(label, start, end) for label, start, end in zip(labels, ends, ends[1:], strict=False)]
    return [span for span in spans if draw(st.booleans())], 12


def is_legal(tags, names, scheme):
    ids = [names.index(tag) for tag in tags]
    transitions, start, end = legal(names, scheme)
    return not ids or bool(
        start[ids[0]] and end[ids[-1]] and all(transitions[pair] for pair in pairwise(ids))
    )


def spells_whole_spans(tags, scheme):
    try:
        return spans_to_tags(tags_to_spans(tags), len(tags), scheme) == list(tags)
    except ValueError:  # a stray M makes seqeval read spans that overlap
        return False


@given(WORDS)
def test_words_survive_their_tags(words):
    tags = words_to_tags(words)
    assert tags_to_words("".join(words), tags) == words
    assert is_legal(tags, ["s", "b", "m", "e"], "bmes")


@given(st.lists(st.tuples(st.characters(), st.text(max_size=2) | st.sampled_from("sbmeSBMEO"))))
def test_any_tags_cut_a_sentence_into_words_that_join_to_it(pairs):
    characters, tags = "".join(char for char, _ in pairs), [tag for _, tag in pairs]
    words = tags_to_words(characters, tags)
    assert "".join(words) == characters
    assert all(words)


@pytest.mark.parametrize(
    ("tags", "words"),
    [("mm", ["ab"]), ("em", ["a", "b"]), ("bb", ["a", "b"]), ("be", ["ab"]), ("ms", ["a", "b"]), ("", [])],
)
def test_malformed_tags_cut_only_where_a_word_begins_or_ends(tags, words):
    assert tags_to_words("ab"[: len(tags)], tags) == words


@given(st.lists(ANY_TAG))
@example(["B-A", "O", "X", "B-B"])
@example(["X", "X-_", "I"])
@pytest.mark.filterwarnings("ignore:.*seems not to be NE tag")
def test_spans_are_those_of_seqeval(tags):
    assert [(label, start, end - 1) for label, start, end in tags_to_spans(tags)] == get_entities(tags)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(spans_and_length())
def test_spans_survive_their_tags(scheme, case):
    spans, length = case
    tags = spans_to_tags(reversed(spans), length, scheme)
    assert tags_to_spans(tags) == spans
    assert is_legal(tags, tag_set(tags, scheme), scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_legal_sequences_are_those_that_spell_whole_spans(scheme):
    names = tag_set(["O", "B-A", "B-B"], scheme)
    for length in range(4):
        for tags in product(names, repeat=length):
            assert is_legal(tags, names, scheme) == spells_whole_spans(tags, scheme), tags


def test_legal_sequences_of_bare_tags_are_those_that_spell_words():
    for length in range(5):
        for tags in product("sbme", repeat=length):
            assert is_legal(tags, ["s", "b", "m", "e"], "bmes") == (
                words_to_tags(tags_to_words("abcd"[:length], tags)) == list(tags)
            )


def test_legal_gives_booleans_in_the_order_asked_for():
    names = ["I-A", "O", "B-A"]
    transitions, start, end = legal(names, "bio")
    np.testing.assert_array_equal(transitions, [[True, True, True], [False, True, True], [True, True, True]])
    assert (transitions.dtype, start.tolist(), end.tolist()) == (
        bool,
        [False, True, True],
        [True, True, True],
    )


@pytest.mark.parametrize(
    ("tags", "scheme", "names"),
    [
        (["m"], "bmes", ["s", "b", "m", "e"]),
        (["E-VV", "S-NN"], "bmes", ["S-NN", "B-NN", "M-NN", "E-NN", "S-VV", "B-VV", "M-VV", "E-VV"]),
        (["I", "O"], "bio", ["O", "B", "I"]),
        (["S-A"], "bioes", ["B-A", "I-A", "E-A", "S-A"]),
        ([], "bio", []),
    ],
)
def test_a_label_brings_all_its_tags(tags, scheme, names):
    assert tag_set(tags, scheme) == names
    assert tag_set(names, scheme) == names


@pytest.mark.parametrize(
    ("tag", "scheme"),
    [
        ("", "bio"),
        ("E-A", "bio"),
        ("B-", "bio"),
        ("-A", "bio"),
        ("BI-A", "bio"),
        ("b", "bio"),
        ("M-A", "bioes"),
        ("B", "bmes"),
        ("b-A", "bmes"),
    ],
)
def test_a_tag_of_another_scheme_is_named(tag, scheme):
    for function in (
        split_tag,
        lambda tag, scheme: legal(["O", tag], scheme),
        lambda tag, scheme: tag_set([tag], scheme),
    ):
        with pytest.raises(ValueError, match=f"tag '{tag}' is not of scheme '{scheme}'"):
            function(tag, scheme)


@pytest.mark.parametrize(
    ("tag", "scheme", "message"),
    [
        (
            "NN",
            "bio",
            "expected O, B-… or I-…, as in B-NP; for plain tags, such as parts of speech, take scheme none",
        ),
        ("NN", "bioes", "expected O, B-…, I-…, E-… or S-…, as in B-NP; for plain tags"),
        ("b", "bio", "such tags are those of scheme bmes, of text cut into words"),
        ("E-PER", "bio", "such tags are those of scheme bmes or bioes"),
        (
            "I-PER",
            "bmes",
            "expected b, m, e or s, or B-…, M-…, E-…, S-… or O, as in B-NP; such tags are those of scheme "
            "bioes or bio",
        ),
        ("U-PER", "bio", "for BILOU tags write E for L and S for U, and take scheme bioes"),
        ("B-", "bio", "a label after the dash"),
        ("\x1b[31m", "bio", "tag '\\\\x1b\\[31m' is not of scheme"),
        ("N" * 500, "bio", "tag 'N{59}…' is not of scheme"),
    ],
)
def test_what_is_expected_is_said_and_what_reads_such_a_tag(tag, scheme, message):
    with pytest.raises(ValueError, match=message) as error:
        split_tag(tag, scheme)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: legal(["O"], "iob"), "scheme must be one of bmes, bioes, bio, got 'iob'"),
        (lambda: tags_to_words("abc", ["s"]), "got 1 for 3"),
        (lambda: tags_to_spans(["O", ""]), "empty"),
        (lambda: spans_to_tags([("A", 0, 2), ("B", 1, 3)], 3, "bio"), "'B' from 1 to 3"),
        (lambda: spans_to_tags([("A", 0, 4)], 3, "bio"), "within 3 tokens, got 'A' from 0 to 4"),
        (lambda: spans_to_tags([("A", -1, 1)], 3, "bio"), "'A' from -1 to 1"),
        (lambda: spans_to_tags([("A", 1, 1)], 3, "bio"), "'A' from 1 to 1"),
        (lambda: spans_to_tags([("", 0, 1)], 3, "bio"), "'' from 0 to 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
