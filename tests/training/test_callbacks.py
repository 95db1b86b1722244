"""One contract for all callbacks, and what each does."""

import functools
import re

import keras
import numpy as np
import pytest
from keras import ops

from partita import variational
from partita.training import Evaluate, Lookahead, Schedule, Trace, Warmup

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 3)).astype("float32")
Y = (X @ [[1.0], [-2.0], [0.5]]).astype("float32")

CALLBACKS = {
    "evaluate": lambda: Evaluate(
        lambda model: -model.evaluate(X, Y, verbose=0), "value", every=3, restore_best=False
    ),
    "lookahead": lambda: Lookahead(period=3),
    "trace": lambda: Trace(of="gradients", data=(X, Y)),
    "schedule": lambda: Schedule(lambda model: None, lambda step: 0.1),
    "warmup": lambda: Warmup(epochs=1.5),
}


def network(optimizer="sgd", precision="float32", **options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, name="first", dtype=precision),
            keras.layers.Dense(1, name="second"),
        ],
        name="net",
    )
    if optimizer == "multi":
        rates = keras.optimizers.OptimizerMap(
            keras.optimizers.Adam(0.01), {".*first/.*": keras.optimizers.SGD(0.05)}
        )
        optimizer = keras.optimizers.MultiOptimizer(rates)
    model.compile(optimizer, "mse", **options)
    return model


@functools.cache
def trained_plainly(options):
    model = network(**dict(options))
    for _ in range(2):
        model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return model.get_weights()


def made(name, model):
    if name == "schedule":
        parts = getattr(model.optimizer, "optimizers", None) or [model.optimizer]
        return Schedule((parts[0], "learning_rate"), lambda step: 0.05 / (1 + step), on="step")
    return CALLBACKS[name]()


@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.parametrize(
    "options",
    [{}, {"steps_per_execution": 8}, {"optimizer": "multi"}, {"precision": "mixed_float16"}],
    ids=str,
)
def test_each_works_with(name, options):
    if "steps_per_execution" in options and keras.backend.backend() == "torch":
        pytest.skip("Keras knows steps_per_execution on JAX and TensorFlow only")
    model = network(**options)
    callback = made(name, model)
    for _ in range(2):
        losses = model.fit(
            X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=[callback]
        ).history["loss"]
    assert losses[-1] < 10
    plain = trained_plainly(tuple(options.items()))
    same = all(np.array_equal(a, b) for a, b in zip(model.get_weights(), plain, strict=True))
    assert same == (name in ("evaluate", "trace"))  # which only look


class StoppedError(Exception):
    pass


class Crash(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise StoppedError


@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.parametrize("optimizer", ["adam", "multi"])
def test_each_resumes(name, optimizer, tmp_path):
    """A training that is stopped and resumed ends with the weights it would have had.

    It is stopped after two epochs of four and resumed in a new model.
    """

    def train(*more):
        model = network(optimizer)
        model.fit(
            X, Y, batch_size=4, epochs=4, shuffle=False, verbose=0, callbacks=[*more, made(name, model)]
        )
        return model.get_weights()

    whole = train()
    backup = keras.callbacks.BackupAndRestore
    with pytest.raises(StoppedError):
        train(backup(tmp_path / "state"), Crash(2))
    for a, b in zip(train(backup(tmp_path / "state")), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def players():
    """A GAN with two steps a round of the one, three of the other."""
    keras.utils.set_random_seed(0)
    nets = [
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(size, name=name)])
        for size, name in ((3, "first"), (1, "second"))
    ]
    model = variational.GAN(*nets, discriminator_steps=2, generator_steps=3, seed=0)
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.05))
    return model


@pytest.mark.parametrize("name", sorted(CALLBACKS.keys() - {"evaluate", "trace"}))
def test_each_changes_the_steps_of_two_players_and_resumes(name, tmp_path):
    def train(*more, callback=True):
        model = players()
        own = [made(name, model)] if callback else []
        model.fit(X, batch_size=4, epochs=4, shuffle=False, verbose=0, callbacks=[*more, *own])
        return model

    whole, plain = train(), train(callback=False)
    assert int(whole.optimizer.iterations) == 4 * 16  # rounds
    assert not np.array_equal(whole.get_weights()[0], plain.get_weights()[0])
    backup = keras.callbacks.BackupAndRestore
    with pytest.raises(StoppedError):
        train(backup(tmp_path / "state"), Crash(2))
    for a, b in zip(train(backup(tmp_path / "state")).get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_warmup_counts_a_schedule_of_each_player_in_its_own_steps():
    model = players()
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 1000)), "sgd")
    model.fit(X, batch_size=4, epochs=1, verbose=0, callbacks=[Warmup(epochs=2)])
    assert model.generator_optimizer._learning_rate.steps == 2 * 16 * 3


