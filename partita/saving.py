"""Model files: written whole or left as they were, and with the seeds that a resumed training goes on from."""

import os
from typing import Any

import keras
from keras import ops

from partita.files import replacing


class SavedWhole(keras.Model):
    """The contract of a model of ours towards its file: what fails while it is written leaves the old one, and no draw is made again.

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
        """Save as `keras.Model.save`; an error, a kill or a full disk on the way leaves what was at `filepath`.

        Raises:
            ValueError: if `filepath` does not end in `.keras`, as Keras says it.
            OSError: if the system cannot write.
        """
        is_path = isinstance(filepath, (str, os.PathLike)) and str(filepath).endswith(".keras") and "://" not in str(filepath)
        if not is_path or not overwrite:  # Keras has its say
            super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            return
        with replacing(filepath) as beside:
            super().save(beside, zipped=zipped, **kwargs)

    def save_own_variables(self, store: Any) -> None:
        """Keras saves no seeds, and a training that is resumed would repeat its draws; here they stand beside the model's own variables."""
        super().save_own_variables(store)
        for number, seed in enumerate(self._seeds()):
            store[f"seed_{number}"] = ops.convert_to_numpy(seed)

    def load_own_variables(self, store: Any) -> None:
        """Variables and, where the file has them, seeds."""
        names = {*store.keys()}
        for number, seed in enumerate(self._seeds()):
            if f"seed_{number}" in names:
                seed.assign(store[f"seed_{number}"])
        super().load_own_variables({name: store[name] for name in names if not name.startswith("seed_")})

    def _seeds(self) -> list[keras.Variable]:
        """Of all draws, the layers' included."""
        return [variable for variable in self.variables if variable.name == "seed_generator_state"]
