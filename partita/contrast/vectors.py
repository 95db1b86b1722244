"""Vectors of words: looking them up, finding neighbours, files.

cos(a, b) = ⟨a, b⟩ / (‖a‖ ‖b‖)
"""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from partita.bounded import arrays
from partita.files import reading, replacing

Words = str | Sequence[str]


class WordVectors:
    """Words and their vectors, as `SkipGram.fit` gives them or a file holds them.

    Args:
        words: All different, `(size,)`; those of `SkipGram` come by frequency.
        vectors: `(size, dim)`, float32.
        contexts: The other vectors of the model, v where `vectors` are u: ⟨u_i, v_j⟩ is the score of j near i. None: not known.
        counts: How often each word was seen, `(size,)`. None: not known.

    Raises:
        ValueError: if the lengths do not fit, a word is there twice, or a number is not finite in float32.

    Example:
        >>> vectors = WordVectors(["cat", "dog", "tree"], [[1, 0], [1, 0.1], [0, 1]])
        >>> vectors.most_similar("cat", n=1)[0][0], "fish" in vectors, len(vectors)
        ('dog', False, 3)
    """

    def __init__(
        self, words: Sequence[str], vectors: npt.ArrayLike, contexts: npt.ArrayLike | None = None, counts: npt.ArrayLike | None = None
    ):
        self.words = [*words]
        self.vectors = _finite("vectors", vectors)
        self.contexts = None if contexts is None else _finite("contexts", contexts)
        self.counts = None if counts is None else np.asarray(counts, np.int64)
        self._rows = {word: row for row, word in enumerate(self.words)}
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.words) or not self.words:
            raise ValueError(f"vectors must be (size, dim) for {len(self.words)} words, got the shape {self.vectors.shape}")
        if len(self._rows) < len(self.words):
            twice = next(word for row, word in enumerate(self.words) if self._rows[word] != row)
            raise ValueError(f"words must differ, got {twice!r} twice")
        if self.contexts is not None and self.contexts.shape != self.vectors.shape:
            raise ValueError(f"contexts must have the shape {self.vectors.shape} of vectors, got {self.contexts.shape}")
        if self.counts is not None and self.counts.shape != (len(self.words),):
            raise ValueError(f"counts must be ({len(self.words)},), got the shape {self.counts.shape}")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._rows

    def __getitem__(self, word: str) -> np.ndarray:
        return self.vector(word)

    def vector(self, word: str) -> np.ndarray:
        """The vector of a word, `(dim,)`.

        Raises:
            KeyError: if it has none.
        """
        return self.vectors[self._row(word)]

    def similarity(self, first: str, second: str) -> float:
        """The cosine of two words' vectors."""
        return float(self._unit[self._row(first)] @ self._unit[self._row(second)])

    def most_similar(self, positive: Words | npt.ArrayLike, negative: Words = (), n: int = 10) -> list[tuple[str, float]]:
        """The `n` words whose vectors point most nearly the same way, with the cosines, the nearest first.

        Args:
            positive: A word, several (the sum of their vectors of length 1), or a vector `(dim,)`. Words given are not among those found.
            negative: Words whose vectors are taken away: king − man + woman is `most_similar(["king", "woman"], ["man"])`.
            n: How many.

        Raises:
            KeyError: if a word has no vector.
            ValueError: if a vector does not have `dim` numbers.
        """
        plus, minus = _as_words(positive), _as_words(negative)
        asked = [*map(self._row, (*plus, *minus))]
        signs = np.repeat(np.array([1, -1], np.float32), [len(plus), len(minus)])
        goal = signs @ self._unit[asked] if asked else np.zeros(self.vectors.shape[1], np.float32)
        if not plus:
            given = np.asarray(positive, np.float32)
            if given.shape != goal.shape:
                raise ValueError(f"positive must be words or a vector ({len(goal)},), got the shape {given.shape}")
            goal = goal + given
        cosines = self._unit @ (goal / max(float(np.linalg.norm(goal)), 1e-12))
        cosines[asked] = -np.inf
        n = min(n, len(cosines) - len({*asked}))
        nearest = np.argpartition(-cosines, n - 1)[:n] if n > 0 else np.zeros(0, int)
        return [(self.words[row], float(cosines[row])) for row in nearest[np.argsort(-cosines[nearest])]]

    def _row(self, word: str) -> int:
        try:
            return self._rows[word]
        except KeyError:
            raise KeyError(f"{word!r} has no vector: it is none of the {len(self.words)} words") from None

    @cached_property
    def _unit(self) -> np.ndarray:
        return self.vectors / np.maximum(np.linalg.norm(self.vectors, axis=1, keepdims=True), 1e-12)

    def save(self, path: str | os.PathLike) -> None:
        """Write a file: `.npz` holds all; `.bin` and any other name are the binary and the text format of word2vec, words and vectors.

        It takes its place when all is written.

        Raises:
            ValueError: if a word holds white space or nothing, which word2vec's formats cannot say.
            OSError: if it cannot be written.
        """
        path = Path(path)
        if path.suffix != ".npz" and (stray := next((word for word in self.words if word.split() != [word]), None)) is not None:
            raise ValueError(f"the formats of word2vec cannot hold the word {stray!r}: save as .npz")
        with replacing(path) as beside, beside.open("wb") as file:
            self._write(file, path.suffix)

    def _write(self, file: IO[bytes], suffix: str) -> None:
        if suffix == ".npz":
            known: dict[str, Any] = {
                name: values for name, values in (("contexts", self.contexts), ("counts", self.counts)) if values is not None
            }
            words = np.frombuffer("\0".join(self.words).encode(), np.uint8)
            np.savez(file, words=words, vectors=self.vectors, **known)
            return
        file.write(f"{len(self.words)} {self.vectors.shape[1]}\n".encode())
        little = self.vectors.astype("<f4", copy=False)
        for word, row in zip(self.words, little, strict=True):
            # repr of a float32 is the shortest text that gives it back
            numbers = row.tobytes() if suffix == ".bin" else " ".join(np.char.mod("%.9g", row)).encode()
            file.write(word.encode() + b" " + numbers + b"\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> "WordVectors":
        """Read a file in any of the three formats; which it is, its content says.

        Raises:
            ValueError: if it holds no vectors, or not all that it announces.
            OSError: if it cannot be read.
        """
        path = Path(path)
        content = path.read_bytes()
        if content[:2] == b"PK":
            return cls._load_npz(path)
        header, _, body = content.partition(b"\n")
        try:
            size, dim = map(int, header.split())
        except ValueError:
            raise ValueError(f"{path} holds no word vectors: its first line must be two numbers, got {header[:40]!r}") from None
        if size < 1 or dim < 1:
            raise ValueError(f"{path} holds no word vectors: {size} of length {dim}")
        try:
            return cls(*(_from_text if _is_text(body, dim) else _from_binary)(body, size, dim))
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}") from None

    @classmethod
    def _load_npz(cls, path: Path) -> "WordVectors":
        with reading(f"{path} holds no word vectors"), arrays(path) as found:
            known = {name: found[name] for name in ("contexts", "counts") if name in found}
            words, vectors = found["words"].tobytes(), found["vectors"]
            if vectors.shape[:1] != (words.count(b"\0") + 1,):  # before a list is made of them
                raise ValueError(f"vectors must be (size, dim) for {words.count(0) + 1} words, got the shape {vectors.shape}")
            return cls(words.decode().split("\0"), vectors, **known)


