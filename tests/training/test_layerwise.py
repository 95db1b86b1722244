"""A learning rate for each layer."""

import re

import keras
import numpy as np
import pytest

from partita.training import LayerwiseLearningRate, Schedule, Warmup

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 3)).astype("float32")
Y = (X @ [[1.0], [-2.0], [0.5]]).astype("float32")
FACTORS = {"first/.*": 0.5, "net/second/bias": 0.0}


def network(optimizer, **options):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((3,)), keras.layers.Dense(4, name="first"), keras.layers.Dense(1, name="second")]
    model = keras.Sequential(layers, name="net")
    model.compile(optimizer, "mse", **options)
    return model


def moves(optimizer, **fit):
    """What each weight moves by."""
    model = network(optimizer)
    start = model.get_weights()
    model.fit(X, Y, shuffle=False, verbose=0, **{"batch_size": 64, **fit})
    return [after - before for before, after in zip(start, model.get_weights(), strict=True)]


@pytest.mark.parametrize("name", ["sgd", "adam", "nadam"])
def test_factors_are_factors_of_the_learning_rate(name):
    plain, slowed = moves(name), moves(LayerwiseLearningRate(name, FACTORS))
    for move, whole, factor in zip(slowed, plain, [0.5, 0.5, 1.0, 0.0], strict=True):
        np.testing.assert_allclose(move, factor * whole, rtol=1e-3, atol=1e-7)


def test_without_factors_it_is_the_optimizer_itself():
    for move, other in zip(
        moves("adam", epochs=3), moves(LayerwiseLearningRate("adam", {}), epochs=3), strict=True
    ):
        np.testing.assert_array_equal(move, other)


@pytest.mark.parametrize("factors", [{".*": 0.5}, {"first": 0.5}], ids=["all weights", "some"])
def test_a_schedule_goes_on(factors):
    def halving(scale):
        return keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.05 * scale, 1, 0.5))

    expected = moves(halving(0.5), epochs=3)
    found = moves(LayerwiseLearningRate(halving(1.0), factors), epochs=3)
    if ".*" in factors:
        for move, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(move, other, rtol=1e-4, atol=1e-7)
    assert np.abs(found[0]).max() < np.abs(moves(halving(1.0), epochs=3)[0]).max()


@pytest.mark.parametrize(
    "callback", [lambda: Warmup(steps=3), lambda: Schedule("optimizer.learning_rate", lambda epoch: 0.003)]
)
def test_what_sets_the_rate_sets_it_for_all(callback):
    plain = moves(keras.optimizers.SGD(0.01), callbacks=[callback()])
    slowed = moves(LayerwiseLearningRate(keras.optimizers.SGD(0.01), FACTORS), callbacks=[callback()])
    for move, whole, factor in zip(slowed, plain, [0.5, 0.5, 1.0, 0.0], strict=True):
        np.testing.assert_allclose(move, factor * whole, rtol=1e-3, atol=1e-7)


def test_it_is_saved_and_goes_on(tmp_path):
    model = network(LayerwiseLearningRate(keras.optimizers.Adam(0.01), FACTORS))
    model.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    for one in (model, again):
        one.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    for weight, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"steps_per_execution": 4}, {"run_eagerly": True}], ids=str)
def test_it_works_with(options):
    if "steps_per_execution" in options and keras.backend.backend() == "torch":
        pytest.skip("Keras knows steps_per_execution on JAX and TensorFlow only")
    model = network(LayerwiseLearningRate("adam", FACTORS), **options)
    bias = model.get_weights()[3]
    losses = model.fit(X, Y, batch_size=8, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    np.testing.assert_array_equal(model.get_weights()[3], bias)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayerwiseLearningRate("sgd", {"x": -1}), "factors must not be below 0"),
        (
            lambda: LayerwiseLearningRate("sgd", {"x": float("inf")}),
            "factors must not be below 0, and finite",
        ),
        (
            lambda: LayerwiseLearningRate(LayerwiseLearningRate("sgd", {}), {}),
            "optimizer must be a single one, got a LayerwiseLearningRate",
        ),
    ],
)
def test_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_an_expression_that_matches_nothing_is_told():
    model = network(LayerwiseLearningRate("sgd", {"third/.*": 2.0}))
    with pytest.raises(
        ValueError, match=re.escape("'third/.*' matches no weight; there are net/first/kernel")
    ):
        model.fit(X, Y, verbose=0)
