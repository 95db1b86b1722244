"""Vectors of words: looking them up, finding neighbours, files.

cos(a, b) = ⟨a, b⟩ / (‖a‖ ‖b‖)
"""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.contrast import word_files
from partita.files.bounded import arrays
from partita.files.whole import reading, replacing

Words = Any  # a word, a vector, a pair (either, weight), or a list of these


class WordVectors:
    """Words and their vectors, as `SkipGram.fit` gives them or a file holds them.

    Args:
        words: All different, `(size,)`; those of `SkipGram` come by frequency.
        vectors: `(size, dim)`, float32.
        contexts: The other vectors of the model, v where `vectors` are u: ⟨u_i, v_j⟩ is the score of j near
            i. None: not known.
        counts: How often each word was seen, `(size,)`. None: not known.

    Raises:
        ValueError: if the lengths do not fit, a word is no string or is there twice, or a number is not
            finite in float32.

    Example:
        >>> vectors = WordVectors(["cat", "dog", "tree"], [[1, 0], [1, 0.1], [0, 1]])
        >>> vectors.most_similar("cat", n=1)[0][0], "fish" in vectors, len(vectors)
        ('dog', False, 3)
    """

    def __init__(
        self,
        words: Sequence[str],
        vectors: npt.ArrayLike,
        contexts: npt.ArrayLike | None = None,
        counts: npt.ArrayLike | None = None,
    ):
        if isinstance(words, str):
            raise ValueError(
                f"words must be a list of words: expected strings, got the string {words[:40]!r}"
            )
        self.words = [*words]
        if stray := [word for word in self.words if not isinstance(word, str)]:
            raise ValueError(f"words must be a list of words: expected strings, got {stray[0]!r}")
        self.vectors = _finite("vectors", vectors)
        self.contexts = None if contexts is None else _finite("contexts", contexts)
        self.counts = None if counts is None else np.asarray(counts, np.int64)
        self._rows = {word: row for row, word in enumerate(self.words)}
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.words) or not self.words:
            raise ValueError(
                f"vectors must be (size, dim) for {len(self.words)} words, got the shape {self.vectors.shape}"
            )
        if len(self._rows) < len(self.words):
            twice = next(word for row, word in enumerate(self.words) if self._rows[word] != row)
            raise ValueError(f"words must differ, got {twice!r} twice")
        if self.contexts is not None and self.contexts.shape != self.vectors.shape:
            raise ValueError(
                f"contexts must have the shape {self.vectors.shape} of vectors, got {self.contexts.shape}"
            )
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
        """Return the cosine of two words' vectors; NaN where one of them has length 0.

        Raises:
            KeyError: if a word has no vector.
        """
        rows = [self._row(first), self._row(second)]
        if not self._has_length[rows].all():
            return float("nan")
        first_vector, second_vector = self._unit[rows]
        return float(first_vector @ second_vector)

    def most_similar(
        self, positive: Words = (), negative: Words = (), n: int = 10
    ) -> list[tuple[str, float]]:
        """Return the `n` words whose vectors point most nearly in a direction, with the cosines.

        The nearest come first. The direction is the sum of what is positive less the sum of what is negative,
        each times its weight, 1 where none is given. The vectors of words are brought to length 1 first,
        vectors that are given count as they are: king − man + woman is
        `most_similar(["king", "woman"], ["man"])`.

        Args:
            positive: A word, a vector `(dim,)`, a pair (word or vector, weight), several vectors
                `(count, dim)`, or a list that may mix words, vectors and pairs. Words given are not among
                those found.
            negative: The same, taken away.
            n: How many are returned, at most. Words whose vectors have length 0 have no cosine and are left
                out.

        Raises:
            KeyError: if a word has no vector.
            ValueError: if nothing is given, a vector does not have `dim` finite numbers, or all of it adds up
                to 0.

        Source: Mikolov et al. 2013; as in gensim.
        """
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 0:
            raise ValueError(f"n must be a number of words: expected an integer from 0, got {n!r}")
        parts, asked = [], []
        for name, given, sign in (("positive", positive, 1), ("negative", negative, -1)):
            for item, weight in terms(name, given):
                if isinstance(item, str):
                    asked.append(self._row(item))
                    parts.append(sign * weight * self._unit[asked[-1]].astype(float))
                else:
                    parts.append(sign * weight * self._checked(name, item))
        if not parts:
            raise ValueError(
                "positive and negative must not both be empty: expected a word or a vector, got nothing"
            )
        top = np.abs(parts).max()
        summands = np.array(parts) / (top if top > 0 else 1)  # their squares stay within float64
        goal = summands.sum(axis=0)
        length = float(np.linalg.norm(goal))
        if length <= 1e-6 * np.linalg.norm(summands, axis=1).sum():
            raise ValueError(
                "positive and negative must point somewhere: expected a sum other than 0, got vectors that "
                "cancel or have length 0"
            )
        cosines = self._unit @ (goal / length).astype(np.float32)
        left_out = ~self._has_length
        left_out[asked] = True
        cosines[left_out] = -np.inf
        n = min(n, len(cosines) - int(left_out.sum()))
        nearest = np.argpartition(-cosines, n - 1)[:n] if n > 0 else np.zeros(0, int)
        return [(self.words[row], float(cosines[row])) for row in nearest[np.argsort(-cosines[nearest])]]

    def _checked(self, name: str, vector: np.ndarray) -> np.ndarray:
        """A vector in float64, if it can be added to others."""
        dim = self.vectors.shape[1]
        if vector.shape != (dim,):
            raise ValueError(
                f"{name} must hold words and vectors: expected a vector ({dim},), got the shape "
                f"{vector.shape}"
            )
        if not np.isfinite(vector).all():
            place = int(np.flatnonzero(~np.isfinite(vector))[0])
            raise ValueError(
                f"{name} must hold vectors of finite numbers, got {vector[place]} at index {place}"
            )
        return vector.astype(float)

    def _row(self, word: str) -> int:
        try:
            return self._rows[word]
        except KeyError:
            raise KeyError(f"{word!r} has no vector: it is none of the {len(self.words)} words") from None

    @cached_property
    def _unit(self) -> np.ndarray:
        """The vectors brought to length 1, however small or large; those of length 0 stay."""
        top = np.maximum(self.vectors.max(axis=1), -self.vectors.min(axis=1))[:, None]
        unit = np.divide(self.vectors, top, out=self.vectors.copy(), where=top > 0)
        length = np.linalg.norm(unit, axis=1, keepdims=True)
        return np.divide(unit, length, out=unit, where=length > 0)

    @cached_property
    def _has_length(self) -> np.ndarray:
        return np.asarray(self.vectors.any(axis=1))

    def save(self, path: str | os.PathLike) -> None:
        """Write a file, in the format that the suffix of `path` names.

        `.npz` holds everything; `.bin` and any other name are word2vec's binary and text format: words and
        vectors. The file takes its place when all is written.

        Raises:
            ValueError: if a word cannot be written in word2vec's formats: one that is empty, holds a space or
                a line feed, or is no text in UTF-8. `.npz` takes them all.
            OSError: if it cannot be written.
        """
        path = Path(path)
        if path.suffix != ".npz":
            word_files.check_words(self.words)
        with replacing(path) as beside, beside.open("wb") as file:
            if path.suffix == ".npz":
                content = {name: getattr(self, name) for name in ("contexts", "counts", "vectors")}
                content = {name: values for name, values in content.items() if values is not None}
                np.savez(file, **(content | word_files.pack(self.words)))
            elif path.suffix == ".bin":
                word_files.write_binary(file, self.words, self.vectors)
            else:
                word_files.write_text(file, self.words, self.vectors)

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
            raise ValueError(
                f"{path} holds no word vectors: its first line must be two numbers, got {header[:40]!r}"
            ) from None
        if size < 1 or dim < 1:
            raise ValueError(f"{path} holds no word vectors: {size} of length {dim}")
        try:
            return cls(*word_files.read(body, size, dim, binary_first=path.suffix == ".bin"))
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}") from None

    @classmethod
    def _load_npz(cls, path: Path) -> "WordVectors":
        with reading(f"{path} holds no word vectors"), arrays(path) as found:
            known = {name: found[name] for name in ("contexts", "counts") if name in found}
            words, ends, vectors = found["words"], found.get("ends"), found["vectors"]
            size = words.tobytes().count(0) + 1 if ends is None else ends.size
            if size and vectors.shape[:1] != (size,):  # before a list is made of them
                raise ValueError(
                    f"vectors must be (size, dim) for {size} words, got the shape {vectors.shape}"
                )
            return cls(word_files.unpack(words, ends), vectors, **known)


