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
    model = classifier(
        center,
        center.loss(
            "categorical_crossentropy" if targets.shape == (32, 3) else "sparse_categorical_crossentropy"
        ),
    )
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
    each = ops.convert_to_numpy(
        mix.carry(lambda y, p: ops.mean(ops.square(y - p), axis=-1), targets, predictions)
    )
    np.testing.assert_allclose(
        each, [share * 25 + (1 - share) * 49, share * 49 + (1 - share) * 25], rtol=1e-5
    )


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


def each(loss, targets, predictions):
    """The loss of a batch as a number."""
    return float(
        ops.convert_to_numpy(loss(ops.convert_to_tensor(targets), ops.convert_to_tensor(predictions)))
    )


PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.2, 0.5, 0.3]], "float32")
FEATURES = RNG.normal(size=(4, 2)).astype("float32")
CENTERS = RNG.normal(size=(3, 2)).astype("float32")


def centered():
    center = CenterLoss(3, weight=0.5)
    center(ops.convert_to_tensor(FEATURES))
    center.centers.assign(CENTERS)
    return center


@pytest.mark.parametrize("bad", [3, 7, np.nan, 0.5])
def test_a_label_that_is_no_class_is_refused_or_makes_the_loss_nan_and_leaves_the_weights_alone(bad):
    targets = np.array([0, 2, bad, 1], "float32")
    with pytest.raises(
        ValueError, match=f"labels must be ids: expected integers from 0 to 2, .* got {float(bad)} at index"
    ):
        centered().carry(lambda y, p: ops.mean(p, axis=-1), targets, ops.convert_to_tensor(PROBABILITIES))
    center = CenterLoss(3)
    model = classifier(center, center.loss(lambda y, p: -ops.log(p[:, 0])))
    given = np.where(np.arange(32) == 5, bad, Y)
    if keras.backend.backend() == "torch":  # where every step knows its numbers
        with pytest.raises(ValueError, match="labels must be ids"):
            model.fit(X, given, verbose=0)
    else:
        assert np.isnan(model.fit(X, given, verbose=0).history["loss"][0])
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("unknown", [-1, 2, 255])
@pytest.mark.parametrize("shape", ["ids", "column"])
def test_a_label_that_the_inner_loss_ignores_has_no_distance_and_no_share_in_the_mean(unknown, shape):
    ids = np.array([0, unknown, 1, unknown])
    targets = ids[:, None] if shape == "column" else ids
    loss = centered().loss(keras.losses.SparseCategoricalCrossentropy(ignore_class=unknown))
    wanted = [
        -np.log(PROBABILITIES[row, ids[row]]) + 0.25 * ((FEATURES[row] - CENTERS[ids[row]]) ** 2).sum()
        for row in (0, 2)
    ]
    assert each(loss, targets, PROBABILITIES) == pytest.approx(np.mean(wanted), rel=1e-5)
    assert each(loss, np.full(4, unknown), PROBABILITIES) == 0


def test_targets_that_are_mixtures_take_the_mean_distance():
    targets = np.array([[0.25, 0.75, 0], [0, 0, 1], [0.2, 0.3, 0.5], [0, 0, 0]], "float32")
    distances = ((FEATURES[:, None] - CENTERS) ** 2).sum(axis=-1)
    wanted = (0.25 * targets * distances).sum(axis=1)[:3].mean()  # the class of the last is not known
    assert each(centered().loss(lambda y, p: 0.0 * p[:, 0]), targets, PROBABILITIES) == pytest.approx(
        wanted, rel=1e-5
    )
    targets[2, 1] = np.nan
    assert np.isnan(each(centered().loss(lambda y, p: 0.0 * p[:, 0]), targets, PROBABILITIES))


def test_features_that_are_nan_make_both_losses_nan():
    center = centered()
    center(ops.convert_to_tensor(np.where(np.arange(4)[:, None] == 1, np.nan, FEATURES).astype("float32")))
    assert np.isnan(each(center.loss("mse"), np.zeros((4, 1)), np.zeros((4, 1), "float32")))
    mix = MixHidden(seed=0)
    mix(ops.convert_to_tensor(FEATURES), training=True)
    assert np.isnan(
        each(mix.loss("mse"), np.array([[0.0], [np.nan], [0.0], [0.0]]), np.zeros((4, 1), "float32"))
    )


MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], bool)
STEPS = RNG.normal(size=(3, 4, 2)).astype("float32")


