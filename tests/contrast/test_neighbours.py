"""Tests of `most_similar` in all forms of what is given, against sums written out in NumPy.

Words have length 1 and vectors stay as they are, as in gensim.
"""

import numpy as np
import pytest

from partita.contrast import WordVectors

WORDS = ["man", "woman", "king", "queen", "fish", "tiny", "huge", "nothing"]
TABLE = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype("float32")
TABLE[5] *= np.float32(1e-30)  # squares beyond float32, both ways
TABLE[6] *= np.float32(1e30)
TABLE[7] = 0
VECTORS = WordVectors(WORDS, TABLE)
UNIT = TABLE.astype(float) / np.maximum(np.linalg.norm(TABLE.astype(float), axis=1, keepdims=True), 1e-300)
ONE, TWO = np.array([3.0, -1, 0.5, 2, 1]), np.array([0.0, 1, 1, -4, 2])


def of(item):
    return UNIT[WORDS.index(item)] if isinstance(item, str) else np.asarray(item, float)


@pytest.mark.parametrize(
    ("positive", "negative", "plus", "minus"),
    [
        ("king", (), [("king", 1)], []),
        (["king"], None, [("king", 1)], []),
        (np.array(["king", "woman"]), "man", [("king", 1), ("woman", 1)], [("man", 1)]),
        (("king", "woman"), ["man"], [("king", 1), ("woman", 1)], [("man", 1)]),
        (ONE, (), [(ONE, 1)], []),
        (ONE.tolist(), (), [(ONE, 1)], []),
        (tuple(ONE), (), [(ONE, 1)], []),
        (np.stack([ONE, TWO]), (), [(ONE, 1), (TWO, 1)], []),
        ([ONE, TWO], (), [(ONE, 1), (TWO, 1)], []),
        ([ONE.tolist(), TWO.tolist()], (), [(ONE, 1), (TWO, 1)], []),
        ("king", ONE, [("king", 1)], [(ONE, 1)]),
        ("king", [ONE], [("king", 1)], [(ONE, 1)]),
        ("king", ONE.tolist(), [("king", 1)], [(ONE, 1)]),
        ("king", np.stack([ONE, TWO]), [("king", 1)], [(ONE, 1), (TWO, 1)]),
        (["king", ONE], ["man", TWO], [("king", 1), (ONE, 1)], [("man", 1), (TWO, 1)]),
        ([ONE, "king"], (), [(ONE, 1), ("king", 1)], []),
        ((), "man", [], [("man", 1)]),
        ([], ONE, [], [(ONE, 1)]),
        ([("king", 2.0), ("woman", 0.5)], [("man", 3)], [("king", 2), ("woman", 0.5)], [("man", 3)]),
        (("king", 2), (ONE, 0.25), [("king", 2)], [(ONE, 0.25)]),
        ([("king", -1), (ONE, 2), TWO, "fish"], (), [("king", -1), (ONE, 2), (TWO, 1), ("fish", 1)], []),
        (ONE * 1e-300, (), [(ONE, 1)], []),
        (ONE * 1e300, (), [(ONE, 1)], []),
        ("king", ONE * 1e300, [("king", 0)], [(ONE, 1)]),
        ("king", ONE * 7, [("king", 1)], [(ONE, 7)]),
        ([("king", 0), "man"], (), [("king", 0), ("man", 1)], []),
        (ONE.astype("float16"), (), [(ONE, 1)], []),
        (np.array([1, 0, 0, 2, 0]), "tiny", [(np.array([1, 0, 0, 2, 0]), 1)], [("tiny", 1)]),
        ("tiny", "huge", [("tiny", 1)], [("huge", 1)]),
    ],
)
def test_neighbours_are_those_of_the_sum(positive, negative, plus, minus):
    goal = sum(weight * of(item) for item, weight in plus) - sum(
        (weight * of(item) for item, weight in minus), np.zeros(5)
    )
    cosines = UNIT @ goal / np.linalg.norm(goal)
    asked = {item for item, _ in plus + minus if isinstance(item, str)}
    expected = sorted(
        ((word, c) for word, c in zip(WORDS, cosines, strict=True) if word not in asked | {"nothing"}),
        key=lambda pair: -pair[1],
    )
    found = VECTORS.most_similar(positive, negative, n=99)
    assert [word for word, _ in found] == [word for word, _ in expected]
    np.testing.assert_allclose([c for _, c in found], [c for _, c in expected], atol=1e-6)
    assert VECTORS.most_similar(positive, negative, n=2) == found[:2]
    assert VECTORS.most_similar(positive, negative, n=0) == []


