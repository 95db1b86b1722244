"""A mixture of ten as the prior of an adversarial auto-encoder, against the standard normal.

The question is how much the latent says of the class.

    E_x[−log D(E(x)) + λ ‖x − G(E(x))‖²],   D tells latents from draws of any prior that can be sampled

Clusters of the latents agree with the digits by 0.58 with the mixture, by 0.32 with the normal (three seeds).
"""

from partita import variational

import keras
import numpy as np
from keras import layers
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_mutual_info_score


LATENT, COMPONENTS = 8, 10


def net(*sizes, first):
    """Dense layers, the last without activation."""
    return keras.Sequential(
        [keras.Input((first,)), *(layers.Dense(size, "relu") for size in sizes[:-1]), layers.Dense(sizes[-1])]
    )


def mixture(seed):
    """Ten narrow Gaussians, far from one another, with variance 1 in all."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(COMPONENTS, LATENT))
    centers = 0.95 * centers / np.linalg.norm(centers, axis=1, keepdims=True) * np.sqrt(LATENT)
    rows = np.repeat(centers, 400, axis=0) + rng.normal(scale=0.3, size=(400 * COMPONENTS, LATENT))
    return variational.GaussianMixture(COMPONENTS, covariance="spherical").fit(rows, seed=seed)


def run(epochs=200, seeds=3, path="aae_with_a_mixture_prior.png"):
    """Return the agreement of ten clusters of the latents with the ten digits, held out.

    It is the adjusted mutual information, 0 by chance, 1 at most.
    """
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels / 16).astype("float32")
    found, first = {"normal": [], "mixture": []}, {}
    for seed in range(seeds):
        for name, values in found.items():
            keras.utils.set_random_seed(seed)
            prior = mixture(seed) if name == "mixture" else None
            nets = (
                net(128, 128, LATENT, first=64),
                net(128, 128, 64, first=LATENT),
                net(128, 128, 1, first=LATENT),
            )
            aae = variational.AAE(
                *nets, prior=prior, reconstruction=0.3, discriminator_steps=2, generator_steps=2, seed=seed
            )
            aae.compile()
            aae.fit(x[:1500], batch_size=100, epochs=epochs, verbose=0)
            clusters = KMeans(COMPONENTS, n_init=5, random_state=0).fit(aae.encode(x[:1500]))
            values.append(
                float(adjusted_mutual_info_score(labels[1500:], clusters.predict(aae.encode(x[1500:]))))
            )
            first.setdefault(name, aae)
    if path:
        draw(first, x[1500:], labels[1500:], path)
    return {name: {"agreement": float(np.mean(values)), "each": values} for name, values in found.items()}


def draw(models, x, labels, path):
    """The two directions in which the latents of held-out digits vary most."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    for axes, (name, aae) in zip(figure.subplots(1, 2), models.items(), strict=True):
        z = aae.encode(x)
        axes.scatter(
            *((z - z.mean(0)) @ np.linalg.svd(z - z.mean(0), full_matrices=False)[2][:2].T).T,
            c=labels,
            cmap="tab10",
            s=10,
        )
        axes.set(title=f"prior: {name}", xticks=[], yticks=[])
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    for name, found in run().items():
        print(
            f"prior {name:<8} agreement with the digits {found['agreement']:.3f}, by seed "
            f"{np.round(found['each'], 3).tolist()}"
        )
