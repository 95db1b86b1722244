"""`partita tag` from corpus to scored text, on corpora small enough to train in seconds."""

import io
import random
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from unittest import mock

import keras
import numpy as np
import pytest

from partita import crf
from partita.cli import main
from partita.crf import command, tagging

WORDS = ["共同", "创造", "美好", "的", "新世纪", "，"]
TINY = ["--width", "16", "--batch-size", "8"]


def partita(*arguments, stdin=b""):
    """What a command line ends with: exit code, standard output, standard error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        pytest.raises(SystemExit) as stop,
    ):
        main([*map(str, arguments)])
    return (stop.value.code or 0, *(bytes.decode(stream.detach().getvalue()) for stream in (out, err)))


def segmented(num_sentences, seed):
    draw = random.Random(seed)
    return "".join("  ".join(draw.choices(WORDS, k=draw.choice([2, 6]))) + "\n" for _ in range(num_sentences))


def columns(num_sentences, seed):
    """Names are capitals, and the second column says so."""
    draw = random.Random(seed)
    rows = [
        ["Li Ming", "Ada"][draw.random() < 0.5].split() + draw.choices(["said", "so", "again"], k=3)
        for _ in range(num_sentences)
    ]
    tags = {"Li": "B-PER", "Ming": "I-PER", "Ada": "B-PER"}
    return "\n".join(
        "".join(f"{word} {'NN' if word in tags else 'X'} {tags.get(word, 'O')}\n" for word in words)
        for words in rows
    )


@pytest.fixture(autouse=True, scope="module")
def compiled_once():
    """One shape, and each model loaded once, which keeps what it compiled."""
    with (
        mock.patch.object(command, "MAX_SHAPES", 1),
        mock.patch.object(tagging, "MAX_SHAPES", 1),
        mock.patch.object(command, "load_tagger", cache(tagging.load_tagger)),
    ):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Corpora, and a model of each kind."""
    folder = tmp_path_factory.mktemp("tag")
    (folder / "train.txt").write_text(segmented(80, seed=1), "utf-8")
    (folder / "gold.txt").write_text(segmented(20, seed=2), "utf-8")
    (folder / "train.conll").write_text(columns(60, seed=1), "utf-8")
    (folder / "gold.conll").write_text(columns(20, seed=2), "utf-8")
    return folder


@pytest.fixture(scope="module")
def words(folder):
    out = folder / "words.keras"
    told = partita(
        "tag", "train", folder / "train.txt", "--scheme", "bmes", "--out", out, "--epochs", 15, *TINY
    )
    assert told[:2] == (0, "")
    lines = told[2].splitlines()
    assert lines[0] == "training on 72 sentences, scoring on 8 held out; batch shapes: 1"
    assert re.fullmatch(r"epoch 1/15  loss \d+\.\d{3}  accuracy 0\.\d{4}  F1 \d\.\d{4}  \d+ s", lines[1])
    assert len(lines) == 17
    assert re.fullmatch(rf"best F1 \d\.\d{{4}} after epoch \d+: {re.escape(str(out))}", lines[-1])
    return out


@pytest.fixture(scope="module")
def names(folder):
    out = folder / "names.keras"
    options = [
        "--encoder",
        "bilstm",
        "--dev",
        folder / "gold.conll",
        "--epochs",
        2,
        "--features",
        "lower,column1",
        *TINY,
    ]
    code, _, err = partita("tag", "train", folder / "train.conll", "--scheme", "bio", "--out", out, *options)
    assert code == 0, err
    assert f"scoring on 20 of {folder / 'gold.conll'}; " in err
    return out


def test_text_is_cut_line_by_line(words, folder):
    raw = "共同创造的新世纪\n\n  美好，共同 的\u3000新世纪，\r\n火\n"
    (folder / "raw.txt").write_bytes(raw.encode())
    code, cut, err = partita("tag", "apply", words, folder / "raw.txt")
    assert (code, err) == (0, "")
    lines = cut.splitlines()
    assert [line.replace(" ", "") for line in lines] == ["共同创造的新世纪", "", "美好，共同的新世纪，", "火"]
    assert {"共同 的", "的 新"} <= {
        line[i : i + size] for line in lines for size in (3, 4) for i in range(len(line))
    }
    assert partita("tag", "apply", words, "-", stdin=raw.encode()) == (0, cut, "")
    assert partita("tag", "apply", words, folder / "raw.txt", "--separator", "|") == (
        0,
        cut.replace(" ", "|"),
        "",
    )


