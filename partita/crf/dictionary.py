"""Dictionary features: the words of a corpus, found again in a text.

They say how long a known word begins, ends or goes on at each character. An id is 1 where no word of two to
seven characters does, or else the length of the longest that does.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from operator import add

import numpy as np

LENGTHS = range(2, 8)


class Dictionary:
    """Words by which to mark a text.

    A model trained on sentences whose every word is known would learn to trust the dictionary, and fail where
    words are new. So the words that one sentence alone holds are kept apart, and are not marked in that
    sentence.

    Args:
        words: Words that occur in several sentences.
        once: Words that occur in one.

    Raises:
        ValueError: if a word does not have two to seven characters.

    Example:
        >>> dictionary = Dictionary.fit([["new", "era"], ["a", "new", "year"]])
        >>> dictionary.encode("anewera").T  # begins, ends, goes on
        array([[1, 3, 1, 1, 3, 1, 1],
               [1, 1, 1, 3, 1, 1, 3],
               [1, 1, 3, 1, 1, 3, 1]], dtype=int32)
        >>> dictionary.encode("newera", own_words=["new", "era"]).T[0]
        array([3, 1, 1, 1, 1, 1], dtype=int32)
    """

    columns = ("word_begins", "word_ends", "word_goes_on")
    sizes = (LENGTHS.stop,) * 3

    def __init__(self, words: Iterable[str], once: Iterable[str]):
        self.words, self.once = tuple(words), tuple(once)
        wrong = next((word for word in (*self.words, *self.once) if len(word) not in LENGTHS), None)
        if wrong is not None:
            raise ValueError(f"words must have {LENGTHS[0]} to {LENGTHS[-1]} characters, got {wrong!r}")
        self._lengths: dict[str, list[int]] = {}  # of the words that begin with two given characters
        for length, beginning in sorted({(len(word), word[:2]) for word in (*self.words, *self.once)}):
            self._lengths.setdefault(beginning, []).append(length)
        self._known, self._once = frozenset(self.words).union(self.once), frozenset(self.once)

    @classmethod
    def fit(cls, sentences: Iterable[Sequence[str]]) -> "Dictionary":
        """The words of a corpus, given its sentences as words."""
        counts = Counter(word for words in sentences for word in set(words) if len(word) in LENGTHS)
        return cls(
            (word for word, count in counts.items() if count > 1),
            (word for word, count in counts.items() if count == 1),
        )

    def encode(self, text: str, own_words: Collection[str] = ()) -> np.ndarray:
        """Return the ids of the characters, int32 `(characters, 3)`.

        `own_words` are the words of the text, if it was in the corpus.
        """
        hidden = self._once.intersection(own_words)
        found = [
            (length, start)
            for start, lengths in enumerate(map(self._lengths.get, map(add, text, text[1:])))
            for length in lengths or ()
            if (word := text[start : start + length]) in self._known
            and len(word) == length
            and word not in hidden
        ]
        # a longer word is written over a shorter
        lengths, starts = np.array(sorted(found), int).reshape(-1, 2).T
        begins, ends, goes_on = ids = np.ones((3, len(text)), np.int32)
        begins[starts] = lengths
        ends[starts + lengths - 1] = lengths
        for length in LENGTHS:
            for offset in range(1, length - 1):
                goes_on[starts[lengths == length] + offset] = length
        return ids.T
