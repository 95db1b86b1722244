"""EM of a Gaussian mixture with full covariance, 100,000 × 16, against scikit-learn.

It has 20 components. Both begin at the same start and take the same steps.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import warnings

import numpy as np
from sklearn.mixture import GaussianMixture as Peer

from benchmarks.harness import Report, compare
from partita.variational import GaussianMixture

ROWS, COLUMNS, COMPONENTS, STEPS = 100_000, 16, 20, 10


def run(report: Report) -> None:
    """Ten steps each, float64 on both sides."""
    rng = np.random.default_rng(0)
    means, roots = (
        2 * rng.normal(size=(COMPONENTS, COLUMNS)),
        rng.normal(size=(COMPONENTS, COLUMNS, COLUMNS)) / 2,
    )
    which = rng.integers(0, COMPONENTS, ROWS)
    x = means[which] + np.einsum("nij,nj->ni", roots[which], rng.normal(size=(ROWS, COLUMNS)))
    start = np.full(COMPONENTS, 1 / COMPONENTS), x[:COMPONENTS], np.stack([np.cov(x.T)] * COMPONENTS)

    def ours():
        return GaussianMixture(COMPONENTS).fit(x, initial=start, max_steps=STEPS, tol=-np.inf)

    def peer():
        precisions = np.linalg.inv(start[2])
        model = Peer(
            COMPONENTS,
            weights_init=start[0],
            means_init=start[1],
            precisions_init=precisions,
            max_iter=STEPS,
            tol=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            return model.fit(x)

    report.measure(
        "mean log-likelihood of a row after ten steps",
        ours().history[-1],
        peer=float(peer().score(x)),
        unit="nats",
    )
    report.compare(
        "ten steps, against scikit-learn",
        compare(ours, peer, rounds=report.rounds or 5, warmup=1),
        at_least=2,
    )
