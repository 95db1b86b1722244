"""CRF loss with gradient, and decoding, against pytorch-crf: ragged batches, one process."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import numpy as np
import torch
import torchcrf

from benchmarks.harness import Report, compare
from partita import crf

SHAPES = {
    (128, 64, 4): (12, 15),
    (128, 128, 9): (10, 12),
    (32, 128, 17): (12, 8),
    (64, 256, 48): (15, 8),
}  # batch, time, tags: bars


def run(report: Report) -> None:
    """Four shapes, from word segmentation to part-of-speech tagging."""
    rounds = report.rounds or 20
    for shape, (loss_bar, decode_bar) in SHAPES.items():
        scores, tags, mask, transitions, start, end = problem(*shape)
        peer = torchcrf.CRF(shape[2], batch_first=True)
        for name, values in (
            ("transitions", transitions),
            ("start_transitions", start),
            ("end_transitions", end),
        ):
            getattr(peer, name).data = torch.tensor(values)
        peer_scores, peer_tags, peer_mask = (
            torch.tensor(scores, requires_grad=True),
            torch.tensor(tags),
            torch.tensor(mask),
        )

        def log_likelihood(scores, transitions, start, end, tags=tags, mask=mask):
            of_path = crf.path_score(scores, tags, transitions, mask, start, end)
            return (of_path - crf.log_partition(scores, transitions, mask, start, end)).sum()

        ours = jax.jit(jax.value_and_grad(log_likelihood, argnums=(0, 1, 2, 3)))
        inputs = [jax.numpy.asarray(x) for x in (scores, transitions, start, end)]

        def peer_step(peer=peer, scores=peer_scores, tags=peer_tags, mask=peer_mask):
            value = peer(scores, tags, mask=mask)
            return value, torch.autograd.grad(
                value, [scores, peer.transitions, peer.start_transitions, peer.end_transitions]
            )

        (value, grads), (peer_value, peer_grads) = ours(*inputs), peer_step()
        np.testing.assert_allclose(value, peer_value.item(), rtol=1e-4)
        for grad, peer_grad in zip(grads, peer_grads, strict=True):
            np.testing.assert_allclose(grad, peer_grad, rtol=1e-2, atol=1e-2)
        name = "×".join(map(str, shape))
        times = compare(lambda f=ours, x=inputs: jax.block_until_ready(f(*x)), peer_step, rounds=rounds)
        report.compare(f"loss + gradient {name}", times, at_least=loss_bar)

        decode = jax.jit(
            lambda scores, transitions, start, end, mask=mask: crf.viterbi(
                scores, transitions, mask, start, end
            )[0]
        )

        def peer_decode(peer=peer, scores=peer_scores, mask=peer_mask):
            with torch.no_grad():
                return peer.decode(scores, mask=mask)

        peer_paths = np.array([np.pad(path, (0, shape[1] - len(path))) for path in peer_decode()])
        ours_best, peer_best = (
            crf.path_score(scores, np.maximum(x, 0), transitions, mask, start, end)
            for x in (decode(*inputs), peer_paths)
        )
        np.testing.assert_allclose(
            ours_best, peer_best, rtol=1e-6
        )  # of paths that tie in float32 either may be chosen
        times = compare(lambda f=decode, x=inputs: jax.block_until_ready(f(*x)), peer_decode, rounds=rounds)
        report.compare(f"decode {name}", times, at_least=decode_bar)


def problem(batch: int, time: int, num_tags: int) -> tuple[np.ndarray, ...]:
    """Random scores and tags of sequences from half the length to all of it."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(batch, time, num_tags)).astype("float32")
    lengths = rng.integers(time // 2, time + 1, batch)
    lengths[0] = time
    mask = np.arange(time) < lengths[:, None]
    transitions, start, end = (
        rng.normal(scale=0.5, size=shape).astype("float32")
        for shape in [(num_tags, num_tags), num_tags, num_tags]
    )
    return scores, rng.integers(0, num_tags, (batch, time)), mask, transitions, start, end
