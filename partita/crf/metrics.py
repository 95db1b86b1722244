"""How much of what should be found was found: precision, recall and F1 over spans and over words.

    precision = correct / predicted,   recall = correct / gold,
    F1 = 2 · precision · recall / (precision + recall)

A span or word is correct when both its ends, and its label, are. A share of nothing is 0.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise, zip_longest
from operator import eq
from typing import NamedTuple

import numpy as np

from partita.crf.repair import first_break_of_ids
from partita.crf.tags import legal, tags_to_spans
from partita.quoting import shown


class Score(NamedTuple):
    """Precision, recall and F1 of predicted spans or words, with the counts they come from.

    The shares are between 0 and 1. Where known words were given, `oov_recall` is the recall of the other
    words.

    Example:
        >>> span_f1([["B-NP", "B-VP"]], [["B-NP", "O"]]).recall
        0.5
    """

    precision: float
    recall: float
    f1: float
    correct: int
    predicted: int
    gold: int
    oov_recall: float | None = None


def span_f1(gold: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]) -> Score:
    """Compute precision, recall and F1 of spans over all sentences together (micro average).

    The result is exactly that of seqeval's default mode, on any tags.

    Args:
        gold: Tags of each sentence, bio, bioes or labelled bmes; see `tags_to_spans`.
        predicted: As many tags for as many sentences.

    Raises:
        ValueError: if the numbers of sentences, or of tags in a sentence, differ.

    Example:
        >>> span_f1([["B-NP", "I-NP", "O", "B-VP"]], [["B-NP", "I-NP", "B-NP", "B-VP"]])
        Score(precision=0.667, recall=1.0, f1=0.8, correct=2, predicted=3, gold=2, oov_recall=None)
    """
    wanted_tags: list[str] = []
    got_tags: list[str] = []
    for wanted, got in _pairs_of_tags(gold, predicted):
        # One stream with an O after each sentence: some malformed tags make spans that run on past it, in
        # seqeval too.
        wanted_tags += [*wanted, "O"]
        got_tags += [*got, "O"]
    wanted_spans, got_spans = set(tags_to_spans(wanted_tags)), set(tags_to_spans(got_tags))
    return _score(len(wanted_spans & got_spans), len(got_spans), len(wanted_spans))


def segmentation_f1(
    gold: Iterable[Sequence[str]],
    predicted: Iterable[Sequence[str]],
    known_words: Container[str] | None = None,
) -> Score:
    """Score words by the characters they cover, as the SIGHAN 2005 bakeoff does.

    Args:
        gold: Words of each sentence.
        predicted: Words of the same sentences, cut otherwise.
        known_words: Words of the training text; if given, `oov_recall` is the recall of the gold words not
            among them.

    Raises:
        ValueError: if the numbers of sentences, or the characters of a sentence, differ.

    Example:
        >>> segmentation_f1([["共同", "创造", "美好"]], [["共同", "创", "造", "美好"]], known_words={"共同"})
        Score(precision=0.5, recall=0.667, f1=0.571, correct=2, predicted=4, gold=3, oov_recall=0.5)
    """
    correct = num_predicted = num_gold = oov_correct = num_oov = 0
    for number, (wanted, got) in enumerate(_pairs(gold, predicted), 1):
        if (text := "".join(wanted)) != (other := "".join(got)):
            raise ValueError(
                f"predicted must have the characters of gold, got '{shown(other)}' for '{shown(text)}' in "
                f"sentence {number}"
            )
        got_spans = set(word_spans(got))
        hits = [span in got_spans for span in word_spans(wanted)]
        correct += sum(hits)
        num_predicted += len(got)
        num_gold += len(wanted)
        if known_words is not None:
            oov_hits = [hit for hit, word in zip(hits, wanted, strict=True) if word not in known_words]
            oov_correct, num_oov = oov_correct + sum(oov_hits), num_oov + len(oov_hits)
    oov_recall = None if known_words is None else _share(oov_correct, num_oov)
    return _score(correct, num_predicted, num_gold, oov_recall)


def tag_accuracy(gold: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]) -> Score:
    """Score tags one by one: precision, recall and F1 are all the share of tokens whose tag is right.

    Args:
        gold: Tags of each sentence, of any kind.
        predicted: As many tags for as many sentences.

    Raises:
        ValueError: if the numbers of sentences, or of tags in a sentence, differ.

    Example:
        >>> tag_accuracy([["DT", "NN"]], [["DT", "VB"]]).f1
        0.5
    """
    correct = total = 0
    for wanted, got in _pairs_of_tags(gold, predicted):
        correct, total = correct + sum(map(eq, wanted, got)), total + len(wanted)
    return _score(correct, total, total)


def illegal_share(tags: Sequence[Sequence[str]], scheme: str) -> float:
    """The share of sentences whose tags break the scheme.

    Args:
        tags: Tags of each sentence.
        scheme: `"bmes"`, `"bioes"` or `"bio"`.

    Raises:
        ValueError: if a tag is not one of the scheme's.

    Example:
        >>> illegal_share([["b", "e", "s"], ["s", "m", "e"]], "bmes")
        0.5
    """
    names = sorted(set().union(*tags))
    ids = {name: i for i, name in enumerate(names)}
    constraints = legal(names, scheme)
    paths = (np.array([ids[tag] for tag in sentence]) for sentence in tags)
    broken = sum(first_break_of_ids(path, constraints) is not None for path in paths)
    return _share(broken, len(tags))


def _pairs_of_tags(
    gold: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]
) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    for number, (wanted, got) in enumerate(_pairs(gold, predicted), 1):
        if len(wanted) != len(got):
            raise ValueError(
                f"predicted must have a tag for each gold one, got {len(got)} for {len(wanted)} in sentence "
                f"{number}"
            )
        yield wanted, got


def _pairs(
    gold: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]
) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    for number, (wanted, got) in enumerate(zip_longest(gold, predicted)):
        if wanted is None or got is None:
            shorter = "gold" if wanted is None else "predicted"
            raise ValueError(
                f"gold and predicted must have as many sentences, but {shorter} ends after {number}"
            )
        yield wanted, got


def word_spans(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Return the first character of each word, and the one after its last.

    Example:
        >>> list(word_spans(["迈向", "新"]))
        [(0, 2), (2, 3)]
    """
    return pairwise(accumulate(map(len, words), initial=0))


def _score(correct: int, predicted: int, gold: int, oov_recall: float | None = None) -> Score:
    precision, recall = _share(correct, predicted), _share(correct, gold)
    f1 = _share(2 * precision * recall, precision + recall)
    return Score(precision, recall, f1, correct, predicted, gold, oov_recall)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
