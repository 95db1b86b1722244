"""A GAN's round and a VAE's step under `fit`, against hand-written loops in JAX and PyTorch.

The loops do the same computation; in JAX they are jitted, in PyTorch plain.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

from itertools import pairwise

import jax
import jax.numpy as jnp
import keras
import numpy as np
import torch

from benchmarks.harness import Report, compare
from partita import variational

ROUNDS, BATCH, WIDTH, STEPS, INERTIA = 200, 512, 128, 5, 1.0
VAE_BATCH, UNITS, LATENT, PIXELS = 100, 200, 50, 784


def run(report: Report) -> None:
    """An epoch of each in turn, shuffled rows, float32; what is compiled is compiled before."""
    rounds = report.rounds or 7
    x = variational.ring().sample(ROUNDS * BATCH, seed=0)
    ours = gan(x)
    report.compare(
        "GAN, 200 rounds of 1 + 5 steps, against jitted JAX",
        compare(ours, jax_gan(x), rounds=rounds),
        at_least=1 / 1.15,
    )
    report.compare(
        "the same against PyTorch",
        compare(ours, torch_gan(x), rounds=max(3, rounds // 2), warmup=1),
        at_least=2,
    )
    grey = np.random.default_rng(0).random((ROUNDS * VAE_BATCH, PIXELS), np.float32)
    ours = vae(grey)
    report.compare(
        "VAE, 200 steps, against jitted JAX", compare(ours, jax_vae(grey), rounds=rounds), at_least=1 / 1.15
    )
    report.compare(
        "the same against PyTorch",
        compare(ours, torch_vae(grey), rounds=max(3, rounds // 2), warmup=1),
        at_least=2,
    )


def mlp(*sizes, first, activation="relu"):
    """Layers of these sizes, the last without activation."""
    layers = [keras.layers.Dense(size, activation) for size in sizes[:-1]]
    return keras.Sequential([keras.Input((first,)), *layers, keras.layers.Dense(sizes[-1])])


def gan(x):
    """Ours: an epoch under `fit`."""
    model = variational.GAN(
        mlp(WIDTH, WIDTH, 2, first=2),
        mlp(WIDTH, WIDTH, 1, first=2),
        inertia=INERTIA,
        generator_steps=STEPS,
        seed=0,
    )
    model.compile()
    return lambda: model.fit(x, batch_size=BATCH, verbose=0)


def vae(x):
    """Ours: an epoch under `fit`."""
    encoder = mlp(UNITS, UNITS, 2 * LATENT, first=PIXELS, activation="tanh")
    decoder = mlp(UNITS, UNITS, PIXELS, first=LATENT, activation="tanh")
    model = variational.VAE(encoder, decoder, variational.BernoulliLikelihood(binarize=True), seed=0)
    model.compile(keras.optimizers.Adam(1e-3))
    return lambda: model.fit(x, batch_size=VAE_BATCH, verbose=0)


def start(*sizes):
    """Weights and biases."""
    rng = np.random.default_rng(0)
    return [
        (jnp.asarray(rng.normal(size=(a, b)) * (2 / (a + b)) ** 0.5, jnp.float32), jnp.zeros(b))
        for a, b in pairwise(sizes)
    ]


def apply(weights, h, activation=jax.nn.relu):
    """The layers in turn."""
    for kernel, bias in weights[:-1]:
        h = activation(h @ kernel + bias)
    return h @ weights[-1][0] + weights[-1][1]


def adam(weights, gradients, state, rate, first, second=0.999):
    """One step of Adam."""
    count, m, v = state
    count = count + 1
    m = jax.tree.map(lambda m, g: first * m + (1 - first) * g, m, gradients)
    v = jax.tree.map(lambda v, g: second * v + (1 - second) * g * g, v, gradients)
    scale = rate * jnp.sqrt(1 - second**count) / (1 - first**count)
    return jax.tree.map(lambda w, m, v: w - scale * m / (jnp.sqrt(v) + 1e-7), weights, m, v), (count, m, v)


def fresh(weights):
    """Adam's state at the start."""
    return 0, jax.tree.map(jnp.zeros_like, weights), jax.tree.map(jnp.zeros_like, weights)


def epoch(step, state, x, batch):
    """A call that goes once through the shuffled rows and waits."""
    held, rng = [state], np.random.default_rng(0)

    def call():
        order = rng.permutation(len(x))
        for first in range(0, len(x), batch):
            held[0] = step(held[0], x[order[first : first + batch]])
        jax.block_until_ready(held[0])

    return call


