"""Model files: written whole or left as they were, with the seeds from which a resumed training goes on."""

import os
from typing import Any

import keras
from keras import ops

from partita.files.whole import replacing


class SavedWhole(keras.Model):
    """The contract of a model of ours towards its file: what fails while it is written leaves the old one.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from partita.flows import nice
        >>> flow = nice(4, hidden=(8,))
        >>> with TemporaryDirectory() as folder:
        ...     flow.save(Path(folder, "flow.keras"))
        ...     [path.name for path in Path(folder).iterdir()]
        ['flow.keras']
    """

    def save(self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any) -> None:
        """Save the model, as `keras.Model.save` does.

        An error, a kill or a full disk on the way leaves what was at `filepath`.

        Raises:
            ValueError: if `filepath` does not end in `.keras`, as Keras says it.
            OSError: if the system cannot write.
        """
        is_path = (
            isinstance(filepath, (str, os.PathLike))
            and str(filepath).endswith(".keras")
            and "://" not in str(filepath)
        )
        if not is_path or not overwrite:  # Keras has its say
            super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            return
        with replacing(filepath) as beside:
            super().save(beside, zipped=zipped, **kwargs)


class SavedWithSeeds(SavedWhole):
    """A model whose file also says where its random draws stand, its layers' included; Keras saves no seeds.

    A training that is resumed from such a file does not repeat its draws.

    Example:
        >>> import numpy as np
        >>> from partita.flows import nice
        >>> flow, again, store = nice(4, hidden=(8,)), nice(4, hidden=(8,)), {}
        >>> _ = flow(np.ones((1, 4))), again(np.ones((1, 4)))
        >>> flow.save_own_variables(store)
        >>> again.load_own_variables(store)
        >>> any(name.startswith("seed_") for name in store)
        True
    """

    def save_own_variables(self, store: Any) -> None:
        """As Keras, and the seeds."""
        super().save_own_variables(store)
        save_seeds(self, store)

    def load_own_variables(self, store: Any) -> None:
        """As Keras, and the seeds where the file has them."""
        super().load_own_variables(load_seeds(self, store))


def save_seeds(model: keras.Model, store: Any) -> None:
    """Put where all draws of a model stand beside its own variables."""
    for number, seed in enumerate(_seeds(model)):
        store[f"seed_{number}"] = ops.convert_to_numpy(seed)


def load_seeds(model: keras.Model, store: Any) -> dict[str, Any]:
    """Take them out again, if there are any; returns what else there is, for `load_own_variables`."""
    names = {*store.keys()}
    for number, seed in enumerate(_seeds(model)):
        if f"seed_{number}" in names:
            seed.assign(store[f"seed_{number}"])
    return {name: store[name] for name in names if not name.startswith("seed_")}


def _seeds(model: keras.Model) -> list[keras.Variable]:
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]
