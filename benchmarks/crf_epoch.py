"""One training epoch of a CNN tagger on People's Daily, against PyTorch with pytorch-crf.

Both have the same net and the same batches.
"""

import os
from itertools import pairwise

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np
import torch
import torchcrf

from benchmarks.corpora import peoples_daily
from benchmarks.harness import Report, compare
from partita import crf

WIDTH, EMBEDDING, DROPOUT = 128, 64, 0.3


def run(report: Report) -> None:
    """Measure an epoch of the net of `partita tag train`.

    It has characters and a dictionary, and three convolutions of 128 channels; compilation is not counted.
    """
    train, _ = peoples_daily()
    texts, tags = ["".join(words) for words in train], [crf.words_to_tags(words) for words in train]
    lexicon = crf.Lexicon.fit(texts, tags, "bmes")
    batches = crf.Batches(
        [*map(lexicon.encode, texts, tags)], [*map(lexicon.encode_tags, tags)], batch_size=64
    )
    tagger = crf.Tagger(
        crf.cnn(lexicon.sizes, width=WIDTH, embedding=EMBEDDING, dropout=DROPOUT), crf.CRF(lexicon.num_tags)
    )
    tagger.compile(keras.optimizers.Adam(1e-3))
    peer = Peer(lexicon.sizes, lexicon.num_tags)
    times = compare(
        lambda: tagger.fit(batches, verbose=0),
        lambda: peer.epoch(batches),
        rounds=report.rounds or 3,
        warmup=1,
    )
    report.compare(f"epoch of {len(train)} sentences, {len(batches.shapes)} batch shapes", times, at_least=2)


class Peer(torch.nn.Module):
    """The same net: embeddings side by side, dropout, three convolutions, dropout, scores, CRF."""

    def __init__(self, sizes, num_tags):
        super().__init__()
        self.embeddings = torch.nn.ModuleList(
            torch.nn.Embedding(size, min(EMBEDDING, size)) for size in sizes
        )
        channels = [sum(min(EMBEDDING, size) for size in sizes), WIDTH, WIDTH, WIDTH]
        self.convolutions = torch.nn.ModuleList(
            torch.nn.Conv1d(i, o, 3, padding=1) for i, o in pairwise(channels)
        )
        self.scores = torch.nn.Linear(WIDTH, num_tags)
        self.crf = torchcrf.CRF(num_tags, batch_first=True)
        self.dropout = torch.nn.Dropout1d(DROPOUT)  # whole channels, (batch, channels, time)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)

    def epoch(self, batches):
        """Train on every batch once."""
        for number in range(len(batches)):
            ids, tags = batches[number]
            real = (ids != 0).any(axis=-1)
            rows = real[:, 0]  # pytorch-crf takes no sequence that is all padding
            ids, tags, mask = (
                torch.from_numpy(np.ascontiguousarray(x[rows])).long() for x in (ids, tags, real)
            )
            hidden = torch.cat([embed(ids[..., i]) for i, embed in enumerate(self.embeddings)], dim=-1)
            hidden = self.dropout(hidden.transpose(1, 2))  # (batch, channels, time)
            for convolution in self.convolutions:
                hidden = torch.relu(convolution(hidden * mask[:, None]))
            loss = -self.crf(
                self.scores(self.dropout(hidden).transpose(1, 2)), tags, mask=mask.bool(), reduction="mean"
            )
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
