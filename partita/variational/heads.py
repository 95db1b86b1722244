"""Heads of encoders and generators that are deterministic, or stochastic.

The output of a stochastic one is read as means and log-variances.

z = E(x)   or   z = μ(x) + σ(x) ε
"""

from typing import Any

import keras
import numpy as np

from partita.variational import nets
from partita.variational.gaussian import reparameterize, split_gaussian, widen


class Head:
    """Net that gives rows of a known shape, or their means and log-variances.

    Means and log-variances stand side by side on the last axis.

    Raises:
        ValueError: if the net gives neither.
    """

    def __init__(self, net: Any, takes: list[nets.Shape], shape: nets.Shape, name: str):
        made = nets.output_shape(net, takes)
        twice = (*shape[:-1], *(2 * (length or 0) for length in shape[-1:]))
        is_pair, fits = isinstance(getattr(net, "output", None), (list, tuple)), nets.meet(made, shape)
        self.net = net
        self.stochastic = is_pair or (not fits and nets.meet(made, twice))
        if not self.stochastic and not fits:
            raise ValueError(
                f"{name} must end in {(None, *shape)}, or {(None, *twice)} to be stochastic, got "
                f"{(None, *made)}"
            )

    def read(self, output: Any, seed: Any = None) -> Any:
        """A draw from what the net gave if it is stochastic and there is a seed, else the mean."""
        if not self.stochastic:
            return widen(output)
        mean, log_variance = split_gaussian(output)
        return mean if seed is None else reparameterize(mean, log_variance, seed)

    def run(self, x: Any, condition: Any = None, seed: int | None = None) -> np.ndarray:
        """The same for arrays, of any number of rows."""
        return keras.ops.convert_to_numpy(self.read(nets.run(self.net, x, condition), seed))
