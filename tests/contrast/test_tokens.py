"""Text to words: by rules that are written out here, word by word."""

import warnings

import numpy as np
import pytest

from partita.contrast import SkipGram, WordVectors, corpus
from partita.contrast.tokens import not_words, tokenizer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "array, array. (array) [array]; array: array! array? \"array\" 'array' `array` *array* array…",
            ["array"] * 12,
        ),
        ("The CAT sat.", ["the", "cat", "sat"]),
        ("don't don’t King’s rock 'n' roll 'tis", ["don't", "don't", "king's", "rock", "n", "roll", "tis"]),
        (
            "well-known state‑of‑the‑art word--word word—word -5 -",
            ["well-known", "state-of-the-art", "word", "word", "word", "word", "5"],
        ),
        ("3.14 1,000 1990s x2, end.3", ["3.14", "1,000", "1990s", "x2", "end", "3"]),
        ("New_York _emphasis_ __init__ _ ___", ["new_york", "emphasis", "init"]),
        ("a/b c&d e=f <g> {h}", ["a", "b", "c", "d", "e", "f", "g", "h"]),
        ("naïve NAÏVE nai\u0308ve Straße ÀÉ", ["naïve", "naïve", "naïve", "straße", "àé"]),
        ("हिन्दी में, নমস্কার। தமிழ்", ["हिन्दी", "में", "নমস্কার", "தமிழ்"]),
        ("مَرْحَبًا، می\u200cخواهم؟", ["مَرْحَبًا", "می\u200cخواهم"]),
        ("Привет, мир! Ελλάδα· 안녕 세상", ["привет", "мир", "ελλάδα", "안녕", "세상"]),
        ("col·legi צה״ל co\u00adoperate", ["col·legi", "צה״ל", "cooperate"]),
        ("今天 天气 ， 很 好 。", ["今天", "天气", "很", "好"]),
        ("I ❤️ you 👍🏽 ok", ["i", "you", "ok"]),
        ("\u00a0no\u3000break\u2028spaces\x00here", ["no", "break", "spaces", "here"]),
        ("", []),
        ("... --- !!!", []),
    ],
)
def test_words_are_letters_without_punctuation(text, words):
    assert tokenizer("words")(text) == words


def test_what_stands_between_white_space_stays_as_it_is():
    assert tokenizer("whitespace")("The array, (don’t)\u3000_x_") == ["The", "array,", "(don’t)", "_x_"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("今天，天气。", list("今天天气")),
        ("e\u0301té!", ["é", "t", "é"]),
        ("हिन्दी", ["हि", "न्", "दी"]),
        ("a_b 12", ["a", "b", "1", "2"]),
        ("Ab c", ["a", "b", "c"]),
    ],
)
def test_characters_are_letters_with_their_marks(text, found):
    assert tokenizer("characters")(text) == found


def test_tokens_of_another_name_are_refused():
    with pytest.raises(
        ValueError, match="tokens must be one of words, whitespace, characters, got 'letters'"
    ):
        SkipGram().fit("no such file", tokens="letters")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["今天天气很好", "我们去公园"], "Chinese or Japanese"),
        (["今天", "天气", "很", "好", "魑魅魍魉"], ""),
        (["吾輩は猫である", "名前はまだ無い"], "Chinese or Japanese"),
        (["吾輩", "は", "猫", "で", "ある"], ""),
        (["สวัสดีครับผมชื่อสมชาย"], "Thai"),
        (["สวัสดี", "ครับ"], ""),
        (["안녕하세요", "감사합니다"], ""),
        (["acgt" * 20, "ttga" * 30], "it is probably not cut"),
        (["donaudampfschifffahrt", "kraftfahrzeug"], ""),
        (["the"] * 20 + ["今天天气很好"], ""),  # quoted in a text of another language
    ],
)
def test_text_that_is_not_cut_into_words_is_told_from_what_is(words, said):
    found = not_words(words, np.ones(len(words), int))
    assert said in found
    assert bool(found) == bool(said)
    assert not found or ("partita tag apply" in found and "--tokens characters" in found)


@pytest.fixture
def chinese(tmp_path):
    path = tmp_path / "chinese.txt"
    path.write_text("今天天气很好。\n我们去公园，今天天气很好！\n" * 30, encoding="utf-8")
    return path


