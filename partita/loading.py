"""Model files in, where a command is given one: the model, or one line that says why not.

Keras's safe mode holds: nothing in a file is run, no Lambda, no pickle, no class or function but Keras's own and registered ones.
"""

import os
import warnings
from typing import Any

import keras

_LONGEST = 300  # characters of a reason: some hold the whole config


def read_model(path: str | os.PathLike[str], *, compile: bool = False, **settings: Any) -> keras.Model:
    """Return the model in a `.keras` file, by default not compiled; `settings` as in `keras.saving.load_model`.

    Raises:
        ValueError: with the file and the reason, if it cannot be read.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile(suffix=".keras") as file:
        ...     read_model(file.name)
        Traceback (most recent call last):
        ValueError: ....keras is no model file that can be read: ...
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is an error further on
            return keras.saving.load_model(path, compile=compile, **settings)
    except Exception as error:  # a file of another kind may fail anywhere in Keras
        raise ValueError(f"{os.fspath(path)} is no model file that can be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What was wrong in the innermost part: around it Keras quotes the config of each part that holds it."""
    words = " ".join(str(error).rpartition("Exception encountered: ")[2].split()) or type(error).__name__
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} …"
