import gzip
import sys

import numpy as np
import pytest

from partita.contrast import SkipGram, corpus
from partita.contrast.corpus import END, read


def topics(num=300, seed=0):
    """Sentences about one of two things: words of one never meet those of the other."""
    rng = np.random.default_rng(seed)
    kinds = [["cat", "dog", "cow", "hen", "pig"], ["red", "blue", "green", "black", "white"]]
    return [[*rng.choice(kinds[i % 2], 8)] for i in range(num)]


def test_words_of_one_topic_are_near():
    vectors = SkipGram(dim=16, min_count=1, epochs=20, sample=0).fit(topics())
    assert {word for word, _ in vectors.most_similar("cat", n=4)} == {"dog", "cow", "hen", "pig"}
    assert vectors.vector("cat").shape == (16,)
    assert len(vectors) == 10
    assert vectors.counts.sum() == 300 * 8


def test_one_thread_is_exactly_reproducible():
    first, again, other = (SkipGram(dim=8, min_count=1, seed=seed).fit(topics()) for seed in (1, 1, 2))
    assert np.array_equal(first.vectors, again.vectors)
    assert np.array_equal(first.contexts, again.contexts)
    assert not np.array_equal(first.vectors, other.vectors)


def test_two_threads_learn_as_well(monkeypatch):
    monkeypatch.setattr("partita.contrast.skipgram.STRETCH", 500)
    vectors = SkipGram(dim=16, min_count=1, epochs=20, sample=0, threads=2).fit(topics())
    assert {word for word, _ in vectors.most_similar("cat", n=4)} == {"dog", "cow", "hen", "pig"}


@pytest.mark.parametrize("negatives", [1, 2, 5, 7])
def test_scores_go_to_the_mutual_information(negatives):
    """Scores of pairs from a known table go to their mutual information less log k.

    ⟨u_i, v_j⟩ → log p(j|i) / p(j) − log k, with noise as frequent as the words.
    """
    rng = np.random.default_rng(0)
    size = 6
    table = rng.dirichlet(np.ones(size * size)).reshape(size, size)
    table = 0.5 * (table + table.T) + 0.01
    table /= table.sum()
    pairs = rng.choice(size * size, 30_000, p=table.ravel())
    vectors = SkipGram(
        dim=size,
        window=1,
        negatives=negatives,
        min_count=1,
        sample=0,
        power=1.0,
        epochs=20,
        learning_rate=0.1,
        min_learning_rate=0.001,
    ).fit([[f"w{i // size}", f"w{i % size}"] for i in pairs])
    order = [vectors.words.index(f"w{i}") for i in range(size)]
    scores = vectors.vectors[order] @ vectors.contexts[order].T
    # The noise of a pair is never the word itself: of the other words each is more likely by 1 / (1 − p).
    p = table.sum(axis=0)
    noise = p * (
        (p[None, :] / (1 - p[None, :])).sum() - p / (1 - p)
    )  # Σ over middle words, by how often they are in the middle
    expected = np.log(table / p[:, None] / noise) - np.log(negatives)
    assert np.corrcoef(scores.ravel(), expected.ravel())[0, 1] > 0.95
    assert abs((scores - expected).mean()) < 0.25


def test_rare_words_are_as_if_not_there():
    stream = read([["a", "x", "b"], ["y"], ["a", "b"]], min_count=2)
    assert stream.words == ["a", "b"]
    assert stream.ids.tolist() == [0, 1, END, 0, 1, END]


def test_a_file_is_read_as_the_sentences_it_holds(tmp_path):
    sentences = [["to", "be"], [], ["or", "nöt", "to", "be"], ["no"]]
    text = "\n".join(" ".join(words) for words in sentences)
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    with gzip.open(tmp_path / "a.txt.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    expected = read(sentences)
    for source in (tmp_path / "a.txt", str(tmp_path / "a.txt.gz"), iter(sentences)):
        found = read(source)
        assert found.words == expected.words
        assert found.ids.tolist() == expected.ids.tolist() == [0, 1, END, 2, 3, 0, 1, END, 4, END]


def test_long_lines_come_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "PIECE", 10)
    words = ["alpha", "be", "gamma", "incomprehensibilities", "x"] * 3
    (tmp_path / "a.txt").write_text(" ".join(words) + "\nend")
    pieces = [*corpus.lines(tmp_path / "a.txt")]
    assert [word for piece in pieces for word in piece] == [*words, "end"]
    assert len(pieces) > 3
    monkeypatch.setattr(corpus, "LONGEST", 4)
    assert read([["a"] * 9]).ids.tolist() == [0, 0, 0, 0, END, 0, 0, 0, 0, END, 0, END]


def test_stretches_share_no_sentence(monkeypatch):
    """Trained in stretches of any length, every word is gone through once.

    With no noise to speak of, the counts of changes agree.
    """
    monkeypatch.setattr("partita.contrast.skipgram.STRETCH", 7)
    seen = []
    monkeypatch.setattr(
        "partita.contrast.skipgram.windows.train", lambda ids, start, end, *_: seen.append((start, end))
    )
    SkipGram(min_count=1, epochs=2).fit(topics(10))
    assert seen[:13] == [(start, min(start + 7, 90)) for start in range(0, 90, 7)]
    assert len(seen) == 26


def test_the_bar_counts_words(capsys):
    SkipGram(dim=4, min_count=1, epochs=1).fit(topics(), progress=True)
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ([], "corpus holds no words"),
        ([["a", "b"], ["a"]], "no word is left: none of 2 occurs min_count = 5 times, the most frequent 2"),
        (["the cat sat"], "lists of words, got 'the cat sat': split it"),
        ([[1, 2]], "got the word 1"),
    ],
)
def test_a_corpus_without_words_is_named(sentences, message):
    with pytest.raises(ValueError, match=message):
        SkipGram().fit(sentences)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"a\.txt is no text in UTF-8"):
        SkipGram().fit(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, "dim must be a whole number from 1, got 0"),
        ({"window": 1.5}, "window must be"),
        ({"sample": -1}, "sample must not be negative"),
        ({"learning_rate": float("nan")}, "learning_rate must not be"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        SkipGram(**change)


def test_an_error_in_a_thread_comes_out(monkeypatch):
    def fail(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr("partita.contrast.skipgram.windows.train", fail)
    with pytest.raises(RuntimeError, match="broken"):
        SkipGram(min_count=1, threads=2).fit(topics())


def test_it_needs_no_keras():
    modules = {
        name: sys.modules[f"partita.contrast.{name}"]
        for name in ("skipgram", "windows", "corpus", "vectors", "alias")
    }
    assert not [name for name, module in modules.items() if "keras" in vars(module)]
