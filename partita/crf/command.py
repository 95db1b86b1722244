"""`partita tag`: train a tagger on a corpus, apply it to text of any length, score it.

    corpus → sentences, tags → Lexicon → Batches → Tagger → model file
    text → chunks of sentences → Batches → tags → text

Scheme bmes means words: its corpora are segmented text, its tokens characters. The others mean columns, the tag last.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import IO, Any

import click
import keras
import numpy as np

from partita.crf.batches import Batches
from partita.crf.corpus import read_columns, read_segmented
from partita.crf.encoder import bilstm, cnn
from partita.crf.heldout import HeldOut
from partita.crf.layer import CRF
from partita.crf.lexicon import COLUMNS, Lexicon
from partita.crf.metrics import Score, segmentation_f1, span_f1
from partita.crf.tagger import Tagger
from partita.crf.tags import SCHEMES, split_tag, tags_to_words, words_to_tags
from partita.files import replacing
from partita.loading import read_model

ENCODERS: dict[str, Callable[..., keras.Model]] = {"cnn": cnn, "bilstm": bilstm}
MAX_SHAPES = {"train": 8, "apply": 5}  # each takes time to compile, and saves less padding than the one before
CHUNK = 2**20  # tokens that are read, tagged and written at a time
CELLS = 2**13  # of a batch when applying: fewer are slower, more are no faster and fill up with more padding

_INPUT = click.Path(exists=True, dir_okay=False, allow_dash=True)
_MODEL = click.Path(exists=True, dir_okay=False)
_COUNT = click.IntRange(min=1)


def recipe(lexicon: Lexicon, encoder: str, width: int, num_steps: int) -> Tagger:
    """A compiled tagger, to be trained for `num_steps` batches."""
    layers = ENCODERS[encoder](lexicon.sizes, lexicon.columns, width=width)
    tagger = Tagger(layers, CRF(lexicon.num_tags, lexicon.constraints), lexicon=lexicon)
    tagger.compile(keras.optimizers.Adam(schedule(num_steps)))
    return tagger


def schedule(num_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """A learning rate that rises to 0.002 over the first twentieth of the steps, and falls to 0 as a cosine."""
    warmup = max(1, num_steps // 20)
    return keras.optimizers.schedules.CosineDecay(0.0, max(1, num_steps - warmup), warmup_target=2e-3, warmup_steps=warmup)


@click.group(epilog="Example: partita tag apply words.keras book.txt")
def tag() -> None:
    """Cut text into words or label its tokens, with a linear-chain CRF."""


def _new_model(context: click.Context, parameter: click.Parameter, path: Path) -> Path:
    if path.suffix != ".keras":
        raise click.BadParameter(f"a model file ends in .keras, got '{path}'.")
    if not path.parent.is_dir():
        raise click.BadParameter(f"folder '{path.parent}' does not exist.")
    if not os.access(path.parent, os.W_OK):
        raise click.BadParameter(f"folder '{path.parent}' cannot be written to.")
    return path


@tag.command(short_help="Train a tagger on a corpus.", epilog="Example: partita tag train corpus.txt --scheme bmes --out words.keras")
@click.argument("corpus", type=_INPUT)
@click.option("--scheme", type=click.Choice([*SCHEMES]), required=True, help="bmes: CORPUS is text cut into words. Others: columns.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, callback=_new_model, help="The model file, *.keras.")
@click.option("--dev", type=_INPUT, help="Sentences to score after each epoch; without it, the last tenth of CORPUS.")
@click.option("--encoder", type=click.Choice([*ENCODERS]), default="cnn", show_default=True)
@click.option("--width", type=click.IntRange(min=2), default=128, show_default=True, help="Channels of the encoder.")
@click.option("--features", metavar="NAME,...", help="What is known of a token. Default: its characters, or word, affixes and columns.")
@click.option("--epochs", type=_COUNT, default=5, show_default=True)
@click.option("--batch-size", type=_COUNT, default=64, show_default=True, help="Sentences.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def train(
    corpus: str,
    scheme: str,
    out: Path,
    dev: str | None,
    encoder: str,
    width: int,
    features: str | None,
    epochs: int,
    batch_size: int,
    seed: int,
) -> None:
    """Train a tagger on CORPUS (- for standard input).

    Segmented text has one sentence a line, words parted by white space. Columns have one token a line, its word first and its tag
    last, and a blank line between sentences. Either may be packed as .gz. The model of the best epoch so far is always in the file:
    Ctrl-C stops and keeps it.
    """
    keras.utils.set_random_seed(seed)
    names = features.split(",") if features else "characters" if scheme == "bmes" else "words"
    sentences, tags = _read_tagged(corpus, scheme, names, lambda name: split_tag(name, scheme))
    if dev is None:
        if len(sentences) < 2:
            raise click.ClickException(f"{corpus} holds one sentence: want another to score, there or with --dev")
        end = len(sentences) - max(1, len(sentences) // 10)
        (sentences, dev_sentences), (tags, dev_tags) = (sentences[:end], sentences[end:]), (tags[:end], tags[end:])
    lexicon = Lexicon.fit(sentences, tags, scheme, names)
    if dev is not None:
        dev_sentences, dev_tags = _read_tagged(dev, scheme, names, lexicon.tag_id)
    num_shapes = min(MAX_SHAPES["train"], 2 + epochs * sum(map(len, tags)) // 2**20)  # to compile one takes as long as that many tokens
    batches = Batches([*map(lexicon.encode, sentences, tags)], [*map(lexicon.encode_tags, tags)], batch_size, num_shapes, seed=seed)
    dev_batches = Batches([*map(lexicon.encode, dev_sentences)], None, batch_size, num_shapes, shuffle=False)
    held_out = HeldOut(dev_batches, lambda ids: _score(scheme, dev_sentences, dev_tags, map(lexicon.decode_tags, ids)).f1, path=out)
    scored = f"{len(dev_sentences)} {'held out' if dev is None else 'of ' + dev}"
    click.echo(f"training on {len(sentences)} sentences, scoring on {scored}; batch shapes: {len(batches.shapes)}", err=True)
    tagger = recipe(lexicon, encoder, width, epochs * len(batches))
    try:
        with _ctrl_c() as check:
            tagger.fit(batches, epochs=epochs, verbose=0, callbacks=[held_out, Progress(check)])
    except KeyboardInterrupt:
        click.echo("\nstopped", err=True)
        if held_out.best_epoch < 0:
            raise
    click.echo(f"best F1 {held_out.best:.4f} after epoch {held_out.best_epoch + 1}: {out}", err=True)


class Progress(keras.callbacks.Callback):
    """One line an epoch on standard error, which fills up while the epoch runs if that is a terminal; `check` ends the training."""

    def __init__(self, check: Callable[[], None]):
        super().__init__()
        self._check = check

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._start, self._shown = epoch + 1, time.monotonic(), 0.0

    def on_train_batch_end(self, batch, logs=None):
        self._check()
        now = time.monotonic()
        if sys.stderr.isatty() and now - self._shown > 0.2:
            self._shown = now
            bar = "#" * round(20 * (batch + 1) / self.params["steps"])
            click.echo(f"\r{self._line(logs)}  [{bar:<20}]", err=True, nl=False)

    def on_epoch_end(self, epoch, logs=None):
        line = self._line(logs)
        click.echo(f"\r{line:<79}" if sys.stderr.isatty() else line, err=True)

    def _line(self, logs):
        shown = {"loss": "loss {:.3f}", "accuracy": "accuracy {:.4f}", "val_f1": "F1 {:.4f}"}
        values = [words.format(float(logs[name])) for name, words in shown.items() if name in logs]
        return "  ".join([f"epoch {self._epoch}/{self.params['epochs']}", *values, f"{time.monotonic() - self._start:.0f} s"])


@tag.command(short_help="Tag a file.", epilog="Example: partita tag apply words.keras book.txt --out book.cut.txt")
@click.argument("model", type=_MODEL)
@click.argument("file", type=_INPUT)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, allow_dash=True),
    default="-",
    show_default="standard output",
    help="Where to write; all of it or nothing.",
)
@click.option("--batch-size", type=_COUNT, default=256, show_default=True, help="Sentences at most.")
@click.option("--confidence", is_flag=True, help="Add the probability of each tag; of a word's tags the least, as in word/0.987.")
@click.option("--separator", default=" ", help="What parts words or columns in the output. Default: a space.")
def apply(model: str, file: str, out: str, batch_size: int, confidence: bool, separator: str) -> None:
    """Tag FILE (- for standard input) with MODEL, a piece at a time, so that it may be of any size.

    Where MODEL cuts text into words: one line out for each line in. White space in a line stays a boundary between words; what
    stands between is cut as a sentence of its own. Otherwise: FILE has columns, the word first, and a column of tags is added.
    """
    tagger, lexicon = _load(model)
    of_words = lexicon.scheme == "bmes"
    sentences: Iterable[tuple[Any, str]]
    if of_words:
        sentences = _pieces(read_segmented(file), separator)
    else:
        sentences = ((rows, "\n") for rows in read_columns(file, min_columns=_num_columns(lexicon.features)))
    show: Callable[..., str] = _show_words if of_words else _show_rows
    with _written(out) as target:
        for (tokens, ending), ids, sure in _tagged(tagger, lexicon, sentences, batch_size, confidence):
            target.write(show(tokens, lexicon.decode_tags(ids.tolist()), sure, separator) + ending)


@tag.command(short_help="Compare with a corpus.", epilog="Example: partita tag score words.keras test.txt")
@click.argument("model", type=_MODEL)
@click.argument("gold", type=_INPUT)
@click.option("--batch-size", type=_COUNT, default=256, show_default=True, help="Sentences at most.")
@click.option("--known", type=_INPUT, help="Words of the training text; the recall of all others is printed, too.")
def score(model: str, gold: str, batch_size: int, known: str | None) -> None:
    """Tag the text of GOLD (- for standard input) with MODEL, and compare with its own words or tags.

    Precision, recall and F1 count words by the characters they cover, and labelled spans by their ends and label.
    """
    tagger, lexicon = _load(model)
    if known is not None and lexicon.scheme != "bmes":
        raise click.UsageError("--known is for models that cut text into words.")
    known_words = None if known is None else {word for words in read_segmented(known) for word in words}
    sentences, tags = _read_tagged(gold, lexicon.scheme, lexicon.features, lexicon.tag_id)
    found = _tagged(tagger, lexicon, ((tokens, "") for tokens in sentences), batch_size)
    result = _score(lexicon.scheme, sentences, tags, (lexicon.decode_tags(ids) for _, ids, _ in found), known_words)
    shares = {"precision": result.precision, "recall": result.recall, "F1": result.f1, "recall of unknown words": result.oov_recall}
    for name, share in shares.items():
        if share is not None:
            click.echo(f"{name:<24}{share:.4f}")
    click.echo(f"{'sentences':<24}{len(sentences)}")


def _load(path: str) -> tuple[Tagger, Lexicon]:
    model = read_model(path)
    if not isinstance(model, Tagger) or model.lexicon is None:
        raise click.ClickException(f"{path} holds no tagger with a lexicon: want one from 'partita tag train'")
    return model, model.lexicon


def _read_tagged(source: str, scheme: str | None, features: Sequence[str] | str, check: Callable[[str], object]) -> tuple[list, list]:
    """Sentences and their tags."""
    if scheme == "bmes":
        lines = [words for words in read_segmented(source) if words]
        return ["".join(words) for words in lines], [words_to_tags(words) for words in lines]
    sentences = [*read_columns(source, min_columns=_num_columns(features) + 1, check=check)]
    return [[row[:-1] for row in rows] for rows in sentences], [[row[-1] for row in rows] for rows in sentences]


def _num_columns(features: Sequence[str] | str) -> int:
    """How many columns a token must have, its tag not counted."""
    columns = (name.partition("_")[0] for name in features)
    return 1 + max((COLUMNS.index(column) for column in columns if column in COLUMNS), default=0)


def _score(
    scheme: str | None, sentences: list, gold: list, predicted: Iterable[Sequence[str]], known_words: set[str] | None = None
) -> Score:
    if scheme == "bmes":
        return segmentation_f1(map(tags_to_words, sentences, gold), map(tags_to_words, sentences, predicted), known_words)
    return span_f1(gold, predicted)


def _pieces(lines: Iterable[list[str]], separator: str) -> Iterator[tuple[str, str]]:
    """What stands between white space, and what comes after it in the output."""
    for pieces in lines:
        *first, last = pieces or [""]
        yield from ((piece, separator) for piece in first)
        yield last, "\n"


def _tagged(
    tagger: Tagger, lexicon: Lexicon, sentences: Iterable[tuple[Any, str]], batch_size: int, confidence: bool = False
) -> Iterator[tuple[tuple[Any, str], np.ndarray, np.ndarray | None]]:
    """Each sentence with the ids of its tags and, if asked for, their probabilities."""
    lengths: list[int] | None = None
    with _ctrl_c() as check:
        for chunk in _chunks(sentences):
            ids = [lexicon.encode(tokens) for tokens, _ in chunk]
            num_shapes = min(MAX_SHAPES["apply"], 1 + sum(map(len, ids)) * MAX_SHAPES["apply"] // CHUNK)
            batches = Batches(ids, None, batch_size, num_shapes, lengths, max_tokens=CELLS, shuffle=False)
            lengths = lengths or [length for _, length in batches.shapes]  # later chunks compile nothing
            for sentence, found in zip(chunk, _decoded(tagger, batches, confidence, check), strict=True):
                yield sentence, *found


def _chunks(sentences: Iterable[tuple[Any, str]]) -> Iterator[list[tuple[Any, str]]]:
    chunk, size = [], 0
    for sentence in sentences:
        chunk.append(sentence)
        size += len(sentence[0]) + 1  # a blank line takes memory as well
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _decoded(tagger: Tagger, batches: Batches, confidence: bool, check: Callable[[], None]) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Tag ids and probabilities of each sentence, `(time,)`. Batch by batch: one long sentence does not pad all others."""
    found: list[Any] = [None] * len(batches.sequences)
    order = iter(batches.order.tolist())
    for (ids,) in (batches[index] for index in range(len(batches))):
        check()
        if confidence:
            scores = tagger(ids, training=False)
            tags = keras.ops.convert_to_numpy(tagger.crf.decode(scores))
            marginals = keras.ops.convert_to_numpy(tagger.crf.marginals(scores))
            sure = np.take_along_axis(marginals, np.maximum(tags, 0)[..., None], axis=-1)[..., 0]  # (rows, time)
        else:
            tags, sure = tagger.predict_on_batch(ids), None
        for row, sentence in zip(range(len(ids)), order, strict=False):
            if sentence >= 0:
                length = len(batches.sequences[sentence])
                found[sentence] = tags[row, :length], None if sure is None else sure[row, :length]
    return found


def _show_words(characters: str, tags: list[str], sure: np.ndarray | None, separator: str) -> str:
    words = tags_to_words(characters, tags)
    if sure is not None:
        spans = pairwise(accumulate(map(len, words), initial=0))
        words = [f"{word}/{sure[start:end].min():.3f}" for word, (start, end) in zip(words, spans, strict=True)]
    return separator.join(words)


def _show_rows(rows: list[tuple[str, ...]], tags: list[str], sure: np.ndarray | None, separator: str) -> str:
    ends = [(name,) for name in tags] if sure is None else [(name, f"{p:.3f}") for name, p in zip(tags, sure, strict=True)]
    return "".join(separator.join(row + end) + "\n" for row, end in zip(rows, ends, strict=True))


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], None]]:
    """A function that raises `KeyboardInterrupt` once Ctrl-C was pressed: NumPy drops the exception while it waits for a tensor."""
    pressed = False

    def press(number, frame):
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _written(path: str) -> Iterator[IO[str]]:
    """A file that takes its place when all is written, or standard output."""
    if path == "-":
        with click.open_file(path, "w", encoding="utf-8") as file:
            yield file
            file.flush()
    else:
        with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
            yield file
