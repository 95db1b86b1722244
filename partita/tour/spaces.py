"""Where did the spaces go? The same network learns it as a framewise softmax and as a CRF.

Π_t exp(h_t[y_t]) / Σ_k exp(h_t[k])   against   exp(Σ_t h_t[y_t] + Σ_t g[y_t, y_{t+1}]) / Z
"""

from itertools import accumulate, chain
from time import perf_counter
from typing import NamedTuple

import keras
import numpy as np
from keras import ops
from scipy.special import logsumexp

from partita import crf
from partita.tour.prose import LONGEST, Sentences

ROWS = 32  # of a batch; all batches have one shape, so that each network is compiled once


class Data(NamedTuple):
    """What both networks learn from and are tested with."""

    train: Sentences
    test: Sentences
    lexicon: crf.Lexicon
    seed: int
    epochs: int

    def batches(self, first_tag: int) -> crf.Batches:
        """The training sentences; ids of tags count from `first_tag`."""
        names = [crf.words_to_tags(words) for words in self.train]
        ids = [
            self.lexicon.encode("".join(words), tags) for words, tags in zip(self.train, names, strict=True)
        ]
        tags = [self.lexicon.encode_tags(tags) + first_tag for tags in names]
        return crf.Batches(ids, tags, batch_size=ROWS, lengths=[LONGEST], seed=self.seed)

    def questions(self) -> np.ndarray:
        """The test sentences, ids `(sentences, time, columns)`."""
        ids = [self.lexicon.encode("".join(words)) for words in self.test]
        return crf.Batches(
            ids, batch_size=len(ids), lengths=[LONGEST], max_tokens=len(ids) * LONGEST, shuffle=False
        )[0][0]


class Answers(NamedTuple):
    """What a network made of the test sentences."""

    tags: list[list[str]]
    words: Sentences
    spaces: list[np.ndarray]  # (time,) each: the probability that a word ends with this character
    seconds: float


def hold_out(modules: dict[str, Sentences], num_sentences: int) -> tuple[int, Sentences, Sentences]:
    """Hold out the first modules, until they hold `num_sentences` sentences.

    The number of these modules is returned, their sentences, and those of the others.

    Example:
        >>> hold_out({"ast": [["Parse", "it."]], "bdb": [["Stop."], ["Go."]], "cmd": [["Ask."]]}, 2)
        (2, [['Parse', 'it.'], ['Stop.'], ['Go.']], [['Ask.']])
    """
    groups = [*modules.values()]
    count = sum(end < num_sentences for end in accumulate(map(len, groups))) + 1
    return count, [*chain(*groups[:count])], [*chain(*groups[count:])]


def train_softmax(data: Data) -> Answers:
    """Train the network so that it chooses the tag of each character by itself."""
    began = perf_counter()
    keras.utils.set_random_seed(data.seed)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    net = keras.Sequential([_encoder(data.lexicon), keras.layers.Dense(data.lexicon.num_tags)])
    # Tags count from 1, so that padding, 0, is none.
    _train(net, data, first_tag=1, loss=lambda tags, scores: cross_entropy(tags - 1, scores))
    p = ops.convert_to_numpy(ops.softmax(net(data.questions())))  # (sentences, time, tags)
    return _answers(data, p.argmax(axis=-1), p, began)


def train_crf(data: Data) -> tuple[Answers, crf.CRF, np.ndarray]:
    """Train the network so that it chooses the tags of a sentence at once, by a CRF.

    The CRF and the scores that it was given are returned as well.
    """
    began = perf_counter()
    keras.utils.set_random_seed(data.seed)
    # Ten times as fast, lest the scores have learned what the transitions could say before those have moved.
    tagger = crf.Tagger(_encoder(data.lexicon), crf.CRF(data.lexicon.num_tags, learning_rate_factor=10.0))
    _train(tagger, data, first_tag=0)
    scores = tagger(data.questions())  # (sentences, time, tags)
    tags, p = (ops.convert_to_numpy(f(scores)) for f in (tagger.crf.decode, tagger.crf.marginals))
    return _answers(data, tags, p, began), tagger.crf, ops.convert_to_numpy(scores)


