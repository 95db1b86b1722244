"""A language model's output layer: training steps against the full softmax, and perplexity.

The steps are measured at 10,000 words and at a million.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import gzip
from collections import Counter

import keras
import numpy as np

from benchmarks.corpora import folder
from benchmarks.harness import Report, compare
from partita.contrast import LogUniform, SampledSoftmax, Unigram

WIDTH, TIME, BATCH, SAMPLED = 200, 35, 20, 100
SMALL, SEQUENCES = 64, 6000  # of the model whose perplexity is measured: a quarter of the text


class FullSoftmax(keras.layers.Layer):
    """All words, always."""

    def __init__(self, size):
        super().__init__()
        self.scores = keras.layers.Dense(size)

    def call(self, inputs):
        return self.scores(inputs)

    def loss(self, y_true, y_pred):
        """Mean over the positions, in nats."""
        return keras.ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


def words(part: str, vocabulary: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Ids in and out, `(sequences, TIME)`; the vocabulary grows by what is new."""
    with gzip.open(folder() / "ptb" / f"ptb.{part}.txt.gz", "rt", encoding="utf-8") as file:
        text = [word for line in file for word in (*line.split(), "<eos>")]
    if not vocabulary:
        vocabulary.update({word: i for i, (word, _) in enumerate(Counter(text).most_common())})
    ids = np.array([vocabulary[word] for word in text], np.int32)
    many = (len(ids) - 1) // TIME * TIME
    return ids[:many].reshape(-1, TIME), ids[1 : many + 1].reshape(-1, TIME)


def language_model(size: int, output: keras.layers.Layer) -> keras.Model:
    """Embedding, one GRU, the output layer."""
    layers = [keras.layers.Embedding(size, SMALL), keras.layers.GRU(SMALL, return_sequences=True), output]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(2e-3), loss=output.loss)
    return model


def step(output: keras.layers.Layer, size: int) -> object:
    """Return a call of ten training steps of the layer alone under a dense one.

    The words' ids are as a batch of the text would have them.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10 * BATCH, TIME, WIDTH)).astype("float32")
    y = np.minimum(LogUniform(size).sample(x.shape[0] * TIME, seed=0), size - 1).reshape(x.shape[:2])
    model = keras.Sequential([keras.layers.Dense(WIDTH), output])
    model.compile("adam", loss=output.loss)
    return lambda: model.fit(x, y, batch_size=BATCH, verbose=0, shuffle=False)


def run(report: Report) -> None:
    """Steps, then perplexity after three epochs of ptb."""
    rounds = report.rounds or 5
    full = step(FullSoftmax(10_000), 10_000)
    for name, rate in (("the model's Adam", None), ("rows by the layer's Adagrad", 0.1)):
        both = compare(
            step(SampledSoftmax(10_000, SAMPLED, learning_rate=rate), 10_000), full, rounds=rounds, warmup=1
        )
        report.compare(f"10 steps of the layer, 10k words, {name}, against full softmax", both, at_least=5)
        large = [
            step(SampledSoftmax(size, SAMPLED, learning_rate=rate), size) for size in (100_000, 1_000_000)
        ]
        both = compare(large[1], large[0], rounds=min(rounds, 2) if rate is None else rounds, warmup=1)
        report.measure(
            f"time at 1M over time at 100k, {name}",
            1 / both.ratio,
            at_most=1.3,
            at_1m=both.ours,
            at_100k=both.peer,
        )
    perplexity(report)


def perplexity(report: Report) -> None:
    """Of a small model after three epochs, by the full softmax of the validation text."""
    vocabulary: dict[str, int] = {}
    train, valid = words("train", vocabulary), words("valid", vocabulary)
    train, valid = ((x[:SEQUENCES], y[:SEQUENCES]) for x, y in (train, valid))
    counts = np.bincount(train[1].ravel(), minlength=len(vocabulary)) + 1.0
    found = {}
    outputs = {
        "full": FullSoftmax(len(vocabulary)),
        "Adam": SampledSoftmax(len(vocabulary), SAMPLED, Unigram(counts, 1.0)),
        "rows": SampledSoftmax(len(vocabulary), SAMPLED, Unigram(counts, 1.0), learning_rate=0.1),
    }
    for name, output in outputs.items():
        keras.utils.set_random_seed(0)
        model = language_model(len(vocabulary), output)
        model.fit(*train, batch_size=BATCH, epochs=3, verbose=0)
        found[name] = float(np.exp(model.evaluate(*valid, batch_size=BATCH, verbose=0)))
        share = {"at_most": 1.05} if name != "full" else {}
        report.measure(
            f"validation perplexity after 3 epochs, {name}, over full softmax's",
            found[name] / found["full"],
            **share,
            perplexity=found[name],
        )
