"""`partita tag`: train a tagger on a corpus, apply it to text of any length, score it.

    corpus → sentences, tags → Lexicon → Batches → Tagger → model file

Scheme bmes means words: its corpora are segmented text, its tokens characters. The others mean columns, the
tag last; scheme none takes tags that mark no spans, such as parts of speech.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

import click
import keras

from partita.callbacks.progress import Epochs
from partita.cli.options import SEED, count, say
from partita.crf.batches import Batches
from partita.crf.corpus import read_segmented
from partita.crf.encoder import bilstm, cnn
from partita.crf.features import FEATURE_SETS, are_of_words, check_features
from partita.crf.heldout import HeldOut
from partita.crf.layer import CRF
from partita.crf.lexicon import Lexicon
from partita.crf.tagged_corpus import TaggedCorpus, read_tagged
from partita.crf.tagger import Tagger
from partita.crf.tagging import load_tagger, tag_files, tagged, tagged_text
from partita.crf.tags import SCHEMES, split_tag
from partita.files.whole import replacing
from partita.quoting import shown
from partita.waiting import ctrl_c

ENCODERS: dict[str, Callable[..., keras.Model]] = {"cnn": cnn, "bilstm": bilstm}
MAX_SHAPES = 8  # each takes time to compile, and saves less padding than the one before

_INPUT = click.Path(exists=True, dir_okay=False, allow_dash=True)
_MODEL = click.Path(exists=True, dir_okay=False)
_COUNT = count()


def recipe(lexicon: Lexicon, encoder: str, width: int, num_steps: int) -> Tagger:
    """A compiled tagger, to be trained for `num_steps` batches."""
    layers = ENCODERS[encoder](lexicon.sizes, lexicon.columns, width=width)
    tagger = Tagger(layers, CRF(lexicon.num_tags, lexicon.constraints), lexicon=lexicon)
    tagger.compile(keras.optimizers.Adam(schedule(num_steps)))
    return tagger


def schedule(num_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a learning-rate schedule with a warmup and a cosine decay.

    The rate rises to 0.002 over the first twentieth of the steps, and falls to 0 as a cosine.
    """
    warmup = max(1, num_steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, num_steps - warmup), warmup_target=2e-3, warmup_steps=warmup
    )


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