def mixed_steps(features=STEPS, mask=MASK):
    """Return a layer of three sequences, the shares of the mixture, and each one's partner.

    Shares and partners are checked by what the layer does to known numbers.
    """
    mix = MixHidden(seed=1)
    given = np.broadcast_to(10.0 ** np.arange(3)[:, None, None], (3, 4, 2)).astype("float32")
    seen = ops.convert_to_numpy(
        mix(ops.convert_to_tensor(given), training=True, mask=ops.convert_to_tensor(mask))
    )[:, 0, 0]
    share, partner = (ops.convert_to_numpy(part) for part in mix._pairs)
    np.testing.assert_allclose(seen, share * given[:, 0, 0] + (1 - share) * given[partner, 0, 0], rtol=1e-5)
    return mix, share, partner


def test_the_first_goes_on_alone_where_the_second_has_ended():
    mix, share, partner = mixed_steps()
    mix._generator.state.assign(MixHidden(seed=1)._generator.state)
    mixed = ops.convert_to_numpy(
        mix(ops.convert_to_tensor(STEPS), training=True, mask=ops.convert_to_tensor(MASK))
    )
    for a, b in enumerate(partner):
        both = share[a] * STEPS[a] + (1 - share[a]) * STEPS[b]
        np.testing.assert_allclose(mixed[a], np.where(MASK[b][:, None], both, STEPS[a]), rtol=1e-5)


@pytest.mark.parametrize("ignored", [None, -1])
def test_padding_of_the_second_is_no_target(ignored):
    """Cross-entropies by hand: of each real step of the first, with the second's label where it has one."""
    mix, share, partner = mixed_steps()
    labels = np.where(MASK, RNG.integers(0, 3, (3, 4)), 0)
    if ignored is not None:
        labels[0, 1] = labels[2, 0] = ignored
    probabilities = RNG.dirichlet(np.ones(3), (3, 4)).astype("float32")
    total, count = 0.0, 0.0
    for a, b in enumerate(partner):
        for step in np.flatnonzero(MASK[a]):
            for weight, label in (
                (share[a], labels[a, step]),
                (1 - share[a], labels[b if MASK[b, step] else a, step]),
            ):
                if label != ignored:
                    total += weight * -np.log(probabilities[a, step, label])
                    count += weight
    loss = mix.loss(keras.losses.SparseCategoricalCrossentropy(ignore_class=ignored))
    losses = loss.call(ops.convert_to_tensor(labels.astype("float32")), ops.convert_to_tensor(probabilities))
    found = (ops.convert_to_numpy(losses) * MASK).sum() / MASK.sum()  # what Keras makes of a mask
    assert found == pytest.approx(total / count, rel=1e-5)


def test_one_label_a_sequence_is_mixed_whatever_the_mask():
    mix, share, partner = mixed_steps()
    targets, predictions = (
        np.eye(4)[[0, 1, 2]].astype("float32"),
        RNG.dirichlet(np.ones(4), 3).astype("float32"),
    )  # 4 classes, 4 steps
    found = ops.convert_to_numpy(
        mix.carry(keras.losses.categorical_crossentropy, targets, ops.convert_to_tensor(predictions))
    )
    both = -share * np.log(predictions[range(3), range(3)]) - (1 - share) * np.log(
        predictions[range(3), partner]
    )
    np.testing.assert_allclose(found, both, rtol=1e-5)


def test_masks_go_through_in_a_model():
    inputs = keras.Input((4,), dtype="int32")
    mix = MixHidden(seed=0)
    hidden = mix(keras.layers.Embedding(9, 6, mask_zero=True)(inputs))
    left, right = SplitFeatures([2, -1])(hidden)
    outputs = keras.layers.Dense(3, "softmax")(keras.layers.Concatenate()([left, right]))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", mix.loss(keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)))
    words = np.where(MASK, RNG.integers(1, 9, (3, 4)), 0)
    labels = np.where(MASK, RNG.integers(0, 3, (3, 4)), 0)
    labels[0, 0] = -1
    assert np.isfinite(model.fit(words, labels, verbose=0).history["loss"]).all()
    probabilities = model.predict(words, verbose=0)
    real = MASK & (labels >= 0)
    wanted = -np.log(probabilities[real, labels[real]]).mean()
    assert model.evaluate(words, labels, verbose=0) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_batch_of_one_is_mixed_with_itself(rows):
    mixed = ops.convert_to_numpy(MixHidden(seed=0)(ops.convert_to_tensor(FEATURES[:rows]), training=True))
    assert mixed.shape == (rows, 2)
    if rows == 1:
        np.testing.assert_allclose(mixed, FEATURES[:1], rtol=1e-6)
