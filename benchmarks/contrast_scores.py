"""Skip-gram scores and mutual information: a corpus drawn from a known table of pairs of words."""

import numpy as np

from benchmarks.harness import Report
from partita.contrast import SkipGram

SIZE, PAIRS, NEGATIVES = 200, 2_000_000, 5


def run(report: Report) -> None:
    """Measure on a table that has rank 8 in its logarithm.

    The noise is as frequent as the words (power 1); windows are of one word.
    """
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(SIZE, 8)) / 8**0.5
    frequency = 1 / np.arange(5, SIZE + 5)
    table = np.exp(factors @ factors.T) * frequency[:, None] * frequency
    table /= table.sum()
    drawn = rng.choice(SIZE * SIZE, PAIRS, p=table.ravel())
    names = [f"w{i}" for i in range(SIZE)]
    for dim in (16, 50, 100):
        settings = {
            "window": 1,
            "negatives": NEGATIVES,
            "min_count": 1,
            "sample": 0,
            "power": 1.0,
            "epochs": 5,
        }
        found = SkipGram(dim=dim, learning_rate=0.05, **settings).fit(
            [[names[i // SIZE], names[i % SIZE]] for i in drawn]
        )
        order = [found.words.index(name) for name in names]
        scores = found.vectors[order] @ found.contexts[order].T
        p = table.sum(axis=0)
        expected = np.log(table / np.outer(p, p)) - np.log(NEGATIVES)
        report.measure(
            f"correlation of ⟨u, v⟩ with PMI − log k, d = {dim}",
            float(np.corrcoef(scores.ravel(), expected.ravel())[0, 1]),
            at_least=0.95,
        )
        report.measure(f"mean of the difference, d = {dim}", float((scores - expected).mean()))
