"""The recursion against a float64 enumeration of every path."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from partita import crf
from tests.autodiff import gradients

FORBIDDEN = -np.inf


def enumerate_paths(scores, transitions, mask, start, end):
    """For one sequence (time, tags): every path over its real steps, and its float64 score."""
    real = np.flatnonzero(mask)
    found = []
    for path in itertools.product(range(scores.shape[1]), repeat=len(real)):
        score = 0.0
        for position, (step, tag) in enumerate(zip(real, path, strict=True)):
            score += float(scores[step, tag])
            score += float(start[tag]) if position == 0 else float(transitions[path[position - 1], tag])
            score += float(end[tag]) if position == len(real) - 1 else 0.0
        found.append((path, score))
    return found


def log_sum(values):
    values = np.asarray(values, "float64")
    top = values.max()
    return top + np.log(np.exp(values - top).sum()) if np.isfinite(top) else top


def brute_force(scores, transitions, mask, start, end):
    """log Z, marginals and entropy of a batch, in float64."""
    log_z, marginals, entropy = [], np.zeros(scores.shape), []
    for row in range(len(scores)):
        found = enumerate_paths(scores[row], transitions, mask[row], start, end)
        z = log_sum([score for _, score in found])
        log_z.append(z)
        h = 0.0
        for path, score in found:
            p = np.exp(score - z) if np.isfinite(score) else 0.0
            h -= p * (score - z) if p > 0 else 0.0
            for step, tag in zip(np.flatnonzero(mask[row]), path, strict=True):
                marginals[row, step, tag] += p
        entropy.append(h)
    return np.array(log_z), marginals, np.array(entropy)


SHAPES = [(3, 4, 3), (2, 1, 3), (2, 3, 1)]  # (batch, time, tags); few, since each compiles


@st.composite
def chains(draw):
    """Scores of any scale, masks of any shape, constraints that may leave few paths or none."""
    batch, num_steps, num_tags = draw(st.sampled_from(SHAPES))
    scale = draw(st.sampled_from([0.1, 3.0, 60.0, 300.0, 1e4]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    forbidden = draw(st.sampled_from([0.0, 0.3, 0.6]))

    def weights(*shape):
        values = rng.uniform(-scale, scale, shape)
        return np.where(rng.random(shape) < forbidden, FORBIDDEN, values).astype("float32")

    mask = rng.random((batch, num_steps)) < draw(st.sampled_from([0.0, 0.5, 0.8, 1.0]))
    return (
        weights(batch, num_steps, num_tags),
        weights(num_tags, num_tags),
        mask,
        weights(num_tags),
        weights(num_tags),
    )


def close(got, want, relative=1e-4, absolute=1e-4):
    np.testing.assert_allclose(np.asarray(ops.convert_to_numpy(got)), want, rtol=relative, atol=absolute)


@settings(max_examples=200)
@given(chains())
def test_sums_equal_brute_force(chain):
    log_z, marginals, entropy = brute_force(*chain)
    scale = max(1.0, np.abs(np.where(np.isfinite(chain[0]), chain[0], 0)).max())
    close(crf.log_partition(*chain), log_z)
    possible = np.isfinite(log_z)
    # A float32 score of size s is known to 1e-7 s, and a probability to as much relative.
    close(
        ops.convert_to_numpy(crf.marginals(*chain))[possible],
        marginals[possible],
        absolute=1e-4 + 2e-6 * scale,
    )
    close(
        ops.convert_to_numpy(crf.entropy(*chain))[possible], entropy[possible], absolute=1e-3 + 2e-5 * scale
    )


@settings(max_examples=100)
@given(chains(), st.sampled_from([1, 4]))
def test_best_paths_equal_brute_force(chain, k):
    scores, transitions, mask, start, end = chain
    tags, score = (ops.convert_to_numpy(x) for x in crf.viterbi(*chain, k=k))
    if k == 1:
        tags, score = tags[:, None], score[:, None]
    for row in range(len(scores)):
        found = dict(enumerate_paths(scores[row], transitions, mask[row], start, end))
        best = sorted((s for s in found.values() if np.isfinite(s)), reverse=True)[:k]
        assert np.all(tags[row][:, ~mask[row]] == -1)
        scale = max(1.0, np.abs(best).max()) if best else 1.0
        np.testing.assert_allclose(score[row][: len(best)], best, rtol=1e-5, atol=1e-5 * scale)
        if mask[row].any():
            assert np.all(np.isneginf(score[row][len(best) :]))
        decoded = [tuple(path[mask[row]]) for path in tags[row][: len(best)]]
        assert len(set(decoded)) == len(decoded)
        np.testing.assert_allclose([found[path] for path in decoded], best, rtol=1e-5, atol=1e-5 * scale)


@settings(max_examples=100)
@given(chains())
def test_gradient_is_the_expected_counts(chain):
    scores, transitions, mask, start, end = chain
    log_z, _, _ = brute_force(*chain)
    weight = np.where(np.isfinite(log_z), np.linspace(0.5, -2.0, len(log_z)), 0.0).astype("float32")
    possible = ops.convert_to_tensor(np.isfinite(log_z))
    counts = [np.zeros(x.shape) for x in (scores, transitions, start, end)]
    for row in np.flatnonzero(np.isfinite(log_z)):
        real = np.flatnonzero(mask[row])
        for path, score in enumerate_paths(scores[row], transitions, mask[row], start, end):
            p = weight[row] * np.exp(score - log_z[row])
            np.add.at(counts[0][row], (real, np.array(path, int)), p)
            np.add.at(counts[1], (np.array(path[:-1], int), np.array(path[1:], int)), p)
            if path:
                counts[2][path[0]] += p
                counts[3][path[-1]] += p

    def weighted(scores, transitions, start, end):
        log_z = crf.log_partition(scores, transitions, mask, start, end)
        return ops.where(possible, ops.convert_to_tensor(weight) * log_z, 0.0)

    scale = max(1.0, np.abs(np.where(np.isfinite(scores), scores, 0)).max())
    for got, want in zip(gradients(weighted, scores, transitions, start, end)[1], counts, strict=True):
        close(got, want, absolute=1e-4 + 5e-6 * scale)


@settings(max_examples=60)
@given(chains(), st.integers(0, 2**32 - 1))
def test_score_of_known_and_unknown_tags(chain, seed):
    scores, transitions, mask, start, end = chain
    rng = np.random.default_rng(seed)
    tags = rng.integers(0, scores.shape[2], mask.shape)
    for unknown in (np.zeros_like(mask), rng.random(mask.shape) < 0.5):
        labels = np.where(unknown, -1, tags)
        want = []
        for row in range(len(scores)):
            wanted = labels[row][mask[row]]
            found = enumerate_paths(scores[row], transitions, mask[row], start, end)
            agreeing = [
                score
                for path, score in found
                if all(w in (-1, tag) for w, tag in zip(wanted, path, strict=True))
            ]
            want.append(log_sum(agreeing))
        close(crf.path_score(scores, labels, transitions, mask, start, end), want)


def test_weak_survivors_of_forbidden_transitions_count():
    # Tag 0 leads by far and ends nowhere; tags 1 and 2 fall ever further behind each other, and only the
    # weaker may end.
    steps = 12
    scores = np.tile(np.float32([0.0, -60.0, -90.0]), (1, steps, 1))
    transitions = np.where(np.eye(3, dtype=bool), 0.0, FORBIDDEN)
    end = np.array([FORBIDDEN, FORBIDDEN, 0.0])
    close(crf.log_partition(scores, transitions, end=end), [-90.0 * steps])
    close(crf.marginals(scores, transitions, end=end)[0], np.tile([0.0, 0, 1], (steps, 1)))
    # And one that comes back: it is lost at 1e-90 of the leader, then gains.
    scores = np.tile(np.float32([[0.0, -100.0]]), (1, 6, 1))
    scores[:, 3:] = [-300.0, 0.0]
    close(crf.log_partition(scores, transitions[:2, :2]), [-300.0])


def test_no_allowed_path():
    scores, never = np.zeros((2, 3, 2), "float32"), np.full((2, 2), FORBIDDEN)
    mask = np.array([[True, True, True], [True, False, False]])
    log_z = ops.convert_to_numpy(crf.log_partition(scores, never, mask))
    assert np.isneginf(log_z[0])
    close(log_z[1], np.log(2))
    _, score = crf.viterbi(scores, never, mask)
    assert np.isneginf(ops.convert_to_numpy(score)[0])
    _, grads = gradients(lambda s, t: crf.log_partition(s, t, mask), scores, never.astype("float32"))
    assert all(np.isfinite(grad).all() for grad in grads)


def test_samples_follow_the_law():
    rng = np.random.default_rng(3)
    scores, transitions = rng.normal(size=(1, 4, 2)).astype("float32"), rng.normal(size=(2, 2))
    mask = np.array([[True, False, True, True]])
    start, end = np.array([0.0, 0.3]), np.array([0.5, 0.0])
    draws = ops.convert_to_numpy(crf.sample(scores, transitions, mask, start, end, n=20_000, seed=1))
    assert draws.shape == (20_000, 1, 4)
    assert np.all(draws[:, :, 1] == -1)
    found = enumerate_paths(scores[0], transitions, mask[0], start, end)
    log_z = log_sum([score for _, score in found])
    chi_square = 0.0
    for path, score in found:
        expected = 20_000 * np.exp(score - log_z)
        chi_square += (np.sum(np.all(draws[:, 0, mask[0]] == path, axis=1)) - expected) ** 2 / expected
    assert chi_square < 24.3  # 7 degrees of freedom: exceeded once in a thousand seeds
    again = ops.convert_to_numpy(crf.sample(scores, transitions, mask, start, end, n=20_000, seed=1))
    assert np.array_equal(draws, again)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"scores": np.zeros((2, 3))}, r"scores must have the shape \(batch, time, tags\)"),
        ({"scores": np.zeros((2, 0, 3))}, "at least one step"),
        ({"transitions": np.zeros((2, 3))}, r"transitions must have the shape \(3, 3\)"),
        ({"mask": np.ones((2, 5))}, "mask must have the shape"),
        ({"start": np.zeros(4)}, "start must have the shape"),
        ({"end": np.zeros((3, 1))}, "end must have the shape"),
    ],
)
def test_shapes_that_do_not_fit_are_named(broken, words):
    arguments = {"scores": np.zeros((2, 4, 3)), "transitions": np.zeros((3, 3)), **broken}
    for function in (crf.log_partition, crf.marginals, crf.entropy, crf.viterbi, crf.sample):
        with pytest.raises(ValueError, match=words):
            function(**arguments)


def test_half_precision_is_computed_in_float32():
    scores = np.full((1, 100, 3), 100.0, "float16")
    log_z = crf.log_partition(scores, np.zeros((3, 3)))
    close(log_z, [100 * (100 + np.log(3))], relative=1e-6)
