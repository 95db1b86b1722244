"""Seeds in files: Keras saves none, and a training that is resumed would repeat its draws."""

from typing import Any

import keras
from keras import ops


def save_seeds(model: keras.Model, store: Any) -> None:
    """Put where all draws of a model stand, its layers' included, beside its own variables."""
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
