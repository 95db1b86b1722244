"""Every family trains on eight devices as on one: `keras.distribution.DataParallel`, the same losses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
TRAINING = """
import json, sys
import keras
from tests.trust.families import FAMILIES


def losses(family):
    keras.utils.set_random_seed(0)
    model, x, y = family()
    options = {"batch_size": 32, "shuffle": False} if hasattr(x, "shape") else {"shuffle": False}
    return model.fit(x, y, epochs=2, verbose=0, **options).history


one = {family.__name__: losses(family) for family in FAMILIES}
assert len(keras.distribution.list_devices()) == 8
keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
print(json.dumps([one, {family.__name__: losses(family) for family in FAMILIES}]))
"""


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution is JAX's")
def test_eight_devices_train_as_one():
    settings = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "KERAS_BACKEND": "jax",
    }
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", TRAINING], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    one, eight = json.loads(done.stdout.splitlines()[-1])
    assert len(one) > 10
    for family, logs in one.items():
        for name, values in logs.items():
            np.testing.assert_allclose(
                eight[family][name], values, rtol=1e-5, atol=1e-6, err_msg=f"{family}: {name}"
            )
