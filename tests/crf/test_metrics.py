from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

from partita.crf.metrics import illegal_share, segmentation_f1, span_f1
from partita.crf.tags import words_to_tags

TAGS = st.sampled_from(
    ["O", "B-A", "I-A", "E-A", "S-A", "M-A", "B-B", "I-B", "B", "I", "X", ".", "-A", "B-", "X-A"]
) | st.text("BIESOX-A", min_size=1)
SENTENCES = st.lists(st.lists(st.tuples(TAGS, TAGS)), min_size=1)


@st.composite
def cut_twice(draw):
    """A sentence and two ways to cut it into words."""
    text = draw(st.text("abc", min_size=1, max_size=8))
    cuts = [[0, *sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1))))), len(text)] for _ in range(2)]
    return [[text[i:j] for i, j in pairwise(ends) if i < j] for ends in cuts]


@given(SENTENCES)
@example([[("B-A", "X")], [("X", "O"), ("B-B", "X")]])
@pytest.mark.filterwarnings("ignore")
def test_span_f1_is_that_of_seqeval(sentences):
    gold, predicted = ([[pair[side] for pair in sentence] for sentence in sentences] for side in range(2))
    precision, recall, f1, num_gold = precision_recall_fscore_support(gold, predicted, average="micro")
    score = span_f1(gold, predicted)
    assert score[:3] == pytest.approx((precision, recall, f1))
    assert score.gold == num_gold


def test_spans_of_chunks_worked_by_hand():
    gold = [["B-NP", "I-NP", "B-VP", "O"], ["B-NP"]]
    predicted = [["B-NP", "I-NP", "B-NP", "B-VP"], ["B-NP"]]
    assert span_f1(gold, predicted) == (2 / 4, 2 / 3, pytest.approx(4 / 7), 2, 4, 3, None)


@given(st.lists(cut_twice()))
def test_words_are_counted_by_the_characters_they_cover(pairs):
    gold, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    # Another way to the same count: a word is right when the tags of its characters, and the cut behind it,
    # agree.
    correct = 0
    for one, other in pairs:
        one_tags, other_tags = words_to_tags(one), words_to_tags(other)
        start = 0
        for word in one:
            end = start + len(word)
            correct += one_tags[start:end] == other_tags[start:end]
            start = end
    score, swapped = segmentation_f1(gold, predicted), segmentation_f1(predicted, gold)
    assert (score.correct, score.gold, score.predicted) == (
        correct,
        sum(map(len, gold)),
        sum(map(len, predicted)),
    )
    assert (score.precision, score.recall) == (swapped.recall, swapped.precision)


def test_recall_of_unknown_words():
    gold, predicted = [["ab", "c", "de"], ["de", "ab"]], [["ab", "c", "d", "e"], ["de", "a", "b"]]
    assert segmentation_f1(gold, predicted).oov_recall is None
    assert segmentation_f1(gold, predicted, known_words={"ab", "c"}).oov_recall == 1 / 2
    assert segmentation_f1(gold, predicted, known_words=Counter(["ab", "c", "de"])).oov_recall == 0.0


def test_scores_of_nothing_are_zero():
    assert span_f1([], []) == span_f1([[]], [[]]) == segmentation_f1([], []) == (0.0, 0.0, 0.0, 0, 0, 0, None)
    assert illegal_share([], "bmes") == illegal_share([[]], "bmes") == 0.0


def test_generators_are_scored_as_lists_are():
    gold = [["ab", "c"], [], ["d"]]
    assert (
        segmentation_f1(iter(gold), iter(gold))
        == segmentation_f1(gold, gold)
        == (1.0, 1.0, 1.0, 3, 3, 3, None)
    )


def test_illegal_share():
    sentences = [["O", "B-A", "I-A"], ["O", "I-A"], ["I-A"], [], ["B-A", "I-B"]]
    assert illegal_share(sentences, "bio") == 3 / 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: span_f1([["O"], ["O", "O"]], [["O"], ["O"]]), "got 1 for 2 in sentence 2"),
        (lambda: span_f1([["O"], ["O"]], [["O"]]), "predicted ends after 1"),
        (lambda: segmentation_f1([["a"]], [["a"], ["b"]]), "gold ends after 1"),
        (lambda: segmentation_f1([["a"], ["bc"]], [["a"], ["b", "d"]]), "got 'bd' for 'bc' in sentence 2"),
        (lambda: illegal_share([["B-A", "E-A"]], "bio"), "tag 'E-A' is not of scheme 'bio'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
