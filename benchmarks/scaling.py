"""Growth of time and memory of each part with its size, as log–log slopes.

A picture of them is drawn beside the figures.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import jax
import keras
import numpy as np

from benchmarks.harness import Report
from partita import contrast, crf, flows, ode, training, variational
from partita.reactions import Network
from partita.reactions.simulation.engine import Engine, Request
from partita.reactions.simulation.ensemble import request_of

PICTURE = "scaling.svg"
_BUDGET = 8.0  # seconds that the measurements of one size take at most, compilation left out


class Growth(NamedTuple):
    """One part against one size.

    Args:
        what: Of the part and the size.
        sizes: What is tried.
        make: A size → what is timed, called without arguments and waiting for its result, and its bytes.
        order: What the algorithm does at each size, as an exponent: the slope for large sizes.
    """

    what: str
    sizes: Sequence[int]
    make: Callable[[int], tuple[Callable[[], object], float]]
    order: float


def jitted(function: Callable, *arguments: Any) -> tuple[Callable[[], object], float]:
    """A compiled call, and the bytes it works in besides its arguments, as XLA plans them."""
    piece = jax.jit(function).lower(*arguments).compile()
    memory = piece.memory_analysis()
    return lambda: jax.block_until_ready(piece(*arguments)), float(
        memory.temp_size_in_bytes + memory.output_size_in_bytes
    )


def traced(call: Callable[[], object]) -> tuple[Callable[[], object], float]:
    """A call on the host, and the most bytes that NumPy and Python held during it."""
    call()
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return call, float(peak)


def tagging(time: int, tags: int) -> tuple[Callable[[], object], float]:
    """log Z of 8 sequences and its gradient."""
    rng = np.random.default_rng(0)
    scores, transitions = (
        rng.normal(size=(8, time, tags)).astype("float32"),
        rng.normal(size=(tags, tags)).astype("float32"),
    )
    mask = np.ones((8, time), bool)
    return jitted(
        jax.value_and_grad(lambda s, g, mask: crf.log_partition(s, g, mask).sum(), argnums=(0, 1)),
        scores,
        transitions,
        mask,
    )


def density(features: int) -> tuple[Callable[[], object], float]:
    """log q of 256 rows by four couplings of nets with 128 units."""
    flow = flows.real_nvp(features, couplings=4, hidden=(128,), dequantize=None)
    x, values = (
        np.random.default_rng(0).normal(size=(256, features)).astype("float32"),
        [weight.value for weight in flow.weights],
    )

    def log_prob(x, values):
        with keras.StatelessScope([*zip(flow.weights, values, strict=True)]):
            return flow.log_prob(x)

    return jitted(log_prob, x, values)


def solving(steps: int) -> tuple[Callable[[], object], float]:
    """RK4 from 256 starts, and the gradient in them."""
    y0 = np.random.default_rng(0).uniform(0.5, 2, (256, 2)).astype("float32")

    def total(y0):
        path = ode.solve(
            lambda t, y: y * jax.numpy.stack([1.5 - y[:, 1], y[:, 0] - 3], -1),
            y0,
            [0.0, 3.0],
            method="rk4",
            num_steps=steps,
        )
        return path[:, -1].sum()

    return jitted(jax.value_and_grad(total), y0)


def sampled(size: int, full: bool) -> tuple[Callable[[], object], float]:
    """The loss of 512 words, and its gradient in the inputs."""
    layer = contrast.SampledSoftmax(size, 100)
    layer.build((None, 64))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(512, 64)).astype("float32"), rng.integers(0, size, 512).astype("int32")
    values = [variable.value for variable in layer.variables]

    def loss(x, values):
        with keras.StatelessScope([*zip(layer.variables, values, strict=True)]):
            return layer.loss(y, layer.log_prob(x) if full else x).sum()

    return jitted(jax.value_and_grad(loss), x, values)


def bound(features: int) -> tuple[Callable[[], object], float]:
    """The loss of a VAE of 256 rows and its gradient, nets of 128 units."""

    def net(inputs, outputs):
        return keras.Sequential(
            [keras.Input((inputs,)), keras.layers.Dense(128, "relu"), keras.layers.Dense(outputs)]
        )

    vae = variational.VAE(net(features, 32), net(16, features), seed=0)
    x = np.random.default_rng(0).normal(size=(256, features)).astype("float32")
    trained = [weight.value for weight in vae.trainable_variables]
    others = [*vae.non_trainable_variables, *vae.metrics_variables]

    def loss(trained, x, values):
        with keras.StatelessScope(
            [*zip([*vae.trainable_variables, *others], [*trained, *values], strict=True)]
        ):
            return vae.compute_loss(x)

    return jitted(jax.value_and_grad(loss), trained, x, [variable.value for variable in others])


def mixture(components: int) -> tuple[Callable[[], object], float]:
    """Five EM steps on 20,000 rows of 8 numbers; what they hold on the device is not measured."""
    x = np.random.default_rng(0).normal(size=(20_000, 8))
    start = (
        np.full(components, 1 / components),
        x[:components],
        np.repeat(np.eye(8)[None], components, axis=0),
    )
    return lambda: variational.GaussianMixture(components).fit(
        x, max_steps=5, tol=-np.inf, initial=start
    ), np.nan


def mixed(batch: int) -> tuple[Callable[[], object], float]:
    """mixup of pictures of 32 × 32 × 3."""
    x, y = np.zeros((batch, 32, 32, 3), "float32"), np.zeros((batch, 10), "float32")
    return traced(lambda: training.mixup(x, y, seed=0))


def ring(size: int) -> Network:
    """A circle of species that turn into the next, with 20,000 molecules whatever its size."""
    lines = [f"S{i} -> S{(i + 1) % size} @ 1" for i in range(size)]
    return Network.from_text("\n".join([*lines, *(f"S{i} = {20_000 // size}" for i in range(size))]))


def asked(size: int, method: str) -> Request:
    """About a million events of a ring."""
    return request_of(ring(size), [50.0], None, None, 0, None, method, None)


def preparing(size: int, method: str) -> tuple[Callable[[], object], float]:
    """What comes before the first event, once compiled."""
    request = asked(size, method)
    return traced(lambda: Engine(request))


def simulating(size: int, method: str) -> tuple[Callable[[], object], float]:
    """The events themselves."""
    engine, halt = Engine(asked(size, method)), threading.Event()
    return traced(lambda: engine.run(0, 1, 1, halt))


def ensemble(trajectories: int, **options: Any) -> tuple[Callable[[], object], float]:
    """Gene expression to t = 5, 20 times recorded."""
    network = Network.from_text("-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1")
    times = np.linspace(0.25, 5, 20)
    return traced(lambda: network.simulate(times, trajectories, seed=0, threads=1, **options))


def embedding(words: int) -> tuple[Callable[[], object], float]:
    """Skip-gram vectors from a text of 200,000 words and once each of the vocabulary, one epoch."""
    draw = np.random.default_rng(0).zipf(1.2, 200_000) % words
    sentences = [[f"w{word}" for word in draw[start : start + 20]] for start in range(0, len(draw), 20)]
    sentences += [
        [f"w{word}" for word in range(start, min(words, start + 20))] for start in range(0, words, 20)
    ]
    settings = {"dim": 50, "min_count": 1, "epochs": 1, "seed": 0}
    return traced(lambda: contrast.SkipGram(**settings).fit(sentences))


GROWTHS = [
    Growth(
        "crf: log Z and gradient, sequence length (9 tags)",
        [32, 128, 512, 2048, 8192],
        lambda n: tagging(n, 9),
        1,
    ),
    Growth("crf: log Z and gradient, tags (length 64)", [16, 32, 64, 128, 256], lambda n: tagging(64, n), 2),
    Growth("flows: RealNVP log q, dimension", [64, 256, 1024, 4096], density, 1),
    Growth("ode: RK4 and gradient, steps", [32, 128, 512, 2048], solving, 1),
    Growth(
        "contrast: sampled softmax, vocabulary",
        [1_000, 4_000, 16_000, 64_000],
        lambda n: sampled(n, full=False),
        0,
    ),
    Growth(
        "contrast: full softmax, vocabulary",
        [1_000, 4_000, 16_000, 64_000],
        lambda n: sampled(n, full=True),
        1,
    ),
    Growth("contrast: skip-gram, vocabulary", [1_000, 4_000, 16_000, 64_000], embedding, 1),
    Growth("variational: VAE loss and gradient, dimension", [64, 256, 1024, 4096], bound, 1),
    Growth("variational: five EM steps, components", [4, 16, 64, 256], mixture, 1),
    Growth("training: mixup, batch", [64, 256, 1024, 4096], mixed, 1),
    Growth(
        "reactions: a million events, reactions, direct",
        [8, 16, 32, 64],
        lambda n: simulating(n, "direct"),
        1,
    ),
    Growth(
        "reactions: a million events, reactions, sparse",
        [64, 256, 1024, 4096],
        lambda n: simulating(n, "sparse"),
        0,
    ),
    Growth(
        "reactions: preparing, reactions, sparse", [64, 256, 1024, 4096], lambda n: preparing(n, "sparse"), 1
    ),
    Growth("reactions: trajectories, all kept", [1_000, 4_000, 16_000, 64_000], ensemble, 1),
    Growth(
        "reactions: trajectories, reduced to means",
        [1_000, 4_000, 16_000, 64_000],
        lambda n: ensemble(n, reduce="mean", chunk=1000),
        1,
    ),
]


def run(report: Report) -> None:
    """Report the slope over the larger half of the sizes, a row for each part and size.

    Times and bytes are in the detail.
    """
    measured = [(growth, [*_measured(growth, report.rounds or 7)]) for growth in GROWTHS]
    for growth, points in measured:
        sizes, seconds, memory = (np.array(column, float) for column in zip(*points, strict=True))
        claim = f"{growth.what}: seconds ∝ size^, by its operations {growth.order}"
        report.measure(claim, slope(sizes, seconds), sizes=sizes.tolist(), seconds=seconds.tolist())
        if np.isfinite(memory).all():
            report.measure(f"{growth.what}: bytes ∝ size^", slope(sizes, memory), bytes=memory.tolist())
    folder = Path(sys.argv[sys.argv.index("--out") + 1]).parent if "--out" in sys.argv else Path()
    draw(measured, folder / PICTURE)
    print(f"drawn: {folder / PICTURE}")


def slope(sizes: np.ndarray, values: np.ndarray) -> float:
    """Return the exponent that the larger half of the sizes shows: a line through logarithms.

    What is constant shows at small sizes.
    """
    half = len(sizes) // 2
    return (
        round(float(np.polyfit(np.log(sizes[half:]), np.log(np.maximum(values[half:], 1e-12)), 1)[0]), 2)
        + 0.0
    )


def _measured(growth: Growth, rounds: int) -> Iterator[tuple[int, float, float]]:
    for size in growth.sizes:
        call, memory = growth.make(size)
        call()
        times: list[float] = []
        while len(times) < rounds and sum(times) < _BUDGET:
            start = perf_counter()
            call()
            times.append(perf_counter() - start)
        yield size, min(times), memory  # what else the machine does only adds


def draw(measured: Sequence[tuple[Growth, Sequence[tuple[int, float, float]]]], path: Path) -> None:
    """Time and memory against size, both axes logarithmic, relative to the smallest size."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True)
    for number, (growth, points) in enumerate(measured):
        sizes = np.array([point[0] for point in points], float)
        for column, axis in enumerate(axes, 1):
            values = np.array([point[column] for point in points], float)
            style = {"color": f"C{number % 10}", "marker": "o^"[number // 10], "markersize": 4}
            axis.loglog(sizes / sizes[0], values / values[0], label=growth.what, **style)
    for axis, name in zip(axes, ("time", "memory"), strict=True):
        ends = np.array([1.0, max(points[-1][0] / points[0][0] for _, points in measured)])
        axis.set(
            xlabel="size, in the smallest", ylabel=f"{name}, in that of the smallest", ylim=(0.7, 2 * ends[1])
        )
        for order in (1, 2):
            axis.loglog(ends, ends**order, color="0.8", zorder=0)
            axis.annotate(
                ("size", "size²")[order - 1], (ends[1] ** (1 / order), ends[1]), color="0.5", fontsize=8
            )
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(path)
