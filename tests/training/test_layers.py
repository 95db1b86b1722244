"""Layers that split, draw together and mix."""

import keras
import numpy as np
import pytest
from keras import ops

from partita.training import CenterLoss, MixHidden, SplitFeatures

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(32, 4)).astype("float32"), RNG.integers(0, 3, 32)


def classifier(layer, loss, last="softmax"):
    inputs = keras.Input((4,))
    features = layer(keras.layers.Dense(2, name="features")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, last)(features))
    model.compile("adam", loss)
    return model


def test_split_in_a_functional_model():
    inputs = keras.Input((5, 7))
    model = keras.Model(inputs, SplitFeatures([2, -1])(inputs))
    left, right = model.predict(np.ones((3, 5, 7)), verbose=0)
    assert left.shape == (3, 5, 2)
    assert right.shape == (3, 5, 5)
    with pytest.raises(ValueError, match=r"sizes \[2, 3\] do not add up to the 7 features"):
        SplitFeatures([2, 3])(ops.ones((1, 7)))
    with pytest.raises(ValueError, match="sizes must be positive numbers"):
        SplitFeatures([-1, -1])


@pytest.mark.parametrize("targets", [Y, Y[:, None], np.eye(3)[Y]], ids=["ids", "column", "one-hot"])
def test_centres_follow_their_classes_under_fit(targets):
    center = CenterLoss(3, weight=1.0)
    model = classifier(center, center.loss("categorical_crossentropy" if targets.shape == (32, 3) else "sparse_categorical_crossentropy"))
    before = np.array(ops.convert_to_numpy(center.centers))
    model.fit(X, targets, epochs=2, batch_size=8, verbose=0)
    assert (ops.convert_to_numpy(center.centers) != before).all()


def test_center_loss_is_what_it_says():
    center = CenterLoss(3, weight=0.5)
    model = classifier(center, center.loss("sparse_categorical_crossentropy"))
    center.centers.assign(RNG.normal(size=(3, 2)))
    features = keras.Model(model.inputs, model.get_layer("features").output).predict(X, verbose=0)
    probabilities = model.predict(X, verbose=0)
    centers = ops.convert_to_numpy(center.centers)
    wanted = -np.log(probabilities[np.arange(32), Y]) + 0.25 * ((features - centers[Y]) ** 2).sum(axis=1)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(wanted.mean(), rel=1e-5)


@pytest.mark.parametrize("make", [lambda: CenterLoss(3), lambda: MixHidden(seed=1)], ids=["center", "mix"])
def test_a_saved_model_goes_on_training(make, tmp_path):
    layer = make()
    model = classifier(layer, layer.loss(keras.losses.SparseCategoricalCrossentropy()))
    model.fit(X, Y, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    assert again.evaluate(X, Y, verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-6)
    again.fit(X, Y, epochs=1, verbose=0)
    found = again.get_layer(layer.name)
    assert again.loss._owner.layer is found
    assert layer.loss("mse")._owner.layer is layer  # though another of that name was made since


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(precision):
    layers = [CenterLoss(3, dtype=precision), MixHidden(dtype=precision)]
    for layer in layers:
        model = classifier(layer, layer.loss("sparse_categorical_crossentropy"))
        assert np.isfinite(model.fit(X, Y, epochs=1, verbose=0).history["loss"]).all()


def test_mixing_hidden_features_mixes_the_losses():
    """With one share and the features as predictions, the loss of both targets is known."""
    mix = MixHidden(per="batch", seed=3)
    h = ops.convert_to_tensor(np.array([[0.0], [1.0]], "float32"))
    mixed = ops.convert_to_numpy(mix(h, training=True))
    share = 1 - mixed[0, 0]
    assert mixed[1, 0] == pytest.approx(share)
    targets, predictions = ops.convert_to_tensor([[5.0], [7.0]]), ops.zeros((2, 1))
    each = ops.convert_to_numpy(mix.carry(lambda y, p: ops.mean(ops.square(y - p), axis=-1), targets, predictions))
    np.testing.assert_allclose(each, [share * 25 + (1 - share) * 49, share * 49 + (1 - share) * 25], rtol=1e-5)


def test_mixing_stops_in_use():
    mix = MixHidden(seed=0)
    model = classifier(mix, mix.loss("sparse_categorical_crossentropy"))
    plain = model.evaluate(X, Y, verbose=0)
    for _ in range(2):
        model.fit(X, Y, epochs=1, verbose=0, batch_size=8)
        model.predict(X, verbose=0)
    assert model.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert np.isfinite(plain)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CenterLoss(0), "num_classes and weight must be above 0"),
        (lambda: CenterLoss(3)(ops.ones((2, 3, 4))), "features must be"),
        (lambda: MixHidden(alpha=0), "alpha must be above 0"),
        (lambda: MixHidden(per="x"), "per must be"),
        (lambda: CenterLoss(3).loss(None), "the inner loss must be a Keras loss"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_targets_that_are_no_classes():
    center = CenterLoss(3)
    center(ops.ones((4, 2)))
    with pytest.raises(ValueError, match="targets must be class ids"):
        center.loss("mse")(np.ones((4, 2)), np.ones((4, 2)))
