import keras
import numpy as np
import pytest

from partita import variational
from tests.variational.players import ali, data, mlp, pair


def test_the_forms_differ_for_the_encoder_alone():
    """The form "article" drives E up the discriminator's slope, "swap" down.

    The discriminator looks at z alone, and does not learn; G does not matter.
    """
    means = {}
    for form in ("article", "swap"):
        inputs = keras.Input((4,)), keras.Input((2,))
        x_part = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs[0])
        z_part = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(inputs[1])
        keras.utils.set_random_seed(0)
        model = variational.ALI(
            mlp(2, first=4),
            mlp(4, first=2),
            keras.Model(inputs, keras.layers.Add()([x_part, z_part])),
            form=form,
            seed=0,
        )
        model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.0))
        x = data(4)
        start = model.encode(x).mean()
        model.fit(x, epochs=3, batch_size=32, verbose=0)
        means[form] = model.encode(x).mean() - start
    assert means["article"] > 0.05
    assert means["swap"] < -0.05


def test_stochastic_nets_inertia_and_a_penalty():
    model = variational.ALI(
        mlp(8, 4, first=4), mlp(8, 8, first=2), pair(4, 2), inertia=0.5, penalty=0.5, seed=0
    )
    x = data(4)
    model.compile()
    assert np.isfinite([*model.fit(x, verbose=0).history.values()]).all()
    assert model.encode(x).shape == (64, 2)
    assert model.reconstruct(x).shape == (64, 4)
    np.testing.assert_array_equal(model.sample(5, seed=1), model.sample(5, seed=1))
    z = data(2, 5)
    assert not np.array_equal(model.decode(z, seed=1), model.decode(z))
    np.testing.assert_array_equal(model.encode(x, seed=3), model.encode(x, seed=3))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ali(form="both"), "form must be one of article, swap, got 'both'"),
        (lambda: ali(inertia=1.0, generator_steps=1), "generator_steps must be at least 2 with inertia"),
        (
            lambda: variational.ALI(mlp(2, first=4), mlp(4, first=2), pair(4, 3)),
            r"discriminator must take \(batch, 4\) and \(batch, 2\)",
        ),
        (
            lambda: variational.ALI(mlp(2, first=4), mlp(5, first=2), pair(4, 2)),
            r"generator must end in \(None, 4\), or \(None, 8\)",
        ),
        (lambda: variational.ALI(pair(4, 2), mlp(4, first=2), pair(4, 2)), "must take one input each"),
    ],
)
def test_what_does_not_fit_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
