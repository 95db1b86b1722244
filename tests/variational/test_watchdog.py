import keras
import numpy as np
import pytest

from partita import variational
from tests.variational.players import data, gan


def test_a_loss_that_is_not_finite_stops_training_and_the_last_good_weights_are_back():
    model = gan()
    model.compile(keras.optimizers.SGD(1e30), keras.optimizers.SGD(1e30))
    with pytest.raises(
        FloatingPointError,
        match=r"_loss is .* at epoch \d+, batch \d+.* restored; try a smaller learning rate",
    ):
        model.fit(data(2), batch_size=16, epochs=50, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_discriminator_that_is_sure_for_long_stops_training():
    model = gan()
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.5))
    x = 100 + data(2, 128)
    with pytest.warns(
        variational.TrainingStoppedWarning,
        match="sure of everything for .* rounds .* discriminator_steps, or penalty",
    ):
        history = model.fit(
            x, batch_size=16, epochs=50, verbose=0, callbacks=[variational.Watchdog(patience=20, every=3)]
        )
    assert len(history.epoch) < 50
    assert history.history["pinned"][-1] >= 20


def test_one_is_enough():
    model = gan()
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.5))
    history = model.fit(
        100 + data(2), batch_size=4, epochs=2, verbose=0, callbacks=variational.Watchdog(patience=10_000)
    )
    assert len(history.epoch) == 2


def test_it_comes_along_with_callbacks_of_any_form():
    model = gan()
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.5))
    seen = []
    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["pinned"]))
    for given in (None, count, [count], keras.callbacks.CallbackList([count], model=model)):
        with pytest.warns(variational.TrainingStoppedWarning):
            model.fit(100 + data(2, 128), batch_size=1, epochs=9, verbose=0, callbacks=given)
    assert len(seen) >= 3


def test_it_watches_any_model():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(FloatingPointError, match="loss is nan at epoch 1, batch 1"):
        model.fit(
            np.full((8, 1), np.nan), np.zeros((8, 1)), epochs=3, verbose=0, callbacks=[variational.Watchdog()]
        )


def test_patience_is_checked():
    with pytest.raises(ValueError, match="patience and every must be at least 1, got 0 and 25"):
        variational.Watchdog(patience=0)
