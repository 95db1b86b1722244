"""English prose that every machine with Python has: the docstrings of its standard library.

docstring → paragraphs → sentences → words
"""

import ast
import hashlib
import re
import sysconfig
import warnings
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

Sentences = list[list[str]]  # of words

SHORTEST, LONGEST = 20, 80  # characters of a sentence, spaces not counted
_ELSEWHERE = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages"}
_WORD = re.compile(r"""["'(`]*[A-Za-z]+(?:[-'/][A-Za-z]+)*["')`]*[,;:.!?]*["')]*""")


def gather(num_sentences: int, seed: int = 0) -> dict[str, Sentences]:
    """The first so many sentences of the standard library, by module, none of them twice.

    Its source is parsed, never imported. The modules come in the order of a hash of `seed` and their name.

    Example:
        >>> sum(map(len, gather(20).values()))
        20
    """
    modules: dict[str, Sentences] = {}
    for name, sentence in islice(_found(seed), num_sentences):
        modules.setdefault(name, []).append(sentence.split())
    return modules


def docstrings(path: Path) -> Iterator[str]:
    """The docstrings of a Python file; none if it cannot be read or parsed.

    Example:
        >>> next(docstrings(Path(__file__)))[:13]
        'English prose'
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about old escapes and the like
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def sentences(docstring: str) -> Iterator[str]:
    r"""The sentences made of words and punctuation alone, from paragraphs that are not code, lists or tables.

    Example:
        >>> list(
        ...     sentences(
        ...         "Return the very next item. Stop at 3.\n\n    >>> next(items)\n\n"
        ...         "The items are not sorted\nby this method."
        ...     )
        ... )
        ['Return the very next item.', 'The items are not sorted by this method.']
    """
    for paragraph in re.split(r"\n\s*\n", docstring):
        lines = paragraph.splitlines()
        if any(line.startswith((" ", "\t", ">>>", "- ", "* ")) for line in lines):
            continue
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(lines)):
            words = sentence.split()
            is_sentence = (
                len(words) >= 4
                and sentence[0].isupper()
                and sentence[-1] in ".!?"
                and all(map(_WORD.fullmatch, words))
            )
            if is_sentence and SHORTEST <= sum(map(len, words)) <= LONGEST:
                yield " ".join(words)


def _found(seed: int) -> Iterator[tuple[str, str]]:
    """Module and sentence, at the sentence's first place."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = {".".join(path.relative_to(root).with_suffix("").parts): path for path in root.rglob("*.py")}
    seen = set()
    for name in sorted(paths, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest()):
        if _ELSEWHERE.isdisjoint(name.split(".")):
            for sentence in chain.from_iterable(map(sentences, docstrings(paths[name]))):
                if sentence not in seen:
                    seen.add(sentence)
                    yield name, sentence
