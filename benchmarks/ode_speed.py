"""Solving with gradients, fixed steps and controlled ones, against diffrax and torchdiffeq.

All are in one process, in float32.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torchdiffeq
from scipy.integrate import solve_ivp

from benchmarks.harness import Report, compare
from partita import ode

TIMES = np.linspace(0.0, 10.0, 21)


def lotka_volterra(t, y, p, stack=jnp.stack):
    """Prey and predator."""
    prey, predator = y[..., 0], y[..., 1]
    return stack([prey * (p[0] - predator), predator * (prey - p[1])], -1)


def van_der_pol(t, y, p, stack=jnp.stack):
    """An oscillator that relaxes."""
    place, speed = y[..., 0], y[..., 1]
    return stack([speed, p[0] * (1 - place**2) * speed - p[1] * place], -1)


def run(report: Report) -> None:
    """Value and gradient in starts and parameters of the sum of squares at the end, or at all times."""
    fixed(report, report.rounds or 15)
    for name, field, values in (
        ("Lotka–Volterra", lotka_volterra, [1.5, 3.0]),
        ("Van der Pol 5", van_der_pol, [5.0, 1.0]),
    ):
        controlled(report, report.rounds or 7, name, field, np.array(values, "float32"))


def starts(batch: int) -> np.ndarray:
    """Random states."""
    return np.random.default_rng(0).uniform(0.5, 2.0, (batch, 2)).astype("float32")


def fixed(report: Report, rounds: int) -> None:
    """RK4, 100 steps, batch 1024; diffrax takes as many steps of Dopri5 as give the same error."""
    y0, p, end, steps = starts(1024), np.array([1.5, 3.0], "float32"), 3.0, 100

    def ours(y0, p):
        return ode.solve(lambda t, y: lotka_volterra(t, y, p), y0, [0.0, end], method="rk4", num_steps=steps)[
            :, -1
        ]

    def theirs(y0, p, steps):
        def one(y):
            options = {"stepsize_controller": diffrax.ConstantStepSize(), "max_steps": steps + 1}
            return diffrax.diffeqsolve(
                diffrax.ODETerm(lotka_volterra), diffrax.Dopri5(), 0.0, end, end / steps, y, p, **options
            ).ys[-1]

        return jax.vmap(one)(y0)

    with jax.enable_x64(True):
        wide, q = y0[:64].astype("float64"), p.astype("float64")
        truth = theirs(wide, q, 2000)
        error = float(jnp.abs(ours(wide, q) - truth).max())
        alike = next(
            n for n in range(10, 101, 5) if float(jnp.abs(theirs(wide, q, n) - truth).max()) <= error
        )
    report.measure("steps of Dopri5 as exact as 100 of RK4", alike, error=error)
    call, peer = gradient(ours, y0, p), gradient(lambda y0, p: theirs(y0, p, alike), y0, p)
    report.compare(
        "RK4 × 100, batch 1024, value + gradient, against diffrax",
        compare(call, peer, rounds=rounds),
        at_least=1.5,
    )
    torch_call = torch_gradient(
        lotka_volterra, y0, p, [0.0, end], {"method": "rk4", "options": {"step_size": end / steps}}
    )
    report.compare("the same against torchdiffeq", compare(call, torch_call, rounds=rounds), at_least=8)


def controlled(report: Report, rounds: int, name: str, field, p: np.ndarray) -> None:
    """dopri5 to rtol = atol = 1e-6, batch 256, 21 times."""
    y0 = starts(256)

    def ours(y0, p):
        return ode.solve(
            lambda t, y: field(t, y, p), y0, TIMES, rtol=1e-6, atol=1e-6, max_steps=1024, each=True
        )

    def theirs(y0, p):
        settings = {
            "saveat": diffrax.SaveAt(ts=jnp.asarray(TIMES, y0.dtype)),
            "stepsize_controller": diffrax.PIDController(rtol=1e-6, atol=1e-6),
            "max_steps": 1024,
        }
        solve = diffrax.diffeqsolve
        return jax.vmap(
            lambda y: (
                solve(diffrax.ODETerm(field), diffrax.Dopri5(), 0.0, TIMES[-1], None, y, p, **settings).ys
            )
        )(y0)

    truth = np.stack(
        [
            solve_ivp(
                lambda t, y: field(t, y, p, np.stack),
                (0, TIMES[-1]),
                y,
                t_eval=TIMES,
                method="DOP853",
                rtol=1e-11,
                atol=1e-11,
            ).y.T
            for y in y0[:16].astype("float64")
        ]
    )
    errors = [float(np.abs(np.asarray(solve(y0[:16], p)) - truth).max()) for solve in (ours, theirs)]
    report.measure(f"{name}: largest error against DOP853", errors[0], peer=errors[1])
    forward, forward_peer = jax.jit(ours), jax.jit(theirs)
    both = compare(
        lambda: forward(y0, p).block_until_ready(),
        lambda: forward_peer(y0, p).block_until_ready(),
        rounds=rounds,
    )
    report.compare(f"{name}: solution, against diffrax", both, at_least=1)
    call, peer = gradient(ours, y0, p), gradient(theirs, y0, p)
    report.compare(
        f"{name}: value + gradient, against diffrax", compare(call, peer, rounds=rounds), at_least=1
    )
    torch_call = torch_gradient(field, y0, p, TIMES, {"method": "dopri5", "rtol": 1e-6, "atol": 1e-6})
    report.compare(
        f"{name}: the same against torchdiffeq",
        compare(call, torch_call, rounds=max(3, rounds // 3), warmup=1),
        at_least=1,
    )


def gradient(solve, y0, p):
    """A call that waits for value and gradient."""
    both = jax.jit(jax.value_and_grad(lambda y0, p: jnp.sum(solve(y0, p) ** 2), argnums=(0, 1)))
    y0, p = jnp.asarray(y0), jnp.asarray(p)
    return lambda: jax.block_until_ready(both(y0, p))


def torch_gradient(field, y0, p, times, settings):
    """The same by torchdiffeq."""
    y0, p = torch.tensor(y0, requires_grad=True), torch.tensor(p, requires_grad=True)
    times = torch.tensor(np.asarray(times), dtype=torch.float32)

    def call():
        path = torchdiffeq.odeint(lambda t, y: field(t, y, p, torch.stack), y0, times, **settings)
        path = path[-1:] if len(times) == 2 else path
        return torch.autograd.grad((path**2).sum(), [y0, p])

    return call
