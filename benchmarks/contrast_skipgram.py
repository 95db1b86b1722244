"""Skip-gram words a second against gensim, on film reviews, and the quality of the vectors.

The quality is how well the vectors know which words are alike.
"""

import gzip
import re

import numpy as np
from gensim.models import Word2Vec
from scipy.stats import spearmanr

from benchmarks.corpora import folder
from benchmarks.harness import Report, compare
from partita.contrast import SkipGram

SEEDS = (1, 2, 3)


def reviews() -> list[list[str]]:
    """The words of each review, in lower case."""
    with gzip.open(folder() / "imdb" / "train.tsv.gz", "rt", encoding="utf-8") as file:
        return [re.findall(r"[a-z']+", line.partition("\t")[2].lower()) for line in file]


def ours(sentences: list[list[str]], threads: int, seed: int, epochs: int) -> tuple[list[str], np.ndarray]:
    """Words and vectors: window 5, 5 negatives, 100 dimensions, sample 1e-3, min_count 5, as by default."""
    found = SkipGram(threads=threads, seed=seed, epochs=epochs).fit(sentences)
    return found.words, found.vectors


def gensims(sentences: list[list[str]], threads: int, seed: int, epochs: int) -> tuple[list[str], np.ndarray]:
    """The same by gensim."""
    settings = {
        "vector_size": 100,
        "window": 5,
        "min_count": 5,
        "sg": 1,
        "hs": 0,
        "negative": 5,
        "sample": 1e-3,
    }
    found = Word2Vec(sentences, workers=threads, seed=seed, epochs=epochs, **settings).wv
    return found.index_to_key, found.vectors


def agreement(words: list[str], vectors: np.ndarray, name: str) -> float:
    """Spearman's correlation of cosines with what people said of pairs of words."""
    rows = {word: row for row, word in enumerate(words)}
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [
        line.split("\t")
        for line in (folder() / "wordsim" / name).read_text(encoding="utf-8").lower().splitlines()
    ]
    known = [
        (unit[rows[a]] @ unit[rows[b]], float(score)) for a, b, score in pairs if a in rows and b in rows
    ]
    return float(spearmanr(*zip(*known, strict=True))[0])


def run(report: Report) -> None:
    """Measure from sentences in memory to vectors, vocabulary included.

    One pass is for the speed, five are for the quality.
    """
    sentences = reviews()
    report.measure("words", sum(map(len, sentences)))
    for threads in (1, 2):
        calls = [
            lambda make=make, threads=threads: make(sentences, threads, 1, 1) for make in (ours, gensims)
        ]
        report.compare(
            f"one pass, {threads} threads, against gensim",
            compare(*calls, rounds=report.rounds or 2, warmup=1),
            at_least=3,
        )
    found = {make: [make(sentences, 2, seed, 5) for seed in SEEDS] for make in (ours, gensims)}
    for name, title in (("EN-WS-353-ALL.txt", "WordSim-353"), ("EN-SIMLEX-999.txt", "SimLex-999")):
        scores = {make: [agreement(*vectors, name) for vectors in found[make]] for make in found}
        means = {make: float(np.mean(values)) for make, values in scores.items()}
        detail = {"by_seed": scores[ours], "gensim_by_seed": scores[gensims]}
        report.measure(
            f"{title}, mean of 3 seeds",
            means[ours],
            peer=means[gensims],
            at_least=round(means[gensims] - 0.01, 4),
            **detail,
        )
