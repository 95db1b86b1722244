"""One text of reactions, four uses of it.

It is simulated exactly, solved as a rate equation and as a master equation, and fitted to a time course.

The fit's errors then go through the exact simulation: what the next cell will show, given that the rates are
known only so well. Means of the three ways at the end: 99.6 of 5000 cells, 99.505, 99.505. The band that is
to hold 90% of new cells holds 91%.
"""

from partita import ode, reactions

import numpy as np
from matplotlib.figure import Figure


TEXT = """
birth = 20; reading = 2.5; decay = 1; loss = 0.5
-> m @ birth
m -> m + n @ reading
m -> @ decay
n -> @ loss
"""


def run(trajectories=5000, cells=200, seed=0, path="four_ways_with_a_gene.png"):
    """Return the mean of n at the end by each way, the rates found, and the coverage of the band.

    The coverage is how often a new cell lies within the predicted band.
    """
    net = reactions.Network.from_text(TEXT)
    times = np.linspace(0, 12, 25)
    runs = net.simulate(times, trajectories=trajectories, seed=seed)
    path_of_means = net.solve(times)
    exact = net.master_equation({"m": 60, "n": 250}).distribution([times[-1]], ["n"]).isel(time=0)

    # A measured time course: the means of some hundred cells, with their sampling noise.
    seen = net.simulate(times[::2], trajectories=cells, seed=seed + 1)
    observed = np.stack([seen[name].mean("trajectory") for name in net.species], axis=-1)
    start = {"birth": 10.0, "reading": 1.0, "decay": 0.5, "loss": 1.0}
    found = ode.fit(net.rate_equation(), start, times[::2], observed, initial=[0.0, 0.0], starts=2, seed=seed)

    # Rates drawn from what the fit leaves open, a cell simulated with each.
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_normal(found.theta, found.covariance, 200)
    rates = [
        {name: float(value) for name, value in found.coordinates.values(theta).items()} for theta in drawn
    ]
    predicted = np.concatenate(
        [net.simulate(times, 10, parameters=p, seed=seed + 2 + i).n.values for i, p in enumerate(rates)]
    )
    low, high = np.quantile(predicted, [0.05, 0.95], axis=0)
    inside = (runs.n.values >= low) & (runs.n.values <= high)

    if path:
        draw(times, runs, path_of_means, exact, (low, high), path)
    return {
        "mean_simulated": float(runs.n.mean("trajectory")[-1]),
        "mean_of_rate_equation": float(path_of_means.n[-1]),
        "mean_of_master_equation": float((exact * exact.n).sum()),
        "rates": found.parameters,
        "errors": found.errors,
        "inside_90_percent_band": float(inside[:, 1:].mean()),
    }


def draw(times, runs, mean, exact, band, path):
    """Trajectories, mean and band; the distribution at the end."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(times, runs.n.values[:20].T, color="#8a8f94", linewidth=0.6)
    left.plot(times, mean.n, color="black", label="rate equation")
    left.fill_between(
        times, *band, color="#3b86d1", alpha=0.25, label="90% of new cells, predicted by the fit"
    )
    left.set(xlabel="time", ylabel="n")
    left.legend()
    last = runs.n.values[:, -1]
    right.hist(
        last, bins=np.arange(last.min(), last.max() + 6, 6), density=True, color="#8a8f94", label="simulated"
    )
    right.plot(exact.n, exact, color="#e0812b", label="master equation")
    right.set(xlabel=f"n at time {times[-1]:g}", xlim=(last.min() - 10, last.max() + 10))
    right.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:<24} {value}")
