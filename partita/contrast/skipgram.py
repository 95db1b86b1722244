r"""Word vectors by negative sampling.

    max Σ_(i,j) log σ(⟨u_i, v_j⟩) + k E_U log σ(−⟨u_i, v_n⟩)
    ⇒   ⟨u_i, v_j⟩ → log p(w_j|w_i) / U(w_j) − log k

j runs over the words around i, n over k words of the noise U (Mikolov et al. 2013; Levy and Goldberg 2014).
"""

import math
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, fields

import numpy as np

from partita.contrast import windows
from partita.contrast.alias import alias_table
from partita.contrast.corpus import Corpus, Stream, read
from partita.contrast.vectors import WordVectors
from partita.progress import Progress

STRETCH = 1 << 14  # words trained at one learning rate, by one thread
LARGEST = float(np.finfo(np.float32).max)  # learning rate


@dataclass(frozen=True)
class SkipGram:
    """Settings of word vectors; `fit` makes them. Runs without Keras.

    Args:
        dim: Length of a vector.
        window: Words on either side at most; how many it is is drawn for each word anew.
        negatives: Words of noise that each side of a window is told from.
        min_count: Words seen less often are left out, as if they were not there.
        sample: Words more frequent than this share of all are left out at random (0: none are).
        power: The noise is the words' frequencies to this power.
        epochs: Passes over the text.
        learning_rate: At the start; falls linearly.
        min_learning_rate: At the end.
        threads: That train at once, on the same vectors. With one the same seed gives the same vectors, with
            more nearly so.
        seed: Of all that is drawn.

    Raises:
        ValueError: if a setting is out of its range. When fitting: if the vectors diverge, which a learning
            rate of 1 or more may bring.

    Source: Mikolov et al. 2013; negatives shared by several words: Ji et al. 2016; threads without locks:
    Recht et al. 2011.

    Example:
        >>> text = [["the", "cat", "sat"], ["the", "dog", "sat"], ["a", "bird", "flew"]] * 50
        >>> vectors = SkipGram(dim=8, min_count=1).fit(text)
        >>> vectors.vector("cat").shape, len(vectors.most_similar("cat", n=3))
        ((8,), 3)
    """

    dim: int = 100
    window: int = 5
    negatives: int = 5
    min_count: int = 5
    sample: float = 1e-3
    power: float = 0.75
    epochs: int = 5
    learning_rate: float = 0.025
    min_learning_rate: float = 0.0001
    threads: int = 1
    seed: int = 0

    def __post_init__(self):
        for name in ("dim", "window", "negatives", "min_count", "epochs", "threads"):
            value = getattr(self, name)
            if not _is_number(value) or value < 1 or value != int(value):
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if not _is_number(value) or value < 0:
                raise ValueError(f"{field.name} must not be negative, and finite, got {value!r}")

    def fit(self, corpus: Corpus, progress: bool = False, *, tokens: str = "words") -> WordVectors:
        """Return vectors of the words of a corpus.

        Args:
            corpus: Sentences, each a list of words; they are gone through once, so a generator will do. Or
                the path of a file with one sentence a line, perhaps packed as .gz. The text is kept as
                numbers in a temporary file, so it may be larger than memory; the words and their vectors must
                fit.
            progress: Show a bar with words/s on standard error.
            tokens: What the words of a file are: `"words"`, in small letters and without punctuation;
                `"whitespace"`, what stands between white space, as it is, for text that is cut into words
                already; or `"characters"`.

        Warns:
            UserWarning: if the words are so long that the text is probably not cut into words, as Chinese has
                to be.

        Raises:
            ValueError: if no word is left, the corpus is not made of lists of words, or the vectors diverge.
            OSError: if a file cannot be read.
        """
        return self._train(read(corpus, self.min_count, tokens=tokens), progress)

    def _train(self, stream: Stream, progress: bool) -> WordVectors:
        shares = stream.counts / stream.counts.sum()
        ratio = self.sample / shares
        keep = np.minimum(1, np.sqrt(ratio) + ratio) if self.sample else np.ones(len(shares))
        noise = stream.counts**self.power
        shape = len(stream.words), self.dim
        vectors = np.random.default_rng(self.seed).uniform(-0.5, 0.5, shape).astype(np.float32)
        vectors /= np.float32(self.dim)
        contexts = np.zeros_like(vectors)
        tables = keep.astype(np.float32), *alias_table(noise / noise.sum()), vectors, contexts
        starts = range(0, len(stream.ids), STRETCH)
        lock, halt = threading.Lock(), threading.Event()
        queue = ((epoch, start) for epoch in range(self.epochs) for start in starts)
        done, total = 0, self.epochs * len(stream.ids)
        fall = self.min_learning_rate - self.learning_rate
        told = Progress(total, "words", shown=progress)

        def worker() -> None:
            nonlocal done
            while not halt.is_set():
                with lock:
                    epoch, start = next(queue, (-1, 0))
                    if epoch < 0:
                        return
                    rate = min(self.learning_rate + fall * done / total, LARGEST)
                    end = min(start + STRETCH, len(stream.ids))
                    done += end - start
                seeds = np.random.SeedSequence([self.seed, epoch, start])
                state = seeds.generate_state(1, np.uint64) | np.uint64(1)
                if windows.train(
                    stream.ids, start, end, *tables, self.window, self.negatives, np.float32(rate), state
                ):
                    raise ValueError(
                        f"vectors diverged in epoch {epoch + 1}, at a learning rate of {rate:.3g}: lower "
                        f"learning_rate, 0.025 is usual"
                    )

        with ThreadPoolExecutor(self.threads) as pool:
            pending = {pool.submit(worker) for _ in range(self.threads)}
            try:
                while pending:
                    finished, pending = wait(pending, timeout=0.2)
                    for future in finished:
                        future.result()
                    told.tell(done)
            except BaseException:
                halt.set()
                raise
        told.end()
        if not (np.isfinite(vectors).all() and np.isfinite(contexts).all()):
            raise ValueError(
                f"vectors diverged in epoch {self.epochs}, at its end: lower learning_rate, 0.025 is usual"
            )
        return WordVectors(stream.words, vectors, contexts=contexts, counts=stream.counts)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and math.isfinite(value)
