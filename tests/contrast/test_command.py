import pytest

from partita.contrast import WordVectors


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("the cat sat on the mat\nthe dog sat on the rug\n" * 40)
    return path


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.npz"])
def test_a_corpus_becomes_vectors(run, corpus, tmp_path, name):
    code, out, err = run(
        "embed", corpus, "--out", tmp_path / name, "--dim", 8, "--epochs", 2, "--near", "cat", "--near", "emu"
    )
    assert code == 0
    assert "words/s" in err
    assert "7 words" in err
    assert out.startswith("cat: ")
    assert "emu: not in the corpus" in out
    assert WordVectors.load(tmp_path / name).vectors.shape == (7, 8)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{corpus}", "--out", "{folder}/none/v.bin"], 2, "does not exist"),
        (["{folder}/none.txt", "--out", "{folder}/v.bin"], 2, "does not exist"),
        (["{corpus}", "--out", "{folder}/v.bin", "--min-count", "1000"], 1, "no word is left"),
        (["{corpus}", "--out", "{folder}/v.bin", "--dim", "0"], 2, "0 is not in the range"),
    ],
)
def test_what_goes_wrong_is_one_line(run, corpus, tmp_path, arguments, code, message):
    found, _, err = run("embed", *(text.format(corpus=corpus, folder=tmp_path) for text in arguments))
    assert found == code
    assert message in err
    assert len(err.strip().splitlines()) == 1
