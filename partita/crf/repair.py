"""Sentences whose tags break their scheme: found, named, and read as the CoNLL scorer reads them.

In scheme bio `O I-PER I-PER` is read as `O B-PER I-PER`: an I with nothing to go on from begins a span. In
scheme bioes `B-PER O` is read as `S-PER O`: a span that does not end is over where another tag follows.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from partita.crf.tags import SCHEMES, Constraints, join_tag, letters_of, split_tag
from partita.quoting import shown

NAMED = 3  # sentences that a message names


def repair_tags(tags: Sequence[str], scheme: str) -> list[str]:
    """Return the tags that spell the spans which the CoNLL scorer reads in `tags`.

    Tags that keep to the scheme stay as they are.

    Args:
        tags: Tags of a sentence.
        scheme: `"bmes"`, `"bioes"` or `"bio"`.

    Raises:
        ValueError: if a tag is not one of the scheme's.

    Example:
        >>> repair_tags(["O", "I-PER", "I-LOC"], "bio"), repair_tags(["B-PER", "I-PER", "O"], "bioes")
        (['O', 'B-PER', 'B-LOC'], ['B-PER', 'E-PER', 'O'])
    """
    first, inner, last, only = letters_of(scheme)
    parts = [split_tag(tag, scheme) for tag in tags]
    spans: list[list[int]] = []
    goes_on = False
    for position, (letter, label) in enumerate(parts):
        if letter != "O":
            if not goes_on or letter in (first, only) or label != parts[position - 1][1]:
                spans.append([position, position])
            spans[-1][1] = position + 1
        goes_on = letter in (first, inner)
    repaired = ["O"] * len(parts)
    for start, end in spans:
        letters = [only] if end == start + 1 else [first, *[inner] * (end - start - 2), last]
        repaired[start:end] = [join_tag(letter, parts[start][1], scheme) for letter in letters]
    return repaired


def first_break(tags: Sequence[str], scheme: str) -> int | None:
    """Return the position of the first token whose tag may not stand there, or None.

    It is the number of tokens if the last span does not end.

    Example:
        >>> first_break(["O", "I-PER"], "bio"), first_break(["B-PER"], "bioes"), first_break(["B-PER"], "bio")
        (1, 1, None)
    """
    for position, (before, tag) in enumerate(pairwise(["O", *tags, "O"])):
        if not _may_follow(before, tag, scheme):
            return position
    return None


def first_break_of_ids(ids: np.ndarray, constraints: Constraints) -> int | None:
    """Return the same for ids `(time,)` and what is allowed; negative ones stand for any tag.

    Raises:
        ValueError: if there is no tag of an id.
    """
    if not len(ids):
        return None
    num_tags = len(constraints.start)
    if ids.max() >= num_tags:
        raise ValueError(
            f"tags must be ids: expected integers from 0 to {num_tags - 1}, or negative ones for unknown, "
            f"got {ids.max()}"
        )
    known = ids >= 0
    ids = np.where(known, ids, 0)
    broken = np.zeros(len(ids) + 1, bool)
    broken[1:-1] = known[1:] & known[:-1] & ~constraints.transitions[ids[:-1], ids[1:]]
    broken[0] = known[0] and not constraints.start[ids[0]]
    broken[-1] = known[-1] and not constraints.end[ids[-1]]
    return int(broken.argmax()) if broken.any() else None


def describe_break(tags: Sequence[object], position: int) -> str:
    """Return the words for a break, as in `'I-PER' after 'O'`.

    Example:
        >>> describe_break(["O", "I-PER"], 1), describe_break(["I-PER"], 0), describe_break(["B-PER"], 1)
        ("'I-PER' after 'O'", "'I-PER' at the beginning", "'B-PER' at the end")
    """
    if position == len(tags):
        return f"{_quoted(tags[-1])} at the end"
    where = f"after {_quoted(tags[position - 1])}" if position else "at the beginning"
    return f"{_quoted(tags[position])} {where}"


def name_sentences(found: Iterable[tuple[str, str]], total: int, what: str) -> str:
    """Return a count of sentences, with place and reason of the first three.

    Example:
        >>> name_sentences([("sentence 2", "'I-PER' after 'O'")], 9, "break scheme bio")
        "1 of 9 sentences has tags that break scheme bio: sentence 2 ('I-PER' after 'O')"
    """
    found = list(found)
    named = ", ".join(f"{place} ({why})" for place, why in found[:NAMED])
    verb = "sentences has" if len(found) == 1 else "sentences have"
    return f"{len(found)} of {total} {verb} tags that {what}: {named}{', …' if len(found) > NAMED else ''}"


def advise_scheme(tags: Iterable[Sequence[str]], scheme: str) -> str:
    """Return what to say of sentences that break a scheme.

    It says how they are read, and which scheme they all keep to if there is one.

    Example:
        >>> advise_scheme([["B-PER", "I-PER", "O"]], "bioes")
        'They are read as the CoNLL scorer reads them. All sentences keep to scheme bio: is it that?'
    """
    other = next((name for name in SCHEMES if name != scheme and _all_keep_to(tags, name)), None)
    hint = f" All sentences keep to scheme {other}: is it that?" if other else ""
    return f"They are read as the CoNLL scorer reads them.{hint}"


def _all_keep_to(tags: Iterable[Sequence[str]], scheme: str) -> bool:
    try:
        return all(first_break(names, scheme) is None for names in tags)
    except ValueError:
        return False


def _quoted(tag: object) -> str:
    return f"'{shown(str(tag), 30)}'"


@lru_cache(maxsize=2**16)
def _may_follow(before: str, tag: str, scheme: str) -> bool:
    first, inner, last, only = letters_of(scheme)
    before_letter, before_label = split_tag(before, scheme)
    letter, label = split_tag(tag, scheme)
    if letter in (inner, last):
        return before_letter in (first, inner) and label == before_label
    return before_letter in (last, only, "O")  # the span before may be over