def _finite(name: str, vectors: npt.ArrayLike) -> np.ndarray:
    with np.errstate(all="ignore"):
        vectors = np.asarray(vectors, np.float32)
        total = vectors.sum(dtype=np.float64)  # finite where all are, without a mask as large as the vectors
    if not np.isfinite(total):
        place = tuple(np.argwhere(~np.isfinite(vectors))[0].tolist())
        raise ValueError(f"{name} must be finite numbers in float32, got {vectors[place]} at {place}")
    return vectors


def _as_words(words):
    if isinstance(words, str):
        return [words]
    return [*words] if all(isinstance(word, str) for word in words) else []


def _is_text(body: bytes, dim: int) -> bool:
    line = body.partition(b"\n")[0].split()
    try:
        [float(number) for number in line[1:]]
    except ValueError:
        return False
    return len(line) == dim + 1


def _room(body: bytes, size: int, dim: int, least: int) -> np.ndarray:
    """Vectors to be filled from a body that has so many bytes for each word, at least."""
    if size * least > len(body) + 1:  # the last line need not end
        raise ValueError(f"{size} words of {dim} numbers are announced and {len(body)} bytes there")
    return np.empty((size, dim), np.float32)


def _from_text(body: bytes, size: int, dim: int) -> tuple[list[str], np.ndarray]:
    rows = body.decode().rstrip("\n").split("\n")
    if len(rows) != size:
        raise ValueError(f"{size} words are announced and {len(rows)} there")
    words, vectors = [], _room(body, size, dim, 2 * dim + 2)
    for row, line in enumerate(rows):
        word, *numbers = line.split()
        if len(numbers) != dim:
            raise ValueError(f"line {row + 2} must have a word and {dim} numbers, got {len(numbers)}")
        words.append(word)
        with np.errstate(over="ignore"):
            vectors[row] = numbers
    return words, vectors


def _from_binary(body: bytes, size: int, dim: int) -> tuple[list[str], np.ndarray]:
    words, vectors, place = [], _room(body, size, dim, 4 * dim + 1), 0
    for row in range(size):
        space = body.find(b" ", place)
        end = space + 1 + 4 * dim
        if space < 0 or end > len(body):
            raise ValueError(f"{size} words are announced and {row} there")
        words.append(body[place:space].lstrip(b"\n").decode())  # some writers put a line feed after each vector
        vectors[row] = np.frombuffer(body[space + 1 : end], "<f4")
        place = end
    if body[place:].strip():
        raise ValueError(f"{size} words are announced and more is there")
    return words, vectors