def test_text_of_any_length_goes_through_in_pieces(words, folder, monkeypatch):
    raw = (folder / "gold.txt").read_text("utf-8").replace(" ", "")
    whole = partita("tag", "apply", words, "-", stdin=raw.encode())
    monkeypatch.setattr(tagging, "CHUNK", 100)
    assert partita("tag", "apply", words, "-", stdin=raw.encode()) == whole


def test_few_shapes_are_compiled(words, monkeypatch):
    seen = set()
    predict = crf.Tagger.predict_on_batch
    monkeypatch.setattr(
        crf.Tagger, "predict_on_batch", lambda self, ids: seen.add(ids.shape[:2]) or predict(self, ids)
    )
    monkeypatch.setattr(tagging, "CHUNK", 100)
    monkeypatch.setattr(tagging, "MAX_SHAPES", 2)
    lines = ["的" * length for length in [3, 12, 9, 7] * 20]
    _, cut, _ = partita("tag", "apply", words, "-", stdin="\n".join(lines).encode())
    assert [line.replace(" ", "") for line in cut.splitlines()] == lines
    assert len(seen) <= 2


def test_confidence(words):
    _, cut, _ = partita("tag", "apply", words, "-", "--confidence", stdin="共同创造\n的 新世纪\n".encode())
    found = [re.fullmatch(r"(.+)/([01]\.\d{3})", word).groups() for word in cut.split()]
    assert "".join(word for word, _ in found) == "共同创造的新世纪"
    assert all(0 < float(p) <= 1 for _, p in found)
    assert cut.count("\n") == 2
    assert partita("tag", "apply", words, "-", stdin="共同创造\n的 新世纪\n".encode())[1] == re.sub(
        r"/[\d.]+", "", cut
    )


def test_score(words, folder):
    gold = folder / "gold.txt"
    code, out, err = partita("tag", "score", words, gold)
    assert (code, err) == (0, "")
    printed = dict(line.rsplit(maxsplit=1) for line in out.splitlines())
    assert [*printed] == ["precision", "recall", "F1", "sentences"]
    _, cut, _ = partita("tag", "apply", words, "-", stdin=gold.read_text("utf-8").replace(" ", "").encode())
    want = crf.segmentation_f1(crf.read_segmented(gold), crf.read_segmented(cut.splitlines()))
    assert [printed[name] for name in ("precision", "recall", "F1")] == [f"{share:.4f}" for share in want[:3]]
    assert want.f1 > 0.8
    (folder / "known.txt").write_text("共同\n的\n", "utf-8")
    assert (
        "\nrecall of unknown words "
        in partita("tag", "score", words, gold, "--known", folder / "known.txt")[1]
    )


def test_columns(names, folder):
    gold = [*crf.read_columns(folder / "gold.conll")]
    tokens = "\n".join("".join(f"{word}\t{kind}\n" for word, kind, _ in rows) for rows in gold)
    code, tagged, err = partita("tag", "apply", names, "-", stdin=tokens.encode())
    assert (code, err) == (0, "")
    rows = [*crf.read_columns(tagged.splitlines(), min_columns=3)]
    assert [[row[:2] for row in sentence] for sentence in rows] == [
        [row[:2] for row in sentence] for sentence in gold
    ]
    assert "Li NN " in tagged
    assert tagging._show_rows([("Ada", "NN"), ("so", "X")], ["B-PER", "O"], np.array([0.25, 1]), "\t") == (
        "Ada\tNN\tB-PER\t0.250\nso\tX\tO\t1.000\n"
    )
    want = crf.span_f1(
        *([[row[-1] for row in sentence] for sentence in sentences] for sentences in (gold, rows))
    )
    code, out, err = partita("tag", "score", names, folder / "gold.conll")
    assert (code, err) == (0, "")
    assert out.split() == [
        "precision",
        f"{want[0]:.4f}",
        "recall",
        f"{want[1]:.4f}",
        "F1",
        f"{want[2]:.4f}",
        "sentences",
        "20",
    ]


def test_output_is_whole_or_not_there(words, folder):
    out = folder / "cut.txt"
    assert partita("tag", "apply", words, folder / "gold.txt", "--out", out) == (0, "", "")
    cut = out.read_bytes()
    assert cut == partita("tag", "apply", words, folder / "gold.txt")[1].encode()
    (folder / "broken.txt").write_bytes("的\n".encode() + b"\xff\n")
    code, _, err = partita("tag", "apply", words, folder / "broken.txt", "--out", out)
    assert (code, err) == (
        1,
        f"partita: {folder / 'broken.txt'}:2: want utf-8, got byte 0xff after 0 bytes\n",
    )
    assert out.read_bytes() == cut
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert partita("tag", "apply", words, folder / "gold.txt", "--out", "/dev/null") == (0, "", "")


