"""What every model that trains in rounds keeps: its steps, its states, its errors."""

import keras
import numpy as np
import pytest
from keras import ops

from partita import variational
from tests.variational.players import aae, ali, data, gan, mlp

COLUMNS = {gan: 2, aae: 4, ali: 4}
EVERY = pytest.mark.parametrize("make", COLUMNS)


def weights(model):
    return [ops.convert_to_numpy(weight) for weight in model.weights]


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@EVERY
def test_saved_it_goes_on_as_if_it_had_not_stopped(make, tmp_path):
    x = data(COLUMNS[make])
    model = make()
    model.compile(keras.optimizers.Adam(1e-2), "sgd")
    model.fit(x, batch_size=32, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert same(weights(model), weights(again))
    assert (type(again.generator_optimizer).__name__, type(again.discriminator_optimizer).__name__) == (
        "Adam",
        "SGD",
    )
    for one in (model, again):
        one.fit(x, batch_size=32, verbose=0, shuffle=False)
    assert same(weights(model), weights(again))
    np.testing.assert_array_equal(model.sample(3, seed=1), again.sample(3, seed=1))


def test_a_backup_resumes_to_the_same_weights(tmp_path):
    x = data(2)

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    whole, broken, resumed = (gan(inertia=1.0) for _ in range(3))
    start = whole.get_weights()
    for model in (whole, broken, resumed):
        model.set_weights(start)
        model.compile()
    whole.fit(x, batch_size=32, epochs=3, verbose=0, shuffle=False)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        broken.fit(x, batch_size=32, epochs=3, verbose=0, shuffle=False, callbacks=[Interrupt(), backup])
    resumed.fit(
        x,
        batch_size=32,
        epochs=3,
        verbose=0,
        shuffle=False,
        callbacks=keras.callbacks.BackupAndRestore(tmp_path / "backup"),
    )
    assert same(weights(whole), weights(resumed))


def test_a_round_is_the_discriminators_steps_then_the_generators():
    model = gan(discriminator_steps=3, generator_steps=2)
    model.compile()
    model.fit(data(2), batch_size=32, epochs=2, verbose=0)
    counts = [
        int(ops.convert_to_numpy(o.iterations))
        for o in (model.discriminator_optimizer, model.generator_optimizer)
    ]
    assert counts == [12, 8]  # 4 rounds


def test_each_player_moves_its_own_nets_alone():
    model = gan()
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.1))
    generator, discriminator = weights(model.generator), weights(model.discriminator)
    model.fit(data(2), verbose=0)
    assert same(generator, weights(model.generator))
    assert not same(discriminator, weights(model.discriminator))


def test_a_step_is_the_gradient_of_the_loss():
    """One round agrees with that by hand.

    It has a linear discriminator, and a generator that only shifts, so that latents do not matter.
    """
    shift, slope = 0.5, -0.3

    class Shift(keras.layers.Layer):
        def build(self, shape):
            self.shift = self.add_weight(shape=(1,), initializer=keras.initializers.Constant(shift))

        def call(self, z):
            return 0.0 * z + self.shift

    discriminator = keras.Sequential(
        [keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(slope))]
    )
    model = variational.GAN(
        keras.Sequential([keras.Input((1,)), Shift()]), discriminator, inertia=2.0, generator_steps=2
    )
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2))
    x = data(1, 16)
    model.fit(x, batch_size=16, verbose=0)

    def sigma(score):
        return 1 / (1 + np.exp(-score))

    mean_slope = np.mean(-sigma(-slope * x) * x) + sigma(slope * shift) * shift
    slope -= 0.2 * mean_slope
    start = shift
    for _ in range(2):
        shift -= 0.1 * (-sigma(-slope * shift) * slope + 2 * 2.0 * (shift - start))
    np.testing.assert_allclose(weights(model.discriminator)[0].item(), slope, rtol=1e-5)
    np.testing.assert_allclose(weights(model.generator)[0].item(), shift, rtol=1e-5)


def test_evaluating_moves_nothing_and_callbacks_see_the_logs():
    x, seen = data(2), []
    model = gan()
    model.compile()
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append({*logs}))
    names = {"discriminator_loss", "generator_loss", "pinned"}
    model.fit(x, verbose=0, validation_data=(x,), callbacks=[callback])
    assert seen == [names | {f"val_{name}" for name in names}]
    before = weights(model)
    measured = model.evaluate(x, verbose=0, return_dict=True)
    assert {*measured} == names
    assert np.isfinite([*measured.values()]).all()
    assert same(before, weights(model))


