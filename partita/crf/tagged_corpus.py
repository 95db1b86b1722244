"""Sentences with their tags, as the commands read and score them.

Scheme bmes means text cut into words, whose tokens are characters; every other scheme, and None for tags that
mark no spans, means columns.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from partita.crf.corpus import CorpusError, numbered_columns, read_segmented
from partita.crf.features import columns_needed
from partita.crf.metrics import Score, segmentation_f1, span_f1, tag_accuracy
from partita.crf.repair import advise_scheme, describe_break, first_break, name_sentences, repair_tags
from partita.crf.tags import tags_to_words, words_to_tags


class TaggedCorpus(NamedTuple):
    """Sentences, their tags, and what a user should be told of them.

    Example:
        >>> text = TaggedCorpus(["ab", "c"], [["B", "E"], ["S"]])
        >>> [part.sentences for part in text.split()]
        [['ab'], ['c']]
        >>> text.score([["B", "E"], ["S"]], "bmes").f1
        1.0
    """

    sentences: list
    tags: list
    notes: tuple[str, ...] = ()

    def split(self) -> tuple["TaggedCorpus", "TaggedCorpus"]:
        """Return the text without its last tenth, and that tenth, of one sentence at least."""
        end = len(self.sentences) - max(1, len(self.sentences) // 10)
        most = TaggedCorpus(self.sentences[:end], self.tags[:end], self.notes)
        return most, TaggedCorpus(self.sentences[end:], self.tags[end:])

    def score(
        self, predicted: Iterable[Sequence[str]], scheme: str | None, known_words: set[str] | None = None
    ) -> Score:
        """Compare predicted tags with those of the text: words, spans, or single tags."""
        if scheme == "bmes":
            gold = map(tags_to_words, self.sentences, self.tags)
            return segmentation_f1(gold, map(tags_to_words, self.sentences, predicted), known_words)
        return tag_accuracy(self.tags, predicted) if scheme is None else span_f1(self.tags, predicted)


def read_tagged(
    source: str, scheme: str | None, features: Sequence[str] | str, check: Callable[[str], object] | None
) -> TaggedCorpus:
    """Read a corpus, and repair tags that break the scheme.

    Args:
        source: Path, or `"-"` for standard input.
        scheme: `"bmes"`, `"bio"`, `"bioes"`, or None.
        features: Of a `Lexicon`; they say how many columns there must be.
        check: Called with each tag; a `ValueError` that it raises becomes a `CorpusError`.

    Raises:
        CorpusError: if the file does not hold such sentences.
    """
    if scheme == "bmes":
        lines = [words for words in read_segmented(source) if words]
        if len(lines) > 1 and all(len(words) == 1 for words in lines):
            raise CorpusError(
                f"{source}: no line holds two words: expected sentences, their words parted by white space"
            )
        return TaggedCorpus(["".join(words) for words in lines], [words_to_tags(words) for words in lines])
    sentences, tags, broken = [], [], []
    for name, line, rows in numbered_columns(source, min_columns=columns_needed(features) + 1, check=check):
        sentences.append([row[:-1] for row in rows])
        tags.append([row[-1] for row in rows])
        if scheme is not None and (place := first_break(tags[-1], scheme)) is not None:
            where = f"{name}:{line + min(place, len(rows) - 1)}"
            broken.append((where, describe_break(tags[-1], place)))
    if not broken or scheme is None:
        return TaggedCorpus(sentences, tags)
    what = name_sentences(broken, len(sentences), f"break scheme {scheme}")
    repaired = [names if first_break(names, scheme) is None else repair_tags(names, scheme) for names in tags]
    return TaggedCorpus(sentences, repaired, (f"partita: {what}. {advise_scheme(tags, scheme)}",))
