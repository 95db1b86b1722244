"""A CRF on any encoder: a Transformer block or an LSTM finds the spaces that were taken out of English prose.

    embedding → mixup of embeddings → encoder → scores → CRF
    the loss −log P(tags|x) of both mixed sentences

`Evaluate` measures the F1 of whole words after each epoch and keeps the best weights. On other sentences
these have 0.837 for the LSTM, 0.803 for the Transformer, and 0.811 for the Transformer with mixup: means of
three seeds, each within 0.011 of its mean, so that what mixup adds is small. For the first twelve epochs the
Transformers are ahead.
"""

from partita import crf, training
from partita.tour.prose import gather

import keras
import numpy as np
from keras import layers, ops
from matplotlib.figure import Figure


TAGS = ["b", "m", "e", "s"]
LENGTH, WIDTH = 64, 64


def data(count, seed):
    """Return words of sentences, and for training ids of characters and tags.

    The ids are `(sentences, LENGTH)`, zeros and −1 at padding.
    """
    sentences = [words for group in gather(count, seed).values() for words in group]
    sentences = [words for words in sentences if 2 <= sum(map(len, words)) <= LENGTH]
    letters = {
        letter: i + 2
        for i, letter in enumerate(
            sorted({letter for words in sentences for word in words for letter in word})
        )
    }
    ids = np.zeros((len(sentences), LENGTH), "int32")
    tags = np.full((len(sentences), LENGTH), -1, "int32")
    for row, words in enumerate(sentences):
        text = "".join(words)
        ids[row, : len(text)] = [letters[letter] for letter in text]
        tags[row, : len(text)] = [TAGS.index(tag) for tag in crf.words_to_tags(words)]
    return sentences, ids, tags


def transformer(h):
    """Where each character stands, then one block of self-attention and two dense layers."""
    places = layers.Embedding(LENGTH, WIDTH)(
        ops.cast(ops.cumsum(ops.ones_like(h[..., 0]), axis=1) - 1, "int32")
    )
    h = layers.Conv1D(WIDTH, 5, padding="same", activation="relu")(h + places)
    seen = layers.MultiHeadAttention(4, WIDTH // 4)(h, h)
    h = layers.LayerNormalization()(h + seen)
    return layers.LayerNormalization()(h + layers.Dense(WIDTH)(layers.Dense(2 * WIDTH, "relu")(h)))


def lstm(h):
    """Both ways."""
    return layers.Bidirectional(layers.LSTM(WIDTH // 2, return_sequences=True))(h)


def model(encoder, size, mixed, seed):
    """Ids → scores that carry their mask; the loss is the CRF's, of both sentences where two were mixed."""
    keras.utils.set_random_seed(seed)
    ids = keras.Input((LENGTH,), dtype="int32")
    real = ops.not_equal(ids, 0)
    h = layers.Embedding(size, WIDTH)(ids)
    mix = training.MixHidden(alpha=0.2, seed=seed) if mixed else None
    h = encoder(mix(h) if mixed else h)
    chain = crf.CRF(
        len(TAGS)
    )  # no constraints: the mask is that of one sentence, where tags of the longer one may end within a word
    scores = chain(layers.Dense(len(TAGS))(h), mask=real)
    whole = keras.Model(ids, scores)
    whole.compile(keras.optimizers.Adam(3e-3), mix.loss(chain.loss) if mixed else chain.loss)
    return whole, chain


def run(
    count=4000,
    epochs=30,
    seeds=3,
    kinds=("LSTM", "Transformer", "Transformer with mixup"),
    path="spaces_by_a_transformer.png",
):
    """Return the F1 of whole words, the spans between spaces.

    It is that of test sentences by each seed's best epoch, and of the first seed's others by epoch.
    """
    sentences, ids, tags = data(count, 0)
    tenth = len(sentences) // 10
    train, held_out, test = slice(2 * tenth, None), slice(tenth, 2 * tenth), slice(tenth)

    def f1(whole, chain, part):
        best = ops.convert_to_numpy(chain.decode(ops.convert_to_tensor(whole.predict(ids[part], verbose=0))))
        cuts = [
            crf.tags_to_words("".join(words), [TAGS[tag] for tag in row if tag >= 0])
            for words, row in zip(sentences[part], best, strict=True)
        ]
        return crf.segmentation_f1(sentences[part], cuts).f1

    found = {}
    for kind in kinds:
        results = []
        for seed in range(seeds):
            whole, chain = model(
                lstm if kind == "LSTM" else transformer, int(ids.max()) + 1, "mixup" in kind, seed
            )
            keep = training.Evaluate(lambda whole, chain=chain: f1(whole, chain, held_out), "f1")
            whole.fit(ids[train], tags[train], batch_size=64, epochs=epochs, verbose=0, callbacks=[keep])
            results.append((f1(whole, chain, test), keep.values))
        found[kind] = {"each": [value for value, _ in results], "epochs": results[0][1]}
    if path:
        draw(found, path)
    return found


def draw(found, path):
    """The first seed's F1 on held-out sentences, epoch by epoch."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for (kind, value), marker in zip(found.items(), "os^", strict=False):
        axes.plot(
            np.arange(1, len(value["epochs"]) + 1), value["epochs"], marker=marker, markersize=4, label=kind
        )
    axes.set(xlabel="epoch", ylabel="F1 of held-out words")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    for kind, value in run().items():
        print(f"{kind:<24} F1 {np.mean(value['each']):.4f}, by seed {np.round(value['each'], 4).tolist()}")