def test_mixed_precision_scales_each_loss(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = gan(inertia=1.0)
        model.compile()
        assert isinstance(model.generator_optimizer, keras.optimizers.LossScaleOptimizer)
        assert isinstance(model.discriminator_optimizer, keras.optimizers.LossScaleOptimizer)
        before = weights(model.generator)
        history = model.fit(data(2), batch_size=16, epochs=2, verbose=0).history
        assert np.isfinite([*history.values()]).all()
        assert not same(before, weights(model.generator))
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(model.sample(3, seed=1), again.sample(3, seed=1))
        assert model.sample(3, seed=1).dtype == np.float32
        model.compile(auto_scale_loss=False)
        model.fit(data(2), batch_size=16, verbose=0)
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        assert not isinstance(again.generator_optimizer, keras.optimizers.LossScaleOptimizer)
        for optimizer in ("generator_optimizer", "discriminator_optimizer"):
            moments = [
                [ops.convert_to_numpy(value) for value in getattr(one, optimizer).variables]
                for one in (model, again)
            ]
            assert same(*moments)
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras on PyTorch takes one step at a time")
def test_several_rounds_in_one_execution_are_the_same_rounds():
    x, results = data(2), []
    for steps in (1, 4):
        keras.utils.set_random_seed(0)
        model = gan()
        model.compile(steps_per_execution=steps)
        model.fit(x, batch_size=8, verbose=0, shuffle=False)
        results.append(weights(model.generator))
    for one, several in zip(*results, strict=True):
        np.testing.assert_allclose(one, several, rtol=1e-4, atol=1e-6)


def test_normalisation_and_dropout_and_penalties_of_weights():
    layers = keras.layers
    generator = keras.Sequential(
        [keras.Input((2,)), layers.Dense(8), layers.BatchNormalization(), layers.Dense(2)]
    )
    discriminator = keras.Sequential(
        [
            layers.Dense(8, kernel_regularizer=keras.regularizers.L2(10.0)),
            layers.Dropout(0.5),
            layers.Dense(1),
        ]
    )
    model = variational.GAN(generator, discriminator, inertia=0.5, penalty=1.0)
    model.compile("adam", keras.optimizers.SGD(0.01))
    size = np.abs(weights(discriminator)[0]).sum()
    model.fit(data(2), batch_size=16, epochs=3, verbose=0)
    assert np.abs(weights(discriminator)[0]).sum() < 0.5 * size
    moving_mean = next(
        ops.convert_to_numpy(weight) for weight in generator.weights if "moving_mean" in weight.path
    )
    assert np.abs(moving_mean).max() > 0


def test_the_learning_rates_are_those_of_the_optimizers():
    model = gan()
    model.compile(keras.optimizers.SGD(0.5), "adam")
    assert float(model.generator_optimizer.learning_rate) == 0.5
    with pytest.raises(AttributeError, match="see generator_optimizer and discriminator_optimizer"):
        _ = model.optimizer.learning_rate


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (
            lambda model, x: model.compile(*[keras.optimizers.Adam()] * 2),
            "discriminator_optimizer must be an optimizer of its own",
        ),
        (
            lambda model, x: model.compile(loss="mse"),
            "compile takes two optimizers and options of execution, got loss",
        ),
        (lambda model, x: model.fit(x, x, verbose=0), "fit takes neither targets nor weights"),
        (lambda model, x: model.fit(x[:, :1], verbose=0), r"x must have the shape \(batch, 2\)"),
        (lambda model, x: model.fit([x, x], verbose=0), "x must be one array, got 2"),
        (lambda model, x: model.sample(0), "n must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_named(act, words):
    model = gan()
    model.compile()
    with pytest.raises(ValueError, match=words):
        act(model, data(2))


@EVERY
@pytest.mark.parametrize("options", [{"discriminator_steps": 0}, {"prior": object()}, {"penalty": -1.0}])
def test_bad_options_are_named(make, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        make(**options)


def test_an_untrained_net_without_a_shape_is_named():
    with pytest.raises(
        ValueError, match=r"generator must know the shape of its input, got Sequential .* keras.Input"
    ):
        variational.GAN(mlp(4, 2), mlp(4, 1))
