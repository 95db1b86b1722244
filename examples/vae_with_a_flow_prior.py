"""A flow as the prior of a VAE, trained along with it, against the standard normal: log-likelihood of held-out digits.

    log p(x) ≥ E[log p(x|z) + log p(z) − log q(z|x)],   p(z) = N(0, 1) or a flow

It gains 0.06 nats of 23.5 with two latent numbers (three seeds): the encoder bends to the normal as well as it can.
"""

from partita import flows, variational

import keras
import numpy as np
from keras import layers
from matplotlib.figure import Figure
from sklearn.datasets import load_digits


LATENT = 2


def net(*sizes, first):
    """Dense layers, the last without activation."""
    return keras.Sequential([keras.Input((first,)), *(layers.Dense(size, "relu") for size in sizes[:-1]), layers.Dense(sizes[-1])])


def trained(prior, x, epochs, seed):
    """A VAE of two latent numbers; a prior that has weights trains with it."""
    keras.utils.set_random_seed(seed)
    likelihood = variational.BernoulliLikelihood(binarize=True)
    vae = variational.VAE(net(128, 128, 2 * LATENT, first=64), net(128, 128, 64, first=LATENT), likelihood, prior=prior, seed=seed)
    vae.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(x) // 100))))
    vae.fit(x, batch_size=100, epochs=epochs, verbose=0)
    return vae


def run(epochs=150, seeds=3, samples=1000, path="vae_with_a_flow_prior.png"):
    """Mean log p of a held-out digit in nats, by importance samples, for each prior."""
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels / 16).astype("float32")
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
        draw(first, test, labels[1500:], path)
    return {name: {"log_prob": float(np.mean(values)), "each": values} for name, values in found.items()}


def draw(models, x, labels, path):
    """Where held-out digits lie, over draws of the prior."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    for axes, (name, vae) in zip(figure.subplots(1, 2), models.items(), strict=True):
        z = vae.prior.sample(2000, seed=0) if vae.prior else np.random.default_rng(0).normal(size=(2000, LATENT))
        axes.plot(*np.asarray(z).T, ".", color="#c9ccd0", markersize=3)
        axes.scatter(*vae.encode(x).T, c=labels, cmap="tab10", s=10)
        axes.set(title=f"prior: {name} (grey)", xlim=(-4.5, 4.5), ylim=(-4.5, 4.5))
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    for name, found in run().items():
        print(f"prior {name:<7} log p of a held-out digit {found['log_prob']:.2f} nats, by seed {np.round(found['each'], 2).tolist()}")
