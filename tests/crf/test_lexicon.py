import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.crf.features import FEATURES, GAP_FEATURES, fold, shape
from partita.crf.lexicon import Lexicon, Vocabulary
from partita.crf.tags import words_to_tags

SENTENCES = [["共同", "创造", "美好", "的", "新", "世纪"], ["新", "世纪", "１９９８年"]]
ROWS = [[("McDonald's", "NNP"), ("sells", "VBZ"), ("1,000", "CD")], [("sells", "VBZ")]]
ROW_TAGS = [["B-NP", "O", "B-NP"], ["O"]]


@pytest.fixture(params=["characters", "words"])
def lexicon(request):
    if request.param == "characters":
        return Lexicon.fit(map("".join, SENTENCES), map(words_to_tags, SENTENCES), "bmes", min_count=1)
    return Lexicon.fit(ROWS, ROW_TAGS, "bio", features="words", min_count=1)


def test_characters_come_with_the_bigrams_on_both_sides():
    lexicon = Lexicon.fit(["天天天"], ["sss"], "bmes", features=["character", "bigram"], min_count=1)
    assert lexicon.columns == ("character", "bigram", "bigram")
    assert [vocabulary.items for vocabulary in lexicon.vocabularies] == [("天",), ("天天", "\n天", "天\n")]
    assert lexicon.encode("天天地").tolist() == [[2, 3, 2], [2, 2, 1], [1, 1, 1]]
    assert lexicon.encode("").shape == (0, 3)


def test_words_come_with_every_column_there_is():
    lexicon = Lexicon.fit(ROWS, ROW_TAGS, "bio", features="words", min_count=1)
    own = ("lower", "shape", "prefix3", "suffix2", "suffix3", "word_unigram", "word_bigram")
    assert lexicon.columns == (*own, "column1", "column1_bigram", "column1_trigram")
    strings = [[FEATURES[name](rows) for name in lexicon.features] for rows in ROWS]
    assert [column[0] for column in strings[0][:6]] == [
        "mcdonald's",
        "XxXx'x",
        "McD",
        "'s",
        "d's",
        "McDonald's",
    ]
    assert strings[0][6:8] == [["\n\nMcDonald's", "McDonald's\nsells", "sells\n1,000"], ["NNP", "VBZ", "CD"]]
    assert strings[0][9] == ["\n\nNNP\nVBZ", "NNP\nVBZ\nCD", "VBZ\nCD\n\n"]
    assert lexicon.encode([("Sells", "NNP")])[0, [0, 1, 4, 5, 7]].tolist() == [2, 1, 2, 1, 3]
    assert "column1" not in Lexicon.fit([[("a",)]], ["O"], "bio", features="words").columns


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_gives_one_string_a_token_or_a_gap(name):
    tokens = "新世纪" if name in ("character", "bigram") else [tuple(map(str, range(10)))] * 3
    strings = list(FEATURES[name](tokens))
    assert len(strings) == 3 + (name in GAP_FEATURES)
    assert all(isinstance(string, str) for string in strings)


@given(st.text(), st.integers(1, 3), st.none() | st.integers(1, 3))
def test_a_vocabulary_holds_the_most_frequent_items(text, min_count, max_size):
    vocabulary = Vocabulary.fit(text, min_count, max_size)
    counts = [text.count(item) for item in vocabulary.items]
    assert counts == sorted(counts, reverse=True)
    assert len(vocabulary) - 2 == min(
        sum(text.count(item) >= min_count for item in set(text)), max_size or len(text)
    )
    assert (
        all(text.count(item) <= min(counts, default=min_count) for item in set(text) - set(vocabulary.items))
        or len(vocabulary) == 2
    )
    ids = vocabulary.encode(text)
    assert (ids.dtype, ids.shape) == ("int32", (len(text),))
    assert [vocabulary.items[index - 2] if index > 1 else None for index in ids] == [
        char if char in vocabulary.items else None for char in text
    ]


@given(st.text())
def test_ids_of_any_text_are_in_range(text):
    lexicon = Lexicon.fit(map("".join, SENTENCES), map(words_to_tags, SENTENCES), "bmes", min_count=1)
    ids = lexicon.encode(text)
    assert ids.shape == (len(text), 4)
    assert np.all((ids > 0) & (ids < lexicon.sizes))


def test_rare_items_share_the_id_of_the_unknown():
    lexicon = Lexicon.fit(["新新世"], ["sss"], "bmes", min_count=2)
    assert lexicon.encode("新世美")[:, 0].tolist() == [2, 1, 1]


