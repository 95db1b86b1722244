import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from partita.contrast import LogUniform, SampledSoftmax, Unigram

COUNTS = np.array([40, 30, 5, 12, 9, 3, 1])


def layer(loss="sampled_softmax", num_sampled=3, learning_rate=None, seed=0):
    output = SampledSoftmax(7, num_sampled, Unigram(COUNTS), loss, learning_rate)
    output.build((None, 4))
    rng = np.random.default_rng(seed)
    output.table.assign(rng.normal(size=(7, 4)))
    output.bias.assign(rng.normal(size=7))
    return output, rng.normal(size=(5, 4)).astype("float32"), np.array([0, 3, 6, 1, 0])


def test_predicting_it_is_the_full_softmax():
    output, h, labels = layer()
    table, bias = (ops.convert_to_numpy(weight) for weight in (output.table, output.bias))
    scores = h @ table.T + bias
    expected = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(ops.convert_to_numpy(output(h)), expected, rtol=1e-4, atol=1e-5)
    loss = ops.convert_to_numpy(output.loss(labels, output(h)))
    np.testing.assert_allclose(loss, -expected[np.arange(5), labels], rtol=1e-4)
    assert output(h, training=True) is h or np.array_equal(ops.convert_to_numpy(output(h, training=True)), h)


@pytest.mark.parametrize("loss", ["sampled_softmax", "nce", "negative_sampling"])
def test_training_it_is_the_formula_on_the_words_drawn(loss, monkeypatch):
    output, h, labels = layer(loss)
    drawn = np.array([0, 5, 5])
    monkeypatch.setattr(output, "sample", lambda n: ops.convert_to_tensor(drawn, "int32"))
    table, bias = (ops.convert_to_numpy(weight) for weight in (output.table, output.bias))
    log_q = Unigram(COUNTS).log_prob(np.arange(7))
    scores = h @ table.T + bias
    corrected = scores - log_q - np.log(3)
    right = (corrected if loss == "nce" else scores)[np.arange(5), labels]
    wrong = (scores if loss == "negative_sampling" else corrected)[:, drawn]
    if loss == "sampled_softmax":
        wrong = np.where(drawn == labels[:, None], -np.inf, wrong)
        expected = np.log(np.exp(right) + np.exp(wrong).sum(axis=1)) - right
    else:
        expected = np.log1p(np.exp(-right)) + np.log1p(np.exp(wrong)).sum(axis=1)
    np.testing.assert_allclose(ops.convert_to_numpy(output.loss(labels, h)), expected, rtol=1e-4)


def test_words_are_drawn_from_the_noise():
    output, _, _ = layer()
    drawn = np.concatenate([ops.convert_to_numpy(output.sample(4000)) for _ in range(5)])
    expected = np.exp(Unigram(COUNTS).log_prob(np.arange(7))) * 20_000
    assert (
        stats.chisquare(np.bincount(drawn, minlength=7), expected).pvalue > 1e-4
    )  # false alarms: 1 in 10,000


def test_with_many_words_drawn_it_is_the_full_softmax():
    output, h, labels = layer(num_sampled=20_000)
    sampled = ops.convert_to_numpy(output.loss(labels, h))
    full = ops.convert_to_numpy(output.loss(labels, output(h)))
    np.testing.assert_allclose(sampled, full, rtol=0.05)


@pytest.mark.parametrize("rate", [None, 0.3])
@pytest.mark.parametrize("loss", ["sampled_softmax", "nce", "negative_sampling"])
def test_it_learns_a_distribution(loss, rate):
    rng = np.random.default_rng(0)
    p = np.array([[0.7, 0.1, 0.1, 0.05, 0.05], [0.05, 0.05, 0.1, 0.1, 0.7]])
    x = rng.integers(0, 2, 2000)
    y = np.array([rng.choice(5, p=p[i]) for i in x])
    output = SampledSoftmax(5, 8, Unigram(np.bincount(y), 1.0), loss, rate)
    model = keras.Sequential([keras.layers.Embedding(2, 4), output])
    model.compile(keras.optimizers.Adam(0.05), loss=output.loss)
    model.fit(x, y, batch_size=100, epochs=8, verbose=0)
    entropy = -(p * np.log(p)).sum(axis=1).mean()
    assert model.evaluate(x, y, verbose=0) < entropy + 0.12


