"""Layers made of a step function, against Keras's own."""

import keras
import numpy as np
import pytest
from keras import ops

from partita import ode

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], bool)
SHAPES = {"W": (3, 4), "U": (4, 4), "b": (4,)}


@keras.saving.register_keras_serializable(package="partita_tests")
def plain(x, state, w):
    state = ops.tanh(ops.matmul(x, w["W"]) + ops.matmul(state, w["U"]) + w["b"])
    return state, state


def add(x, states):
    total, count = states
    return total + x, (total + x, count + 1)


@pytest.mark.parametrize("return_sequences", [True, False])
def test_a_plain_recurrent_net(return_sequences):
    ours = ode.recurrent(plain, (4,), SHAPES, return_sequences)
    theirs = keras.layers.SimpleRNN(4, return_sequences=return_sequences)
    theirs.build(X.shape)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(
        ops.convert_to_numpy(ours(X, mask=MASK)),
        ops.convert_to_numpy(theirs(X, mask=ops.convert_to_tensor(MASK))),
        atol=1e-6,
    )


def test_it_trains_saves_and_reloads(tmp_path):
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.Masking(), ode.recurrent(plain, (4,), SHAPES)]
    )
    model.compile("adam", "mse")
    target = np.ones((2, 4), "float32")
    before = model.evaluate(X, target, verbose=0)
    model.fit(X, target, epochs=10, verbose=0)
    assert model.evaluate(X, target, verbose=0) < before
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(reloaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_sequences_of_any_length_train_one_model():
    model = keras.Sequential(
        [keras.Input((None, 3)), ode.recurrent(plain, (4,), SHAPES, return_sequences=True)]
    )
    model.compile("adam", "mse")
    for length in (5, 3):
        loss = model.train_on_batch(X[:, :length], np.zeros((2, length, 4), "float32"))
        assert np.isfinite(loss)
        assert model.predict(X[:, :length], verbose=0).shape == (2, length, 4)


def test_several_states_and_a_given_start():
    layer = ode.recurrent(add, [(3,), (1,)])
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), X.sum(axis=1), rtol=1e-5)
    start = (ops.ones((2, 3)), ops.zeros((2, 1)))
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(X, initial_state=start)), 1 + X.sum(axis=1), rtol=1e-5
    )


def test_states_are_kept_between_batches():
    layer = ode.recurrent(lambda x, s: (s + x, s + x), (3,), stateful=True)
    layer(X)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), 2 * X.sum(axis=1), rtol=1e-5)
    layer.reset_state()
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), X.sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda x, s: s + x, r"step_function must return \(output, new state\)"),
        (
            lambda x, s: (s, s[:, :1]),
            r"step_function must keep the shapes of the states, \[\(2, 3\)\], got \[\(2, 1\)\]",
        ),
    ],
)
def test_a_step_must_return_output_and_state(step, message):
    with pytest.raises(ValueError, match=message):
        ode.recurrent(step, (3,))(X)
