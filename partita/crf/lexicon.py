"""What a tagger must know of text: which features a token has, the id of each feature and the id of each tag.

    tokens (T) → features (T, F), strings → ids (T, F), integers

Id 0 is padding, 1 any string that the corpus lacks, 2 its most frequent one, 3 the next.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np

from partita.crf.dictionary import Dictionary
from partita.crf.features import (
    FEATURE_SETS,
    FEATURES,
    GAP_FEATURES,
    are_of_words,
    check_features,
    check_width,
    checked_tokens,
    fold,
)
from partita.crf.repair import advise_scheme, describe_break, first_break, name_sentences, repair_tags
from partita.crf.tags import Constraints, legal, tag_set, tags_to_words
from partita.quoting import shown


class Vocabulary:
    """Items and their ids, from 2 on; 0 is padding and 1 any other item.

    Raises:
        ValueError: if an item is not a string, or comes twice.

    Example:
        >>> vocabulary = Vocabulary.fit("banana", min_count=2)
        >>> vocabulary.items, len(vocabulary)
        (('a', 'n'), 4)
        >>> vocabulary.encode("nab")
        array([3, 2, 1], dtype=int32)
    """

    def __init__(self, items: Iterable[str]):
        self.items = tuple(items)
        self._ids = {item: index for index, item in enumerate(self.items, 2)}
        if len(self._ids) != len(self.items) or not all(isinstance(item, str) for item in self.items):
            raise ValueError("items must be strings, each once")

    @classmethod
    def fit(cls, items: Iterable[str], min_count: int = 1, max_size: int | None = None) -> "Vocabulary":
        """Return the vocabulary of the items that occur `min_count` times or more.

        The most frequent come first, `max_size` of them at most.
        """
        return cls(item for item, count in Counter(items).most_common(max_size) if count >= min_count)

    def __len__(self) -> int:
        return len(self.items) + 2

    def encode(self, items: Iterable[str]) -> np.ndarray:
        """Ids of the items, int32."""
        return np.fromiter(map(self._ids.get, items, repeat(1)), np.int32)


class Lexicon:
    """The features, vocabularies and tags of a tagger; `Lexicon.fit` learns one from a corpus.

    Args:
        features: Names out of `FEATURES`.
        vocabularies: One for each feature.
        tag_names: The tag of each id.
        scheme: The scheme of the tags, or None where any tag may follow any.
        dictionary: Words to be found again in the text, three columns more; or None.
        num_columns: Columns of the rows of the corpus, the tag not counted; None if not known.

    Attributes:
        columns: The feature of each column of ids.
        sizes: The size of each column's vocabulary: its ids are below.
        constraints: What the scheme allows, or None.

    Raises:
        ValueError: if a feature is unknown or has no vocabulary, or a tag comes twice or is not of the
            scheme.

    Example:
        >>> lexicon = Lexicon.fit(["共同创造"], [["b", "e", "b", "e"]], scheme="bmes", min_count=1)
        >>> lexicon.columns, lexicon.sizes, lexicon.tag_names
        (('character', 'word_begins', 'word_ends', 'word_goes_on'), (6, 8, 8, 8), ('s', 'b', 'm', 'e'))
        >>> lexicon.encode("共同")
        array([[2, 2, 1, 1],
               [3, 1, 2, 1]], dtype=int32)
        >>> lexicon.encode_tags(["b", "e"])
        array([1, 3], dtype=int32)
    """

    def __init__(
        self,
        features: Sequence[str],
        vocabularies: Sequence[Vocabulary],
        tag_names: Sequence[str],
        scheme: str | None,
        dictionary: Dictionary | None = None,
        num_columns: int | None = None,
    ):
        check_features(features)
        if len(features) != len(vocabularies):
            raise ValueError(
                f"vocabularies must be one for each of {len(features)} features, got {len(vocabularies)}"
            )
        if not tag_names or len(set(tag_names)) != len(tag_names):
            raise ValueError(f"tag_names must be at least one, each once, got {list(tag_names)}")
        self.features, self.vocabularies = tuple(features), tuple(vocabularies)
        self.tag_names, self.scheme = tuple(tag_names), scheme
        self.constraints: Constraints | None = None if scheme is None else legal(self.tag_names, scheme)
        widths = [2 if name in GAP_FEATURES else 1 for name in features]
        self.columns = tuple(name for name, width in zip(features, widths, strict=True) for _ in range(width))
        self.sizes = tuple(
            len(items) for items, width in zip(vocabularies, widths, strict=True) for _ in range(width)
        )
        self.dictionary = dictionary
        if dictionary is not None:
            self.columns, self.sizes = self.columns + dictionary.columns, self.sizes + dictionary.sizes
        self.num_columns = num_columns
        self._tag_ids = {tag: index for index, tag in enumerate(tag_names)}
        self._named: set[tuple[str, ...]] = set()  # the tags of sentences that a warning was about

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Any],
        tags: Iterable[Sequence[str]],
        scheme: str | None,
        features: str | Sequence[str] = "characters",
        min_count: int = 2,
        max_size: int | None = None,
    ) -> "Lexicon":
        """Collect the vocabularies and the tags of a corpus.

        Args:
            sentences: Where a feature is of characters, strings; otherwise lists of words, or of rows
                `(word, column1, ...)` without the tag, all of one length.
            tags: Tags of each sentence, one a token. Each label found gets all tags that it has in the
                scheme. Sentences whose tags break the scheme are counted in a warning, and read as
                `repair_tags` reads them.
            scheme: `"bmes"`, `"bioes"`, `"bio"`, or None.
            features: `"characters"`: with bigrams or, where the scheme is bare bmes, with a dictionary
                instead; `"words"`: also every further column of the rows, and n-grams; or names out of
                `FEATURES`.
            min_count: Items rarer than this are left out and share id 1, which so has something to learn
                from.
            max_size: Items kept of each feature at most.

        Raises:
            ValueError: if there is no token, if sentences and tags do not match, if a sentence is not what
                the features are of, or if a tag is not of the scheme.
        """
        sentences, tags = list(sentences), [list(names) for names in tags]
        if isinstance(features, str) and features not in FEATURE_SETS:
            features = (features,)
        if not isinstance(features, str):
            check_features(features)
        words = are_of_words(features)
        sentences = [
            checked_tokens(tokens, words, features, f" in sentence {number}")
            for number, tokens in enumerate(sentences, 1)
        ]
        if len(tags) != len(sentences):
            raise ValueError(f"tags must be given for each of {len(sentences)} sentences, got {len(tags)}")
        for number, (tokens, names) in enumerate(zip(sentences, tags, strict=True), 1):
            if len(names) != len(tokens):
                raise ValueError(
                    f"tags must be one a token, got {len(names)} for {len(tokens)} in sentence {number}"
                )
        widths = {len(row) for row in chain.from_iterable(sentences)} if words else {1}
        if len(widths) > 1:
            found = " and ".join(map(str, sorted(widths)))
            raise ValueError(f"rows must have the same number of columns in all sentences, got {found}")
        width = max(widths, default=1)
        if features == "words":
            further = (f"column{i}{gram}" for i in range(1, width) for gram in ("", "_bigram", "_trigram"))
            features = (*FEATURE_SETS["words"], *further)
        seen = set().union(*tags)
        dictionary = None
        if features == "characters" and scheme == "bmes" and seen <= set("sbme"):
            features = ("character",)  # words say what bigrams would, with a hundredth of the weights
            dictionary = Dictionary.fit(map(tags_to_words, map(fold, sentences), tags))
        features = FEATURE_SETS[features] if isinstance(features, str) else features
        check_width(features, width if seen else None)
        vocabularies = [
            Vocabulary.fit(chain.from_iterable(map(FEATURES[name], sentences)), min_count, max_size)
            for name in features
        ]
        tag_names = sorted(seen) if scheme is None else tag_set(seen, scheme)
        lexicon = cls(features, vocabularies, tag_names, scheme, dictionary, width if words else None)
        lexicon._warn_of_broken(tags)
        return lexicon

    def _warn_of_broken(self, tags: Sequence[Sequence[str]]) -> None:
        """Name sentences whose tags break the scheme, once."""
        if self.scheme is None:
            return
        breaks = ((number, names, first_break(names, self.scheme)) for number, names in enumerate(tags, 1))
        broken = [(number, names, place) for number, names, place in breaks if place is not None]
        if broken:
            self._named.update(tuple(names) for _, names, _ in broken)
            found = [(f"sentence {number}", describe_break(names, place)) for number, names, place in broken]
            what = name_sentences(found, len(tags), f"break scheme {self.scheme}")
            warnings.warn(f"{what}. {advise_scheme(tags, self.scheme)}", stacklevel=3)

    @property
    def num_tags(self) -> int:
        """Number of tags."""
        return len(self.tag_names)

    def encode(self, tokens: Any, tags: Sequence[str] | None = None) -> np.ndarray:
        """Ids of a sentence's features, int32 `(tokens, columns)`; `tokens` as in `fit`.

        With its `tags`, a sentence of the corpus gets the ids that it would get if the corpus lacked it: to
        train on.

        Raises:
            ValueError: if the features are of characters and the sentence is no string, or the other way
                round, or a row lacks a column.
        """
        words = are_of_words(self.features)
        tokens = checked_tokens(tokens, words, self.features)
        if words:
            check_width(self.features, min(map(len, tokens), default=None))
        columns = []
        for name, vocabulary in zip(self.features, self.vocabularies, strict=True):
            ids = vocabulary.encode(FEATURES[name](tokens))
            columns += [ids[:-1], ids[1:]] if name in GAP_FEATURES else [ids]
        if self.dictionary is not None:
            text = fold(tokens)
            columns += [*self.dictionary.encode(text, () if tags is None else tags_to_words(text, tags)).T]
        return np.array(columns).T.copy()

    def encode_tags(self, tags: Iterable[str], *, repair: bool = True) -> np.ndarray:
        """Ids of a sentence's tags, int32 `(tokens,)`.

        Tags that break the scheme are encoded as `repair_tags` reads them, with a warning unless `fit` has
        counted the sentence; `repair=False` takes them as they are.

        Raises:
            ValueError: if a tag is unknown.
        """
        tags = list(tags)
        ids = np.fromiter(map(self.tag_id, tags), np.int32)
        if not repair or self.scheme is None or (place := first_break(tags, self.scheme)) is None:
            return ids
        if tuple(tags) not in self._named:
            why = f"tags must keep to scheme {self.scheme}, got {describe_break(tags, place)}"
            warnings.warn(
                f"{why}: they are read as the CoNLL scorer reads them, see repair_tags.", stacklevel=2
            )
        return np.fromiter(map(self.tag_id, repair_tags(tags, self.scheme)), np.int32)

    def decode_tags(self, ids: Iterable[int]) -> list[str]:
        """Return the tags of ids.

        Raises:
            ValueError: if an id is not one of a tag, such as the −1 of padding or the −2 of scores that are
                NaN.
        """
        ids = [int(index) for index in ids]
        if wrong := [index for index in ids if not 0 <= index < self.num_tags]:
            raise ValueError(
                f"ids must be from 0 to {self.num_tags - 1}, got {wrong[0]}: cut off padding, −1, before "
                f"they are decoded"
            )
        return [self.tag_names[index] for index in ids]

    def tag_id(self, tag: str) -> int:
        """The id of a tag; an unknown tag is a `ValueError`."""
        if tag not in self._tag_ids:
            names = shown(", ".join(self.tag_names), 300)
            raise ValueError(f"tag '{shown(tag)}' is unknown: want one of {names}")
        return self._tag_ids[tag]

    def to_config(self) -> dict[str, Any]:
        """All of it as lists and strings, fit for JSON."""
        dictionary = self.dictionary
        return {
            "features": list(self.features),
            "vocabularies": [list(vocabulary.items) for vocabulary in self.vocabularies],
            "tag_names": list(self.tag_names),
            "scheme": self.scheme,
            "dictionary": None if dictionary is None else [list(dictionary.words), list(dictionary.once)],
            **({} if self.num_columns is None else {"num_columns": self.num_columns}),
        }

    @classmethod
    def from_config(cls, config: Any) -> "Lexicon":
        """The lexicon that `to_config` came from; any other content is a `ValueError`."""
        keys = ("features", "vocabularies", "tag_names", "scheme", "dictionary")
        if not isinstance(config, dict) or set(config) - {"num_columns"} != set(keys):
            raise ValueError(f"config must be a dict of {', '.join(keys)}, got {str(config)[:99]}")
        features, items, tag_names, scheme, words = (config[key] for key in keys)
        if not (_are_strings(features, tag_names) and isinstance(items, list) and _are_strings(*items)):
            raise ValueError(
                "config must hold lists of strings for features, tag_names and each of vocabularies"
            )
        if not isinstance(scheme, str | None):
            raise ValueError(f"config must hold a string or null for scheme, got {scheme!r}")
        is_pair = isinstance(words, list) and len(words) == 2 and _are_strings(*words)
        if words is not None and not is_pair:
            raise ValueError("config must hold two lists of strings, or null, for dictionary")
        num_columns = config.get("num_columns")
        if not isinstance(num_columns, int | None):
            got = shown(repr(num_columns))
            raise ValueError(f"config must hold a whole number or null for num_columns, got {got}")
        dictionary = None if words is None else Dictionary(*words)
        vocabularies = [*map(Vocabulary, items)]
        return cls(features, vocabularies, tag_names, scheme, dictionary, num_columns)


def _are_strings(*values: Any) -> bool:
    """Return whether each of the values is a list of strings."""
    return all(isinstance(value, list) and all(isinstance(item, str) for item in value) for value in values)
