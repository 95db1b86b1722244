"""Tests that words of all kinds come back as they were from files of all formats.

Otherwise they are refused by name before anything is written.
"""

import numpy as np
import pytest

from partita.contrast import WordVectors

WORDS = {
    "plain": "cat",
    "no-break space": "New\u00a0York",
    "ideographic space": "北\u3000京",
    "nothing but white space": "\u3000",
    "tab": "a\tb",
    "carriage return": "a\rb",
    "vertical tab, form feed": "a\x0b\x0cb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "zero-width space": "a\u200bb",
    "byte order mark": "\ufeffa",
    "NUL": "a\0b",
    "only NUL": "\0",
    "combining": "e\u0301",
    "emoji": "👩\u200d🔬",
    "number": "12.5",
    "quotes": "\"'\\",
    "ends in white space": "a\t",
}
REFUSED = {
    "empty": ("", "which is empty"),
    "space": ("New York", "which has a space in it"),
    "nothing but a space": (" ", "which has a space"),
    "line feed": ("a\nb", "which has a line feed in it"),
    "begins with a line feed": ("\na", "which has a line feed in it"),
    "lone surrogate": ("a\ud800", "which is no text in UTF-8"),
    "byte that is no UTF-8": (b"na\xefve".decode("utf-8", "surrogateescape"), "which is no text in UTF-8"),
}


@pytest.mark.parametrize("name", ["v.npz", "v.bin", "v.txt", "v.vec"])
@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS.keys())
@pytest.mark.parametrize("place", [0, 1])
def test_a_word_comes_back_as_it_was(word, name, place, tmp_path):
    words = ["dog", "dög"]
    words[place] = word
    vectors = WordVectors(words, [[1.5, -2e-30, 3], [0, 1, 1e30]], counts=[2, 1])
    vectors.save(tmp_path / name)
    again = WordVectors.load(tmp_path / name)
    assert again.words == words
    assert np.array_equal(again.vectors, vectors.vectors)


@pytest.mark.parametrize(("word", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_word_that_a_format_cannot_hold_is_named_and_npz_takes_it(word, reason, tmp_path):
    vectors = WordVectors(["cat", word], np.eye(2))
    for name in ("v.bin", "v.txt", "v.vec"):
        with pytest.raises(ValueError, match=f"cannot hold the word .*{reason}.*: save as .npz"):
            vectors.save(tmp_path / name)
    assert not [*tmp_path.iterdir()]
    vectors.save(tmp_path / "v.npz")
    assert WordVectors.load(tmp_path / "v.npz").words == ["cat", word]


def test_all_words_at_once_and_in_one_dimension(tmp_path):
    words = [*WORDS.values()]
    for name in ("v.npz", "v.bin", "v.txt"):
        WordVectors(words, np.arange(len(words))[:, None]).save(tmp_path / name)
        assert WordVectors.load(tmp_path / name).words == words


def test_numbers_whose_bytes_are_digits_are_binary_where_the_name_says_so(tmp_path):
    vectors = WordVectors(["cat", "dog"], np.frombuffer(b"12345678", "<f4").reshape(2, 1))
    vectors.save(tmp_path / "v.bin")
    assert np.array_equal(WordVectors.load(tmp_path / "v.bin").vectors, vectors.vectors)


def test_files_of_an_earlier_version_and_of_gensim_are_read(tmp_path):
    np.savez(tmp_path / "v.npz", words=np.frombuffer("a\0ü".encode(), np.uint8), vectors=np.eye(2))
    assert WordVectors.load(tmp_path / "v.npz").words == ["a", "ü"]
    (tmp_path / "v.txt").write_bytes("2 2\nNew\u00a0York 1.0 2.0\n北\u3000京 -0.5 1e-3\n".encode())
    assert WordVectors.load(tmp_path / "v.txt").words == ["New\u00a0York", "北\u3000京"]
    (tmp_path / "v.txt").write_bytes(b"2 2\r\ncat 1.0 2.0 \r\ndog 3  4\t\r\n")
    found = WordVectors.load(tmp_path / "v.txt")
    assert found.words == ["cat", "dog"]
    assert found.vectors.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"ends": np.array([1, 5])}, "do not end where it says"),
        ({"ends": np.array([3, 2])}, "do not end where it says"),
        ({"ends": np.array([-1, 2])}, "do not end where it says"),
        ({"ends": np.array([], int)}, "do not end where it says"),
        ({"ends": np.array([0.5, 2.0])}, "do not end where it says"),
        ({"ends": np.array([2])}, "vectors must be"),
        ({"words": np.array([0xFF, 0x41], np.uint8)}, "decode"),
    ],
)
def test_an_archive_that_is_damaged_is_named(arrays, message, tmp_path):
    whole = {"words": np.frombuffer(b"ab", np.uint8), "ends": np.array([1, 2]), "vectors": np.eye(2)}
    np.savez(tmp_path / "v.npz", **{**whole, **arrays})
    with pytest.raises(ValueError, match=rf"v\.npz holds no word vectors: .*{message}"):
        WordVectors.load(tmp_path / "v.npz")


def test_a_line_without_a_word_is_named(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"2 2\ncat 1 2\n 1 2\n")
    with pytest.raises(ValueError, match="line 3 must have a word and 2 numbers, got 2 and no word"):
        WordVectors.load(tmp_path / "v.txt")
