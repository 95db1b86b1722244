"""A flow as the prior of a VAE, trained along with it, against the standard normal.

Both are measured by the log-likelihood of held-out digits.

    log p(x) ≥ E[log p(x|z) + log p(z) − log q(z|x)],   p(z) = N(0, 1) or a flow

The decoder is linear: eight pictures, added up and squashed. All that bends is the prior, and it gains 1.7
nats: 23.6 instead of 25.3 for a digit (three seeds, 0.05 apart). With a hidden layer of 32 units in the
decoder it gains nothing (one seed): that bends by itself.
"""

from partita import flows, variational

import keras
import numpy as np
from keras import layers
from matplotlib.figure import Figure
from sklearn.datasets import load_digits


LATENT = 8


def net(*sizes, first):
    """Dense layers, the last without activation."""
    return keras.Sequential(
        [keras.Input((first,)), *(layers.Dense(size, "relu") for size in sizes[:-1]), layers.Dense(sizes[-1])]
    )


def trained(prior, x, epochs, seed):
    """A VAE with a linear decoder; a prior that has weights trains with it."""
    keras.utils.set_random_seed(seed)
    likelihood = variational.BernoulliLikelihood(binarize=True)
    vae = variational.VAE(
        net(128, 128, 2 * LATENT, first=64), net(64, first=LATENT), likelihood, prior=prior, seed=seed
    )
    vae.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(x) // 100)))
    )
    vae.fit(x, batch_size=100, epochs=epochs, verbose=0)
    return vae


def run(epochs=150, seeds=3, samples=1000, path="vae_with_a_flow_prior.png"):
    """Mean log p of a held-out digit in nats, by importance samples, for each prior."""
    x = (load_digits().data / 16).astype("float32")
    train, test = x[:1500], x[1500:]
    binary = (np.random.default_rng(0).random(test.shape) < test).astype("float32")
    found, first = {"normal": [], "flow": []}, {}
    for seed in range(seeds):
        for name, values in found.items():
            keras.utils.set_random_seed(seed)
            prior = flows.neural_spline(LATENT, couplings=4, hidden=(32,)) if name == "flow" else None
            vae = trained(prior, train, epochs, seed)
            values.append(float(vae.log_prob(binary, samples=samples, seed=0).mean()))
            first.setdefault(name, vae)
    if path:
        draw(test, first, path)
    return {name: {"log_prob": float(np.mean(values)), "each": values} for name, values in found.items()}


def draw(x, models, path):
    """Held-out digits, and draws from each model."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    shown = {
        "held out": x[:24],
        **{f"prior: {name}": vae.sample(24, seed=0, noise=False) for name, vae in models.items()},
    }
    for axes, (title, digits) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        framed = np.pad(digits.reshape(4, 6, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
        axes.imshow(framed.swapaxes(1, 2).reshape(40, 60), cmap="gray_r", vmin=0, vmax=1)
        axes.set(title=title, xticks=[], yticks=[])
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    for name, found in run().items():
        print(
            f"prior {name:<7} log p of a held-out digit {found['log_prob']:.2f} nats, by seed "
            f"{np.round(found['each'], 2).tolist()}"
        )
