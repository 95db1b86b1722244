import numpy as np
import pytest

from partita.contrast import WordVectors


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    words = ["the", "naïve", "猫", "a-b"]
    return WordVectors(words, rng.normal(size=(4, 3)), contexts=rng.normal(size=(4, 3)), counts=[9, 5, 2, 1])


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.vec", "v.npz"])
def test_files_give_back_what_was_saved(vectors, tmp_path, name):
    vectors.save(tmp_path / name)
    again = WordVectors.load(tmp_path / name)
    assert again.words == vectors.words
    assert np.array_equal(again.vectors, vectors.vectors)
    assert (again.contexts is not None) == (name == "v.npz")
    if name == "v.npz":
        assert np.array_equal(again.contexts, vectors.contexts)
        assert np.array_equal(again.counts, vectors.counts)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_files_of_other_writers_are_read(tmp_path):
    rows = np.array([[1.5, -2], [0.25, 3]], "<f4")
    (tmp_path / "a.bin").write_bytes(
        b"2 2\n" + b"cat " + rows[0].tobytes() + b"dog " + rows[1].tobytes()
    )  # without line feeds
    (tmp_path / "a.txt").write_text("2 2\ncat 1.5 -2\ndog 0.25 3e0 \n")
    for name in ("a.bin", "a.txt"):
        found = WordVectors.load(tmp_path / name)
        assert found.words == ["cat", "dog"]
        assert np.array_equal(found.vectors, rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no word vectors: its first line"),
        (b"hello\nworld", "its first line must be two numbers"),
        (b"0 5\n", "0 of length 5"),
        (b"2 2\ncat 1 2\n", "damaged: 2 words are announced and 1 there"),
        (b"2 2\ncat 1 2\ndog 1\n", "line 3 must have a word and 2 numbers, got 1"),
        (b"2 2\ncat 1 2\ndog 1 x\n", "damaged: could not convert"),
        (b"2 1\ncat \x00\x00\x80\x3fdog \x00", "2 words are announced and 1 there"),
        (b"5 1264000000", "5 words of 1264000000 numbers are announced and 0 bytes there"),
        (b"900 900\nw" + b" 0" * 900 + b"\nw" * 899, "900 words of 900 numbers are announced and"),
        (b"1 1\n\xff\xfe \x00\x00\x80\x3f", "damaged"),
        (b"1 2\ncat 1 1e39\n", r"vectors must be finite numbers in float32, got inf at \(0, 1\)"),
        (b"1 1\ncat \x00\x00\x80\x7f", "vectors must be finite numbers in float32"),
        (b"2 1\ncat 1\ncat 2\n", "'cat' twice"),
        (b"PK\x03\x04broken", "holds no word vectors"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, message):
    (tmp_path / "bad.bin").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        WordVectors.load(tmp_path / "bad.bin")


def test_a_numpy_file_of_something_else(tmp_path):
    np.savez(tmp_path / "x.npz", other=np.ones(3))
    with pytest.raises(ValueError, match="holds no word vectors"):
        WordVectors.load(tmp_path / "x.npz")


def test_neighbours():
    vectors = WordVectors(
        ["man", "woman", "king", "queen", "fish"], [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [-1, 0, 0.1]]
    )
    assert vectors.most_similar(["king", "woman"], ["man"], n=1)[0][0] == "queen"
    assert [word for word, _ in vectors.most_similar("man", n=99)] == ["woman", "king", "queen", "fish"]
    word, cosine = vectors.most_similar(np.array([2.0, 2, 0]), n=1)[0]
    assert (word, round(cosine, 6)) == ("woman", 1.0)
    assert vectors.similarity("man", "woman") == pytest.approx(0.5**0.5)
    assert np.array_equal(vectors["king"], [1, 0, 1])
    with pytest.raises(KeyError, match="'dog' has no vector: it is none of the 5 words"):
        vectors.vector("dog")
    with pytest.raises(ValueError, match=r"a vector \(3,\), got the shape \(2,\)"):
        vectors.most_similar([1.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a"], np.ones((2, 3))), "vectors must be"),
        (([], np.ones((0, 3))), "vectors must be"),
        ((["a", "a"], np.ones((2, 3))), "'a' twice"),
        ((["a"], np.ones((1, 3)), np.ones((1, 2))), "contexts must have the shape"),
        ((["a"], np.ones((1, 3)), None, [1, 2]), "counts must be"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        WordVectors(*arguments)


def test_words_with_spaces_are_for_npz(tmp_path):
    vectors = WordVectors(["New York"], [[1.0]])
    with pytest.raises(ValueError, match="cannot hold the word 'New York'"):
        vectors.save(tmp_path / "v.txt")
    vectors.save(tmp_path / "v.npz")
    assert WordVectors.load(tmp_path / "v.npz").words == ["New York"]
