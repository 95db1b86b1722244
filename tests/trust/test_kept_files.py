"""Tests that model files of an earlier day give what they gave then.

They were written on JAX and are read on every backend: the format is the one that README promises.

`python -m tests.trust.test_kept_files` writes those that are not there. Where one has to be written anew, a
file of a user's is no longer read: the changelog says so.
"""

from pathlib import Path

import keras
import numpy as np
import pytest

from partita import variational
from tests.trust import families

KEPT = Path(__file__).parent / "kept"
NAMES = [
    *(family.__name__ for family in families.FAMILIES if family is not families.mixed_samples),
    "mixture",
]


def answer(name: str, model: keras.Model, x: np.ndarray) -> np.ndarray:
    """What a model makes of rows, without any draw."""
    if name in ("mixture", "flow_of_images"):
        return model.log_prob(x)
    if name == "gan":
        return model.generator.predict(x[:, :2], verbose=0)
    return model.reconstruct(x) if name in ("aae", "ali") else model.predict(x, verbose=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_kept_file_gives_the_same(name):
    compiles = (
        keras.backend.backend() != "torch"
    )  # where a file from JAX, which says jit_compile=True, goes through torch.compile
    model = keras.saving.load_model(KEPT / f"{name}.keras", compile=compiles)
    with np.load(KEPT / f"{name}.npz") as kept:
        np.testing.assert_allclose(answer(name, model, kept["x"]), kept["y"], rtol=1e-4, atol=1e-5)


def test_every_kept_file_is_tested():
    assert {path.stem for path in KEPT.iterdir()} == {*NAMES}


if __name__ == "__main__":
    KEPT.mkdir(exist_ok=True)
    for name in NAMES:
        if (KEPT / f"{name}.keras").exists():
            continue
        keras.utils.set_random_seed(0)
        if name == "mixture":
            x = families.POINTS
            model = variational.GaussianMixture(2).fit(x, seed=0)
        else:
            model, x, y = getattr(families, name)()
            model.fit(x, y, batch_size=16, epochs=2, verbose=0)
        model.save(KEPT / f"{name}.keras")
        np.savez_compressed(KEPT / f"{name}.npz", x=x[:8], y=answer(name, model, x[:8]))