def test_unsegmented_text_is_warned_of(chinese, tmp_path):
    with pytest.warns(
        UserWarning,
        match="may not be cut into words, its words have .* letters on average: Chinese or Japanese",
    ):
        SkipGram(dim=4, epochs=1).fit(chinese)
    with pytest.warns(UserWarning, match="may not be cut into words"):
        SkipGram(dim=4, epochs=1).fit([["今天天气很好", "我们去公园"]] * 9)
    with pytest.raises(ValueError, match=r"no word is left: .* may not be cut into words.*partita tag apply"):
        SkipGram(dim=4, min_count=1000).fit(chinese)
    assert len(SkipGram(dim=4, epochs=1).fit(chinese, tokens="characters")) == 10
    (tmp_path / "cut.txt").write_text("今天 天气 很 好 。\n我们 去 公园\n" * 30, encoding="utf-8")
    assert len(SkipGram(dim=4, epochs=1).fit(tmp_path / "cut.txt")) == 7


def test_the_command_says_so_too(run, chinese, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, err = run("embed", chinese, "--out", tmp_path / "v.txt", "--dim", 4, "--epochs", 1)
    assert code == 0
    assert "partita: the corpus may not be cut into words" in err
    code, _, err = run(
        "embed", chinese, "--out", tmp_path / "v.txt", "--dim", 4, "--epochs", 1, "--tokens", "characters"
    )
    assert code == 0
    assert "10 words" in err
    assert "cut into words" not in err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"the", "array", "is", "an"}),
        (("--tokens", "whitespace"), {"The", "array,", "is", "an", "array."}),
    ],
)
def test_the_command_keeps_punctuation_only_if_asked(run, tmp_path, options, expected):
    (tmp_path / "a.txt").write_text("The array, is an array.\n" * 20)
    code, out, _ = run(
        "embed",
        tmp_path / "a.txt",
        "--out",
        tmp_path / "v.npz",
        "--dim",
        4,
        "--epochs",
        1,
        "--near",
        "Array",
        *options,
    )
    assert code == 0
    assert set(WordVectors.load(tmp_path / "v.npz").words) == expected
    assert ("Array: not in the corpus" in out) == bool(options)


def test_a_byte_order_mark_is_no_letter(tmp_path):
    (tmp_path / "a.txt").write_text("the cat", encoding="utf-8-sig")
    for tokens in ("words", "whitespace"):
        assert corpus.read(tmp_path / "a.txt", tokens=tokens).words == ["the", "cat"]


@pytest.mark.parametrize("tokens", ["words", "whitespace", "characters"])
def test_long_lines_in_pieces_are_the_same_words(tokens, tmp_path, monkeypatch):
    text = "Alpha, be  gamma—incomprehensibilities: don't x " * 4 + "\n\n  end. \n" + "z" * 50
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    whole = [word for line in corpus.lines(tmp_path / "a.txt", tokens) for word in line]
    for piece in (1, 3, 10, 64):
        monkeypatch.setattr(corpus, "PIECE", piece)
        assert [word for line in corpus.lines(tmp_path / "a.txt", tokens) for word in line] == whole


def test_characters_need_no_white_space_however_long_the_line(tmp_path, monkeypatch):
    """Marks stay with their letter, wherever a piece ends."""
    (tmp_path / "a.txt").write_text("北京e\u0301\u0323न\u0940" * 30, encoding="utf-8")
    (whole,) = corpus.lines(tmp_path / "a.txt", "characters")
    monkeypatch.setattr(corpus, "LONGEST_LINE", 50)
    for piece in (1, 2, 3, 7, 16):
        monkeypatch.setattr(corpus, "PIECE", piece)
        assert [word for line in corpus.lines(tmp_path / "a.txt", "characters") for word in line] == whole
    monkeypatch.setattr(corpus, "PIECE", 16)
    with pytest.raises(
        ValueError, match="a word has more than 50 characters, expected white space between words"
    ):
        list(corpus.lines(tmp_path / "a.txt"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["the cat sat"], "lists of words, got 'the cat sat': split it"),
        ([["a", "b"], float("nan")], "lists of words, got nan"),
        ([["a"], None], "lists of words, got None"),
        ([["a", ["b"]]], r"got the word \['b'\]"),
        ([["a", float("nan")]], "got the word nan"),
        (7, "corpus must be a path, or sentences that are lists of words, got 7"),
        (None, "corpus must be a path, or sentences that are lists of words, got None"),
    ],
)
def test_sentences_that_are_no_lists_of_words_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        SkipGram(min_count=1).fit(given)


def test_sentences_may_be_tuples_arrays_and_generators():
    sentences = [["a", "b"], ["b", "c"]]
    expected = corpus.read(sentences)
    for kind in (tuple, np.array, iter):
        found = corpus.read([kind(words) for words in sentences])
        assert found.words == expected.words
        assert found.ids.tolist() == expected.ids.tolist()
