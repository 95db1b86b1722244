"""Tests of derivatives of the sums over paths against a float64 enumeration.

They are of first and second order, forwards and backwards.
"""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

from partita import crf
from tests.crf.test_recursion import FORBIDDEN, enumerate_paths

NUM_STEPS, NUM_TAGS = 4, 3
SIZES = [
    (1, NUM_STEPS, NUM_TAGS),
    (NUM_TAGS, NUM_TAGS),
    (NUM_TAGS,),
    (NUM_TAGS,),
]  # scores, transitions, start, end
MASK = np.array([[True, False, True, True]])
BACKEND = keras.backend.backend()


@pytest.fixture(autouse=True)
def double_precision():
    with contextlib.ExitStack() as stack:
        if BACKEND == "jax":
            import jax

            stack.enter_context(jax.enable_x64(True))
        yield


def weights(scale, forbidden):
    """One vector of all weights; the scale decides which semiring is used."""
    rng = np.random.default_rng(0)
    scores, transitions, start, end = (scale * rng.normal(size=size) for size in SIZES)
    if forbidden:
        scores[0, 2, 1] = transitions[0, 2] = start[2] = FORBIDDEN
    return np.concatenate([x.ravel() for x in (scores, transitions, start, end)])


def unpacked(vector):
    ends = np.cumsum([np.prod(size) for size in SIZES])
    parts = (vector[end - np.prod(size) : end] for end, size in zip(ends, SIZES, strict=True))
    return [ops.reshape(part, size) for part, size in zip(parts, SIZES, strict=True)]


def of(function):
    def flat(vector):
        scores, transitions, start, end = unpacked(vector)
        return ops.reshape(function(scores, transitions, MASK, start, end), (-1,))

    return flat


def features_and_scores(vector):
    """How often each weight counts in each path (paths, weights), and the path's score."""
    parts = np.split(vector, np.cumsum([np.prod(size) for size in SIZES])[:-1])
    scores, transitions, start, end = (part.reshape(size) for part, size in zip(parts, SIZES, strict=True))
    counts, sums = [], []
    for path, score in enumerate_paths(scores[0], transitions, MASK[0], start, end):
        count = [np.zeros(size) for size in SIZES]
        for step, tag in zip(np.flatnonzero(MASK[0]), path, strict=True):
            count[0][0, step, tag] += 1
        np.add.at(count[1], (path[:-1], path[1:]), 1)
        count[2][path[0]] += 1
        count[3][path[-1]] += 1
        counts.append(np.concatenate([x.ravel() for x in count]))
        sums.append(score)
    return np.array(counts), np.array(sums)


def moments(vector):
    counts, sums = features_and_scores(vector)
    p = np.exp(sums - sums.max())
    p /= p.sum()
    mean = p @ counts
    return counts, p, mean, (counts - mean).T @ ((counts - mean) * p[:, None])


def jacobians(function, x):
    """Return the Jacobian (outputs, weights) of a function of a vector.

    It is computed by each kind of differentiation that the backend has.
    """
    if BACKEND == "jax":
        import jax

        return [np.array(way(function)(x)) for way in (jax.jacrev, jax.jacfwd)]
    if BACKEND == "torch":
        import torch

        x = torch.tensor(x)
        ways = [torch.func.jacrev, torch.func.jacfwd]
        return [
            torch.autograd.functional.jacobian(function, x).numpy(),
            *(way(function)(x).numpy() for way in ways),
        ]
    import tensorflow as tf

    x = tf.convert_to_tensor(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = function(x)
    backwards = tape.jacobian(y, x, experimental_use_pfor=False).numpy()
    columns = []
    for direction in np.eye(len(x)):
        with tf.autodiff.ForwardAccumulator(x, tf.constant(direction)) as forwards:
            y = function(x)
        columns.append(forwards.jvp(y).numpy())
    return [backwards, np.stack(columns, axis=1)]


def hessians(function, x):
    """The Hessian of a function with one value, by each pair of kinds."""
    if BACKEND == "jax":
        import jax

        return [
            np.array(outer(inner(lambda x: function(x)[0]))(x))
            for outer, inner in [(jax.jacfwd, jax.jacrev), (jax.jacrev, jax.jacrev)]
        ]
    if BACKEND == "torch":
        import torch

        def scalar(x):
            return function(x)[0]

        x = torch.tensor(x)
        found = [torch.func.hessian(scalar)(x), torch.func.jacfwd(torch.func.jacfwd(scalar))(x)]
        found.append(torch.autograd.functional.hessian(scalar, x))
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(scalar(x), x, create_graph=True)
        found.append(torch.stack([torch.autograd.grad(part, x, retain_graph=True)[0] for part in gradient]))
        return [hessian.detach().numpy() for hessian in found]
    import tensorflow as tf

    x = tf.convert_to_tensor(x)

    def nested():
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = function(x)
            gradient = inner.gradient(y, x)
        return outer.jacobian(gradient, x, experimental_use_pfor=False).numpy()

    columns = []
    for direction in np.eye(len(x)):
        with tf.autodiff.ForwardAccumulator(x, tf.constant(direction)) as forwards, tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
            gradient = tape.gradient(y, x)
        columns.append(forwards.jvp(gradient).numpy())
    return [nested(), np.stack(columns, axis=1)]


CHAINS = [(1.0, True), (200.0, True)]


@pytest.mark.parametrize(("scale", "forbidden"), CHAINS)
def test_the_hessian_of_log_z_is_the_covariance_of_the_counts(scale, forbidden):
    x = weights(scale, forbidden)
    _, _, mean, covariance = moments(x)
    for jacobian in jacobians(of(crf.log_partition), x):
        np.testing.assert_allclose(jacobian[0], mean, atol=1e-10)
    for hessian in hessians(of(crf.log_partition), x):
        np.testing.assert_allclose(hessian, covariance, atol=1e-9)


@pytest.mark.parametrize(("scale", "forbidden"), CHAINS)
def test_the_gradient_of_marginals_and_of_entropy(scale, forbidden):
    x = weights(scale, forbidden)
    counts, p, mean, covariance = moments(x)
    for jacobian in jacobians(of(crf.marginals), x):
        np.testing.assert_allclose(jacobian, covariance[: NUM_STEPS * NUM_TAGS], atol=1e-9)
    log_p = np.log(np.where(p > 0, p, 1.0))
    slope = -(p * (log_p - p @ log_p)) @ (counts - mean)  # dH/dx = −Σ p (log p + H) (counts − mean)
    for jacobian in jacobians(of(crf.entropy), x):
        np.testing.assert_allclose(jacobian[0], slope, atol=1e-8 * scale)


def test_the_hessian_of_the_loss_of_partly_known_tags():
    x = weights(1.0, True)
    tags = np.array([[1, 7, -1, 0]])  # two paths agree
    counts, sums = features_and_scores(x)
    agreeing = (counts[:, 0 * NUM_TAGS + 1] == 1) & (counts[:, 3 * NUM_TAGS + 0] == 1)
    p = np.where(agreeing, np.exp(sums), 0.0)
    p /= p.sum()
    of_agreeing = (counts - p @ counts).T @ ((counts - p @ counts) * p[:, None])

    def loss(scores, transitions, mask, start, end):
        path = crf.path_score(scores, tags, transitions, mask, start, end)
        return crf.log_partition(scores, transitions, mask, start, end) - path

    for hessian in hessians(of(loss), x):
        np.testing.assert_allclose(hessian, moments(x)[3] - of_agreeing, atol=1e-9)
