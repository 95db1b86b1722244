"""Ensembles: many trajectories of a network, from a seed, as one dataset.

    trajectory i  =  f(network, seed, i)

whatever the threads, chunks or workers that computed it, and whatever else was computed with it.
"""

import json
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from partita.progress import Progress
from partita.quoting import got, shown
from partita.reactions.kernels.state import ENDED, INTERRUPTED, STATUS
from partita.reactions.model.system import System
from partita.reactions.simulation.engine import UNLIMITED, Engine, Request, Runs, available_threads
from partita.reactions.simulation.journal import Journal
from partita.reactions.simulation.summary import REDUCTIONS, Summary

COORDINATES = ("trajectory", "time", "status", "events", "end")
CHUNK_NUMBERS = 1 << 24  # counts that a chunk holds where results are reduced, saved or computed elsewhere


class SimulationWarning(UserWarning):
    """Some trajectories did not get to the last time.

    Example:
        >>> from partita.reactions import Network
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     runs = simulate(Network.from_text("-> A @ 1"), [100.0], seed=0, max_events=5)
        >>> caught[0].category.__name__, runs.status.item(), runs.events.item()
        ('SimulationWarning', 'event limit', 5)
    """


def simulate(  # noqa: PLR0913 - options, each given by its name
    network: System,
    times: npt.ArrayLike,
    trajectories: int = 1,
    initial: Mapping[str, int] | None = None,
    parameters: Mapping[str, float] | None = None,
    seed: int | None = None,
    *,
    species: Sequence[str] | None = None,
    method: str = "auto",
    max_events: int | None = None,
    reduce: str | Sequence[str] = (),
    progress: bool = False,
    threads: int | None = None,
    chunk: int | None = None,
    client: Any = None,
    save: str | PathLike[str] | None = None,
) -> xr.Dataset:
    """Simulate trajectories from t = 0 and record the counts at given times.

    Args:
        network: The network.
        times: When to record, increasing, from 0 on; in the unit of time that the rates are given in.
        trajectories: How many.
        initial: Counts at the start, where they differ from the network's.
        parameters: Values of parameters, where they differ from the network's. They do not recompile
            anything.
        seed: The same seed gives the same trajectories; those of a smaller ensemble are the first of a larger
            one. Without one, one is drawn, and stands in the attributes.
        species: Names to record: species, or rules of the network. By default all species.
        method: `"direct"` and `"sparse"` are exact, for small and large networks; `"tau"` is tau-leaping, an
            approximation; `"auto"` takes one of the exact ones. Events, and rates that depend on `t`, take
            `"direct"`.
        max_events: Stop a trajectory after so many events; its status says so.
        reduce: `"mean"`, `"variance"`, `"histogram"`, or several of them: return these, and keep no
            trajectory.
        progress: Print how far it has got, on stderr: one line that changes on a terminal, a line for each
            tenth elsewhere.
        threads: How many; by default as many as there are processors.
        chunk: Trajectories computed, or saved, at a time.
        client: A Dask client whose workers do the chunks.
        save: A `.zarr` folder or `.nc` file to write. After a kill the same call goes on where it was.

    Returns:
        An int64 variable `(trajectory, time)` for each species (float64 if it follows a rule), with the
        coordinates `status`, `events` (how many happened) and `end` (the time that was reached) for each
        trajectory. Status is `finished`, `absorbed` (nothing can happen any more), `event limit`,
        `bad propensity` (negative, infinite or NaN), `count limit` (a count is about to pass 2⁵³),
        `bad event`, or `interrupted` (Ctrl-C; what was done is returned). Counts at times that were not
        reached are −1. The attributes hold the network as text, the seed, and under `stopped` what ended
        trajectories early.

    Raises:
        ValueError: if an argument is not as described.

    Warns:
        SimulationWarning: if trajectories ended early, saying why.

    Source:
        Gillespie, J. Phys. Chem. 81 (1977) 2340; where rates follow `t`, Voliotis et al., PLOS Computational
        Biology 12 (2016) e1004923.

    Example:
        >>> from partita.reactions import Network
        >>> net = Network.from_text("-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1")
        >>> runs = simulate(net, [0, 10, 20], trajectories=100, seed=0)
        >>> runs.m.dims, runs.status.values.tolist().count("finished")
        (('trajectory', 'time'), 100)
        >>> abs(runs.m.sel(time=20).mean().item() - 20) < 2
        True
    """
    wanted = _reductions(reduce)
    request = request_of(network, times, initial, parameters, seed, species, method, max_events)
    trajectories = _whole(trajectories, "trajectories", 1, 2**32)
    threads = available_threads() if threads is None else _whole(threads, "threads", 1, 1024)
    if save is not None and wanted:
        raise ValueError("save keeps trajectories and reduce does not: give one of them")
    engine = Engine(request)
    size = _chunk_size(
        request, trajectories, chunk, reduced=bool(wanted), spread=client is not None, saved=save is not None
    )
    journal = None
    if save is not None:
        engine, journal = _journal(save, engine, trajectories, size, seed is not None)
        if journal.path.exists():
            return journal.result()
    chunks = [range(first, min(first + size, trajectories)) for first in range(0, trajectories, size)]
    missing = [chunk for chunk in chunks if journal is None or not journal.has(chunk.start)]
    computed = _compute(engine, missing, trajectories, threads, client, progress)
    if journal is None:
        result = _collected(engine, computed, trajectories, wanted)
    else:
        result = _saved(engine, computed, chunks, journal)
    warn(result.attrs["stopped"].splitlines())
    return result


