"""Text of any size as one stream of word ids on disk, read once: what is trained on, however many epochs.

sentences → ids by first appearance → counts → ids by frequency, rare words left out;
END after each sentence
"""

import gzip
import io
import os
import tempfile
import unicodedata
import warnings
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from partita.contrast.tokens import not_words, tokenizer
from partita.files.bounded import LONGEST_LINE, opened
from partita.kernels import njit

END = -1
LONGEST = 10_000  # words of a sentence; a longer one is cut, so that threads can share a text of one line
PIECE = 1 << 20  # ids or characters handled at a time

Corpus = str | os.PathLike | Iterable[Sequence[str]]


class Stream(NamedTuple):
    """Text as numbers: word ids, the words that they stand for, and their counts.

    `words[i]` was seen `counts[i]` times, the most frequent first; `ids` is `(length,)` int32.
    """

    words: list[str]
    counts: np.ndarray
    ids: np.ndarray


def read(corpus: Corpus, min_count: int = 1, *, tokens: str = "words") -> Stream:
    """Return the stream of a corpus.

    Args:
        corpus: Sentences, each a list of words; or a file with a sentence a line, perhaps packed as .gz.
        min_count: Words seen less often are left out.
        tokens: What the words of a file are; see `tokens`. Words in lists stay as they are.

    Warns:
        UserWarning: if the words are so long that the text is probably not cut into words, as Chinese has to
            be.

    Raises:
        ValueError: if a sentence is no list of words, no word is left, or the file is no text.
        OSError: if the file cannot be read.

    Example:
        >>> stream = read([["a", "b", "a"], ["c", "a", "b"]], min_count=2)
        >>> stream.words, stream.counts.tolist(), stream.ids.tolist()
        (['a', 'b'], [3, 2], [0, 1, 0, -1, 0, 1, -1])
    """
    if not isinstance(corpus, Iterable | os.PathLike):
        raise ValueError(f"corpus must be a path, or sentences that are lists of words, got {corpus!r}")
    sentences = lines(Path(corpus), tokens) if isinstance(corpus, str | os.PathLike) else corpus
    numbers: defaultdict[str, int] = defaultdict(count().__next__)  # by first appearance
    with tempfile.TemporaryFile(prefix="partita-") as file:  # it lives on as long as it is mapped
        _write_numbers(sentences, numbers, file)
        file.flush()
        if not numbers:
            raise ValueError("corpus holds no words")
        ids = np.memmap(file, np.int32, "r+")
    _refuse_strays(numbers)
    counts = np.zeros(len(numbers), np.int64)
    for start in range(0, len(ids), PIECE):
        counts += np.bincount(ids[start : start + PIECE] + 1, minlength=len(numbers) + 1)[1:]
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= min_count]
    vocabulary = [*numbers]
    doubt = not_words(vocabulary, counts)
    if not len(order):
        message = (
            f"no word is left: none of {len(numbers)} occurs min_count = {min_count} times, the most "
            f"frequent {counts.max()}"
        )
        raise ValueError(f"{message}. The corpus may not be cut into words, {doubt}" if doubt else message)
    if doubt:
        warnings.warn(f"the corpus may not be cut into words, {doubt}", stacklevel=3)
    final = np.full(len(numbers), END, np.int32)
    final[order] = np.arange(len(order), dtype=np.int32)
    return Stream([vocabulary[i] for i in order], counts[order], ids[: _renumber(ids, final)])


def _write_numbers(sentences: Iterable[Sequence[str]], numbers: dict[str, int], file: Any) -> None:
    """Write the numbers of the words, int32, `END` after each sentence."""
    pending = array("i")
    for sentence in sentences:
        if isinstance(sentence, str | bytes) or not isinstance(sentence, Iterable):
            got = f"{sentence[:40]!r}: split it" if isinstance(sentence, str | bytes) else repr(sentence)
            raise ValueError(f"corpus must hold sentences that are lists of words, got {got}")
        words = sentence if isinstance(sentence, list) else [*sentence]
        for start in range(0, len(words), LONGEST):
            try:
                pending.extend(map(numbers.__getitem__, words[start : start + LONGEST]))
            except TypeError:
                _refuse_strays(words)
            pending.append(END)
        if len(pending) >= PIECE:
            pending.tofile(file)
            del pending[:]
    pending.tofile(file)


def _refuse_strays(words: Iterable[Any]) -> None:
    """Raise if a word is no text."""
    for word in words:
        if not isinstance(word, str):
            raise ValueError(f"corpus must hold sentences that are lists of words, got the word {word!r}")


@njit()
def _renumber(ids, final):
    """Give the ids their new numbers in place, and return the new length.

    Rare words are taken out, and sentences that have become empty as well.
    """
    length = 0
    for id_ in ids:
        if id_ == END:
            if length and ids[length - 1] != END:
                ids[length] = END
                length += 1
        elif final[id_] != END:
            ids[length] = final[id_]
            length += 1
    return length


def _before_last(text: str) -> tuple[str, str]:
    """Part a text before its last character with its marks, to which more may come."""
    place = len(text) - 1
    while place > 0 and unicodedata.category(text[place])[0] == "M":
        place -= 1
    return text[:place], text[place:]


def lines(path: Path, tokens: str = "words") -> Iterator[list[str]]:
    r"""Yield the lines of a file as words; a line of more than a million characters comes in pieces.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "corpus.txt")
        ...     _ = path.write_text("To be,\n\nor not")
        ...     [*lines(path)], [*lines(path, "whitespace")]
        ([['to', 'be'], [], ['or', 'not']], [['To', 'be,'], [], ['or', 'not']])
    """
    split = tokenizer(tokens)
    with opened(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig") as file:
        rest = ""
        try:
            while text := file.readline(PIECE):
                # a piece of a line, which may end within a word
                within = len(text) == PIECE and not text[-1].isspace()
                text, rest = rest + text, ""
                if within:
                    *before, rest = text.rsplit(None, 1) if tokens != "characters" else _before_last(text)
                    text = before[0] if before else ""
                    if len(rest) > LONGEST_LINE:
                        raise ValueError(
                            f"a word has more than {LONGEST_LINE:,} characters, expected white space "
                            f"between words"
                        )
                yield split(text)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no text in UTF-8: {error}") from None
        except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
        if rest:
            yield split(rest)
