"""A tiny model of each family, compiled, with what it is fitted to."""

import keras
import numpy as np

from partita import contrast, crf, flows, ode, training, variational

ROWS = 64
RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(ROWS, 4)).astype("float32")
IMAGES = RNG.integers(0, 256, (ROWS, 4, 4, 1)).astype("float32") / 255
CLASSES = RNG.integers(0, 3, ROWS)
IDS = RNG.integers(1, 9, (ROWS, 6)) * (np.arange(6) < RNG.integers(2, 7, (ROWS, 1)))  # padded with 0
TAGS = RNG.integers(0, 3, (ROWS, 6))


@keras.saving.register_keras_serializable(package="partita_trust")
def decay(t, y, p):
    return -p["rate"] * y


@keras.saving.register_keras_serializable(package="partita_trust")
def running_mean(x, state):
    state = 0.9 * state + 0.1 * x
    return state, state


def mlp(*sizes, inputs=4):
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            *(keras.layers.Dense(size, "tanh") for size in sizes[:-1]),
            keras.layers.Dense(sizes[-1]),
        ]
    )


def pair(left, right):
    inputs = keras.Input((left,)), keras.Input((right,))
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(inputs)))


def tagger():
    lexicon = crf.Lexicon(["word"], [crf.Vocabulary("abcdefgh")], ["B-X", "I-X", "O"], "bio")
    model = crf.Tagger(keras.layers.Embedding(10, 5), crf.CRF(3), lexicon=lexicon)
    model.compile(keras.optimizers.Adam(0.01))
    return model, IDS, TAGS


def ends_in_a_crf():
    layer = crf.CRF(3)
    inputs = keras.Input((6,), dtype="int32")
    model = keras.Model(inputs, layer(keras.layers.Embedding(10, 3, mask_zero=True)(inputs)))
    model.compile("sgd", loss=layer.loss)
    return model, IDS, TAGS


def flow():
    model = flows.neural_spline(
        4, couplings=2, hidden=(8,), first=flows.Standardize.fit(POINTS), dequantize=None
    )
    model.compile("sgd")
    return model, POINTS, None


def flow_of_images():
    model = flows.glow((4, 4, 1), steps=1, scales=1, width=4)
    model.compile("sgd")
    return model, IMAGES, None


def energy():
    model = contrast.EnergyModel(mlp(8, 1), contrast.Normal.fit(POINTS), num_noise=3)
    model.compile("sgd")
    return model, POINTS, None


def sampled_softmax():
    output = contrast.SampledSoftmax(10, 4, contrast.Unigram(np.arange(1, 11)))
    model = keras.Sequential([keras.Input((6,), dtype="int32"), keras.layers.Embedding(10, 5), output])
    model.compile("sgd", loss=output.loss)
    return model, IDS, np.roll(IDS, -1, axis=1)


def vae():
    model = variational.VAE(mlp(8, 4), mlp(8, 4, inputs=2), seed=0)
    model.compile("sgd")
    return model, POINTS, None


def gan():
    model = variational.GAN(mlp(8, 4, inputs=2), mlp(8, 1), inertia=1.0, generator_steps=2, seed=0)
    model.compile()
    return model, POINTS, None


def aae():
    model = variational.AAE(mlp(8, 2), mlp(8, 4, inputs=2), mlp(8, 1, inputs=2), seed=0)
    model.compile()
    return model, POINTS, None


def ali():
    model = variational.ALI(mlp(8, 2), mlp(8, 4, inputs=2), pair(4, 2), seed=0)
    model.compile()
    return model, POINTS, None


def solver():
    model = keras.Sequential([keras.Input((4,)), ode.Solve(decay, [0.0, 0.5, 1.0], parameters={"rate": 2.0})])
    model.compile("sgd", "mse")
    return model, POINTS, np.stack([POINTS, POINTS / 2, POINTS / 4], axis=1)


def recurrent():
    model = keras.Sequential([keras.Input((5, 4)), ode.recurrent(running_mean, (4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model, np.repeat(POINTS[:, None], 5, axis=1), POINTS[:, :1]


def _classifier(layer):
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(3, "softmax")(layer(keras.layers.Dense(2)(inputs)))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", layer.loss("sparse_categorical_crossentropy"))
    return model, POINTS, CLASSES


def centers():
    return _classifier(training.CenterLoss(3))


def mixed_features():
    return _classifier(training.MixHidden(seed=0))


def mixed_samples():
    model = mlp(8, 3)
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    return model, training.Mixup((POINTS, CLASSES), num_classes=3, batch_size=32, seed=0), None


FAMILIES = [
    tagger,
    ends_in_a_crf,
    flow,
    flow_of_images,
    energy,
    sampled_softmax,
    vae,
    gan,
    aae,
    ali,
    solver,
    recurrent,
    centers,
    mixed_features,
    mixed_samples,
]
