"""The solver as a layer: it trains, saves and reloads."""

import re

import keras
import numpy as np
import pytest
from keras import ops

from partita import ode

TIMES = np.linspace(0.0, 1.0, 5)
STARTS = np.random.default_rng(0).uniform(0.5, 2.0, (8, 2)).astype("float32")
DECAY = np.exp(-TIMES)[None, :, None] * STARTS[:, None]


@keras.saving.register_keras_serializable(package="partita_tests")
def decay(t, y, p):
    return -p["rate"] * y


@keras.saving.register_keras_serializable(package="partita_tests")
class Timed(keras.layers.Layer):
    def call(self, t, y):
        return t + 0 * y


def saved_and_reloaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize(
    "method",
    [{"method": "rk4", "num_steps": 2}, {"rtol": 1e-3, "max_steps": 128}],
    ids=["fixed", "controlled"],
)
def test_parameters_are_inferred_under_plain_fit(method, tmp_path):
    layer = ode.Solve(decay, TIMES, parameters={"rate": 3.0}, **method)
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(STARTS, DECAY, epochs=80, verbose=0)
    assert float(ops.convert_to_numpy(layer.parameters["rate"])) == pytest.approx(1.0, abs=0.02)
    reloaded = saved_and_reloaded(model, tmp_path)
    np.testing.assert_array_equal(reloaded.predict(STARTS, verbose=0), model.predict(STARTS, verbose=0))


def test_a_model_is_a_field(tmp_path):
    net = keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(2)])
    model = keras.Sequential([keras.Input((2,)), ode.Solve(net, TIMES)])
    model.compile("adam", "mse")
    before = model.evaluate(STARTS, DECAY, verbose=0)
    model.fit(STARTS, DECAY, epochs=5, verbose=0)
    assert model.evaluate(STARTS, DECAY, verbose=0) < before
    assert model.output_shape == (None, 5, 2)
    assert len(model.trainable_weights) == 4
    reloaded = saved_and_reloaded(model, tmp_path)
    np.testing.assert_array_equal(reloaded.predict(STARTS, verbose=0), model.predict(STARTS, verbose=0))


def test_a_layer_that_names_the_time_is_given_it():
    path = ops.convert_to_numpy(ode.Solve(Timed(), TIMES)(STARTS))
    np.testing.assert_allclose(path, STARTS[:, None] + TIMES[None, :, None] ** 2 / 2, rtol=1e-6)


def test_inputs_drive_the_layer():
    inputs = np.random.default_rng(1).normal(size=(8, 5, 2)).astype("float32")
    path = ops.convert_to_numpy(ode.Solve(lambda t, y, u: u - y, TIMES)([STARTS, inputs]))
    np.testing.assert_allclose(
        path, ops.convert_to_numpy(ode.solve(lambda t, y, u: u - y, STARTS, TIMES, inputs=inputs)), rtol=1e-6
    )


def test_the_initial_state_trains():
    layer = ode.Solve(lambda t, y: -y, TIMES, initial=[0.0, 0.0])
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(
        np.zeros_like(STARTS),
        np.exp(-TIMES)[None, :, None] * np.tile([[[1.0, 2.0]]], (8, 1, 1)),
        epochs=150,
        verbose=0,
    )
    np.testing.assert_allclose(ops.convert_to_numpy(layer.weights[0]), [1.0, 2.0], atol=0.02)


def test_a_function_that_is_not_registered_cannot_be_saved():
    with pytest.raises(ValueError, match="field must be a Keras layer or a function registered"):
        ode.Solve(lambda t, y: -y, TIMES).get_config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"field": 3}, "field must be a function, a Keras layer or a model, got 3"),
        ({"times": [1.0]}, "times must be a row of two or more"),
        ({"method": "rk4"}, "give num_steps= or dt= for fixed steps, got 'rk4'"),
        ({"break_points": [np.inf]}, "break_points must be finite, got inf"),
        ({"parameters": {"k": 1j}}, "parameter 'k' must be real numbers, got complex numbers"),
        ({"initial": [1j]}, "initial must be real numbers, got complex numbers"),
        ({"parameters": {"k": -1.0}}, "parameter 'k' must start above 0 to stay there, got -1.0"),
        ({"parameters": {"k": 1.0}, "positive": ["q"]}, "positive must name parameters, got 'q'"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ode.Solve(**({"field": lambda t, y: -y, "times": TIMES} | options))


def test_every_setting_is_saved():
    options = {
        "method": "rodas4",
        "rtol": 1e-4,
        "max_step": 0.5,
        "break_points": np.array([0.5]),
        "check": False,
    }
    config = ode.Solve(keras.layers.Dense(2), TIMES, **options).get_config()
    again = ode.Solve.from_config(config).get_config()
    assert {name: again[name] for name in options} == {**options, "break_points": [0.5]}


def test_complex_states_are_refused():
    with pytest.raises(ValueError, match="y0 must be real, got complex64"):
        ode.Solve(lambda t, y: -y, TIMES)(np.ones((1, 1), "complex64"))


@pytest.mark.parametrize("compiled", [True, False])
def test_a_compiled_model_has_the_state_of_every_time(compiled):
    """XLA keeps arrays of a fixed size: rows written beyond it would all be the last one."""
    x = np.ones((3, 2), "float32")
    model = keras.Sequential([keras.Input((2,)), ode.Solve(lambda t, y: -y, [0.0, 0.5, 2.0])])
    model.compile("sgd", "mse", jit_compile=compiled)
    np.testing.assert_allclose(
        model.predict(x, verbose=0)[:, :, 0], np.exp([[0.0, -0.5, -2.0]] * 3), atol=1e-5
    )
