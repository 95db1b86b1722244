"""Tests that every example runs, small, and that its numbers make sense.

An example's own figures are what `python examples/NAME.py` prints.
"""

import runpy
from pathlib import Path

import keras
import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "examples"


def made(name, tmp_path, **settings):
    picture = tmp_path / f"{name}.png"
    found = runpy.run_path(str(FOLDER / f"{name}.py"))["run"](path=picture, **settings)
    assert picture.stat().st_size > 5000
    return found


def test_every_example_is_tested():
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{path.stem}"' in text for path in FOLDER.glob("*.py"))


@pytest.mark.filterwarnings("ignore:not converged")  # ten epochs are too few
def test_a_flow_as_noise(tmp_path):
    found = made("noise_from_a_flow", tmp_path, seeds=1, n=1000, epochs=10)
    assert all(np.isfinite(one["rmse"]) for one in found.values())


def test_a_flow_as_the_prior_of_a_vae(tmp_path):
    found = made("vae_with_a_flow_prior", tmp_path, epochs=2, seeds=1, samples=10)
    assert all(-64 < one["log_prob"] < -15 for one in found.values())


def test_a_mixture_as_the_prior_of_an_aae(tmp_path):
    found = made("aae_with_a_mixture_prior", tmp_path, epochs=2, seeds=1)
    assert all(-0.1 < one["agreement"] <= 1 for one in found.values())


@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="the fit of four rates takes minutes on PyTorch, which compiles nothing",
)
def test_four_ways_with_a_gene(tmp_path):
    """The mean of 500 simulated cells is within five standard errors of the exact one."""
    found = made("four_ways_with_a_gene", tmp_path, trajectories=500)
    exact = found["mean_of_master_equation"]
    assert found["mean_of_rate_equation"] == pytest.approx(exact, rel=1e-4)
    assert found["mean_simulated"] == pytest.approx(exact, abs=5 * (exact * 6 / 500) ** 0.5)
    assert 0.8 < found["inside_90_percent_band"] < 1
    truth = {"birth": 20, "reading": 2.5, "decay": 1, "loss": 0.5}
    assert all(abs(found["rates"][name] - value) < 5 * found["errors"][name] for name, value in truth.items())


def test_a_posterior_by_simulation(tmp_path):
    found = made("posterior_by_simulation", tmp_path, simulations=300, epochs=3, checks=20)
    assert np.sum(found["deciles"], axis=1).tolist() == [20, 20, 20]
    assert all(0 < value < 1.5 for value in found["posterior_over_prior_deviation"])


def test_the_log_partition_as_a_layer(tmp_path):
    assert (
        made("log_partition_as_a_layer", tmp_path, lengths=(4, 9), batch=3, repeats=1)["largest_difference"]
        < 1e-4
    )


def test_spaces_by_a_transformer(tmp_path):
    found = made(
        "spaces_by_a_transformer",
        tmp_path,
        count=150,
        epochs=1,
        seeds=1,
        kinds=["LSTM", "Transformer with mixup"],
    )
    assert all(0 <= value < 1 for one in found.values() for value in one["each"])
