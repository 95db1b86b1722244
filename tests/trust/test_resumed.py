"""Tests that a killed training, called again, ends with the weights that it would have had.

It is killed in the middle of an epoch.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
MODELS = {
    "tagger": """
rng = np.random.default_rng(0)
sentences = [rng.integers(1, 20, rng.integers(2, 9)) for _ in range(64)]
net = keras.Sequential([keras.layers.Embedding(20, 8), keras.layers.Dropout(0.3, seed=1)])
model = crf.Tagger(net, crf.CRF(3))
data = crf.Batches(sentences, [x % 3 for x in sentences], batch_size=16, num_shapes=1, seed=3)
model(data[0][0])
model.compile(keras.optimizers.Adam(0.01))
options = {}
""",
    "gan": """
def net(first):
    hidden = keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.2, seed=1)
    return keras.Sequential([keras.Input((first,)), *hidden, keras.layers.Dense(2)])


nets = [net(first=3), net(first=2)]
discriminator = keras.Sequential([nets[1], keras.layers.Dense(1)])
model = variational.GAN(nets[0], discriminator, inertia=1.0, generator_steps=2, seed=0)
data = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
model.compile()
options = {"batch_size": 16, "shuffle": False}
""",
    "flow": """
data = np.random.default_rng(0).integers(0, 4, (64, 6)).astype("float32") / 3
model = flows.nice(6, hidden=(8,), dequantize=4)
model(data[:2])
model.compile("adam")
options = {"batch_size": 16, "shuffle": False}
""",
    "energy model": """
data = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
energy = keras.Sequential([keras.layers.Dense(8, "silu"), keras.layers.Dense(1)])
model = contrast.EnergyModel(energy, contrast.Normal.fit(data), num_noise=2)
model.build((None, 2))
model.compile("adam")
options = {"batch_size": 16}
""",
    "mixture": """
x, y = np.random.default_rng(0).normal(size=(64, 3)).astype("float32"), np.arange(64) % 2
data = training.Mixup((x, y), num_classes=2, batch_size=16, seed=0)
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2, "softmax")])
model.compile("adam", "categorical_crossentropy")
follow = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(data, "epoch", epoch))
options = {"shuffle": False, "callbacks": [follow]}
""",
}
TRAINING = """
import os, signal, sys
sys.path.insert(0, {root!r})
import keras, numpy as np
from partita import contrast, crf, flows, training, variational

keras.utils.set_random_seed(0)
{model}


class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (2, 1):
            os.kill(os.getpid(), signal.SIGKILL)


backup = keras.callbacks.BackupAndRestore({folder!r}, delete_checkpoint=False)
callbacks = [backup, *options.pop("callbacks", [])] + [Kill()] * {kill}
model.fit(data, epochs=4, verbose=0, callbacks=callbacks, **options)
np.savez({out!r}, *[keras.ops.convert_to_numpy(v) for v in [*model.variables, *model.optimizer.variables]])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system kills nobody")
@pytest.mark.parametrize("name", MODELS if keras.backend.backend() == "jax" else ["gan"])
def test_killed_and_resumed_it_ends_as_if_it_had_not_been(name, tmp_path):
    def train(folder, kill):
        out = str(tmp_path / f"{folder}.npz")
        code = TRAINING.format(
            root=str(ROOT), model=MODELS[name], folder=str(tmp_path / folder), kill=int(kill), out=out
        )
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ}
        ), out

    done, whole = train("whole", kill=False)
    assert done.returncode == 0, done.stderr
    done, resumed = train("broken", kill=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    done, resumed = train("broken", kill=False)
    assert done.returncode == 0, done.stderr
    with np.load(whole) as left, np.load(resumed) as right:
        assert left.files == right.files
        for array in left.files:
            np.testing.assert_array_equal(left[array], right[array])
