"""Recipes for tables and images with nets of one's own, and what a trained flow shows."""

import keras
import numpy as np
import pytest
from keras import ops

from partita import flows


def net(outputs):
    return keras.Sequential(
        [keras.layers.Dense(6, activation="gelu"), keras.layers.Dropout(0.1), keras.layers.Dense(outputs)]
    )


def image_net(outputs):
    return keras.layers.Conv2D(
        outputs, 3, padding="same", kernel_initializer=keras.initializers.RandomNormal(stddev=0.05)
    )


RECIPES = [
    pytest.param(lambda: flows.nice(6, net=net), (6,), id="nice"),
    pytest.param(
        lambda: flows.nice((4, 4, 1), net=net, base=flows.Logistic(), dequantize=256),
        (4, 4, 1),
        id="nice-image",
    ),
    pytest.param(lambda: flows.real_nvp(5, couplings=3, net=net), (5,), id="real-nvp"),
    pytest.param(
        lambda: flows.real_nvp((4, 4, 3), 2, scales=1, net=image_net, dequantize=256),
        (4, 4, 3),
        id="real-nvp-image",
    ),
    pytest.param(
        lambda: flows.real_nvp((3, 3, 1), 1, scales=0, net=image_net), (3, 3, 1), id="real-nvp-odd-image"
    ),
    pytest.param(lambda: flows.glow((4, 4, 1), steps=1, net=image_net), (4, 4, 1), id="glow"),
    pytest.param(lambda: flows.neural_spline(3, couplings=2, net=net, bins=4), (3,), id="neural-spline"),
]


@pytest.mark.parametrize(("make", "shape"), RECIPES)
def test_trains_draws_and_reloads(make, shape, tmp_path):
    flow = make()
    x = np.random.default_rng(0).uniform(size=(32, *shape)).astype("float32")
    flow.compile("adam")
    assert np.isfinite(flow.fit(x, batch_size=16, verbose=0).history["loss"]).all()
    drawn = flow.sample(4, temperature=0.5, seed=0)
    assert drawn.shape == (4, *shape)
    np.testing.assert_allclose(flow.decode(flow.encode(x)), x, atol=1e-3)
    flow.save(tmp_path / "flow.keras")
    reloaded = keras.saving.load_model(tmp_path / "flow.keras")
    np.testing.assert_array_equal(reloaded.sample(4, temperature=0.5, seed=0), drawn)


def test_interpolation_ends_at_its_inputs():
    flow = flows.neural_spline(3, couplings=1, hidden=(8,), bins=4, context=2)
    path = flows.interpolate(flow, [0.0, 1.0, 2.0], [3.0, 1.0, -2.0], steps=5, context=[0.0, 1.0])
    np.testing.assert_allclose(path[[0, -1]], [[0, 1, 2], [3, 1, -2]], atol=1e-4)
    assert path.shape == (5, 3)


def test_importance_is_sorted():
    flow = flows.nice(4, hidden=(4,))
    scaling = flow.bijection.bijections[-1]
    scaling.weights[0].assign(np.array([0.2, -0.1, 0.0, 0.3]))
    found = flows.importance(flow)
    assert found.dimensions.tolist() == [1, 2, 0, 3]
    np.testing.assert_allclose(found.deviations, np.exp([1.0, 0.0, -2.0, -3.0]), rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(scaling.log_scale), [2.0, -1.0, 0.0, 3.0], rtol=1e-5)


def test_sheets_of_images(tmp_path):
    sheet = flows.image_grid(
        np.linspace(0, 1, 5)[:, None] * np.ones(4), columns=2, path=tmp_path / "sheet.png"
    )
    assert sheet.shape == (6, 4)
    assert sheet[0, 2] == 64
    from matplotlib.image import imread

    np.testing.assert_allclose(255 * imread(tmp_path / "sheet.png")[..., 0], sheet, atol=0.5)
    assert flows.image_grid(np.ones((2, 3, 4, 3))).shape == (3, 8, 3)
