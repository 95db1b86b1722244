"""Words and vectors in files: word2vec's text and binary format, and words among NumPy arrays.

    text:    "size dim" LF, then for each word: word SP number SP … number LF
    binary:  "size dim" LF, then for each word: word SP float32 … float32 LF

In both, a word is all that stands before the first space (0x20): it may hold any other white space but a line
feed.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import IO

import numpy as np


def check_words(words: Sequence[str]) -> None:
    r"""Raise unless word2vec's formats can hold all words.

    Raises:
        ValueError: if a word is empty, holds a space or a line feed, or is no text in UTF-8.

    Example:
        >>> check_words(["naïve", "a\tb"])
        >>> check_words(["a b"])
        Traceback (most recent call last):
        ValueError: the formats of word2vec cannot hold the word 'a b', which has a space in it: save as .npz
    """
    for word in words:
        reason = ""
        if not word:
            reason = "which is empty"
        elif " " in word or "\n" in word:
            reason = f"which has a {'space' if ' ' in word else 'line feed'} in it"
        elif not word.isascii() and any("\ud800" <= letter <= "\udfff" for letter in word):
            reason = "which is no text in UTF-8"
        if reason:
            raise ValueError(f"the formats of word2vec cannot hold the word {word!r}, {reason}: save as .npz")


def write_text(file: IO[bytes], words: Sequence[str], vectors: np.ndarray) -> None:
    """Write word2vec's text format; vectors `(size, dim)` float32."""
    file.write(f"{len(words)} {vectors.shape[1]}\n".encode())
    for word, row in zip(words, vectors, strict=True):
        # nine digits give a float32 back
        file.write(f"{word} {' '.join(np.char.mod('%.9g', row))}\n".encode())


def write_binary(file: IO[bytes], words: Sequence[str], vectors: np.ndarray) -> None:
    """Write word2vec's binary format; vectors `(size, dim)` float32."""
    file.write(f"{len(words)} {vectors.shape[1]}\n".encode())
    for word, row in zip(words, vectors.astype("<f4", copy=False), strict=True):
        file.write(word.encode() + b" " + row.tobytes() + b"\n")


def pack(words: Sequence[str]) -> dict[str, np.ndarray]:
    r"""Return words as arrays: `words`, their bytes one after another, and `ends`, where each ends.

    Example:
        >>> {name: values.tolist() for name, values in pack(["a", "", "b\0"]).items()}
        {'words': [97, 98, 0], 'ends': [1, 1, 3]}
    """
    # what is no text in UTF-8 comes back as it was
    parts = [word.encode("utf-8", "surrogatepass") for word in words]
    return {
        "words": np.frombuffer(b"".join(parts), np.uint8),
        "ends": np.cumsum([len(part) for part in parts], dtype=np.int64),
    }


def unpack(content: np.ndarray, ends: np.ndarray | None) -> list[str]:
    r"""Return the words that `pack` made arrays of; without `ends`, the words are parted by NUL.

    Raises:
        ValueError: if the ends are none, or the bytes between them are no words.

    Example:
        >>> unpack(
        ...     **{
        ...         "content" if name == "words" else name: values
        ...         for name, values in pack(["a", "", "b\0"]).items()
        ...     }
        ... )
        ['a', '', 'b\x00']
    """
    letters = content.tobytes()
    if ends is None:
        return letters.decode().split("\0")
    are_places = ends.ndim == 1 and ends.dtype.kind in "iu" and len(ends) > 0
    if not are_places or ends[-1] != len(letters) or (np.diff(ends, prepend=0) < 0).any():
        raise ValueError("the words do not end where it says")
    places = [0, *ends.tolist()]
    return [letters[start:end].decode("utf-8", "surrogatepass") for start, end in pairwise(places)]


def read(body: bytes, size: int, dim: int, *, binary_first: bool = False) -> tuple[list[str], np.ndarray]:
    r"""Return words and vectors `(size, dim)` of a text or binary file of word2vec's, without its first line.

    Args:
        body: What follows the first line.
        size: Number of words.
        dim: Length of a vector.
        binary_first: Which format it is where the content could be both, as four letters can be a number of
            four bytes.

    Raises:
        ValueError: if it is neither, or more or less is there than announced.

    Example:
        >>> words, vectors = read(b"cat 1 2\ndog 3 4\n", 2, 2)
        >>> words, vectors.tolist()
        (['cat', 'dog'], [[1.0, 2.0], [3.0, 4.0]])
    """
    if not _is_text(body, dim):
        return _from_binary(body, size, dim)
    if binary_first:
        with suppress(ValueError):
            return _from_binary(body, size, dim)
    return _from_text(body, size, dim)


def _fields(line):
    """The word and the numbers of a line, bytes or text; they may end in white space of any kind."""
    space = b" " if isinstance(line, bytes) else " "
    word, *numbers = line.rstrip().split(space)
    return word, [number for number in numbers if number]


def _is_text(body, dim):
    numbers = _fields(body.partition(b"\n")[0])[1]
    try:
        [float(number) for number in numbers]
    except ValueError:
        return False
    return len(numbers) == dim


def _room(body, size, dim, least):
    """Vectors to be filled from a body that has so many bytes for each word, at least."""
    if size * least > len(body) + 1:  # the last line need not end
        raise ValueError(f"{size} words of {dim} numbers are announced and {len(body)} bytes there")
    return np.empty((size, dim), np.float32)


def _from_text(body, size, dim):
    rows = body.decode().rstrip("\n").split("\n")
    if len(rows) != size:
        raise ValueError(f"{size} words are announced and {len(rows)} there")
    words, vectors = [], _room(body, size, dim, 2 * dim + 2)
    for row, line in enumerate(rows):
        word, numbers = _fields(line)
        if len(numbers) != dim or not word:
            raise ValueError(
                f"line {row + 2} must have a word and {dim} numbers, got "
                f"{len(numbers)}{'' if word else ' and no word'}"
            )
        words.append(word)
        with np.errstate(over="ignore"):
            vectors[row] = numbers
    return words, vectors


def _from_binary(body, size, dim):
    words, vectors, place = [], _room(body, size, dim, 4 * dim + 1), 0
    for row in range(size):
        space = body.find(b" ", place)
        end = space + 1 + 4 * dim
        if space < 0 or end > len(body):
            raise ValueError(f"{size} words are announced and {row} there")
        # some writers put a line feed after each vector
        words.append(body[place:space].lstrip(b"\n").decode())
        vectors[row] = np.frombuffer(body[space + 1 : end], "<f4")
        place = end
    if body[place:].strip():
        raise ValueError(f"{size} words are announced and more is there")
    return words, vectors
