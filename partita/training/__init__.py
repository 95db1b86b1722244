"""Training tools for any Keras model: mixtures of samples, callbacks, and layers that carry their loss.

No Z here: what is trained may normalise or not.
"""

from partita.backend import choose

choose()

from partita.callbacks import Evaluate, StopOnNonFinite
from partita.training.callbacks import Lookahead, Trace
from partita.training.gap import Linearity, linearity
from partita.training.layers import CenterLoss, MixHidden, SplitFeatures
from partita.training.layerwise import LayerwiseLearningRate
from partita.training.mixing import Mixup, SamplePairing, mixup, sample_pairing
from partita.training.schedules import Schedule, Warmup

__all__ = [
    "CenterLoss",
    "Evaluate",
    "LayerwiseLearningRate",
    "Linearity",
    "Lookahead",
    "MixHidden",
    "Mixup",
    "SamplePairing",
    "Schedule",
    "SplitFeatures",
    "StopOnNonFinite",
    "Trace",
    "Warmup",
    "linearity",
    "mixup",
    "sample_pairing",
]
