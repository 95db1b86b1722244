"""Tags say, token by token, where the words or spans of a sequence begin, run on and end.

A scheme names the letters of a span's first, inner, last and only token:

    bmes   B M E S    "共同 创造" → b e b e      bare tags in lower case, labelled ones B-NN M-NN E-NN S-NN
    bioes  B I E S    B-PER E-PER O S-LOC
    bio    B I I B    B-PER I-PER O B-LOC       (IOB2)

and O is the tag of a token outside every span.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from partita.quoting import shown

# first, inner, last, only
SCHEMES = {"bmes": ("B", "M", "E", "S"), "bioes": ("B", "I", "E", "S"), "bio": ("B", "I", "I", "B")}
_STARTS, _ENDS = frozenset("bsBS"), frozenset("esES")


class Span(NamedTuple):
    """A labelled stretch of tokens, from `start` up to but without `end`.

    Example:
        >>> Span("PER", 0, 2)
        Span(label='PER', start=0, end=2)
    """

    label: str
    start: int
    end: int


class Constraints(NamedTuple):
    """Transitions, first tags and last tags that K tags allow, True = allowed.

    `transitions` (K, K) is from row to column, `start` is (K,), `end` is (K,); all are bool.

    Example:
        >>> legal(["s", "b", "m", "e"], "bmes").start
        array([ True,  True, False, False])
    """

    transitions: np.ndarray
    start: np.ndarray
    end: np.ndarray


def words_to_tags(words: Iterable[str]) -> list[str]:
    """The s, b, m, e of every character of a segmented sentence.

    Example:
        >>> words_to_tags(["迈向", "新", "世纪", "的", "大门口"])
        ['b', 'e', 's', 'b', 'e', 's', 'b', 'm', 'e']
    """
    letters = ("s" if len(word) == 1 else "b" + "m" * (len(word) - 2) + "e" for word in words if word)
    return list("".join(letters))


def tags_to_words(characters: str, tags: Sequence[str]) -> list[str]:
    """Cut a sentence before every tag that begins a word and after every tag that ends one.

    So any tags whatever give words that join to the sentence again, and tags from `words_to_tags` give its
    words.

    Args:
        characters: The sentence.
        tags: One tag a character; the first letter counts, in either case, so labelled tags do as well.

    Raises:
        ValueError: if there is not one tag a character.

    Example:
        >>> tags_to_words("迈向新世纪", ["b", "e", "s", "b", "e"])
        ['迈向', '新', '世纪']
    """
    if len(tags) != len(characters):
        raise ValueError(f"tags must be as many as characters, got {len(tags)} for {len(characters)}")
    if not tags:
        return []
    cuts = [
        i for i, (before, tag) in enumerate(pairwise(tags), 1) if before[:1] in _ENDS or tag[:1] in _STARTS
    ]
    return [characters[start:end] for start, end in pairwise([0, *cuts, len(characters)])]


def spans_to_tags(spans: Iterable[Span], length: int, scheme: str) -> list[str]:
    """Write spans as the tags of a sequence.

    Args:
        spans: `(label, start, end)` each, in any order.
        length: Number of tokens of the sequence.
        scheme: `"bmes"`, `"bioes"` or `"bio"`.

    Raises:
        ValueError: if a span is empty, has an empty label, reaches outside the sequence or overlaps another.

    Example:
        >>> spans_to_tags([Span("PER", 0, 2), Span("LOC", 3, 4)], 4, "bioes")
        ['B-PER', 'E-PER', 'O', 'S-LOC']
    """
    first, inner, last, only = letters_of(scheme)
    tags, reached = ["O"] * length, 0
    for label, start, end in sorted(spans, key=lambda span: span[1]):
        if not (label and reached <= start < end <= length):
            raise ValueError(
                f"spans must be labelled, not empty, apart and within {length} tokens, got {label!r} from "
                f"{start} to {end}"
            )
        letters = [only] if end == start + 1 else [first, *[inner] * (end - start - 2), last]
        tags[start:end] = [f"{letter}-{label}" for letter in letters]
        reached = end
    return tags


def tags_to_spans(tags: Iterable[str]) -> list[Span]:
    """Read the spans out of bio, bioes or labelled bmes tags, well-formed or not, as the CoNLL scorer does.

    B and S begin a span, E and S end it, and a change of label does both, whatever the letter. A tag without
    label (`"B"`) reads as label `"_"`. Malformed tags are read exactly as seqeval's default mode reads them.

    Raises:
        ValueError: if a tag is the empty string.

    Example:
        >>> tags_to_spans(["B-NP", "I-NP", "I-VP", "O", "I-NP"])
        [Span(label='NP', start=0, end=2), Span(label='VP', start=2, end=3), Span(label='NP', start=4, end=5)]
    """
    spans, start, before, label = [], 0, "O", "_"
    for position, tag in enumerate([*tags, "O"]):
        if not tag:
            raise ValueError("tags must not be empty strings: outside a span write 'O'")
        letter, kind = tag[0], tag[1:].split("-", 1)[-1] or "_"
        changed = kind != label
        if before in "ES" or (before in "BI" and letter in "BSO") or (changed and before not in "O."):
            spans.append(Span(label, start, position))
        if letter in "BS" or (letter in "IE" and before in "ESO") or (changed and letter not in "O."):
            start = position
        before, label = letter, kind
    return spans


def split_tag(tag: str, scheme: str) -> tuple[str, str]:
    """The letter and the label of a tag; the label of a bare tag is empty.

    Raises:
        ValueError: if the tag is not one of the scheme's; the message says which scheme has such tags.

    Example:
        >>> split_tag("B-PER", "bio"), split_tag("b", "bmes"), split_tag("O", "bio")
        (('B', 'PER'), ('B', ''), ('O', ''))
    """
    if tag == "O":
        letters_of(scheme)
        return "O", ""
    letter, dash, label = tag.partition("-")
    if letter in _letters_of_tags(scheme, bool(dash)) and bool(dash) == bool(label):
        return letter.upper(), label
    raise ValueError(
        f"tag '{shown(tag)}' is not of scheme {scheme!r}: expected {expected_tags(scheme)}; {_advice(tag)}"
    )


def _letters_of_tags(scheme: str, labelled: bool) -> tuple[str, ...]:
    return ("b", "m", "e", "s") if scheme == "bmes" and not labelled else letters_of(scheme)


def expected_tags(scheme: str) -> str:
    """Return the tags of a scheme in words.

    Example:
        >>> expected_tags("bio"), expected_tags("bmes")
        ('O, B-… or I-…, as in B-NP', 'b, m, e or s, or B-…, M-…, E-…, S-… or O, as in B-NP')
    """
    if scheme == "bmes":
        return "b, m, e or s, or B-…, M-…, E-…, S-… or O, as in B-NP"
    *letters, last = dict.fromkeys(letters_of(scheme))
    return f"O, {', '.join(f'{letter}-…' for letter in letters)} or {last}-…, as in B-NP"


def _advice(tag: str) -> str:
    """What reads such a tag."""
    letter, dash, label = tag.partition("-")
    fitting = [scheme for scheme in SCHEMES if letter in _letters_of_tags(scheme, bool(dash))]
    if fitting and bool(dash) == bool(label):
        text = ", of text cut into words" if fitting == ["bmes"] else ""
        return f"such tags are those of scheme {' or '.join(fitting)}{text}"
    if not tag or bool(dash) != bool(label):
        return "write O outside every span, and a label after the dash"
    if letter in ("L", "U") and label:
        return "for BILOU tags write E for L and S for U, and take scheme bioes"
    return "for plain tags, such as parts of speech, take scheme none (None in Python)"


def tag_set(tags: Iterable[str], scheme: str) -> list[str]:
    """Return all tags that the labels among `tags` have in a scheme.

    So one rare tag's absence from a corpus does no harm. The tags come label by label in alphabetical order,
    O first if it is among `tags`; bare bmes tags come as s, b, m, e.

    Raises:
        ValueError: if a tag is not one of the scheme's.

    Example:
        >>> tag_set(["O", "B-LST", "I-NP"], "bio"), tag_set("be", "bmes")
        (['O', 'B-LST', 'I-LST', 'B-NP', 'I-NP'], ['s', 'b', 'm', 'e'])
    """
    parts = {split_tag(tag, scheme) for tag in tags}
    letters = dict.fromkeys("SBME" if scheme == "bmes" else letters_of(scheme))
    labels = sorted({label for letter, label in parts if letter != "O"})
    outside = ["O"] if ("O", "") in parts else []
    return outside + [join_tag(letter, label, scheme) for label in labels for letter in letters]


def legal(tags: Sequence[str], scheme: str) -> Constraints:
    """Which tag may follow which, begin a sequence and end one: exactly the sequences that spell whole spans.

    Args:
        tags: K tags of the scheme; row and column k of the result belong to `tags[k]`.
        scheme: `"bmes"`, `"bioes"` or `"bio"`.

    Raises:
        ValueError: if a tag is not one of the scheme's.

    Example:
        >>> legal(["s", "b", "m", "e"], "bmes").transitions.astype(int)
        array([[1, 1, 0, 0],
               [0, 0, 1, 1],
               [0, 0, 1, 1],
               [1, 1, 0, 0]])
    """
    first, inner, last, only = letters_of(scheme)
    parts = [split_tag(tag, scheme) for tag in tags]
    letters = np.array([letter for letter, _ in parts], dtype=str)
    labels = np.array([label for _, label in parts], dtype=object)
    goes_on = np.isin(letters, [inner, last])  # (K,) needs a span that is open
    leaves_open = np.isin(letters, [first, inner])  # (K,) a span may go on
    complete = np.isin(letters, [last, only, "O"])  # (K,) a span may be over
    same_span = leaves_open[:, None] & (labels[:, None] == labels)
    return Constraints(np.where(goes_on, same_span, complete[:, None]), ~goes_on, complete)


def letters_of(scheme: str) -> tuple[str, str, str, str]:
    """Return the letters of a span's first, inner, last and only token.

    Raises:
        ValueError: if there is no such scheme.

    Example:
        >>> letters_of("bioes")
        ('B', 'I', 'E', 'S')
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}")
    return SCHEMES[scheme]


def join_tag(letter: str, label: str, scheme: str) -> str:
    """Return the tag of a letter and a label, which may be empty: the inverse of `split_tag`.

    Example:
        >>> join_tag("B", "PER", "bio"), join_tag("B", "", "bmes")
        ('B-PER', 'b')
    """
    if letter == "O":
        return "O"
    if label:
        return f"{letter}-{label}"
    return letter.lower() if scheme == "bmes" else letter
