import numpy as np
import pytest

from partita import crf
from partita.tour.crf import _pieces, study
from partita.tour.page import Piece, page
from partita.tour.spaces import Answers, Data, difference, measure


@pytest.fixture(scope="module")
def small():
    return study(seed=3, num_sentences=180, epochs=3)


def test_the_study_measures_both_networks(small):
    numbers = small.numbers
    assert sum(numbers["sentences"].values()) == 180
    assert numbers["sentences"]["test"] >= 30
    for name in ("softmax", "crf"):
        assert all(
            0 <= numbers[name][share] <= 1
            for share in ("precision", "recall", "f1", "recall_of_new_words", "flawless", "illegal")
        )
    gain = numbers["crf"]["f1"] - numbers["softmax"]["f1"]
    assert numbers["f1_difference"]["f1"] == pytest.approx(gain)
    assert numbers["f1_difference"]["standard_error"] >= 0
    assert np.shape(numbers["transitions"]) == (4, 4)


def test_the_sum_is_exact(small):
    sums = small.numbers["log_partition"]
    assert sums["paths"] == 4**8
    assert sums["by_recursion"] == pytest.approx(sums["one_by_one"], rel=1e-5)


def test_the_study_fits_the_page(small):
    html = page("Tour", "", {"crf": (small, 1.0)}, "")
    assert html.count("<svg") == 2
    assert "What the CRF learned" in html
    assert f"{100 * small.numbers['crf']['f1']:.1f}%" in html
    assert all(mark not in html for mark in ("_{", "^{", "nan", "{{"))


def test_too_few_sentences_are_refused():
    with pytest.raises(ValueError, match=r"num_sentences must be enough .*, got 1"):
        study(num_sentences=1)


GOLD = [["to", "be"], ["or", "not", "to"], ["be"]]


def data(train=(("to", "or", "not"),)):
    lexicon = crf.Lexicon.fit(["toornot"], [crf.words_to_tags(["to", "or", "not"])], scheme="bmes")
    return Data([[*words] for words in train], GOLD, lexicon, seed=0, epochs=1)


def answers(words, tags=None):
    return Answers(tags or [*map(crf.words_to_tags, words)], words, [], 1.0)


def test_measures_of_a_known_answer():
    words = [["to", "be"], ["or", "no", "tto"], ["be"]]
    tags = [["b", "e", "b", "e"], ["b", "e", "b", "e", "b", "m", "m"], ["b", "e"]]
    shares = measure(data(), answers(words, tags))
    assert shares["precision"] == shares["recall"] == pytest.approx(4 / 6)
    assert shares["recall_of_new_words"] == 1.0  # "be", twice
    assert shares["flawless"] == pytest.approx(2 / 3)
    assert shares["illegal"] == pytest.approx(1 / 3)


def test_the_difference_of_equal_answers_is_none():
    assert difference(data(), answers(GOLD), answers(GOLD)) == {"f1": 0.0, "standard_error": 0.0}
    worse = difference(data(), answers(GOLD), answers([["to", "be"], ["or", "no", "tto"], ["be"]]))
    assert worse["f1"] == pytest.approx(4 / 6 - 1)
    assert worse["standard_error"] > 0.1


def test_pieces_show_doubt_and_mistakes():
    spaces = [0.01, 0.6, 0.2, 0.99, 0.0, 1.0]
    pieces = [*_pieces(["to", "be", "it"], ["to", "b", "eit"], spaces)]
    assert [piece for piece in pieces if piece.note] == [
        Piece("", 0.8, ".60"),
        Piece("", 0.4, ".20", "extra"),
        Piece("", pytest.approx(0.02), ".99", "missing"),
    ]
    assert "".join(piece.text for piece in pieces) == "to b eit "


def test_both_networks_see_the_same_batches():
    by_softmax, by_crf = (data([["to", "be"], ["or"], ["not", "to"]]).batches(first) for first in (1, 0))
    (ids, tags), (same_ids, same_tags) = by_softmax[0], by_crf[0]
    real = ids.any(axis=-1)
    np.testing.assert_array_equal(ids, same_ids)
    np.testing.assert_array_equal(tags, np.where(real, same_tags + 1, 0))
