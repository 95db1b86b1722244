"""Model files out: whole, or as they were."""

import os
from typing import Any

import keras

from partita.files import replacing


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