def _chunk_size(
    request: Request, trajectories: int, chunk: int | None, reduced: bool, spread: bool, saved: bool
) -> int:
    """How many trajectories are computed at a time."""
    if chunk is not None:
        return _whole(chunk, "chunk", 1, 2**32)
    size = trajectories
    if reduced or spread or saved:
        size = min(size, max(1, CHUNK_NUMBERS // max(1, len(request.species) * len(request.times))))
    if spread:
        size = min(size, -(-trajectories // 16))
    if saved:
        size = min(size, max(1000, -(-trajectories // 64)))
    return size


def _journal(
    save: str | PathLike[str], engine: Engine, trajectories: int, size: int, seed_given: bool
) -> tuple[Engine, Journal]:
    """Return the engine, and what an earlier call has saved, begun if there was none.

    Without a seed the engine takes that of the earlier call.
    """
    earlier = Journal(save, {}).earlier()
    if earlier and not seed_given:
        engine = Engine(replace(engine.request, seed=earlier["seed"]))
    journal = Journal(save, _call(engine, trajectories, size))
    journal.begin()
    return engine, journal


def _collected(
    engine: Engine, computed: Iterator[Runs], trajectories: int, wanted: tuple[str, ...]
) -> xr.Dataset:
    """The chunks as one dataset, or what they reduce to."""
    summary = Summary(engine.request.species, len(engine.times), wanted) if wanted else None
    kept: list[Runs] = []
    for runs in computed:
        if summary is not None:
            ended = np.isin(runs.status, ENDED)[:, None]
            summary.add(runs.tables, ended | (engine.times <= runs.end[:, None]))
        kept.append(runs if summary is None else replace(runs, tables={}))
    messages = _messages(kept, trajectories)
    if summary is not None:
        return summary.dataset(engine.times).assign_attrs(attributes(engine, messages))
    return _dataset(engine, kept, messages)


def _saved(engine: Engine, computed: Iterator[Runs], chunks: list[range], journal: Journal) -> xr.Dataset:
    """The chunks written to the journal, and the whole file once all are there."""
    for runs in computed:
        if not (runs.status == INTERRUPTED).any():
            journal.put(runs)
    complete, trajectories = [chunk.start for chunk in chunks if journal.has(chunk.start)], chunks[-1].stop
    if len(complete) < len(chunks):
        kept = [journal.get(first) for first in complete]
        return _dataset(engine, kept, _messages(kept, trajectories))
    messages = [message for first in complete for message in journal.get(first).messages]
    journal.finish((_dataset(engine, [journal.get(first)], messages) for first in complete), trajectories)
    return journal.result()


def _messages(kept: list[Runs], trajectories: int) -> list[str]:
    """What ended trajectories early, and how many are missing."""
    messages = [message for runs in kept for message in runs.messages]
    missing = trajectories - sum(int((runs.status != INTERRUPTED).sum()) for runs in kept)
    if not missing:
        return messages
    return [f"interrupted: {missing} of {trajectories} trajectories are missing or not complete", *messages]


def _compute(
    engine: Engine, chunks: list[range], trajectories: int, threads: int, client: Any, progress: bool
) -> Iterator[Runs]:
    """Yield the chunks in order, until all are done or Ctrl-C is pressed."""
    told = Progress(trajectories, "trajectories", shown=progress)
    if client is not None:
        yield from _distributed(engine.request, chunks, client, told)
        return
    halt = threading.Event()
    done_before = trajectories - sum(map(len, chunks))
    for chunk in chunks:

        def tick(done: int, share: float, before: int = done_before, many: int = len(chunk)) -> None:
            told.tell(before + done, (before + share * many) / trajectories)

        yield engine.run(chunk.start, chunk.stop, threads, halt, tick if progress else None)
        done_before += len(chunk)
        if halt.is_set():
            break
    told.end()


def _distributed(request: Request, chunks: list[range], client: Any, told: Progress) -> Iterator[Runs]:
    futures = [client.submit(run_chunk, request, it.start, it.stop, pure=False) for it in chunks]
    done = accumulate(map(len, chunks))
    try:
        for number, future in enumerate(futures, 1):
            yield future.result()
            told.tell(next(done), number / len(futures))
        told.end()
    except KeyboardInterrupt:
        client.cancel(futures)


def run_chunk(request: Request, first: int, last: int) -> Runs:
    """Simulate some trajectories on one thread: what a worker of a cluster does.

    Example:
        >>> from partita.reactions import Network
        >>> net = Network.from_text("A -> @ 1; A = 3")
        >>> request = Request(net, (0.0, 100.0), {}, {}, 0, ("A",), "auto", 1000)
        >>> run_chunk(request, 4, 6).tables["A"]
        array([[3, 0],
               [3, 0]])
    """
    return Engine(request).run(first, last, 1, threading.Event())


def request_of(
    network: System,
    times: npt.ArrayLike,
    initial: Mapping[str, int] | None,
    parameters: Mapping[str, float] | None,
    seed: int | None,
    species: Sequence[str] | None,
    method: str,
    max_events: int | None,
) -> Request:
    """Check what was asked for, and put it together."""
    try:
        grid = np.asarray(times, np.float64)
    except (TypeError, ValueError):
        grid = np.zeros(0)
    are_numbers = grid.ndim == 1 and grid.size > 0 and np.isfinite(grid).all()
    if not are_numbers or grid[0] < 0 or (np.diff(grid) <= 0).any():
        raise ValueError(f"times must be increasing numbers, the first not before 0, got {times!r:.80}")
    names = network.species if species is None else tuple(species)
    known = [*network.species, *network.rules]
    if isinstance(species, str) or not {*names} <= {*known} or len({*names}) < len(names):
        listed = shown(str(known), 300)
        raise ValueError(f"species must be a list of different names out of {listed}, got {got(species)}")
    if taken := [name for name in names if name in COORDINATES]:
        raise ValueError(
            f"species must not be named {', '.join(COORDINATES)}, which are coordinates of the result, got "
            f"{taken[0]!r}"
        )
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
    seed = _whole(seed, "seed", 0, 2**63 - 1)
    limit = UNLIMITED if max_events is None else _whole(max_events, "max_events", 1, UNLIMITED)
    return Request(
        network, tuple(grid.tolist()), dict(initial or {}), dict(parameters or {}), seed, names, method, limit
    )


def _whole(value: Any, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, got {got(value)}")
    return int(value)


def _reductions(reduce: str | Sequence[str]) -> tuple[str, ...]:
    wanted = (reduce,) if isinstance(reduce, str) else tuple(reduce)
    if not {*wanted} <= {*REDUCTIONS}:
        raise ValueError(f"reduce must be among {', '.join(REDUCTIONS)}, got {reduce!r}")
    return wanted


def _call(engine: Engine, trajectories: int, size: int) -> dict[str, Any]:
    """What makes two calls the same."""
    request = engine.request
    return {
        "network": str(request.network),
        "times": list(request.times),
        "initial": dict(request.initial),
        "parameters": dict(request.parameters),
        "seed": request.seed,
        "species": list(request.species),
        "method": engine.method,
        "max_events": request.max_events,
        "trajectories": trajectories,
        "chunk": size,
    }


def attributes(engine: Engine, messages: list[str]) -> dict[str, Any]:
    """The attributes of a result."""
    request = engine.request
    return {
        "network": str(request.network),
        "parameters": json.dumps(engine.numbers.parameters),
        "initial": json.dumps(engine.numbers.initial),
        "seed": request.seed,
        "method": engine.method,
        "stopped": "\n".join(messages),
    }


def _dataset(engine: Engine, chunks: list[Runs], messages: list[str]) -> xr.Dataset:
    def joined(part: Callable[[Runs], np.ndarray], empty: tuple[int, ...] = (0,)) -> np.ndarray:
        parts = [part(runs) for runs in chunks]
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros(empty, np.int64)

    def table(name: str) -> np.ndarray:
        return joined(lambda runs: runs.tables[name], (0, len(engine.times)))

    species = engine.request.species
    variables = {name: (("trajectory", "time"), table(name), {"units": "count"}) for name in species}
    numbers = joined(lambda runs: np.arange(runs.first, runs.first + len(runs.status)))
    events, end = joined(lambda runs: runs.events), joined(lambda runs: runs.end)
    coordinates = {
        "trajectory": ("trajectory", numbers),
        "time": ("time", engine.times, {"long_name": "time, in the unit of the rates"}),
        "status": ("trajectory", np.array(STATUS)[joined(lambda runs: runs.status)]),
        "events": ("trajectory", events, {"long_name": "events that happened"}),
        "end": ("trajectory", end, {"long_name": "time reached"}),
    }
    return xr.Dataset(variables, coordinates, attributes(engine, messages))


def warn(messages: list[str]) -> None:
    """Warn of trajectories that ended early."""
    if messages:
        more = f" (and {len(messages) - 1} more, in the attribute 'stopped')" if len(messages) > 1 else ""
        warnings.warn(messages[0] + more, SimulationWarning, stacklevel=3)
