"""Tag text of any size: it is read, tagged and written a piece at a time.

Many files are tagged one by one or on a cluster.

text → chunks of sentences → Batches → Tagger → tags → text
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

from partita.crf.batches import Batches
from partita.crf.corpus import CorpusError, Source, read_columns, read_segmented
from partita.crf.features import columns_needed
from partita.crf.lexicon import Lexicon
from partita.crf.metrics import word_spans
from partita.crf.tagger import Tagger
from partita.crf.tags import tags_to_words
from partita.files.loading import check_is_file, read_model
from partita.files.whole import replacing
from partita.quoting import shown
from partita.waiting import ctrl_c

MAX_SHAPES = 5  # each takes time to compile, and saves less padding than the one before
CHUNK = 2**20  # tokens that are read, tagged and written at a time
CELLS = 2**13  # of a batch: fewer are slower, more are no faster and fill up with more padding
SETTINGS = "tagged.json"  # how the files of a folder were tagged
_one_at_a_time = threading.Lock()  # of the threads of a worker: a model is compiled and used by one


def tag_files(
    model: str | os.PathLike[str],
    files: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    client: Any = None,
    *,
    batch_size: int = 256,
    confidence: bool = False,
    separator: str = " ",
    report: Callable[[str], object] | None = None,
) -> list[Path]:
    """Tag files into a folder, each under its own name.

    A file whose result is there, finished and no older than the file, is not done again. Each result appears
    when all of it is written. So after a kill the same call goes on where it was, and a worker that is lost
    costs the file that it was at. On a cluster, the workers must see the same files.

    Args:
        model: Path of a tagger with a lexicon.
        files: Text to be cut, or columns, as the lexicon wants it; a `.gz` is unpacked.
        folder: Made where it is missing. It notes the model and the settings in `tagged.json`.
        client: A Dask client whose workers do the files. None: they are done here, in turn.
        batch_size: Sentences of a batch at most.
        confidence: Whether to write the probability of each tag, of a word's tags the least.
        separator: What parts words, or columns.
        report: Called with a line of text for each file.

    Returns:
        The path of each result.

    Raises:
        ValueError: if the model or a file cannot be read, two files have one name, the folder was tagged in
            another way, or a file costs one worker after the other.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from partita.crf import CRF, cnn
        >>> lexicon = Lexicon.fit(["ab"], [["b", "e"]], scheme="bmes", min_count=1)
        >>> tagger = Tagger(
        ...     cnn(lexicon.sizes, width=4, depth=1), CRF(4, lexicon.constraints), lexicon=lexicon
        ... )
        >>> _ = tagger(lexicon.encode("ab")[None])
        >>> with TemporaryDirectory() as folder:
        ...     tagger.save(f"{folder}/words.keras")
        ...     _ = Path(folder, "a.txt").write_text("abab")
        ...     [cut] = tag_files(f"{folder}/words.keras", [f"{folder}/a.txt"], f"{folder}/cut")
        ...     cut.read_text().replace(" ", "").strip()
        'abab'
    """
    folder, sources = Path(folder), [Path(file) for file in files]
    targets = [folder / source.name.removesuffix(".gz") for source in sources]
    names = [target.name for target in (*targets, Path(SETTINGS))]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"files must have different names, none of them {SETTINGS}, got {twice[0]!r} twice")
    settings = {"confidence": confidence, "separator": separator}
    check_is_file(model)
    _note(folder, {"model": hashlib.sha256(Path(model).read_bytes()).hexdigest(), **settings})
    todo = [pair for pair in zip(sources, targets, strict=True) if not _is_done(*pair)]
    say = report or (lambda line: None)
    say(f"{len(todo)} of {len(sources)} files to be tagged")
    jobs = {
        str(source): (os.fspath(model), str(source), str(target), batch_size, confidence, separator)
        for source, target in todo
    }
    if client is None:
        for source, job in jobs.items():
            tag_file(*job)
            say(source)
        return targets
    from distributed import KilledWorker, as_completed

    futures = {client.submit(tag_file, *job, pure=False): source for source, job in jobs.items()}
    try:
        for future in as_completed(futures):
            try:
                future.result()
            except KilledWorker as error:
                raise ValueError(f"{futures[future]}: every worker that tagged it was lost") from error
            say(futures[future])
    finally:
        client.cancel([*futures])
    for target in targets:
        for left in folder.glob(f".{target.stem}.[0-9]*{target.suffix}"):  # by workers that were lost
            left.unlink()
    return targets


def tag_file(model: str, source: str, target: str, batch_size: int, confidence: bool, separator: str) -> None:
    """Tag one file into another: what a worker of a cluster does.

    The model stays loaded for the next file.
    """
    with (
        _one_at_a_time,
        replacing(target) as beside,
        beside.open("w", encoding="utf-8", newline="\n") as file,
    ):
        tagger, lexicon = _kept(model, os.stat(model).st_mtime_ns)
        file.writelines(tagged_text(tagger, lexicon, source, batch_size, confidence, separator))


def _note(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / SETTINGS
    folder.mkdir(parents=True, exist_ok=True)
    try:
        earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else settings
    except ValueError:
        earlier = {}
    if earlier != settings:
        raise ValueError(
            f"{folder} holds what another model or other settings gave, as {path} says: take another folder"
        )
    with replacing(path) as beside:
        beside.write_text(json.dumps(settings), encoding="utf-8")


def _is_done(source: Path, target: Path) -> bool:
    return target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns


@lru_cache(maxsize=1)
def _kept(model: str, changed: int) -> tuple[Tagger, Lexicon]:
    return load_tagger(model)


def load_tagger(path: str | os.PathLike[str]) -> tuple[Tagger, Lexicon]:
    """A tagger and its lexicon; a file that holds anything else is a `ValueError`."""
    model = read_model(path)
    if not isinstance(model, Tagger) or model.lexicon is None:
        raise ValueError(f"{path} holds no tagger with a lexicon: want one from 'partita tag train'")
    return model, model.lexicon


def tagged_text(
    tagger: Tagger, lexicon: Lexicon, source: Source, batch_size: int, confidence: bool, separator: str
) -> Iterator[str]:
    """The text or the columns of a file with their tags, sentence by sentence."""
    sentences: Iterable[tuple[Any, str]]
    show: Callable[..., str]
    if lexicon.scheme == "bmes":
        sentences, show = _pieces(read_segmented(source), separator), _show_words
    else:
        sentences, show = ((rows, "\n") for rows in _rows_to_tag(source, lexicon)), _show_rows
    for (tokens, ending), ids, sure in tagged(tagger, lexicon, sentences, batch_size, confidence):
        yield show(tokens, lexicon.decode_tags(ids.tolist()), sure, separator) + ending


def _rows_to_tag(source: Source, lexicon: Lexicon) -> Iterator[list[tuple[str, ...]]]:
    """The sentences of a file of columns; text that is no such file is refused before anything is written."""
    for number, rows in enumerate(read_columns(source, min_columns=columns_needed(lexicon.features))):
        width, extra = lexicon.num_columns, len(rows[0]) - (lexicon.num_columns or len(rows[0]))
        tagged_already = extra == 1 and any(row[-1] in lexicon.tag_names for row in rows)
        if number == 0 and extra > 0 and not tagged_already:
            name = getattr(source, "name", source if isinstance(source, str | os.PathLike) else "<stream>")
            raise CorpusError(
                f"{shown(os.fspath(name), 300)}: expected one token a line in {width} "
                f"column{'s' * (width != 1)}, with or without a tag behind, and a blank line between "
                f"sentences, got '{shown(' '.join(rows[0]))}'; raw sentences have to be split up first"
            )
        yield rows


def _pieces(lines: Iterable[list[str]], separator: str) -> Iterator[tuple[str, str]]:
    """What stands between white space, and what comes after it in the output."""
    for pieces in lines:
        *first, last = pieces or [""]
        yield from ((piece, separator) for piece in first)
        yield last, "\n"


def tagged(
    tagger: Tagger,
    lexicon: Lexicon,
    sentences: Iterable[tuple[Any, str]],
    batch_size: int,
    confidence: bool = False,
) -> Iterator[tuple[tuple[Any, str], np.ndarray, np.ndarray | None]]:
    """Each sentence with the ids of its tags and, if asked for, their probabilities."""
    lengths: list[int] | None = None
    with ctrl_c() as check:
        for chunk in _chunks(sentences):
            ids = [lexicon.encode(tokens) for tokens, _ in chunk]
            num_shapes = min(MAX_SHAPES, 1 + sum(map(len, ids)) * MAX_SHAPES // CHUNK)
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


def _decoded(
    tagger: Tagger, batches: Batches, confidence: bool, check: Callable[[], None]
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Tag ids and probabilities of each sentence, `(time,)`.

    Batch by batch: one long sentence does not pad all others.
    """
    found: list[Any] = [None] * len(batches.sequences)
    order = iter(batches.order.tolist())
    for (ids,) in (batches[index] for index in range(len(batches))):
        check()
        if confidence:
            scores = tagger(ids, training=False)
            tags = keras.ops.convert_to_numpy(tagger.crf.decode(scores))
            marginals = keras.ops.convert_to_numpy(tagger.crf.marginals(scores))
            # (rows, time)
            sure = np.take_along_axis(marginals, np.maximum(tags, 0)[..., None], axis=-1)[..., 0]
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
        spans = zip(words, word_spans(words), strict=True)
        words = [f"{word}/{sure[start:end].min():.3f}" for word, (start, end) in spans]
    return separator.join(words)


def _show_rows(rows: list[tuple[str, ...]], tags: list[str], sure: np.ndarray | None, separator: str) -> str:
    shares: list[tuple[str, ...]] = [()] * len(tags) if sure is None else [(f"{p:.3f}",) for p in sure]
    lines = zip(rows, tags, shares, strict=True)
    return "".join(separator.join((*row, tag, *share)) + "\n" for row, tag, share in lines)