def test_a_vector_taken_away_counts_as_its_word_does():
    with_word = dict(VECTORS.most_similar("king", "man", n=99))
    with_vector = dict(VECTORS.most_similar("king", VECTORS["man"] / np.linalg.norm(VECTORS["man"]), n=99))
    assert with_vector.pop("man") < 0
    assert with_vector == pytest.approx(with_word, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([],), ValueError, "positive and negative must not both be empty"),
        ((), ValueError, "positive and negative must not both be empty"),
        ((np.zeros((0, 5)),), ValueError, "positive and negative must not both be empty"),
        (([("king", 0)],), ValueError, "point somewhere"),
        (("dog",), KeyError, "'dog' has no vector"),
        ((["king", "dog"],), KeyError, "'dog' has no vector"),
        (("king", "dog"), KeyError, "'dog' has no vector"),
        ((["king", ONE], ["man", "dog"]), KeyError, "'dog' has no vector"),
        (("king", "dog", 0), KeyError, "'dog' has no vector"),
        ((np.zeros(5),), ValueError, "point somewhere"),
        (("nothing",), ValueError, "point somewhere"),
        (("king", "king"), ValueError, "point somewhere"),
        ((["king", "man"], ["man", "king"]), ValueError, "point somewhere"),
        (([ONE, -ONE],), ValueError, "point somewhere"),
        (
            (np.where(ONE > 1, np.nan, ONE),),
            ValueError,
            "positive must hold vectors of finite numbers, got nan at index 0",
        ),
        (
            ("king", np.where(ONE > 1, np.inf, ONE)),
            ValueError,
            "negative must hold vectors of finite numbers, got inf at index 0",
        ),
        (
            (ONE[:3],),
            ValueError,
            r"positive must hold words and vectors: expected a vector \(5,\), got the shape \(3,\)",
        ),
        (
            ("king", [1.0, 2.0]),
            ValueError,
            r"negative must hold words and vectors: expected a vector \(5,\), got the shape \(2,\)",
        ),
        ((np.ones((1, 2, 5)),), ValueError, r"got the shape \(2, 5\)"),
        ((3.0,), ValueError, "positive must hold words and vectors, got 3.0"),
        ((["king", 3.0],), ValueError, "positive must hold words and vectors, got 3.0"),
        ((["king", None],), ValueError, "positive must hold words and vectors, got None"),
        (([b"king"],), ValueError, "positive must hold words and vectors, got b'king'"),
        (([("king", float("nan"))],), ValueError, "positive must have finite weights, got nan for 'king'"),
        (("king", (), -1), ValueError, "n must be a number of words: expected an integer from 0, got -1"),
        (("king", (), 1.5), ValueError, "n must be a number of words"),
        (("king", (), None), ValueError, "n must be a number of words"),
    ],
)
def test_what_has_no_neighbours_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        VECTORS.most_similar(*arguments)


def test_similarity_is_the_cosine_whatever_the_lengths():
    for first in WORDS[:-1]:
        for second in WORDS[:-1]:
            assert VECTORS.similarity(first, second) == pytest.approx(of(first) @ of(second), abs=1e-6)
    assert np.isnan(VECTORS.similarity("king", "nothing"))
    assert np.isnan(VECTORS.similarity("nothing", "nothing"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("ab", "got the string 'ab'"),
        ([1, 2], "expected strings, got 1"),
        (["a", None], "expected strings, got None"),
        ([b"a", "b"], "got b'a'"),
    ],
)
def test_words_that_are_no_strings_are_named(words, message):
    with pytest.raises(ValueError, match=f"words must be a list of words: .*{message}"):
        WordVectors(words, np.eye(2))