def _encoder(lexicon):
    return crf.cnn(lexicon.sizes, lexicon.columns, width=64, embedding=32, dropout=0.0)


def _train(model, data, first_tag, **compiled):
    batches = data.batches(first_tag)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, data.epochs * len(batches))
    model.compile(keras.optimizers.Adam(rate), **compiled)
    model.fit(batches, epochs=data.epochs, verbose=0)


def _answers(data, tags, p, began):
    """Answers from tag ids (sentences, time) and probabilities (sentences, time, tags)."""
    ends_word = p[..., [data.lexicon.tag_id("s"), data.lexicon.tag_id("e")]].sum(axis=-1)
    texts = ["".join(words) for words in data.test]
    names = [data.lexicon.decode_tags(ids[: len(text)]) for ids, text in zip(tags, texts, strict=True)]
    spaces = [row[: len(text)] for row, text in zip(ends_word, texts, strict=True)]
    return Answers(names, [*map(crf.tags_to_words, texts, names)], spaces, perf_counter() - began)


def measure(data: Data, answers: Answers) -> dict[str, float]:
    """Shares of words and of sentences that are right, and of sentences whose tags are illegal."""
    score = crf.segmentation_f1(data.test, answers.words, known_words=set(chain(*data.train)))
    flawless = [gold == words for gold, words in zip(data.test, answers.words, strict=True)]
    return {
        "precision": score.precision,
        "recall": score.recall,
        "f1": score.f1,
        "recall_of_new_words": score.oov_recall or 0.0,
        "flawless": float(np.mean(flawless)),
        "illegal": crf.illegal_share(answers.tags, "bmes"),
        "seconds": round(answers.seconds, 1),
    }


def difference(data: Data, one: Answers, other: Answers) -> dict[str, float]:
    """Compute by how much the F1 of the other is larger, and the standard error of that.

    The standard error comes from drawing the test sentences anew 1000 times.
    """
    size, rng = len(data.test), np.random.default_rng(data.seed)
    draws = rng.multinomial(size, np.full(size, 1 / size), 1000)  # (draws, sentences)

    def f1(words, draws):
        scores = [crf.segmentation_f1([gold], [got]) for gold, got in zip(data.test, words, strict=True)]
        correct, predicted, gold = (draws @ np.array([(s.correct, s.predicted, s.gold) for s in scores])).T
        return 2 * correct / (predicted + gold)

    once = np.ones(size, int)
    return {
        "f1": float(f1(other.words, once) - f1(one.words, once)),
        "standard_error": float(np.std(f1(other.words, draws) - f1(one.words, draws))),
    }


def log_partition_twice(layer: crf.CRF, scores: np.ndarray) -> dict[str, float]:
    """Compute log Z of the scores `(1, time, tags)` by recursion and by enumeration.

    The enumeration adds up all paths one by one in float64.
    """
    transitions, start, end = (
        ops.convert_to_numpy(part).astype("float64") for part in (layer.transitions, layer.start, layer.end)
    )
    _, num_steps, num_tags = scores.shape
    paths = np.indices((num_tags,) * num_steps).reshape(num_steps, -1)  # (time, paths)
    totals = start[paths[0]] + end[paths[-1]] + transitions[paths[:-1], paths[1:]].sum(axis=0)
    totals += sum(scores[0, step, tags] for step, tags in enumerate(paths))
    log_z = crf.log_partition(scores, layer.transitions, start=layer.start, end=layer.end)
    return {
        "paths": paths.shape[1],
        "by_recursion": float(ops.convert_to_numpy(log_z)[0]),
        "one_by_one": float(logsumexp(totals)),
    }
