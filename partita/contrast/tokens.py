"""Lines of text → words.

"words":       letters, digits and marks in a row, lower-cased; apostrophes and hyphens within a word stay,
               other punctuation goes
"whitespace":  what stands between white space, as it is
"characters":  each letter or digit by itself, with its marks
"""

import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

KINDS = ("words", "whitespace", "characters")
LOOKED_AT = 20_000  # words of a vocabulary

# Scripts written without spaces, and how many letters words of theirs have on average at most, a generous
# guess.
_WITHOUT_SPACES = (
    ("Chinese or Japanese", "[\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]", 3.5),
    ("Thai, Lao, Khmer or Burmese", "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]", 12),
    ("it", ".", 25),
)
_SAME = str.maketrans({"’": "'", "ʼ": "'", "‐": "-", "‑": "-", "\u00ad": None})


def tokenizer(tokens: str) -> Callable[[str], list[str]]:
    """Return what makes a list of words of a piece of text.

    Args:
        tokens: `"words"`, `"whitespace"` or `"characters"`.

    Raises:
        ValueError: if `tokens` is none of these.

    Source: the letters, digits and marks of the Unicode Standard, in its normal form C.

    Example:
        >>> tokenizer("words")("The array, (don't) well-known; 3.14 naïve _x_")
        ['the', 'array', "don't", 'well-known', '3.14', 'naïve', 'x']
        >>> tokenizer("whitespace")("The array,"), tokenizer("characters")("北京!")
        (['The', 'array,'], ['北', '京'])
    """
    if tokens not in KINDS:
        raise ValueError(f"tokens must be one of {', '.join(KINDS)}, got {tokens!r}")
    return {"words": _words, "whitespace": _whitespace, "characters": _characters}[tokens]


def _whitespace(text: str) -> list[str]:
    return text.split()


def _words(text: str) -> list[str]:
    found = _pattern("words", text.isascii()).findall(_normal(text))
    return [word for token in found if (word := token.strip("_"))] if "_" in text else found


def _characters(text: str) -> list[str]:
    return _pattern("characters", text.isascii()).findall(_normal(text))


def _normal(text: str) -> str:
    text = text.lower()
    return text if text.isascii() else unicodedata.normalize("NFC", text.translate(_SAME))


@cache
def _pattern(kind: str, ascii_only: bool) -> re.Pattern[str]:
    # vowel signs of Hindi, accents by themselves: `re` takes them for punctuation
    marks = "" if ascii_only else _marks()
    if kind == "characters":
        return re.compile(rf"[^\W_][{marks}]*" if marks else r"[^\W_]")
    part = rf"\w[\w{marks}]*"
    joints = "'\\-·״׳\u200c\u200d"  # Catalan, Hebrew and Persian have joints of their own
    return re.compile(rf"{part}(?:(?:[{joints}]|(?<=\d)[.,](?=\d)){part})*")


def _marks() -> str:
    """All combining marks, for a set of a regular expression."""
    is_mark = [unicodedata.category(chr(code))[0] == "M" for code in range(sys.maxunicode + 1)]
    codes = np.flatnonzero(is_mark)
    runs = np.split(codes, np.flatnonzero(np.diff(codes) > 1) + 1)
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


def not_words(words: Sequence[str], counts: np.ndarray) -> str:
    """Return why the words of a text are probably none, and what to do; or an empty text.

    The text is empty where they may be words.

    Args:
        words: The vocabulary.
        counts: How often each was seen, `(size,)`.

    Example:
        >>> not_words(["今天天气很好", "我们去公园"], np.array([1, 1]))[:71]
        'its words have 5.5 letters on average: Chinese or Japanese is probably '
        >>> not_words(["今天", "天气"], np.array([3, 1]))
        ''
    """
    places = range(0, len(words), max(1, len(words) // LOOKED_AT))
    lengths = np.array([len(words[place]) for place in places])
    shares = counts[places] / counts[places].sum()
    for script, letters, most in _WITHOUT_SPACES:
        search = re.compile(letters).search
        of_script = shares * np.array([search(words[place]) is not None for place in places])
        if of_script.sum() >= 0.1 and (mean := float(of_script @ lengths / of_script.sum())) > most:
            return (
                f"its words have {mean:.3g} letters on average: {script} is probably not cut into words. "
                "Segment the text first (partita tag apply), or take tokens='characters' (--tokens "
                "characters)"
            )
    return ""
