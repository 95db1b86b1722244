"""The CRF layer and the Tagger as Keras users meet them."""

import keras
import numpy as np
import pytest
from keras import ops

from partita import crf
from partita.crf.tags import legal

NUM_TAGS = 4
BMES = legal(["s", "b", "m", "e"], "bmes")


def sentences(num=32, steps=7, seed=0):
    """Ids 1–9 with padding 0, and tags that follow from them: odd ids open a word of two."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 10, (num, steps)).astype("int32")
    lengths = rng.integers(1, steps + 1, num)
    real = np.arange(steps) < lengths[:, None]
    tags = np.where(ids % 3 == 0, 0, 1 + ids % 3).astype("int32")
    return np.where(real, ids, 0), np.where(real, tags, 0), real


def encoder(width=NUM_TAGS):
    return keras.Sequential([keras.layers.Embedding(10, 16), keras.layers.Dense(width)])


def test_learns_saves_and_reloads(tmp_path):
    ids, tags, real = sentences(128)
    tagger = crf.Tagger(encoder(), crf.CRF(NUM_TAGS, learning_rate_factor=2.0))
    tagger.compile(keras.optimizers.Adam(0.05))
    history = tagger.fit(ids, tags, epochs=15, batch_size=32, verbose=0, validation_data=(ids, tags))
    assert history.history["val_accuracy"][-1] > 0.99
    assert history.history["val_loss"][-1] < history.history["val_loss"][0]
    predicted = tagger.predict(ids, verbose=0)
    assert np.all(predicted[~real] == -1)
    assert np.mean(predicted[real] == tags[real]) > 0.99
    tagger.save(tmp_path / "tagger.keras")
    again = keras.saving.load_model(tmp_path / "tagger.keras")
    np.testing.assert_array_equal(again.predict(ids, verbose=0), predicted)
    before, after = (model.evaluate(ids, tags, verbose=0, return_dict=True) for model in (tagger, again))
    assert before == pytest.approx(after, rel=1e-5)


def test_functional_model_ending_in_the_layer_trains_with_its_loss(tmp_path):
    ids, tags, real = sentences(64)
    layer = crf.CRF(NUM_TAGS)
    inputs = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(10, 16, mask_zero=True)(inputs)
    model = keras.Model(inputs, layer(keras.layers.Dense(NUM_TAGS)(embedded)))
    model.compile("adam", loss=layer.loss)
    loss = model.evaluate(ids, tags, verbose=0)
    scores = model.predict(ids, verbose=0)
    assert np.all(np.isneginf(scores[~real]))
    want = -ops.convert_to_numpy(
        layer.log_prob(np.where(real[..., None], scores, 0.0), tags, mask=real)
    ).mean()
    assert loss == pytest.approx(want, rel=1e-4)
    history = model.fit(ids, tags, epochs=3, verbose=0)
    assert history.history["loss"][-1] < loss
    assert ops.convert_to_numpy(layer.decode(model.predict(ids, verbose=0))).shape == tags.shape
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.evaluate(ids, tags, verbose=0) == pytest.approx(
        model.evaluate(ids, tags, verbose=0), rel=1e-5
    )
    again.fit(ids, tags, verbose=0)  # it trains the layer of its own, not the one that was saved
    assert (again.layers[-1].get_weights()[0] != layer.get_weights()[0]).any()


def test_constraints_hold_whatever_the_scores():
    layer = crf.CRF(NUM_TAGS, constraints=BMES)
    rng = np.random.default_rng(0)
    scores = layer(rng.normal(scale=50, size=(20, 9, NUM_TAGS)))
    tags = np.concatenate(
        [ops.convert_to_numpy(layer.decode(scores)), *ops.convert_to_numpy(layer.sample(scores, n=5, seed=0))]
    )
    assert np.isin(tags[:, 0], [0, 1]).all()
    assert np.isin(tags[:, -1], [0, 3]).all()
    assert np.asarray(BMES.transitions)[tags[:, :-1], tags[:, 1:]].all()
    illegal = np.tile([2, 1, 1], (20, 3))
    assert np.isneginf(ops.convert_to_numpy(layer.log_prob(scores, illegal))).all()
    again = crf.CRF.from_config(layer.get_config())
    np.testing.assert_array_equal(ops.convert_to_numpy(again.decode(scores)), tags[:20])


def test_unknown_tags_and_sample_weights():
    ids, tags, real = sentences()
    tagger = crf.Tagger(encoder(), crf.CRF(NUM_TAGS))
    tagger.compile("adam")
    rows = [tagger.evaluate(ids[i : i + 1], tags[i : i + 1], verbose=0)[0] for i in range(4)]
    weight = np.array([1.0, 0.0, 2.0, 0.5])
    weighted = tagger.evaluate(ids[:4], tags[:4], sample_weight=weight, verbose=0)[0]
    assert weighted == pytest.approx(np.mean(weight * rows), rel=1e-5)
    assert tagger.evaluate(ids, np.full_like(tags, -1), verbose=0)[0] == pytest.approx(0.0, abs=1e-4)
    history = tagger.fit(ids, np.where(real & (ids > 4), tags, -1), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_transitions_learn_faster_by_the_factor():
    ids, tags, _ = sentences(64)
    moved = {}
    for optimizer in (keras.optimizers.SGD(0.01), keras.optimizers.Adam(0.01)):
        for factor in (1.0, 5.0):
            keras.utils.set_random_seed(0)
            tagger = crf.Tagger(encoder(), crf.CRF(NUM_TAGS, learning_rate_factor=factor))
            tagger.compile(optimizer.__class__(0.01))
            tagger.fit(ids, tags, batch_size=64, epochs=1, verbose=0)
            moved[factor] = ops.convert_to_numpy(tagger.crf.transitions)
        np.testing.assert_allclose(moved[5.0], 5 * moved[1.0], rtol=1e-3, atol=1e-7)


def test_an_encoder_of_another_width_gets_a_projection(tmp_path):
    ids, tags, _ = sentences()
    tagger = crf.Tagger(encoder(width=6), crf.CRF(NUM_TAGS, constraints=BMES))
    tagger.compile("adam")
    tagger.fit(ids, tags * 0, epochs=1, verbose=0)
    tagger.save(tmp_path / "tagger.keras")
    again = keras.saving.load_model(tmp_path / "tagger.keras")
    np.testing.assert_array_equal(again.predict(ids, verbose=0), tagger.predict(ids, verbose=0))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # PyTorch looks at it as it compiles
@pytest.mark.parametrize(
    "options", [{"jit_compile": True}, {"steps_per_execution": 2}, {"run_eagerly": True}]
)
def test_compile_options(options):
    if keras.backend.backend() == "torch" and "steps_per_execution" in options:
        pytest.skip("Keras on PyTorch runs one step at a time")
    ids, tags, _ = sentences(64)
    tagger = crf.Tagger(encoder(), crf.CRF(NUM_TAGS))
    tagger.compile("adam", **options)
    history = tagger.fit(ids, tags, batch_size=16, epochs=2, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_mixed_precision_keeps_the_recursion_in_float32():
    ids, tags, _ = sentences(64)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        tagger = crf.Tagger(encoder(), crf.CRF(NUM_TAGS))
        tagger.compile("adam")
        history = tagger.fit(ids, tags, epochs=2, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(tagger(ids).dtype) == "float32"
    assert keras.backend.standardize_dtype(tagger.crf.transitions.dtype) == "float32"
    assert history.history["loss"][-1] < history.history["loss"][0]


def fitted(tags, weights=None):
    tagger = crf.Tagger(encoder(), crf.CRF(NUM_TAGS))
    tagger.compile("adam")
    tagger.fit(np.ones((2, 3), "int32"), tags, sample_weight=weights, verbose=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fitted(np.zeros((2, 3, NUM_TAGS))), r"tags must be integers of the shape \(batch, time\)"),
        (lambda: fitted(None), r"tags must be integers of the shape \(batch, time\), got None"),
        (
            lambda: fitted(np.zeros((2, 3), int), np.ones((2, 3))),
            r"sample_weight must weigh sequences, \(batch,\)",
        ),
        (lambda: crf.CRF(0), "num_tags must be at least 1"),
        (lambda: crf.CRF(3, learning_rate_factor=0.0), "learning_rate_factor must be above 0"),
        (lambda: crf.CRF(3, constraints=BMES), r"constraints.transitions must have the shape \(3, 3\)"),
        (lambda: crf.CRF(3)(np.zeros((1, 2, 4))), "expected axis -1 of input shape to have value 3"),
        (lambda: crf.CRF(3).marginals(np.zeros((1, 2, 4))), r"transitions must have the shape \(4, 4\)"),
        (lambda: crf.CRF(3).decode(np.zeros((1, 2, 3)), k=0), "k must be at least 1"),
        (
            lambda: crf.CRF(3).log_prob(np.zeros((1, 2, 3)), np.zeros((1, 2, 3))),
            "tags must be integers of the shape",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
