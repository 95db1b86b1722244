"""Every event of one trajectory.

(t_0, x_0), (t_1, x_1), …      x_e the counts from t_e until t_(e+1)
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from partita.reactions.kernels.state import RUNNING, Log
from partita.reactions.model.system import System
from partita.reactions.simulation.engine import Engine
from partita.reactions.simulation.ensemble import attributes, request_of, warn

BUFFER = 1 << 16  # events of one call of the kernel
NOTHING = -2  # a place of the log where nothing was written


def trace(
    network: System,
    until: float,
    trajectory: int = 0,
    initial: Mapping[str, int] | None = None,
    parameters: Mapping[str, float] | None = None,
    seed: int | None = None,
    max_events: int | None = 10_000_000,
) -> xr.Dataset:
    """Simulate one trajectory by the direct method, and return all its events.

    Args:
        network: The network.
        until: The time at which to stop, in the unit of time that the rates are given in.
        trajectory: Which one: the same as that trajectory of `simulate(..., method="direct")` with the same
            seed.
        initial: Counts at the start, where they differ from the network's.
        parameters: Values of parameters, where they differ from the network's.
        seed: The same seed gives the same trajectory.
        max_events: Stop after so many events, with a warning.

    Returns:
        An int64 variable `(event,)` for each species that changes, with the coordinates `time` and
        `reaction`: the index of the reaction that fired, −1 for the initial state and where conditions set
            counts.

    Raises:
        ValueError: if an argument is not as described.

    Warns:
        SimulationWarning: if the trajectory ended early, saying why.

    Example:
        >>> from partita.reactions import Network
        >>> path = trace(Network.from_text("A -> B @ 1; A = 3"), until=100, seed=0)
        >>> path.A.values, path.reaction.values
        (array([3, 2, 1, 0]), array([-1,  0,  0,  0]))
    """
    request = request_of(network, [until], initial, parameters, seed, None, "direct", max_events)
    engine = Engine(request)
    rows = engine.rows(trajectory, trajectory + 1)
    length = BUFFER + 2 * len(engine.numbers.stops)
    log = Log(np.empty(length), np.empty(length, np.int64), np.empty((length, len(engine.plan.slots))))
    pieces: list[tuple[np.ndarray, ...]] = [(np.zeros(1), np.full(1, -1), engine.numbers.start[None])]
    run, laws = engine.direct(log)
    engine.make_ready(run, rows, laws)
    queue, places = np.zeros(1, np.int64), np.full(1, -1, np.int64)
    while rows.status[0] == RUNNING:
        log.reaction.fill(NOTHING)
        run(queue, places, rows, engine.shared, laws, BUFFER)
        written = int((log.reaction != NOTHING).sum())
        pieces.append(tuple(part[:written].copy() for part in log))
    messages = engine.runs(trajectory, rows).messages
    warn(messages)
    times, reactions, states = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    happened = (reactions >= 0) | np.append(True, (states[1:] != states[:-1]).any(1))
    times, reactions, states = times[happened], reactions[happened], states[happened]
    counts = states[:, : engine.plan.num_counts].astype(np.int64)  # (event, species)
    species = zip(engine.plan.slots, counts.T, strict=False)  # no parameters that events set
    variables = {name: ("event", column, {"units": "count"}) for name, column in species}
    coordinates = {"time": ("event", times), "reaction": ("event", reactions)}
    return xr.Dataset(variables, coordinates, attributes(engine, messages))