def test_evaluate_counts_the_rounds_of_two_players():
    seen = []
    judge = Evaluate(lambda model: seen.append(int(model.optimizer.iterations)) or 0.0, "value", every=24)
    players().fit(X, batch_size=4, epochs=3, verbose=0, callbacks=[judge])
    assert seen == [24, 48]


def test_evaluate_keeps_the_best_and_tells_the_others(tmp_path):
    scores = iter([0.1, 0.9, np.nan, 0.3, 0.2])
    weights = []

    def score(model):
        weights.append(model.get_weights())
        return next(scores)

    model = network()
    judge = Evaluate(score, "score", path=tmp_path / "best.keras")
    stop = keras.callbacks.EarlyStopping("score", mode="max", patience=3)
    history = model.fit(X, Y, epochs=9, verbose=0, callbacks=[judge, stop]).history
    assert len(history["score"]) == 5
    assert (judge.best, judge.best_epoch) == (0.9, 1)
    for now, saved, best in zip(
        model.get_weights(),
        keras.saving.load_model(tmp_path / "best.keras").get_weights(),
        weights[1],
        strict=True,
    ):
        np.testing.assert_array_equal(now, best)
        np.testing.assert_array_equal(saved, best)


def test_evaluate_goes_on_from_the_best_before(tmp_path):
    model = network()
    scores = iter([0.9, 0.1, 0.2, 0.3])
    first = Evaluate(lambda model: next(scores), path=tmp_path / "best.keras")
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[first])
    best = model.get_weights()
    again = Evaluate(lambda model: next(scores), path=tmp_path / "best.keras")
    model.fit(X, Y, initial_epoch=2, epochs=4, verbose=0, callbacks=[again])
    assert (again.best, again.best_epoch) == (0.9, 0)
    for now, before in zip(model.get_weights(), best, strict=True):
        np.testing.assert_array_equal(now, before)


def test_a_function_that_fails():
    model = network()
    with pytest.warns(UserWarning, match="score failed in epoch 0: ZeroDivisionError"):
        history = model.fit(
            X, Y, verbose=0, callbacks=[Evaluate(lambda model: 1 / 0, on_error="warn")]
        ).history
    assert np.isnan(history["score"][0])
    with pytest.raises(ZeroDivisionError):
        model.fit(X, Y, verbose=0, callbacks=[Evaluate(lambda model: 1 / 0)])
    with pytest.raises(ValueError, match=r"must return one number, got an array of shape \(3, 4\)"):
        model.fit(X, Y, verbose=0, callbacks=[Evaluate(lambda model: model.get_weights()[0])])


class Smoothed(keras.layers.Layer):
    """Scales by a number that is a weight, and by one that is none."""

    def __init__(self):
        super().__init__(name="smoothed")
        self.scale = self.add_weight(shape=(), initializer="ones", trainable=False, name="scale")
        self.rate = 0.5

    def call(self, x):
        return x * self.scale


def test_a_schedule_reaches_the_compiled_step():
    layer = Smoothed()
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones"), layer], name="net"
    )
    model.compile(keras.optimizers.SGD(0.0), "mae")
    seen = []
    for target in (layer.scale, (layer, "scale"), "smoothed/scale"):
        history = model.fit(
            np.ones((4, 1)),
            np.zeros((4, 1)),
            epochs=3,
            verbose=0,
            callbacks=[Schedule(target, lambda epoch: 2.0 * epoch)],
        ).history
        seen.append(history["loss"])
    assert seen == [[0.0, 2.0, 4.0]] * 3


