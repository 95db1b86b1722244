"""Training steps and samples of NICE, RealNVP and a neural spline flow, against four peers.

The peers are zuko, normflows, FlowJAX and plain PyTorch, all in float32.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

from itertools import count, pairwise
from time import perf_counter

import equinox as eqx
import flowjax.bijections
import flowjax.distributions
import flowjax.flows
import jax
import jax.numpy as jnp
import keras
import normflows
import numpy as np
import optax
import paramax
import torch
import zuko

from benchmarks.harness import Report, compare
from partita import flows


def run(report: Report) -> None:
    """A call of ours is `fit` over the same batches: everything a user waits for."""
    torch.set_num_threads(os.cpu_count())
    nice(report, report.rounds or 7)
    coupling_flows(
        report,
        report.rounds or 7,
        "RealNVP (8 affine couplings, 2×256, dim 64, batch 512)",
        real_nvp_makers(64),
        64,
    )
    coupling_flows(
        report,
        report.rounds or 5,
        "neural spline (8 couplings, 2×128, 8 bins, dim 16, batch 512)",
        spline_makers(16),
        16,
    )
    compile_time(report)


def nice(report: Report, rounds: int) -> None:
    """4 additive couplings, 5×1000, batch 128, 784 features, then a scale."""
    x = np.random.default_rng(0).uniform(size=(16 * 128, 784)).astype("float32")
    flow = flows.nice(784, dequantize=None)
    ours = fitting(flow, x, 128)
    masks = {"transforms": 4, "hidden_features": (1000,) * 5}
    peer = zuko.flows.NICE(784, univariate=zuko.transforms.AdditiveTransform, shapes=[()], **masks)
    step = compare(
        ours,
        torch_fitting(peer.parameters(), lambda batch: -peer().log_prob(batch).mean(), x, 128),
        rounds=rounds,
    )
    report.compare("NICE (4 couplings, 5×1000, batch 128): training, against zuko", step, at_least=1 / 0.55)
    plain = PlainNICE(784)
    step = compare(ours, torch_fitting(plain.parameters(), plain.loss, x, 128), rounds=rounds)
    report.compare("the same against plain PyTorch", step, at_least=1 / 0.6)
    seeds = count()
    both = compare(lambda: flow.sample(len(x), seed=next(seeds)), ours, rounds=rounds)
    report.compare("NICE: a sample, against its share of a training step", both, at_least=10)


class PlainNICE(torch.nn.Module):
    """What one would write by hand."""

    def __init__(self, features):
        super().__init__()
        sizes = [features // 2, *[1000] * 5]
        self.nets = torch.nn.ModuleList(
            torch.nn.Sequential(
                *(layer for a, b in pairwise(sizes) for layer in (torch.nn.Linear(a, b), torch.nn.ReLU())),
                torch.nn.Linear(1000, features // 2),
            )
            for _ in range(4)
        )
        self.log_scale = torch.nn.Parameter(torch.zeros(features))

    def loss(self, x):
        """The mean of −log q(x)."""
        a, b = x[:, 0::2], x[:, 1::2]
        for net in self.nets:
            a, b = b + net(a), a
        z = torch.cat([a, b], -1) * self.log_scale.exp()
        return 0.5 * (z**2).sum(-1).mean() + 0.5 * z.shape[1] * np.log(2 * np.pi) - self.log_scale.sum()


def real_nvp_makers(features: int) -> dict:
    """The same couplings by everyone."""
    half = features // 2

    def normal_flow():
        base = normflows.distributions.DiagGaussian(features, trainable=False)
        net = [half, 256, 256, 2 * half]
        parts = (
            (
                normflows.flows.AffineCouplingBlock(normflows.nets.MLP(net)),
                normflows.flows.Permute(features, "swap"),
            )
            for _ in range(8)
        )
        return normflows.NormalizingFlow(base, [part for pair in parts for part in pair])

    base = flowjax.distributions.Normal(jnp.zeros(features))
    return {
        "ours": flows.real_nvp(features, hidden=(256, 256)),
        "zuko": zuko.flows.RealNVP(features, transforms=8, hidden_features=(256, 256)),
        "normflows": normal_flow(),
        "FlowJAX": flowjax.flows.coupling_flow(jax.random.key(0), base_dist=base, nn_width=256, nn_depth=2),
    }


def spline_makers(features: int) -> dict:
    """Return the neural spline flows of all libraries.

    normflows' nets are two blocks of two layers each, zuko's coupling is its autoregressive flow in two
    passes.
    """
    base = flowjax.distributions.Normal(jnp.zeros(features))
    spline = flowjax.bijections.RationalQuadraticSpline(knots=8, interval=4)
    blocks = [
        normflows.flows.CoupledRationalQuadraticSpline(features, 1, 128, reverse_mask=k % 2 == 1)
        for k in range(8)
    ]
    return {
        "ours": flows.neural_spline(features),
        "zuko": zuko.flows.NSF(features, transforms=8, hidden_features=(128, 128), passes=2),
        "normflows": normflows.NormalizingFlow(
            normflows.distributions.DiagGaussian(features, trainable=False), blocks
        ),
        "FlowJAX": flowjax.flows.coupling_flow(
            jax.random.key(0), base_dist=base, transformer=spline, nn_width=128, nn_depth=2
        ),
    }


def coupling_flows(report: Report, rounds: int, name: str, made: dict, features: int) -> None:
    """Training over 16 batches of 512, and 8192 samples."""
    x = np.random.default_rng(0).normal(size=(16 * 512, features)).astype("float32")
    ours, zukos, normals, jaxs = made.values()
    seeds = count()
    fit, sample = fitting(ours, x, 512), lambda: ours.sample(8192, seed=next(seeds))
    training = {
        "zuko": torch_fitting(zukos.parameters(), lambda batch: -zukos().log_prob(batch).mean(), x, 512),
        "normflows": torch_fitting(normals.parameters(), normals.forward_kld, x, 512),
        "FlowJAX": flowjax_fitting(jaxs, x, 512),
    }
    draw = eqx.filter_jit(lambda flow, key: paramax.unwrap(flow).sample(key, (8192,)))
    sampling = {
        "zuko": torch.no_grad()(lambda: zukos().sample((8192,))),
        "normflows": torch.no_grad()(lambda: normals.sample(8192)),
        "FlowJAX": lambda: jax.block_until_ready(draw(jaxs, jax.random.key(next(seeds)))),
    }
    for what, mine, peers in (("training", fit, training), ("sampling", sample, sampling)):
        for peer, theirs in peers.items():
            report.compare(
                f"{name}: {what}, against {peer}", compare(mine, theirs, rounds=rounds), at_least=1
            )


def fitting(flow, x: np.ndarray, batch: int):
    """A call that trains over all batches once."""
    flow.compile("adam")
    return lambda: flow.fit(x, batch_size=batch, shuffle=False, verbose=0)


def torch_fitting(parameters, loss, x: np.ndarray, batch: int):
    """The same by PyTorch."""
    optimizer = torch.optim.Adam(parameters)
    batches = torch.split(torch.from_numpy(x), batch)

    def call():
        for rows in batches:
            optimizer.zero_grad(set_to_none=True)
            loss(rows).backward()
            optimizer.step()

    return call


def flowjax_fitting(flow, x: np.ndarray, batch: int):
    """The same by FlowJAX, with its own way to tell parameters from the rest."""
    optimizer = optax.adam(1e-3)
    params, static = eqx.partition(
        flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
    )
    state = [params, optimizer.init(params)]
    batches = jnp.split(jnp.asarray(x), len(x) // batch)

    @eqx.filter_jit
    def step(params, moments, rows):
        grads = eqx.filter_grad(
            lambda params: -paramax.unwrap(eqx.combine(params, static)).log_prob(rows).mean()
        )(params)
        updates, moments = optimizer.update(grads, moments)
        return eqx.apply_updates(params, updates), moments

    def call():
        for rows in batches:
            state[:] = step(*state, rows)
        jax.block_until_ready(state[0])

    return call


def compile_time(report: Report) -> None:
    """The first batch of a Glow of 32 steps on 28 × 28 images: building, tracing and compiling."""
    x = np.random.default_rng(0).uniform(size=(16, 28, 28, 1)).astype("float32")
    start = perf_counter()
    flow = flows.glow((28, 28, 1), steps=16, scales=2, width=32)
    flow.compile(keras.optimizers.Adam(1e-4))
    flow.fit(x, batch_size=16, verbose=0)
    report.measure(
        "Glow of 32 steps: seconds to the end of the first batch",
        perf_counter() - start,
        unit="s",
        at_most=60,
    )
