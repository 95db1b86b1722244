"""Real corpora, from the folder that the variable PARTITA_DATA names.

The default is shared/data beside the checkout.
"""

import os
from pathlib import Path

import partita


def folder() -> Path:
    """The folder of the data.

    Raises:
        FileNotFoundError: if it is not there.
    """
    path = Path(os.environ.get("PARTITA_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        raise FileNotFoundError(f"the data of the benchmarks is not at {path}: set PARTITA_DATA")
    return path


def peoples_daily() -> tuple[list[list[str]], list[list[str]]]:
    """Sentences as words: the first nine tenths of the lines, and the last tenth."""
    lines = list(partita.crf.read_segmented(folder() / "peoples-daily" / "199801.txt.gz"))
    cut = len(lines) * 9 // 10
    return [words for words in lines[:cut] if words], [words for words in lines[cut:] if words]


def pku_test() -> list[list[str]]:
    """The test sentences of the 2005 bakeoff, as words."""
    return [words for words in partita.crf.read_segmented(folder() / "pku" / "pku_test_gold.utf8") if words]


def conll2000() -> tuple[list[list[tuple[str, ...]]], list[list[tuple[str, ...]]]]:
    """Training and test sentences, rows of word, part of speech and chunk."""
    train, test = (
        list(partita.crf.read_columns(folder() / "conll2000" / f"{part}.txt.gz"))
        for part in ("train", "test")
    )
    return train, test