def test_a_schedule_of_steps_goes_on_in_the_next_fit():
    model = network()
    asked = []
    schedule = Schedule("optimizer.learning_rate", lambda step: asked.append(step) or 0.01, on="step")
    for _ in range(2):
        model.fit(X, Y, batch_size=16, verbose=0, callbacks=[schedule])
    assert asked == [*range(8)]
    assert float(ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda model: Schedule((Smoothed(), "rate"), lambda e: 1.0),
            "0.5, a plain float, which is compiled into the training step",
        ),
        (
            lambda model: Schedule("nowhere", lambda e: 1.0),
            "the model has no variable 'nowhere'; it has net/first/kernel, net/first/bias",
        ),
        (lambda model: Schedule("optimizer.pace", lambda e: 1.0), "has no 'pace'"),
        (
            lambda model: Schedule(3, lambda e: 1.0),
            "variable must be a keras.Variable, a path or (object, attribute), got 3",
        ),
        (
            lambda model: Schedule("first/kernel", lambda e: 1.0),
            "the value for net/first/kernel must have the shape (3, 4), got ()",
        ),
    ],
)
def test_targets_that_cannot_be_changed(make, message):
    model = network()
    with pytest.raises(ValueError, match=re.escape(message)):
        model.fit(X, Y, verbose=0, callbacks=[make(model)])


def test_a_schedule_for_parts_of_an_optimizer_is_explained():
    model = network("multi")
    with pytest.raises(ValueError, match=re.escape("give (model.optimizer.optimizers[0], 'learning_rate')")):
        model.fit(X, Y, verbose=0, callbacks=[Schedule("optimizer.learning_rate", lambda e: 1.0)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Schedule("x", lambda e: 1.0, on="batch"), "on must be"),
        (lambda: Schedule("x", 0.1), "function must be"),
        (Warmup, "one of epochs and steps must be given"),
        (lambda: Warmup(epochs=1, steps=3), "one of epochs and steps must be given"),
        (lambda: Warmup(steps=0), "above 0"),
        (lambda: Lookahead(period=0), "period must be at least 1"),
        (lambda: Lookahead(rate=1.5), "rate above 0 and at most 1"),
        (lambda: Trace(of="gradients"), "with data"),
        (lambda: Trace(every=0), "every must be"),
        (lambda: Evaluate(3), "function must be"),
        (lambda: Evaluate(len, mode="best"), "mode must be"),
        (lambda: Evaluate(len, path="best.h5"), r"path must end in .keras"),
        (lambda: Evaluate(len, every=0), "every must be"),
    ],
)
def test_arguments_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_warmup_takes_a_share_of_each_step():
    """With SGD the first step of a constant gradient is a quarter of what it would be.

    The variable is afterwards as before.
    """
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(0.1), loss=lambda y, p: p)
    moved = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: moved.append(float(model.get_weights()[0][0, 0]))
    )
    model.fit(np.ones((1, 1)), np.ones((1, 1)), epochs=6, verbose=0, callbacks=[Warmup(steps=4), record])
    np.testing.assert_allclose(-np.diff([0.0, *moved]) / 0.1, [0.25, 0.5, 0.75, 1, 1, 1], rtol=1e-5)
    assert float(ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.1)


@pytest.mark.parametrize("length", [{"steps": 8}, {"epochs": 2}], ids=str)
def test_warmup_of_a_schedule_that_is_compiled_in(length, tmp_path):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    model = network(keras.optimizers.SGD(schedule))
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[Warmup(**length)])
    assert float(ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.1 * 0.5**4 * 5 / 8)
    model.save(tmp_path / "model.keras")
    assert float(
        ops.convert_to_numpy(keras.saving.load_model(tmp_path / "model.keras").optimizer.learning_rate)
    ) == pytest.approx(0.1 * 0.5**4 * 5 / 8)


def test_lookahead_ends_between_start_and_end():
    start = network().get_weights()
    fast, slow = network(), network()
    fast.fit(X, Y, batch_size=64, shuffle=False, verbose=0)
    slow.fit(X, Y, batch_size=64, shuffle=False, verbose=0, callbacks=[Lookahead(period=5, rate=0.25)])
    for a, b, c in zip(start, fast.get_weights(), slow.get_weights(), strict=True):
        np.testing.assert_allclose(c, a + 0.25 * (b - a), rtol=1e-5, atol=1e-7)