def test_full_width_characters_are_folded_as_unicode_does():
    every = "".join(map(chr, range(0x20000)))
    folded = fold(every)
    assert len(folded) == len(every)
    assert all(
        new == (unicodedata.normalize("NFKC", old) if "！" <= old <= "～" else old)
        for new, old in zip(folded, every, strict=True)
    )


@pytest.mark.parametrize(
    ("word", "wanted"),
    [("", ""), ("USA", "X"), ("élan-VITAL", "x-X"), ("3.14", "0.0"), ("...", "..."), ("中国", "中国")],
)
def test_shape(word, wanted):
    assert shape(word) == wanted


def test_tags_are_those_of_the_labels_seen(lexicon):
    names = ("s", "b", "m", "e") if lexicon.scheme == "bmes" else ("O", "B-NP", "I-NP")
    assert (lexicon.tag_names, lexicon.num_tags) == (names, len(names))
    assert lexicon.encode_tags(names).tolist() == list(range(len(names)))
    assert lexicon.decode_tags(np.arange(len(names))) == list(names)
    assert lexicon.constraints.transitions.shape == (len(names), len(names))
    with pytest.raises(ValueError, match="tag 'B-LST' is unknown: want one of"):
        lexicon.encode_tags(["B-LST"])


def test_without_a_scheme_any_tag_may_follow_any():
    lexicon = Lexicon.fit(["ab"], [["NN", "VB"]], scheme=None)
    assert (lexicon.tag_names, lexicon.constraints) == (("NN", "VB"), None)


def test_a_lexicon_survives_json(lexicon):
    config = lexicon.to_config()
    copy = Lexicon.from_config(json.loads(json.dumps(config)))
    assert copy.to_config() == config
    for tokens in ("美好新世纪天", "") if lexicon.scheme == "bmes" else ROWS:
        np.testing.assert_array_equal(copy.encode(tokens), lexicon.encode(tokens))


GOOD = {
    "features": ["character"],
    "vocabularies": [["a", "b"]],
    "tag_names": ["b", "e"],
    "scheme": "bmes",
    "dictionary": None,
}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "config must be a dict"),
        ([], "config must be a dict"),
        ({}, "config must be a dict of features"),
        (GOOD | {"module": "os"}, "config must be a dict"),
        (
            GOOD | {"features": ["os.system"]},
            "features must be characters or words, or some of character, .*; got os.system",
        ),
        (GOOD | {"features": []}, "features must be .*; got none"),
        (GOOD | {"features": "character"}, "lists of strings"),
        (GOOD | {"features": [["character"]]}, "lists of strings"),
        (GOOD | {"features": ["character", "bigram"]}, "one for each of 2 features, got 1"),
        (GOOD | {"vocabularies": {"a": 1}}, "lists of strings"),
        (GOOD | {"vocabularies": ["ab"]}, "lists of strings"),
        (GOOD | {"vocabularies": [["a", 1]]}, "lists of strings"),
        (GOOD | {"vocabularies": [["a", "a"]]}, "each once"),
        (GOOD | {"tag_names": []}, "tag_names must be at least one"),
        (GOOD | {"tag_names": ["b", "b"]}, "tag_names must be at least one, each once"),
        (GOOD | {"tag_names": ["b", {}]}, "lists of strings"),
        (GOOD | {"tag_names": ["B-A"], "scheme": "bmes"}, None),
        (GOOD | {"tag_names": ["x"]}, "tag 'x' is not of scheme 'bmes'"),
        (GOOD | {"scheme": "iob1"}, "scheme must be one of"),
        (GOOD | {"scheme": ["bmes"]}, "string or null for scheme"),
        (GOOD | {"scheme": None}, None),
        (GOOD | {"num_columns": 2}, None),
        (GOOD | {"num_columns": "2"}, "whole number or null for num_columns, got '2'"),
        (GOOD | {"dictionary": [["ab"], []]}, None),
        (GOOD | {"dictionary": [["ab"], ["abcdefgh"]]}, "words must have 2 to 7 characters"),
        (GOOD | {"dictionary": [["ab"]]}, "two lists of strings"),
        (GOOD | {"dictionary": [["ab"], [7]]}, "two lists of strings"),
    ],
)
def test_a_hostile_config_is_refused(config, message):
    if message is None:
        assert Lexicon.from_config(config).to_config() == config
    else:
        with pytest.raises(ValueError, match=message):
            Lexicon.from_config(config)


