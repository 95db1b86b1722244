"""Ctrl-C is answered while a kernel compiles, runs or sums, in Python and on the command line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONG = "A = 1000; -> A @ 1e9; A -> @ 1e6"
SLOW_TO_COMPILE = "; ".join(f"S{i} -> S{i + 1} @ {i + 1}" for i in range(70)) + "; S0 = 5"

# What runs when the signal comes. Each prints "ready" just before, and how it ended.
PYTHON = {
    "compilation": f"Network.from_text({SLOW_TO_COMPILE!r}).simulate([1.0], 1, seed=0, method='direct')",
    "one trajectory": f"Network.from_text({LONG!r}).simulate([1e9], 1, seed=0)",
    "lanes": f"Network.from_text({LONG!r}).simulate([1e9], 64, seed=0)",
    "rates in time": "Network.from_text('-> A @@ 1e9 + sin(t); A -> @ 1e6').simulate([1e9], 1, seed=0)",
    "tau": "Network.from_text('A = 10; A -> 2 A @ 1; 2 A -> @ 1').simulate([1e12], 1, seed=0, method='tau')",
    "sparse": "Network.from_text("
    "'; '.join(f'H + S{i} <-> H + T{i} @ 9e3, 9e3; S{i} = 99' for i in range(500)) "
    "+ '; H <-> G @ 1, 1; H = 1')"
    ".simulate([1e12], 1, seed=0, method='sparse')",
    "trace": f"Network.from_text({LONG!r}).trace(1e9, seed=0, max_events=10**12)",
    "distribution": "Network.from_text('-> A @ 9; -> B @ 9; A -> @ 1; B -> @ 1')"
    ".master_equation({'A': 60, 'B': 60}).distribution([1e5])",
}


def interrupted(arguments, folder):
    """Exit code and output of a process that is sent SIGINT some seconds after it says that it is ready."""
    environment = {**os.environ, "PARTITA_CACHE": str(folder), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-u", "-c", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        try:
            out, err = process.communicate(timeout=4)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                out, err = process.communicate(
                    timeout=100
                )  # on an idle machine a second; without an answer it would be hours
            finally:
                process.kill()
        return process.returncode, out, err


PREPARE = """
import signal, sys, warnings
signal.signal(signal.SIGINT, signal.default_int_handler)
from partita.reactions import Network
from partita.reactions.simulation import ensemble
from partita.reactions.analysis import elimination
from partita.reactions.analysis import uniformization
"""


@pytest.mark.parametrize("case", PYTHON)
def test_python_answers(case, tmp_path):
    code = f"""{PREPARE}
print("ready", flush=True)
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = {PYTHON[case]}
    print(sorted({{*result.status.values.tolist()}}))
except KeyboardInterrupt:
    print("KeyboardInterrupt")
sys.stdout.flush()
import os; os._exit(7)
"""
    code, out, err = interrupted([code], tmp_path)
    assert (code, out.strip() in ("['interrupted']", "KeyboardInterrupt")) == (7, True), (out, err)


@pytest.mark.parametrize(
    "arguments",
    [
        [LONG, "--until", "1e9", "--trajectories", "1"],
        [SLOW_TO_COMPILE, "--until", "1", "--method", "direct"],
    ],
)
def test_the_command_line_ends_with_130_and_one_line(arguments, tmp_path):
    code = (
        f"{PREPARE}\nfrom partita.cli import main\nprint('ready', flush=True)\nmain(['simulate', "
        f"*sys.argv[1:]])"
    )
    code, out, err = interrupted([code, *arguments], tmp_path)
    assert (code, out) == (130, "")
    assert err.startswith("partita: interrupted: ")
    assert err.count("\n") == 1
