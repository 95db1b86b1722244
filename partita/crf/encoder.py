"""Encoders of text for a tagger: integer features of each token in, a vector for each token out.

    ids (batch, time, features) → embeddings, side by side → CNN or BiLSTM → (batch, time, width)

Id 0 is padding. It is kept out of every convolution, so what is said of a sentence does not depend on its batch.
"""

from collections.abc import Sequence

import keras
from keras import layers, ops


def cnn(
    sizes: Sequence[int],
    columns: Sequence[str] | None = None,
    width: int = 128,
    depth: int = 3,
    kernel_size: int = 3,
    embedding: int = 64,
    dropout: float = 0.3,
) -> keras.Model:
    """Convolutions over the embedded features; each output sees `depth · (kernel_size − 1) / 2` tokens either way.

    Args:
        sizes: Number of ids of each feature column, as `Lexicon.sizes` gives them.
        columns: Name of each column, as `Lexicon.columns`; those of one name share their embedding. None: no two do.
        width: Channels of each convolution.
        depth: Number of convolutions.
        kernel_size: Tokens that each convolution spans.
        embedding: Width of each feature's embedding, or the number of its ids if that is less.
        dropout: Share of the embeddings, and of the last convolution's output, that is dropped in training.

    Returns:
        A model, ids `(batch, time, features)` → `(batch, time, width)`.

    Example:
        >>> cnn([100, 50]).output_shape
        (None, None, 128)
    """
    ids, real, hidden = _embed(sizes, columns, embedding, dropout)
    for _ in range(depth):
        hidden = layers.Conv1D(width, kernel_size, padding="same", activation="relu")(hidden * real)
    return keras.Model(ids, layers.Dropout(dropout)(hidden), name="cnn")


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
    ids, real, hidden = _embed(sizes, columns, embedding, dropout)
    mask = ops.squeeze(real > 0, axis=-1)
    for _ in range(depth):
        hidden = layers.Bidirectional(layers.LSTM(width // 2, return_sequences=True))(hidden, mask=mask)
    return keras.Model(ids, layers.Dropout(dropout)(hidden), name="bilstm")


def _embed(sizes, columns, embedding, dropout):
    ids = keras.Input((None, len(sizes)), dtype="int32", name="ids")
    real = ops.cast(ops.any(ids != 0, axis=-1, keepdims=True), keras.config.floatx())  # (batch, time, 1)
    names = columns or [f"column{index}" for index in range(len(sizes))]
    tables = {name: layers.Embedding(size, min(embedding, size)) for name, size in zip(names, sizes, strict=True)}
    embedded = [tables[name](ids[..., index]) for index, name in enumerate(names)]
    hidden = layers.Concatenate()(embedded) if len(embedded) > 1 else embedded[0]
    return ids, real, layers.Dropout(dropout)(hidden)