def test_lists_of_strings_are_words():
    tags = [["B-PER", "O"], ["O"]]
    lexicon = Lexicon.fit([["Ann", "sings"], ["sings"]], tags, scheme="bio", features="words", min_count=1)
    same = Lexicon.fit(
        [[("Ann",), ("sings",)], [("sings",)]], tags, scheme="bio", features="words", min_count=1
    )
    assert lexicon.to_config() == same.to_config()
    assert lexicon.encode(["Ann", "sings"])[:, 0].tolist() == [3, 2]
    np.testing.assert_array_equal(lexicon.encode(["Ann", "sings"]), lexicon.encode([("Ann",), ["sings"]]))
    np.testing.assert_array_equal(
        lexicon.encode(np.array(["Ann", "sings"])), lexicon.encode(["Ann", "sings"])
    )
    plain = Lexicon.fit(
        [["Ann", "sings"]], [["NN", "VB"]], scheme=None, features=["lower", "suffix2"], min_count=1
    )
    assert plain.encode(["sings"]).tolist() == [[3, 3]]


def test_a_list_of_characters_is_a_string_of_them():
    lexicon = Lexicon.fit(["共同"], ["be"], "bmes", min_count=1)
    np.testing.assert_array_equal(lexicon.encode(["共", "同"]), lexicon.encode("共同"))


WORD_LEXICON = Lexicon.fit([["Ann", "sings"]], [["B-PER", "O"]], scheme="bio", features="words")
COLUMN_LEXICON = Lexicon.fit([[("Ann", "NN")]], [["O"]], scheme="bio", features="words")
CHARACTER_LEXICON = Lexicon.fit(["ab"], ["be"], "bmes")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: WORD_LEXICON.encode("Ann sings"),
            "are of words: expected a list of words, .* got the string 'Ann sings'",
        ),
        (
            lambda: Lexicon.fit(["Ann sings"], [["O", "O"]], "bio", features="words"),
            "got the string 'Ann sings' in sentence 1",
        ),
        (lambda: Lexicon.fit(["ab"], ["be"], "bmes", features="lower"), "features 'lower' are of words"),
        (lambda: WORD_LEXICON.encode([1, 2]), "a token must be a word or a row .* got 1"),
        (
            lambda: WORD_LEXICON.encode([("Ann", 1)]),
            r"a row \(word, column1, ...\) of strings, got \('Ann', 1\)",
        ),
        (lambda: WORD_LEXICON.encode([()]), r"of strings, got \(\)"),
        (lambda: COLUMN_LEXICON.encode(["Ann"]), "need rows of 2 columns, got 1"),
        (
            lambda: CHARACTER_LEXICON.encode(["Ann", "sings"]),
            "are of characters: expected a string, got a list that holds 'Ann'",
        ),
        (lambda: CHARACTER_LEXICON.encode([("a", "NN")]), r"got a list that holds \('a', 'NN'\)"),
        (
            lambda: Lexicon.fit([[("a", "NN")]], [["O"]], "bio", features="character"),
            "'character' are of characters: .* in sentence 1",
        ),
        (
            lambda: Lexicon.fit(["ab"], ["be"], "bmes", features=["character", "column1"]),
            "of characters and of columns do not go",
        ),
        (
            lambda: Lexicon.fit([["a", ("b", "NN")]], [["O", "O"]], "bio", features="words"),
            "same number of columns .* got 1 and 2",
        ),
        (lambda: WORD_LEXICON.encode("\x1b[31m" * 99), r"got the string '\\x1b\[31m"),
        (lambda: WORD_LEXICON.tag_id("\x1b[31m"), r"tag '\\x1b\[31m' is unknown"),
    ],
)
def test_sentences_that_the_features_are_not_of_are_refused(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Lexicon.fit(["ab"], [["s", "s"], ["s"]], "bmes"), "each of 1 sentences, got 2"),
        (lambda: Lexicon.fit(["ab", "c"], [["s", "s"], []], "bmes"), "got 0 for 1 in sentence 2"),
        (lambda: Lexicon.fit([], [], "bmes"), "tag_names must be at least one"),
        (lambda: Lexicon.fit([[]], [[]], "bio", features="words"), "tag_names must be at least one"),
        (lambda: Lexicon.fit(["a"], ["x"], "bmes"), "tag 'x' is not of scheme 'bmes'"),
        (lambda: Lexicon.fit(["a"], ["s"], "bmes", features="chars"), "or some of character, .*; got chars"),
        (lambda: Lexicon.fit(["a"], ["s"], "bmes", features=["character", "colour"]), "got colour"),
        (lambda: Vocabulary(["a", "a"]), "each once"),
        (lambda: Vocabulary(["a", None]), "items must be strings"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