def jax_gan(x):
    """The same rounds by hand."""

    def discriminator_loss(d, g, x, z):
        return jnp.mean(jax.nn.softplus(-apply(d, x))) + jnp.mean(jax.nn.softplus(apply(d, apply(g, z))))

    def generator_loss(g, d, old, z):
        fake = apply(g, z)
        distance = jnp.mean(jnp.sum((fake - apply(old, z)) ** 2, axis=1))
        return jnp.mean(jax.nn.softplus(-apply(d, fake))) + INERTIA * distance

    @jax.jit
    def step(state, x):
        g, d, g_state, d_state, key = state
        key, *keys = jax.random.split(key, STEPS + 2)
        loss, slope = jax.value_and_grad(discriminator_loss)(d, g, x, jax.random.normal(keys[0], (len(x), 2)))
        d, d_state = adam(d, slope, d_state, 1e-3, 0.5)
        old, losses = g, [loss]
        for k in keys[1:]:
            loss, slope = jax.value_and_grad(generator_loss)(g, d, old, jax.random.normal(k, (len(x), 2)))
            g, g_state = adam(g, slope, g_state, 1e-3, 0.5)
            losses.append(loss)
        return g, d, g_state, d_state, key

    g, d = start(2, WIDTH, WIDTH, 2), start(2, WIDTH, WIDTH, 1)
    return epoch(step, (g, d, fresh(g), fresh(d), jax.random.key(0)), x, BATCH)


def jax_vae(x):
    """The same steps by hand."""

    def loss(weights, x, key):
        encoder, decoder = weights
        one, two = jax.random.split(key)
        x = (jax.random.uniform(one, x.shape) < x).astype(jnp.float32)
        mean, log_variance = jnp.split(apply(encoder, x, jnp.tanh), 2, axis=1)
        z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(two, mean.shape)
        output = apply(decoder, z, jnp.tanh)
        kl = 0.5 * jnp.sum(mean**2 + jnp.exp(log_variance) - log_variance - 1, axis=1)
        return jnp.mean(kl - jnp.sum(x * output - jax.nn.softplus(output), axis=1))

    @jax.jit
    def step(state, x):
        weights, moments, key = state
        key, use = jax.random.split(key)
        slope = jax.grad(loss)(weights, x, use)
        return *adam(weights, slope, moments, 1e-3, 0.9), key

    weights = start(PIXELS, UNITS, UNITS, 2 * LATENT), start(LATENT, UNITS, UNITS, PIXELS)
    return epoch(step, (weights, fresh(weights), jax.random.key(0)), x, VAE_BATCH)


def torch_mlp(*sizes, activation=torch.nn.ReLU):
    """The same layers."""
    layers = []
    for a, b in pairwise(sizes):
        layers += [torch.nn.Linear(a, b), activation()]
    return torch.nn.Sequential(*layers[:-1])


def torch_gan(x):
    """The same rounds in plain PyTorch."""
    softplus = torch.nn.functional.softplus
    g, d = torch_mlp(2, WIDTH, WIDTH, 2), torch_mlp(2, WIDTH, WIDTH, 1)
    old = torch_mlp(2, WIDTH, WIDTH, 2)
    g_adam, d_adam = (torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.999)) for net in (g, d))
    rows = torch.tensor(x)

    def call():
        for part in rows[torch.randperm(len(rows))].split(BATCH):
            with torch.no_grad():
                fake = g(torch.randn(len(part), 2))
            d_adam.zero_grad()
            (softplus(-d(part)).mean() + softplus(d(fake)).mean()).backward()
            d_adam.step()
            old.load_state_dict(g.state_dict())
            for _ in range(STEPS):
                z = torch.randn(len(part), 2)
                with torch.no_grad():
                    before = old(z)
                g_adam.zero_grad()
                fake = g(z)
                (softplus(-d(fake)).mean() + INERTIA * ((fake - before) ** 2).sum(1).mean()).backward()
                g_adam.step()

    return call


def torch_vae(x):
    """The same steps in plain PyTorch."""
    encoder, decoder = (
        torch_mlp(*sizes, activation=torch.nn.Tanh)
        for sizes in ((PIXELS, UNITS, UNITS, 2 * LATENT), (LATENT, UNITS, UNITS, PIXELS))
    )
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    rows = torch.tensor(x)

    def call():
        for grey in rows[torch.randperm(len(rows))].split(VAE_BATCH):
            part = (torch.rand_like(grey) < grey).float()
            mean, log_variance = encoder(part).chunk(2, 1)
            output = decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
            kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
            adam.zero_grad()
            (kl - (part * output - torch.nn.functional.softplus(output)).sum(1)).mean().backward()
            adam.step()

    return call
