"""Rate equations of published networks against SciPy."""

import re

import keras
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from partita.reactions import Network, read_sbml


@pytest.mark.parametrize(
    ("name", "end"), [("BIOMD0000000012", 200.0), ("BIOMD0000000035", 100.0)], ids=["repressilator", "vilar"]
)
def test_published_networks_agree_with_lsoda(data_folder, name, end):
    pytest.importorskip("libsbml")
    if name == "BIOMD0000000035" and keras.backend.backend() == "torch":
        pytest.skip("without compilation this stiff network takes ten minutes")
    net = read_sbml(data_folder / "sbml" / f"{name}.xml")
    times = np.linspace(0.0, end, 21)
    start = [float(net.initial[species]) for species in net.species]
    truth = solve_ivp(
        net.rate_equation(), (0, end), start, t_eval=times, method="LSODA", rtol=1e-10, atol=1e-10
    ).y.T
    ours = net.solve(times, rtol=1e-8, atol=1e-8)
    path = np.stack([ours[species].values for species in net.species], axis=-1)
    np.testing.assert_allclose(path, truth, rtol=1e-5, atol=1e-5 * np.abs(truth).max())


def test_initial_amounts_and_parameters_may_differ():
    net = Network.from_text("k = 1; A -> B @ k * log(exp(1)); A = 100")
    path = net.solve([0, 0.5], initial={"A": 1.5}, parameters={"k": 2.0})
    np.testing.assert_allclose(path.A, [1.5, 1.5 * np.exp(-1)], rtol=1e-6)
    with pytest.raises(ValueError, match="initial must name species of the network, got 'C'"):
        net.solve([0, 1], initial={"C": 1})


NO_AMOUNTS = [
    (1j, "1j"),
    (np.complex128(1j), "1j"),
    (np.nan, "nan"),
    ([1.0, 2.0], "[1.0, 2.0]"),
    ("3", "'3'"),
    (None, "None"),
]


@pytest.mark.parametrize(("value", "got"), NO_AMOUNTS)
def test_initial_amounts_are_real_numbers(value, got):
    with pytest.raises(
        ValueError, match=rf"initial\['A'\] must be (a|one) finite number, got .*{re.escape(got)}"
    ):
        Network.from_text("A -> @ 1; A = 1").solve([0, 1], initial={"A": value})


@pytest.mark.parametrize(
    "options", [{}, {"method": "dopri5"}, {"num_steps": 40}, {"method": "rk4", "dt": 0.02}]
)
def test_every_way_to_solve(options):
    path = Network.from_text("A -> @ 1; A = 100").solve([0, 1, 2], **options)
    np.testing.assert_allclose(path.A, 100 * np.exp([0.0, -1.0, -2.0]), rtol=1e-5)


def test_what_was_reached_is_returned_with_a_status():
    path = Network.from_text("2 A -> 3 A @ 2; A = 1").solve([0, 0.5, 2], throw=False)  # A' = A²
    assert path.A[1] == pytest.approx(2, rel=1e-5)
    assert np.isnan(path.A[2])
    assert path.attrs["status"] == "the steps became too short for the precision of the time"
    with pytest.raises(
        FloatingPointError,
        match="the solution stops at t = 1: its steps fall below 2e-16 of the time since the first",
    ):
        Network.from_text("2 A -> 3 A @ 2; A = 1").solve([0, 0.5, 2])
