"""Features of tokens: functions that give a string for each token of a sentence.

    tokens (T) → features (T, F), strings

A sentence is a string of characters where a feature is of characters, and otherwise a list of rows: the word,
then further columns.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import add
from typing import Any

from partita.quoting import shown

_EDGE = "\n"  # stands before and after a sentence, and in none
# the character that stands for each code point
_HALF_WIDTH = "".join(map(chr, [*range(0xFF01), *range(0x21, 0x7F)]))


@lru_cache(maxsize=1)  # the features of a sentence ask one after the other
def fold(text: str) -> str:
    """Return text with full-width letters, digits and signs as half-width ones.

    So １９９８ and 1998 are the same characters.

    Example:
        >>> fold("ＷＴＯ（１９９８年）")
        'WTO(1998年)'
    """
    return text.translate(_HALF_WIDTH)


@lru_cache(maxsize=2**16)
def shape(word: str) -> str:
    """A word with each run of capitals, small letters and digits as one X, x or 0.

    Example:
        >>> shape("McDonald's"), shape("Q1-1998"), shape("1,000")
        ("XxXx'x", 'X0-0', '0,0')
    """
    classes = (
        "X" if char.isupper() else "x" if char.islower() else "0" if char.isdigit() else char for char in word
    )
    return re.sub(r"([Xx0])\1+", r"\1", "".join(classes))


def _bigrams(text: str) -> Iterable[str]:
    folded = fold(text)
    return map(add, _EDGE + folded, folded + _EDGE)


def _column(index: int) -> Callable[[Sequence[Sequence[str]]], list[str]]:
    return lambda rows: [row[index] for row in rows]


def _affix(part: slice) -> Callable[[Sequence[Sequence[str]]], list[str]]:
    return lambda rows: [row[0][part] for row in rows]


def _neighbors(index: int, before: int, after: int) -> Callable[[Sequence[Sequence[str]]], list[str]]:
    """A column's strings from `before` tokens before each token to `after` tokens after it."""

    def strings(rows: Sequence[Sequence[str]]) -> list[str]:
        column = [_EDGE] * before + [row[index] for row in rows] + [_EDGE] * after
        return [_EDGE.join(column[start : start + before + 1 + after]) for start in range(len(rows))]

    return strings


COLUMNS = ("word", *(f"column{index}" for index in range(1, 10)))
# tokens before and after that stand in the string
_SPANS = {"unigram": (0, 0), "bigram": (1, 0), "trigram": (1, 1)}
NGRAMS = {
    f"{name}_{gram}": _neighbors(index, *span)
    for index, name in enumerate(COLUMNS)
    for gram, span in _SPANS.items()
}
# Feature by name: tokens → a string for each. Tokens are the characters of a string, or rows of columns with
# the word first.
FEATURES: dict[str, Callable[[Any], Iterable[str]]] = {
    "character": fold,
    "bigram": _bigrams,
    "lower": lambda rows: [row[0].lower() for row in rows],
    "shape": lambda rows: [shape(row[0]) for row in rows],
    **{f"prefix{size}": _affix(slice(size)) for size in range(1, 5)},
    **{f"suffix{size}": _affix(slice(-size, None)) for size in range(1, 5)},
    **{name: _column(index) for index, name in enumerate(COLUMNS)},
    **NGRAMS,
}
# These give a string for each gap before, between and after tokens: one more, looked up once, to make two
# columns of ids, of the gap before a token and of the gap after it.
GAP_FEATURES = frozenset({"bigram"})
# with one of these a sentence is a string, else a list of words or rows
CHARACTER_FEATURES = frozenset({"character", "bigram"})
FEATURE_SETS = {
    "characters": ("character", "bigram"),
    "words": ("lower", "shape", "prefix3", "suffix2", "suffix3", "word_unigram", "word_bigram"),
}


def are_of_words(features: Sequence[str] | str) -> bool:
    """Return whether features, or those of a set, are of words or rows; else they are of characters.

    Example:
        >>> are_of_words("words"), are_of_words(["character"])
        (True, False)
    """
    return CHARACTER_FEATURES.isdisjoint(FEATURE_SETS[features] if isinstance(features, str) else features)


def columns_needed(features: Sequence[str] | str) -> int:
    """Return how many columns a token must have for these features, its tag not counted.

    Example:
        >>> columns_needed("words"), columns_needed(["lower", "column2_bigram"])
        (1, 3)
    """
    columns = (name.partition("_")[0] for name in ([features] if isinstance(features, str) else features))
    return 1 + max((COLUMNS.index(column) for column in columns if column in COLUMNS), default=0)


def checked_tokens(tokens: Any, words: bool, features: Any, where: str = "") -> Any:
    """Return a sentence in the form that its features take: a string, or a list of rows.

    A word alone is a row of one column.

    Raises:
        ValueError: if it is a string and the features are of words, or the other way round.

    Example:
        >>> checked_tokens(["Ann", "sings"], True, "words"), checked_tokens(["新"], False, "characters")
        ([('Ann',), ('sings',)], '新')
    """
    names = features if isinstance(features, str) else ", ".join(features)
    if words:
        if isinstance(tokens, str):
            raise ValueError(
                f"features '{shown(names)}' are of words: expected a list of words, or of rows (word, "
                f"column1, ...), got the string '{shown(tokens)}'{where}; features='characters' takes strings"
            )
        rows = [(token,) if isinstance(token, str) else token for token in tokens]
        for row in rows:
            if not (isinstance(row, tuple | list) and row and all(isinstance(text, str) for text in row)):
                wanted = "a word or a row (word, column1, ...) of strings"
                raise ValueError(f"a token must be {wanted}, got {shown(repr(row))}{where}")
        return rows
    if isinstance(tokens, str):
        return tokens
    tokens = list(tokens)
    strangers = [token for token in tokens if not (isinstance(token, str) and len(token) == 1)]
    if not strangers:
        return "".join(tokens)
    raise ValueError(
        f"features '{shown(names)}' are of characters: expected a string, got a list that holds "
        f"{shown(repr(strangers[0]))}{where}; features='words' takes lists of words, or of rows of columns"
    )


def check_width(features: Sequence[str], width: int | None) -> None:
    """Raise a ValueError if rows have fewer columns than the features need; None stands for no row.

    Example:
        >>> check_width(["column1"], 1)
        Traceback (most recent call last):
        ValueError: features column1 need rows of 2 columns, got 1
    """
    needed = columns_needed(features)
    if width is not None and width < needed:
        hint = "" if are_of_words(features) else "; features of characters and of columns do not go together"
        names = shown(", ".join(features), 200)
        raise ValueError(f"features {names} need rows of {needed} columns, got {width}{hint}")


def check_features(features: Sequence[str]) -> None:
    """Raise a ValueError unless all are names out of `FEATURES`.

    Example:
        >>> check_features(["lower", "shape"])
    """
    unknown = [name for name in features if name not in FEATURES]
    if unknown or not features:
        wanted = f"{' or '.join(FEATURE_SETS)}, or some of {', '.join(FEATURES)}"
        raise ValueError(f"features must be {wanted}; got {', '.join(unknown) or 'none'}")
