"""Rates of a bursting gene from noisy counts of single cells, by simulation and a flow.

No likelihood can be written here: simulate, and train a flow.

    q(θ | summary) by a conditional flow on simulated pairs
    ranks of the true θ among its draws are uniform if q is right

A gene switches on and off, makes messages while on, and three messages of ten are seen. What do 100 counts
say of its rates? They narrow the prior to 0.29, 0.62 and 0.32 of its width, and over 300 checks the ranks are
even: χ² of 11, 9 and 9 on 9 degrees of freedom.
"""

from partita import flows, reactions

import keras
import numpy as np
from matplotlib.figure import Figure


TEXT = """
on = 1; off = 1; make = 10
G = 1; A = 0
G <-> A @ on, off
A -> A + m @ make
m -> @ 1
"""
NAMES = ("on", "off", "make")
LOW, HIGH = (
    np.log([0.2, 0.2, 20.0]),
    np.log([5.0, 5.0, 200.0]),
)  # of the logarithms of the rates: a uniform prior
CELLS, SEEN = 100, 0.3


def simulate(n, seed):
    """Return rates drawn from the prior `(n, 3)`, and summaries of the counts seen `(n, 6)`.

    The rates are numbers from 0 to 1.
    """
    rng = np.random.default_rng(seed)
    net = reactions.Network.from_text(TEXT)
    unit = rng.uniform(size=(n, len(NAMES)))
    summaries = np.empty((n, 6))
    for row, rates in enumerate(np.exp(LOW + (HIGH - LOW) * unit)):
        parameters = dict(zip(NAMES, rates, strict=True))
        cells = net.simulate(
            [8.0], CELLS, parameters=parameters, seed=int(rng.integers(2**31)), species=["m"], threads=1
        ).m.values[:, 0]
        counts = np.sqrt(rng.binomial(cells, SEEN))  # noisy; square roots even out the scale
        summaries[row] = [
            counts.mean(),
            counts.std(),
            (counts == 0).mean(),
            *np.quantile(counts, [0.25, 0.5, 0.9]),
        ]
    return unit, summaries


def run(simulations=6000, epochs=60, checks=300, seed=0, path="posterior_by_simulation.png"):
    """Return how the ranks of the truth spread over deciles, and the width of the posterior.

    The width is how much narrower than the prior the posterior is.
    """
    keras.utils.set_random_seed(seed)
    theta, summaries = simulate(simulations, seed)
    mean, deviation = summaries.mean(0), summaries.std(0)

    def context(rows):
        return (rows - mean) / deviation

    flow = flows.neural_spline(3, couplings=4, hidden=(64, 64), first=flows.Logit(0.001), context=6)
    steps = epochs * simulations * 9 // 10 // 128
    flow.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)))
    cut = simulations * 9 // 10
    held_out = ((theta[cut:], context(summaries[cut:])),)
    keep_best = keras.callbacks.EarlyStopping("val_loss", patience=15, restore_best_weights=True)
    training = {"batch_size": 128, "epochs": epochs, "verbose": 0, "callbacks": [keep_best]}
    flow.fit((theta[:cut], context(summaries[:cut])), validation_data=held_out, **training)

    truth, seen = simulate(checks, seed + 1)
    draws = 199
    posterior = flow.sample(
        checks * draws, seed=seed, context=np.repeat(context(seen), draws, axis=0)
    ).reshape(checks, draws, 3)
    ranks = (posterior < truth[:, None]).sum(
        axis=1
    )  # (checks, 3), uniform on 0 … 199 if the posterior is right
    deciles = np.stack([np.bincount(column * 10 // (draws + 1), minlength=10) for column in ranks.T])
    expected = checks / 10
    if path:
        draw(deciles, expected, posterior[0], truth[0], path)
    return {
        "deciles": deciles.tolist(),
        "chi_square_9": ((deciles - expected) ** 2 / expected)
        .sum(axis=1)
        .tolist(),  # above 21.7 once in a hundred
        "posterior_over_prior_deviation": (posterior.std(axis=1).mean(axis=0) * np.sqrt(12)).tolist(),
    }


def draw(deciles, expected, posterior, truth, path):
    """Ranks of the truth for each rate; one posterior beside its truth."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, row, marker in zip(NAMES, deciles, "os^", strict=True):
        left.plot(np.arange(1, 11), row, marker=marker, label=name)
    spread = 2 * np.sqrt(expected * 0.9)
    left.axhspan(expected - spread, expected + spread, color="#8a8f94", alpha=0.3, label="95% of even spread")
    left.set(xlabel="decile of the truth among the draws", ylabel="data sets", ylim=(0, None))
    left.legend(ncols=2, fontsize=8)
    shown, at = np.exp(LOW + (HIGH - LOW) * posterior), np.exp(LOW + (HIGH - LOW) * truth)
    right.plot(shown[:, 0], shown[:, 1], ".", color="#3b86d1", label="drawn from the posterior")
    right.plot(at[0], at[1], "*", color="#e0812b", markersize=12, label="truth")
    right.set(xscale="log", yscale="log", xlabel="on", ylabel="off")
    for axis in (right.xaxis, right.yaxis):
        axis.set_ticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
        axis.set_ticks([], minor=True)
    right.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:<32} {value}")
