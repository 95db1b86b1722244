"""Private names of Keras and its backends are still there, and mean what they did."""

import keras
import numpy as np
import pytest

from partita.backend import double_precision, keras_internals


def test_a_mask_goes_along_with_a_tensor():
    tensor, mask = keras.ops.ones((2,)), keras.ops.convert_to_tensor([True, False])
    assert keras_internals.get_mask(tensor) is None
    keras_internals.set_mask(tensor, mask)
    assert keras_internals.get_mask(tensor) is mask
    embedded = keras.layers.Embedding(3, 2, mask_zero=True)(np.array([[1, 0]]))
    assert keras.ops.convert_to_numpy(keras_internals.get_mask(embedded)).tolist() == [[True, False]]


def test_the_table_of_promotion_decides():
    before = keras_internals.promotion()["float64"]
    assert before == ("float64" if keras.backend.backend() == "tensorflow" else "float32")
    with double_precision():
        assert keras.backend.standardize_dtype(keras.ops.cos(np.ones(2)).dtype) == "float64"
    assert keras_internals.promotion()["float64"] == before


def test_a_learning_rate_is_what_was_given():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    assert keras_internals.learning_rate_of(keras.optimizers.SGD(schedule)) is schedule
    assert isinstance(keras_internals.learning_rate_of(keras.optimizers.SGD(0.1)), keras.Variable)


def test_a_tensor_in_a_transform_is_none():
    torch = pytest.importorskip("torch")
    seen = []
    torch.func.jvp(
        lambda x: seen.append(keras_internals.is_transformed(x)) or x, (torch.ones(2),), (torch.ones(2),)
    )
    assert seen == [True]
    assert not keras_internals.is_transformed(torch.ones(2))


def test_a_look_at_the_data_is_no_epoch():
    class Told(keras.utils.PyDataset):
        over = ()

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return np.ones((2, 1), "float32"), np.ones((2, 1), "float32")

        def on_epoch_end(self):
            self.over = (*self.over, keras_internals.epoch_is_over())

    model, batches = keras.Sequential([keras.layers.Dense(1)]), Told()
    model.compile("sgd", "mse")
    model.fit(batches, epochs=2, verbose=0)
    model.fit(batches, epochs=3, steps_per_epoch=1, verbose=0)
    assert batches.over.count(True) == 5, batches.over
    assert batches.over.count(False) <= 2  # one look a call, if at all