@tag.command(
    short_help="Train a tagger on a corpus.",
    epilog="Example: partita tag train corpus.txt --scheme bmes --out words.keras",
)
@click.argument("corpus", type=_INPUT)
@click.option(
    "--scheme",
    type=click.Choice([*SCHEMES, "none"]),
    required=True,
    help="bmes: CORPUS is text cut into words. Others: columns.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    callback=_new_model,
    help="The model file, *.keras.",
)
@click.option(
    "--dev", type=_INPUT, help="Sentences to score after each epoch; without it, the last tenth of CORPUS."
)
@click.option("--encoder", type=click.Choice([*ENCODERS]), default="cnn", show_default=True)
@click.option("--width", type=count(1024, 2), default=128, show_default=True, help="Channels of the encoder.")
@click.option(
    "--features",
    metavar="NAME,...",
    help="What is known of a token. Default: its characters, or word, affixes and columns.",
)
@click.option("--epochs", type=_COUNT, default=5, show_default=True)
@click.option("--batch-size", type=_COUNT, default=64, show_default=True, help="Sentences.")
@click.option("--seed", type=SEED, default=0, show_default=True)
def train(  # noqa: PLR0913 - a Click command, an argument for each option
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

    Segmented text has one sentence a line, words parted by white space. Columns have one token a line, its
    word first and its tag last, and a blank line between sentences; with scheme none the tags are plain ones,
    such as parts of speech. Either may be packed as .gz. The model of the best epoch so far is always in the
    file: Ctrl-C stops and keeps it.
    """
    keras.utils.set_random_seed(seed)
    kind = None if scheme == "none" else scheme
    names = _features(features, scheme)
    check = None if kind is None else lambda name: split_tag(name, scheme)
    text = read_tagged(corpus, kind, names, check)
    if dev is None and len(text.sentences) < 2:
        raise click.ClickException(
            f"{corpus} holds one sentence: expected another to score, there or with --dev"
        )
    if dev is None:
        text, dev_text = text.split()
    lexicon = Lexicon.fit(text.sentences, text.tags, kind, names)
    if dev is not None:
        dev_text = read_tagged(dev, kind, names, lexicon.tag_id)
    # to compile one takes as long as that many tokens
    num_shapes = min(MAX_SHAPES, 2 + epochs * sum(map(len, text.tags)) // 2**20)
    ids, tag_ids = map(lexicon.encode, text.sentences, text.tags), map(lexicon.encode_tags, text.tags)
    batches = Batches([*ids], [*tag_ids], batch_size, num_shapes, seed=seed)
    held_out = _held_out(dev_text, lexicon, batch_size, num_shapes, out)
    scored = f"{len(dev_text.sentences)} {'held out' if dev is None else 'of ' + dev}"
    for note in text.notes + dev_text.notes:
        say(note, err=True)
    say(
        f"training on {len(text.sentences)} sentences, scoring on {scored}; "
        f"batch shapes: {len(batches.shapes)}",
        err=True,
    )
    tagger = recipe(lexicon, encoder, width, epochs * len(batches))
    try:
        with ctrl_c() as check_ctrl_c:
            tagger.fit(batches, epochs=epochs, verbose=0, callbacks=[held_out, Epochs(_line, check_ctrl_c)])
    except KeyboardInterrupt:
        say("\nstopped", err=True)
        if held_out.best_epoch is None:
            raise
    if held_out.best_epoch is None:
        raise click.ClickException(
            f"the training diverged before a model could be scored: {out} was not written"
        )
    measure = "accuracy" if kind is None else "F1"
    say(f"best {measure} {held_out.best:.4f} after epoch {held_out.best_epoch + 1}: {out}", err=True)


def _held_out(text: TaggedCorpus, lexicon: Lexicon, batch_size: int, num_shapes: int, path: Path) -> HeldOut:
    known = all(name in lexicon.tag_names for name in {*chain.from_iterable(text.tags)})
    ids = [*map(lexicon.encode, text.sentences)]
    tag_ids = [*map(lexicon.encode_tags, text.tags)] if known else None  # without, there is no loss of them
    batches = Batches(ids, tag_ids, batch_size, num_shapes, shuffle=False)
    return HeldOut(
        batches, lambda ids: text.score(map(lexicon.decode_tags, ids), lexicon.scheme).f1, path=path
    )


def _features(given: str | None, scheme: str) -> list[str] | str:
    """Return the features asked for, or the name of a set of them.

    Features of words do not fit text that is tagged by characters, nor the other way round.
    """
    if not given:
        return "characters" if scheme == "bmes" else "words"
    names = [name.strip() for name in given.split(",")]
    features: list[str] | str = names[0] if len(names) == 1 and names[0] in FEATURE_SETS else names
    if not isinstance(features, str):
        check_features(features)
    if are_of_words(features) == (scheme == "bmes"):
        reason = (
            "words, but --scheme bmes tags characters: add 'character'."
            if scheme == "bmes"
            else "characters, which only --scheme bmes tags: take features of words."
        )
        raise click.UsageError(f"--features '{','.join(names)}' are of {reason}")
    return features


def _line(logs: Mapping[str, float]) -> str:
    shown = {"loss": "loss {:.3f}", "accuracy": "accuracy {:.4f}", "val_f1": "F1 {:.4f}"}
    return "  ".join(words.format(float(logs[name])) for name, words in shown.items() if name in logs)


@tag.command(
    short_help="Tag files.", epilog="Example: partita tag apply words.keras book.txt --out book.cut.txt"
)
@click.argument("model", type=_MODEL)
@click.argument("files", type=_INPUT, nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(allow_dash=True),
    default="-",
    show_default="standard output",
    help="Where to write, all of a file or nothing; for several FILES a folder.",
)
@click.option("--batch-size", type=_COUNT, default=256, show_default=True, help="Sentences at most.")
@click.option(
    "--confidence",
    is_flag=True,
    help="Add the probability of each tag; of a word's tags the least, as in word/0.987.",
)
@click.option("--separator", default=" ", help="What parts words or columns in the output. Default: a space.")
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Spread FILES over a Dask cluster: its scheduler's address, or 'local' for this machine.",
)
def apply(
    model: str,
    files: tuple[str, ...],
    out: str,
    batch_size: int,
    confidence: bool,
    separator: str,
    dask: str | None,
) -> None:
    """Tag FILES (- for standard input) with MODEL, a piece at a time, so that each may be of any size.

    Where MODEL cuts text into words: one line out for each line in. White space in a line stays a boundary
    between words; what stands between is cut as a sentence of its own. Otherwise: FILES have columns, the
    word first, and a column of tags is added.

    Several FILES go into the folder --out, each under its own name. Those that are finished are not done
    again when the same command is given once more; with --dask, a worker that is lost costs no more than the
    file it was at.
    """
    if len(files) == 1 and dask is None and not os.path.isdir(out):
        tagger, lexicon = load_tagger(model)
        with _written(out) as target:
            target.writelines(tagged_text(tagger, lexicon, files[0], batch_size, confidence, separator))
        return
    if out == "-" or "-" in files or (os.path.exists(out) and not os.path.isdir(out)):
        raise click.UsageError(
            "several FILES, or --dask, need a folder: --out FOLDER, and no standard input."
        )
    settings: dict[str, Any] = {"batch_size": batch_size, "confidence": confidence, "separator": separator}
    with _cluster(dask) as client:
        tag_files(model, files, out, client, **settings, report=lambda line: say(line, err=True))


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """A Dask client, or None without an address."""
    if address is None:
        yield None
        return
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError:
        raise click.UsageError("--dask needs Dask: pip install 'partita[dask]'") from None
    if address == "local":
        with LocalCluster(threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
            yield client
        return
    try:
        found = Client(address)
    except Exception as error:  # of Dask's, or of the network's
        why = f"'{shown(address, 200)}': {str(error) or type(error).__name__}"
        raise click.ClickException(f"no Dask scheduler answers at {why}") from None
    with found as client:
        yield client


@tag.command(short_help="Compare with a corpus.", epilog="Example: partita tag score words.keras test.txt")
@click.argument("model", type=_MODEL)
@click.argument("gold", type=_INPUT)
@click.option("--batch-size", type=_COUNT, default=256, show_default=True, help="Sentences at most.")
@click.option(
    "--known", type=_INPUT, help="Words of the training text; the recall of all others is printed, too."
)
def score(model: str, gold: str, batch_size: int, known: str | None) -> None:
    """Tag the text of GOLD (- for standard input) with MODEL, and compare with its own words or tags.

    Precision, recall and F1 count words by the characters they cover, and labelled spans by their ends and
    label.
    """
    tagger, lexicon = load_tagger(model)
    if known is not None and lexicon.scheme != "bmes":
        raise click.UsageError("--known is for models that cut text into words.")
    known_words = None if known is None else {word for words in read_segmented(known) for word in words}
    text = read_tagged(gold, lexicon.scheme, lexicon.features, lexicon.tag_id)
    for note in text.notes:
        say(note, err=True)
    found = tagged(tagger, lexicon, ((tokens, "") for tokens in text.sentences), batch_size)
    result = text.score((lexicon.decode_tags(ids) for _, ids, _ in found), lexicon.scheme, known_words)
    shares = {"precision": result.precision, "recall": result.recall, "F1": result.f1}
    if lexicon.scheme is None:
        shares = {"accuracy": result.f1}
    if result.oov_recall is not None:
        shares["recall of unknown words"] = result.oov_recall
    for name, share in shares.items():
        say(f"{name:<24}{share:.4f}")
    say(f"{'sentences':<24}{len(text.sentences)}")


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