def test_sequences_padding_and_saving(tmp_path):
    output = SampledSoftmax(50, 5)
    model = keras.Sequential([keras.layers.Embedding(50, 6), output])
    model.compile("adam", loss=output.loss)
    x = np.arange(24).reshape(4, 6)
    y = np.where(x % 5 == 0, -1, x + 1)
    model.fit(x, y, verbose=0)
    h = np.ones((4, 6, 6), "float32")
    assert (ops.convert_to_numpy(output.loss(y, h))[y < 0] == 0).all()
    assert (ops.convert_to_numpy(output.loss(y, output(h)))[y < 0] == 0).all()
    np.testing.assert_array_equal(
        *(ops.convert_to_numpy(output.loss(ids, output(h))) for ids in (y, y[..., None]))
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    again.fit(x, y, verbose=0)
    assert (again.layers[-1].get_weights()[0] != output.get_weights()[0]).any()


def test_a_model_that_is_built_beforehand_trains():
    output = SampledSoftmax(7, 3, Unigram(COUNTS))
    model = keras.Sequential([keras.Input((5,), dtype="int32"), keras.layers.Embedding(7, 4), output])
    model.compile("sgd", loss=output.loss)
    x = np.arange(20).reshape(4, 5) % 7
    assert np.isfinite(model.fit(x, x, verbose=0).history["loss"]).all()


def test_only_rows_that_are_touched_change():
    output, h, labels = layer(learning_rate=0.1)
    before = ops.convert_to_numpy(output.table).copy()
    output.loss(labels, h)
    changed = np.abs(ops.convert_to_numpy(output.table) - before).max(axis=1) > 0
    assert changed[labels].all()
    assert not output.trainable_variables


@pytest.mark.parametrize("loss", ["sampled_softmax", "nce", "negative_sampling"])
def test_a_step_of_its_own_goes_down_the_gradient(loss, monkeypatch):
    output, h, labels = layer(loss, learning_rate=1e-3)
    monkeypatch.setattr(output, "sample", lambda n: ops.convert_to_tensor(np.array([2, 4, 5]), "int32"))
    losses = [float(ops.sum(output.loss(labels, h))) for _ in range(20)]
    assert (np.diff(losses) < 0).all()


@pytest.mark.parametrize("rate", [None, 0.3])
def test_inputs_as_wide_as_the_vocabulary_are_no_scores(rate):
    output = SampledSoftmax(6, 2000, learning_rate=rate)
    model = keras.Sequential([keras.Input((5,), dtype="int32"), keras.layers.Embedding(6, 6), output])
    model.compile(keras.optimizers.Adam(0.05), loss=output.loss)
    x = np.arange(60).reshape(12, 5) % 6
    losses = model.fit(x, x, epochs=30, verbose=0).history["loss"]
    assert losses[0] > 1 > losses[-1]
    h = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    full, sampled = (  # the loss in training changes the table
        ops.convert_to_numpy(output.loss(np.arange(4), output(h, training=training)))
        for training in (False, True)
    )
    np.testing.assert_allclose(sampled, full, rtol=0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SampledSoftmax(1), "size must be at least 2"),
        (lambda: SampledSoftmax(5, loss="softmax"), "loss must be one of"),
        (lambda: SampledSoftmax(5, learning_rate=0), "learning_rate must be above 0"),
        (lambda: SampledSoftmax(2, noise=Unigram([1, 0])), "noise must be able to draw all 2 words"),
        (lambda: SampledSoftmax(9, noise=LogUniform(8)), "noise must be able to draw all 9 words"),
        (lambda: layer()[0].loss([0, 1], np.zeros((2, 5))), "expected the layer's output"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