@pytest.mark.parametrize(
    ("epoch", "code", "said"),
    [(1, 0, r"\nstopped\nbest F1 \d\.\d{4} after epoch 1: "), (0, 130, r"\nstopped\n")],
)
def test_ctrl_c_keeps_the_best_model(folder, monkeypatch, epoch, code, said):
    begin = command.Epochs.on_epoch_begin

    def stop(self, number, logs=None):
        begin(self, number, logs)
        if number == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.Epochs, "on_epoch_begin", stop)
    out = folder / f"stopped{epoch}.keras"
    ended, _, err = partita("tag", "train", folder / "gold.txt", "--scheme", "bmes", "--out", out, *TINY)
    assert ended == code
    assert re.search(said, err)
    assert out.exists() == (code == 0)


def test_sentences_that_break_the_scheme_are_named_with_their_lines(names, folder):
    broken = (folder / "gold.conll").read_text("utf-8").replace("B-PER", "I-PER")
    (folder / "broken.conll").write_text("so X O\nLi NN I-PER\n\n" + broken, "utf-8")
    out = folder / "broken.keras"
    code, _, err = partita(
        "tag", "train", folder / "broken.conll", "--scheme", "bio", "--out", out, "--epochs", 1, *TINY
    )
    assert code == 0, err
    first = err.splitlines()[0]
    assert re.match(
        rf"partita: 2\d of 21 sentences have tags that break scheme bio: {folder}/broken.conll:2 \('I-PER' "
        rf"after 'O'\), ",
        first,
    )
    assert first.endswith("…. They are read as the CoNLL scorer reads them.")
    assert "loss inf" not in err
    code, out, err = partita("tag", "score", names, folder / "broken.conll")
    assert (code, err.count("\n")) == (0, 1)
    assert "broken.conll:2 ('I-PER' after 'O')" in err
    assert out.split()[-1] == "21"


def test_plain_tags(folder):
    plain = "\n\n".join("the DT\ncat NN\nsat VB" for _ in range(30)) + "\n"
    (folder / "plain.conll").write_text(plain, "utf-8")
    model = folder / "plain.keras"
    code, _, err = partita(
        "tag", "train", folder / "plain.conll", "--scheme", "none", "--out", model, "--epochs", 8, *TINY
    )
    assert code == 0, err
    assert re.search(r"best accuracy \d\.\d{4} after epoch", err)
    code, out, err = partita("tag", "score", model, folder / "plain.conll")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"accuracy +\d\.\d{4}\nsentences +30\n", out)
    assert partita("tag", "apply", model, "-", stdin=b"the\ncat\n")[1].split()[::2] == ["the", "cat"]