def terms(name: str, given: Words) -> list[tuple[Any, float]]:
    """Return words and vectors as a list of pairs (word or vector, weight).

    They may come in any of the forms that `most_similar` takes.

    Example:
        >>> terms("positive", "cat"), terms("positive", [("cat", 2), "dog"])
        ([('cat', 1.0)], [('cat', 2.0), ('dog', 1.0)])
        >>> terms("positive", [1, 2]), terms("positive", [])
        ([(array([1., 2.]), 1.0)], [])
    """
    if given is None:
        return []
    if isinstance(given, str):
        return [(given, 1.0)]
    if _is_weighted(given):
        weight = float(given[1])
        if not np.isfinite(weight):
            raise ValueError(f"{name} must have finite weights, got {weight} for {given[0]!r}")
        return [(item, weight * own) for item, own in terms(name, given[0])]
    if hasattr(given, "__array__") and not isinstance(given, Sequence):
        given = np.asarray(given)
        if given.dtype.kind in "biuf":
            return [(row, 1.0) for row in np.atleast_2d(given).astype(float)] if given.size else []
    try:
        items = [*given]
    except TypeError:
        raise ValueError(f"{name} must hold words and vectors, got {given!r}") from None
    if items and all(isinstance(item, _NUMBERS) for item in items):
        return [(np.array(items, float), 1.0)]
    if stray := [item for item in items if isinstance(item, (*_NUMBERS, bytes, type(None)))]:
        raise ValueError(f"{name} must hold words and vectors, got {stray[0]!r}")
    return [term for item in items for term in terms(name, item)]


_NUMBERS = (int, float, np.integer, np.floating)


def _is_weighted(given: Any) -> bool:
    """Whether it is a pair of a word or a vector and a weight."""
    is_pair = isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], _NUMBERS)
    return is_pair and not isinstance(given[0], _NUMBERS)


def _finite(name: str, vectors: npt.ArrayLike) -> np.ndarray:
    with np.errstate(all="ignore"):
        vectors = np.asarray(vectors, np.float32)
        total = vectors.sum(dtype=np.float64)  # finite where all are, without a mask as large as the vectors
    if not np.isfinite(total):
        place = tuple(np.argwhere(~np.isfinite(vectors))[0].tolist())
        raise ValueError(f"{name} must be finite numbers in float32, got {vectors[place]} at {place}")
    return vectors
