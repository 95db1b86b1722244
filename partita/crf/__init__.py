"""Linear-chain conditional random fields: Z summed exactly, by a recursion over the sequence.

P(y|x) = exp(Σ_t h(y_t; x) + Σ_t g(y_t, y_{t+1})) / Z(x)
"""

from partita.backend import choose

choose()

from partita.crf.batches import Batches
from partita.crf.corpus import CorpusError, read_columns, read_segmented
from partita.crf.encoder import bilstm, cnn
from partita.crf.heldout import HeldOut
from partita.crf.layer import CRF, DivergedError
from partita.crf.lexicon import Lexicon, Vocabulary
from partita.crf.metrics import Score, illegal_share, segmentation_f1, span_f1, tag_accuracy
from partita.crf.paths import path_score, sample, viterbi
from partita.crf.recursion import entropy, log_partition, marginals
from partita.crf.repair import repair_tags
from partita.crf.tagger import Tagger
from partita.crf.tagging import tag_files
from partita.crf.tags import (
    Constraints,
    Span,
    legal,
    spans_to_tags,
    tags_to_spans,
    tags_to_words,
    words_to_tags,
)

__all__ = [
    "CRF",
    "Batches",
    "Constraints",
    "CorpusError",
    "DivergedError",
    "HeldOut",
    "Lexicon",
    "Score",
    "Span",
    "Tagger",
    "Vocabulary",
    "bilstm",
    "cnn",
    "entropy",
    "illegal_share",
    "legal",
    "log_partition",
    "marginals",
    "path_score",
    "read_columns",
    "read_segmented",
    "repair_tags",
    "sample",
    "segmentation_f1",
    "span_f1",
    "spans_to_tags",
    "tag_accuracy",
    "tag_files",
    "tags_to_spans",
    "tags_to_words",
    "viterbi",
    "words_to_tags",
]
