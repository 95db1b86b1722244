"""Encoders of text for a tagger: integer features of each token in, a vector for each token out.

    ids (batch, time, features) → embeddings, side by side → CNN or BiLSTM → (batch, time, width)
    ids of n-grams → a weight for each place in a window, added up around each token → (batch, time, 32),
    beside the others

Id 0 is padding. It is kept out of every convolution and window, so what is said of a sentence does not depend
on its batch. N-grams are a linear part, in the manner of the templates of a classic CRF: many strings, each
seen a few times, that mean what they mean without any hidden layer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers, ops

from partita.crf.features import NGRAMS

WINDOW = 5  # tokens around each one whose n-grams count for it
WEIGHTS = 32  # of an n-gram at each place of the window; the scores of the tags are linear in their sums
NGRAM_DROPOUT = 0.2


def cnn(
    sizes: Sequence[int],
    columns: Sequence[str] | None = None,
    width: int = 128,
    depth: int = 3,
    kernel_size: int = 3,
    embedding: int = 64,
    dropout: float = 0.3,
) -> keras.Model:
    """Return a convolutional network over the embedded features.

    Each output sees `depth · (kernel_size − 1) / 2` tokens either way.

    Args:
        sizes: Number of ids of each feature column, as `Lexicon.sizes` gives them.
        columns: Name of each column, as `Lexicon.columns`; those of one name share their embedding. None: no
            two do.
        width: Channels of each convolution.
        depth: Number of convolutions.
        kernel_size: Tokens that each convolution spans.
        embedding: Width of each feature's embedding, or the number of its ids if that is less.
        dropout: Share of the channels of the embeddings, and of the last convolution's output, that is
            dropped in training, each in a whole sentence: one mask a sentence costs nothing, one a token a
            fifth of the step.

    Returns:
        A model, ids `(batch, time, features)` → `(batch, time, width)`, 32 wider where some columns are
        n-grams.

    Raises:
        ValueError: if no column is left to embed, all being n-grams.

    Example:
        >>> cnn([100, 50]).output_shape
        (None, None, 128)
    """

    def convolve(hidden, real):
        for _ in range(depth):
            hidden = layers.Conv1D(width, kernel_size, padding="same", activation="relu")(hidden * real)
        return hidden

    return _encoder("cnn", convolve, sizes, columns, embedding, dropout)


def bilstm(
    sizes: Sequence[int],
    columns: Sequence[str] | None = None,
    width: int = 128,
    depth: int = 1,
    embedding: int = 64,
    dropout: float = 0.3,
) -> keras.Model:
    """LSTMs that read the embedded features both ways, `width` channels in all (arguments as for `cnn`).

    Example:
        >>> bilstm([100, 50]).output_shape
        (None, None, 128)
    """

    def read(hidden, real):
        mask = ops.squeeze(real > 0, axis=-1)
        for _ in range(depth):
            hidden = layers.Bidirectional(layers.LSTM(width // 2, return_sequences=True))(hidden, mask=mask)
        return hidden

    return _encoder("bilstm", read, sizes, columns, embedding, dropout)


def _encoder(
    name: str,
    body: Callable[..., Any],
    sizes: Sequence[int],
    columns: Sequence[str] | None,
    embedding: int,
    dropout: float,
) -> keras.Model:
    columns = columns or [f"column{index}" for index in range(len(sizes))]
    ids = keras.Input((None, len(sizes)), dtype="int32", name="ids")
    real = ops.cast(ops.any(ids != 0, axis=-1, keepdims=True), keras.config.floatx())  # (batch, time, 1)
    numbered = [*enumerate(zip(columns, sizes, strict=True))]
    tables = {
        column: layers.Embedding(size, min(embedding, size))
        for _, (column, size) in numbered
        if column not in NGRAMS
    }
    embedded = [tables[column](ids[..., index]) for index, (column, _) in numbered if column in tables]
    ngrams = [_weights(ids[..., index], size) for index, (column, size) in numbered if column in NGRAMS]
    if not embedded:
        raise ValueError(f"columns must hold one that is no n-gram, got {', '.join(columns)}")
    hidden = layers.SpatialDropout1D(dropout)(_side_by_side(embedded))
    hidden = layers.SpatialDropout1D(dropout)(body(hidden, real))
    outputs = [hidden, _around(sum(ngrams) * real)] if ngrams else [hidden]
    return keras.Model(ids, _side_by_side(outputs), name=name)


def _side_by_side(parts):
    return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]


def _weights(ids, size):
    """Embed each token's n-gram as weights for its neighbors, (batch, time, WINDOW · WEIGHTS).

    The weights are zero before training.
    """
    weights = layers.Embedding(size, WINDOW * WEIGHTS, embeddings_initializer="zeros")(ids)
    return layers.Dropout(NGRAM_DROPOUT, noise_shape=(None, None, 1))(weights)


def _around(weights):
    """Sum over the window of what is said of its middle, (batch, time, WEIGHTS)."""
    # (batch, time + WINDOW − 1, WINDOW · WEIGHTS)
    padded = ops.pad(weights, [(0, 0), (WINDOW // 2, WINDOW // 2), (0, 0)])
    places = ops.split(padded, WINDOW, axis=-1)
    return sum(place[:, offset : offset + 1 - WINDOW or None] for offset, place in enumerate(places))
