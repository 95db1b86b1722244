"""Word F1 on People's Daily and on PKU 2005, of a CRF and of a softmax on the same net.

Of People's Daily the last tenth of the lines is tested, of PKU the test of 2005.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

from time import perf_counter

import keras

from benchmarks.corpora import peoples_daily, pku_test
from benchmarks.framewise import Softmax
from benchmarks.harness import Report
from partita import crf
from partita.crf.command import recipe

EPOCHS = 5


def run(report: Report) -> None:
    """Train on the first nine tenths of the lines, without pretraining, and measure the F1 of words.

    The last tenth of those is held out to choose the epoch.
    """
    lines, test = peoples_daily()
    cut = len(lines) * 9 // 10
    train, dev = lines[:cut], lines[cut:]
    tags = [crf.words_to_tags(words) for words in train]
    texts = ["".join(words) for words in train]
    lexicon = crf.Lexicon.fit(texts, tags, "bmes")
    ids = [*map(lexicon.encode, texts, tags)]
    batches = crf.Batches(ids, [*map(lexicon.encode_tags, tags)], batch_size=64)
    tests = {"People's Daily, last tenth": (test, 0.955), "PKU test 2005": (pku_test(), 0.93)}

    def f1_of(predict, sentences):
        unseen = crf.Batches(
            [lexicon.encode("".join(words)) for words in sentences],
            batch_size=128,
            lengths=LADDER,
            shuffle=False,
        )
        tags = map(lexicon.decode_tags, unseen.restore(predict(unseen)))
        return crf.segmentation_f1(
            sentences, [crf.tags_to_words("".join(w), t) for w, t in zip(sentences, tags, strict=True)]
        ).f1

    keras.utils.set_random_seed(0)
    tagger = recipe(lexicon, "cnn", 128, EPOCHS * len(batches))
    held_out = crf.Batches([lexicon.encode("".join(words)) for words in dev], batch_size=128, shuffle=False)

    def dev_f1(predicted):
        words = [
            crf.tags_to_words("".join(w), lexicon.decode_tags(t)) for w, t in zip(dev, predicted, strict=True)
        ]
        return crf.segmentation_f1(dev, words).f1

    best = crf.HeldOut(held_out, dev_f1)
    start = perf_counter()
    tagger.fit(batches, epochs=EPOCHS, verbose=0, callbacks=[best])
    report.measure(
        "training, compilation included",
        (perf_counter() - start) / 60,
        unit="minutes",
        at_most=20,
        epochs=EPOCHS,
    )

    framewise = Softmax(lexicon, ids, [*map(lexicon.encode_tags, tags)], EPOCHS)

    for name, (sentences, bar) in tests.items():
        ours, peer = f1_of(tagger.predict, sentences), f1_of(framewise.predict, sentences)
        report.measure(
            f"F1, {name} (peer: softmax)", ours, peer=peer, at_least=bar, epoch=best.best_epoch + 1
        )


LADDER = (32, 64, 128, 256, 512, 1024)