def test_trace_records_gradients_that_vanish():
    x, y = np.ones((8, 3), "float32"), np.zeros((8, 1), "float32")
    model = network(keras.optimizers.SGD(0.05))
    trace = Trace({"size": lambda g: float(np.abs(g).max())}, of="gradients", data=(x, y))
    model.fit(x, y, epochs=12, verbose=0, callbacks=[trace])
    values = trace.records["size"]["net/first/kernel"]
    assert trace.steps == [*range(1, 13)]
    assert values[-1] < 0.2 * values[0]
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    assert len(trace.plot().lines) == 4
    plt.close("all")


TIES = {
    "the lower loss": ([0.5, 0.5, 0.5], {"loss": [3.0, 1.0, 2.0]}, 1),
    "the lower loss of the validation": (
        [0.5, 0.5, 0.5],
        {"loss": [3.0, 1.0, 2.0], "val_loss": [1.0, 2.0, 0.5]},
        2,
    ),
    "the first where the losses are equal": ([0.5, 0.5], {"loss": [1.0, 1.0]}, 0),
    "the first where there is no loss": ([0.5, 0.5], {}, 0),
    "a value before a loss": ([0.5, 0.6, 0.6], {"loss": [0.0, 2.0, 1.0]}, 2),
    "a loss that is a number": ([0.5, 0.5], {"loss": [1.0, np.nan]}, 0),
    "a value that is a number": ([np.nan, 0.1, np.nan, np.inf, -np.inf], {"loss": [0.0] * 5}, 1),
    "losses of one kind": ([0.5, 0.5], {"loss": [1.0, 1.0], "val_loss": [0.5]}, 0),
}


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("what", TIES)
def test_of_equal_values_the_one_with_the_lower_loss_is_best(what, mode):
    values, logs, best = TIES[what]
    sign = 1 if mode == "max" else -1
    given = iter(values)
    judge = Evaluate(lambda model: sign * next(given), mode=mode)
    judge.set_model(network())
    judge.on_train_begin()
    for epoch in range(len(values)):
        judge.on_epoch_begin(epoch)
        judge.on_epoch_end(
            epoch, {name: losses[epoch] for name, losses in logs.items() if epoch < len(losses)}
        )
    assert judge.best_epoch == best
    assert judge.best == sign * values[best]
    judge.on_train_end()


def test_a_tie_with_the_best_before_a_break_is_decided_by_its_loss(tmp_path):
    found = []
    for epochs in (range(2), range(2, 3)):
        judge = Evaluate(lambda model: 0.5, path=tmp_path / "best.keras")
        judge.set_model(network())
        judge.on_train_begin()
        for epoch in epochs:
            judge.on_epoch_begin(epoch)
            judge.on_epoch_end(epoch, {"loss": [2.0, 1.0, 1.5][epoch]})
        found.append(judge.best_epoch)
    assert found == [1, 1]


def test_values_that_are_never_finite_are_told():
    with pytest.warns(UserWarning, match="score was never finite: the model keeps its last weights"):
        network().fit(X, Y, verbose=0, callbacks=[Evaluate(lambda model: np.nan)])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Warmup(epochs=float("nan")), "above 0"),
        (lambda: Warmup(steps=float("inf")), "above 0"),
        (lambda: Lookahead(rate=float("nan")), "rate above 0 and at most 1"),
    ],
)
def test_arguments_that_are_not_finite(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_schedule_that_gives_nan_is_refused():
    with pytest.raises(
        ValueError, match=r"the value for .*learning_rate must be a number, got nan for epoch 0"
    ):
        network().fit(
            X, Y, verbose=0, callbacks=[Schedule("optimizer.learning_rate", lambda epoch: float("nan"))]
        )


def test_evaluate_takes_a_value_of_the_logs():
    judge = Evaluate(None, "loss", mode="min", restore_best=False)
    history = network().fit(X, Y, epochs=3, verbose=0, callbacks=[judge]).history
    assert judge.values == pytest.approx(history["loss"])
    assert judge.best == min(judge.values)
    with pytest.raises(ValueError, match=r"name must be that of a log, expected .*loss.*, got 'f1'"):
        network().fit(X, Y, verbose=0, callbacks=[Evaluate(None, "f1")])
