"""Chunk F1 on the CoNLL-2000 test, of a CRF and of a softmax on the same net.

The net is trained as `partita tag train` trains it.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

from time import perf_counter

import keras

from benchmarks.corpora import conll2000
from benchmarks.framewise import Softmax
from benchmarks.harness import Report
from partita import crf
from partita.crf.command import recipe

EPOCHS = 5


def run(report: Report) -> None:
    """All of the training part, every epoch: no test sentence chooses one. No pretrained vectors."""
    train, test = (
        [([row[:-1] for row in rows], [row[-1] for row in rows]) for rows in part] for part in conll2000()
    )
    sentences, tags = map(list, zip(*train, strict=True))
    unseen, gold = map(list, zip(*test, strict=True))
    lexicon = crf.Lexicon.fit(sentences, tags, "bio", "words")
    ids, tag_ids = [*map(lexicon.encode, sentences)], [*map(lexicon.encode_tags, tags)]
    batches = crf.Batches(ids, tag_ids, batch_size=64, num_shapes=3)
    held_out = crf.Batches([*map(lexicon.encode, unseen)], batch_size=128, num_shapes=2, shuffle=False)

    keras.utils.set_random_seed(0)
    tagger = recipe(lexicon, "cnn", 128, EPOCHS * len(batches))
    start = perf_counter()
    tagger.fit(batches, epochs=EPOCHS, verbose=0)
    report.measure("training, compilation included", perf_counter() - start, unit="s", epochs=EPOCHS)

    framewise = Softmax(lexicon, ids, tag_ids, EPOCHS, num_shapes=3)

    def f1_of(predicted):
        return crf.span_f1(gold, [lexicon.decode_tags(path) for path in held_out.restore(predicted)]).f1

    ours, peer = f1_of(tagger.predict(held_out)), f1_of(framewise.predict(held_out))
    report.measure("F1, CoNLL-2000 chunks (peer: softmax)", ours, peer=peer, at_least=0.935)
