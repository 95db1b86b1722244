"""Text of any size as one stream of word ids on disk, read once: what is trained on, however many epochs.

sentences → ids by first appearance → counts → ids by frequency, rare words left out;   END after each sentence
"""

import gzip
import io
import os
import tempfile
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from partita.bounded import LONGEST_LINE, opened
from partita.kernels import njit

END = -1
LONGEST = 10_000  # words of a sentence; a longer one is cut, so that threads can share a text of one line
PIECE = 1 << 20  # ids or characters handled at a time

Corpus = str | os.PathLike | Iterable[Sequence[str]]


class Stream(NamedTuple):
    """A text as numbers: `words[i]` was seen `counts[i]` times, the most frequent first; `ids` `(length,)` int32."""

    words: list[str]
    counts: np.ndarray
    ids: np.ndarray


def read(corpus: Corpus, min_count: int = 1) -> Stream:
    """The stream of a corpus: sentences of words, or a file with a sentence a line, words parted by white space, perhaps packed as .gz.

    Raises:
        ValueError: if a sentence is no sequence of words, no word is left, or the file is no text.
        OSError: if the file cannot be read.

    Example:
        >>> stream = read([["a", "b", "a"], ["c", "a", "b"]], min_count=2)
        >>> stream.words, stream.counts.tolist(), stream.ids.tolist()
        (['a', 'b'], [3, 2], [0, 1, 0, -1, 0, 1, -1])
    """
    sentences = lines(Path(corpus)) if isinstance(corpus, str | os.PathLike) else corpus
    numbers = _Numbers()
    with tempfile.TemporaryFile(prefix="partita-") as file:  # it lives on as long as it is mapped
        pending = array("i")
        for sentence in sentences:
            if isinstance(sentence, str | bytes):
                raise ValueError(f"corpus must hold sentences that are lists of words, got {sentence[:40]!r}: split it")
            for start in range(0, len(sentence), LONGEST):
                pending.extend(map(numbers.__getitem__, sentence[start : start + LONGEST]))
                pending.append(END)
            if len(pending) >= PIECE:
                pending.tofile(file)
                del pending[:]
        pending.tofile(file)
        file.flush()
        if not numbers:
            raise ValueError("corpus holds no words")
        ids = np.memmap(file, np.int32, "r+")
    if not all(isinstance(word, str) for word in numbers):
        stray = next(word for word in numbers if not isinstance(word, str))
        raise ValueError(f"corpus must hold sentences that are lists of words, got the word {stray!r}")
    counts = np.zeros(len(numbers), np.int64)
    for start in range(0, len(ids), PIECE):
        counts += np.bincount(ids[start : start + PIECE] + 1, minlength=len(numbers) + 1)[1:]
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= min_count]
    if not len(order):
        raise ValueError(f"no word is left: none of {len(numbers)} occurs min_count = {min_count} times, the most frequent {counts.max()}")
    final = np.full(len(numbers), END, np.int32)
    final[order] = np.arange(len(order), dtype=np.int32)
    words = [*numbers]
    return Stream([words[i] for i in order], counts[order], ids[: _renumber(ids, final)])


class _Numbers(dict):
    """Word → number, in the order of first appearance."""

    def __missing__(self, word):
        number = self[word] = len(self)
        return number


@njit()
def _renumber(ids, final):
    """In place: new numbers, rare words taken out, sentences that have become empty as well; the new length."""
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


def lines(path: Path) -> Iterator[list[str]]:
    r"""The lines of a file as words; a line of more than a million characters comes in pieces.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "corpus.txt")
        ...     _ = path.write_text("to be\n\nor not")
        ...     [*lines(path)]
        [['to', 'be'], [], ['or', 'not']]
    """
    with opened(path) as raw, io.TextIOWrapper(raw, encoding="utf-8") as file:
        rest = ""
        try:
            while text := file.readline(PIECE):
                words = (rest + text).split()
                within = len(text) == PIECE and not text[-1].isspace()  # a piece of a line, which may end within a word
                rest = words.pop() if within and words else ""
                if len(rest) > LONGEST_LINE:
                    raise ValueError(f"a word has more than {LONGEST_LINE:,} characters, expected white space between words")
                yield words
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no text in UTF-8: {error}") from None
        except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
        if rest:
            yield [rest]