@pytest.fixture(scope="module")
def other_models(folder):
    """What `partita tag` did not train."""
    (folder / "text.keras").write_text("no zip", "utf-8")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(folder / "dense.keras")
    tagger = crf.Tagger(keras.layers.Embedding(5, 3), crf.CRF(3))
    tagger.build((None, None))
    tagger.save(folder / "tagger.keras")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("tag train {}/no.txt --scheme bmes --out {}/m.keras", 2, "File '{}/no.txt' does not exist"),
        (
            "tag train {}/train.txt --scheme bmes --out {}/m.h5",
            2,
            "a model file ends in .keras, got '{}/m.h5'",
        ),
        ("tag train {}/train.txt --scheme bmes --out {}/no/m.keras", 2, "folder '{}/no' does not exist"),
        (
            "tag train {}/train.txt --scheme bmes --out /proc/m.keras",
            2,
            "folder '/proc' cannot be written to",
        ),
        (
            "tag train {}/train.txt --scheme bmes --out {}/m.keras --epochs 0",
            2,
            "0 is not in the range 1<=x<=",
        ),
        ("tag train {}/empty.txt --scheme bmes --out {}/m.keras", 1, "{}/empty.txt:1: no line holds text"),
        ("tag train {}/empty.txt --scheme bio --out {}/m.keras", 1, "{}/empty.txt:1: no line holds text"),
        (
            "tag train {}/one.txt --scheme bmes --out {}/m.keras",
            1,
            "{}/one.txt holds one sentence: expected another to score",
        ),
        (
            "tag train {}/train.conll --scheme bioes --out {}/m.keras --dev {}/odd.conll",
            1,
            "{}/odd.conll:2: tag 'I-LOC' is unknown",
        ),
        (
            "tag train {}/odd.txt --scheme bio --out {}/m.keras",
            1,
            "{}/odd.txt:2: tag 'X-LOC' is not of scheme 'bio'",
        ),
        ("tag train {}/train.txt --scheme bio --out {}/m.keras", 1, "{}/train.txt:1: "),
        ("tag train {}/train.txt --scheme bmes --out {}/m.keras --features colour", 1, "got colour"),
        (
            "tag train {}/train.conll --scheme bio --out {}/m.keras --features column3",
            1,
            "{}/train.conll:1: expected 5 columns, got 3",
        ),
        (
            "tag train {}/train.conll --scheme bmes --out {}/m.keras",
            1,
            "{}/train.conll:1: this looks like a file of columns",
        ),
        (
            "tag train {}/train.txt --scheme bmes --out {}/m.keras --dev {}/gold.conll",
            1,
            "gold.conll:1: this looks like a file of columns",
        ),
        (
            "tag train {}/raw.one --scheme bmes --out {}/m.keras",
            1,
            "no line holds two words: expected sentences, their words parted by",
        ),
        (
            "tag train {}/train.csv --scheme bio --out {}/m.keras",
            1,
            "columns are parted by spaces or tabs, not by commas",
        ),
        (
            "tag train {}/train.conll --scheme bio --out {}/m.keras --features character",
            2,
            "'character' are of characters, which only",
        ),
        (
            "tag train {}/train.conll --scheme none --out {}/m.keras --features characters",
            2,
            "which only --scheme bmes tags",
        ),
        (
            "tag train {}/train.txt --scheme bmes --out {}/m.keras --features lower,shape",
            2,
            "are of words, but --scheme bmes tags characters",
        ),
        (
            "tag train {}/train.txt --scheme bmes --out {}/m.keras --features character,column1",
            1,
            "of characters and of columns do not go",
        ),
        ("tag apply {}/words.keras {}/gold.conll", 1, "{}/gold.conll:1: this looks like a file of columns"),
        ("tag score {}/words.keras {}/gold.conll", 1, "{}/gold.conll:1: this looks like a file of columns"),
        ("tag score {}/names.keras {}/gold.txt", 1, "{}/gold.txt:"),
        (
            "tag apply {}/names.keras {}/sentence.txt",
            1,
            "{}/sentence.txt: expected one token a line in 2 columns, with or without a tag",
        ),
        ("tag apply {}/no.keras {}/gold.txt", 2, "File '{}/no.keras' does not exist"),
        ("tag apply {}/text.keras {}/gold.txt", 1, "{}/text.keras is no model file that can be read: "),
        ("tag apply {}/gold.txt {}/gold.txt", 1, "{}/gold.txt is no model file that can be read: "),
        ("tag apply {}/dense.keras {}/gold.txt", 1, "{}/dense.keras holds no tagger with a lexicon"),
        ("tag apply {}/tagger.keras {}/gold.txt", 1, "{}/tagger.keras holds no tagger with a lexicon"),
        ("tag apply {}/words.keras {}/empty.txt", 1, "{}/empty.txt:1: no line holds text"),
        ("tag apply {}/words.keras {}/gold.txt --out {}/no/cut.txt", 1, "No such file or directory"),
        ("tag apply {}/names.keras {}/one.txt", 1, "{}/one.txt:1: expected 2 columns, got 1"),
        (
            "tag score {}/names.keras {}/odd.conll",
            1,
            "{}/odd.conll:2: tag 'I-LOC' is unknown: want one of O, B-PER, I-PER",
        ),
        (
            "tag score {}/names.keras {}/gold.conll --known {}/one.txt",
            2,
            "--known is for models that cut text into words",
        ),
    ],
)
def test_what_is_wrong_is_one_line(folder, words, names, other_models, monkeypatch, arguments, code, said):
    (folder / "empty.txt").touch()
    (folder / "one.txt").write_text("共同\n", "utf-8")
    (folder / "raw.one").write_text("共同创造\n新世纪\n", "utf-8")
    (folder / "train.csv").write_text("Ada,NN,B-PER\nsaid,X,O\n", "utf-8")
    (folder / "sentence.txt").write_text("Ada said so again\n", "utf-8")
    (folder / "odd.conll").write_text("in X O\nParis NN I-LOC\n", "utf-8")
    (folder / "odd.txt").write_text("in O\nParis X-LOC\n", "utf-8")
    if "/proc" in arguments:
        monkeypatch.setattr("os.access", lambda path, mode: False)
    ended, out, err = partita(*arguments.replace("{}", str(folder)).split())
    assert (ended, out) == (code, "")
    assert err.startswith("partita: ")
    assert said.replace("{}", str(folder)) in err
    assert err.count("\n") == 1 + ("have tags that break scheme" in err)  # a warning before the error
    assert not (folder / "m.keras").exists()
