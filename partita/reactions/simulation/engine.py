"""Runs of some trajectories: which kernel, on how many threads, and what became of each.

    trajectories  →  lanes, while there are enough of them  →  one at a time

Threads take trajectories from one queue; each has a stream of its own, so it does not matter who takes which.
"""

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from partita.quoting import MESSAGE_LIMIT, shown
from partita.reactions.kernels import general, lanes, sparse, tau
from partita.reactions.kernels.generated import load
from partita.reactions.kernels.layout import Numbers, Plan, blame, describe, numbers, plan
from partita.reactions.kernels.sizes import source_of
from partita.reactions.kernels.state import (
    BAD_EVENT,
    BAD_PROPENSITY,
    COUNT_TOO_LARGE,
    ENDED,
    HALTED,
    INTERRUPTED,
    RUNNING,
    Log,
    Rows,
    Shared,
    new_rows,
)
from partita.reactions.kernels.streams import stream_states
from partita.reactions.kernels.tables import everything, network_tables
from partita.reactions.model.expression import TIME, Name, evaluate, names
from partita.reactions.model.system import System

METHODS = ("auto", "direct", "sparse", "tau")
LARGEST_DIRECT = 32  # reactions; beyond this composition-rejection is as fast, and needs no compilation
FEWEST_FOR_LANES = 8
BUDGET = 1 << 21  # events of one call of a kernel: some hundredths of a second
UNLIMITED = 2**62  # events
TINY = 1e-300
MOST_MESSAGES = 20
Job = tuple[Callable, object]  # a kernel and its laws
Tick = Callable[[int, float], None]


@dataclass(frozen=True)
class Request:
    """What is to be simulated, apart from which trajectories; see `simulate`."""

    network: System
    times: tuple[float, ...]
    initial: Mapping[str, int]
    parameters: Mapping[str, float]
    seed: int
    species: tuple[str, ...]
    method: str
    max_events: int
    epsilon: float = 0.03


@dataclass
class Runs:
    """Trajectories `first` onwards, as a table `(trajectory, time)` for each species.

    A table has −1 or NaN past the time `end` that a run got to.
    """

    first: int
    tables: dict[str, np.ndarray]
    status: np.ndarray  # (trajectory,), an index into STATUS
    events: np.ndarray  # (trajectory,)
    end: np.ndarray  # (trajectory,)
    messages: list[str]


class Engine:
    """A request made ready: kernels loaded, numbers put in.

    Raises:
        ValueError: if the method is unknown or cannot do this network, or a name or number of the request is
            wrong.
    """

    def __init__(self, request: Request):
        self.request = request
        self.plan: Plan = plan(request.network)
        self.numbers: Numbers = numbers(self.plan, request.initial, request.parameters)
        self.times = np.array(request.times)
        self.method = choose(self.plan, request.method)
        wanted = [request.network.inline(Name(name)) for name in request.species]
        needed = {name for expression in wanted for name in names(expression)}
        recorded = [i for name, i in self.plan.places.items() if name in needed]
        counts = sum(i < self.plan.num_counts for i in recorded)
        self.num_columns = counts, len(recorded) - counts
        self.columns = np.full(len(self.plan.slots), -1, np.int64)
        # species come first among the slots, and each kind counts from 0
        self.columns[recorded] = [column for count in self.num_columns for column in range(count)]

    def run(
        self, first: int, last: int, threads: int, halt: threading.Event, tick: Tick | None = None
    ) -> Runs:
        """Simulate trajectories `first` to `last − 1`, until done or halted.

        Args:
            first: Number of the first trajectory; its stream depends on the number and the seed alone.
            last: One past the last.
            threads: How many threads share the work.
            halt: Stops the run within a fraction of a second; so does KeyboardInterrupt, which sets it.
            tick: Called now and then with the number of trajectories that are done, and the share of the time
                to be simulated that is.
        """
        rows, many = self.rows(first, last), last - first
        if self.method == "tau":
            job: Job = tau.kernel(), tau.leaping_tables(self.plan, self.numbers, self.request.epsilon)
        elif self.method == "sparse":
            job = sparse.kernel(), network_tables(self.plan, self.numbers)
        else:
            job = self.direct()
            if lanes.suits(self.plan) and many >= FEWEST_FOR_LANES and job[1] is self.numbers.constants:
                wide = load(lanes.lanes_source(self.plan)), job[1]
                self._drive(rows, wide, lanes.LANES, min(threads, -(-many // lanes.LANES)), halt, tick)
        if (rows.status == RUNNING).any() and not halt.is_set():
            self._drive(rows, job, 1, min(threads, many), halt, tick)
        return self.runs(first, rows)

    def direct(self, log: Log | None = None) -> Job:
        """Return the kernel of the direct method that runs one trajectory at a time, and its laws.

        Every event is written down in `log`.
        """
        source = source_of(self.plan, log is not None)
        if source is None:
            return general.kernel(self.plan.smooth), everything(self.plan, self.numbers, log)
        return load(source), self.numbers.constants if log is None else (self.numbers.constants, log)

    def rows(self, first: int, last: int) -> Rows:
        """The rows of some trajectories before they begin."""
        armed = np.array([not trigger.at_start for trigger in self.plan.triggers], bool)
        words = stream_states(self.request.seed, first, last)
        return new_rows(self.numbers.start, words, armed, self.num_columns, len(self.times))

    @property
    def shared(self) -> Shared:
        """What all trajectories share."""
        return Shared(self.columns, self.times, self.numbers.stops, self.request.max_events)

    def _drive(
        self, rows: Rows, job: Job, width: int, threads: int, halt: threading.Event, tick: Tick | None
    ) -> None:
        (work, laws), queue, budget = job, np.zeros(1, np.int64), self.budget

        def worker() -> None:
            places = np.full(width, -1, np.int64)
            while not halt.is_set() and work(queue, places, rows, self.shared, laws, budget):
                pass

        try:
            self.make_ready(work, rows, laws, width)
        except KeyboardInterrupt:
            halt.set()
            return
        with ThreadPoolExecutor(threads) as pool:
            try:
                pending = {pool.submit(worker) for _ in range(threads)}
                while pending:
                    done, pending = wait(pending, timeout=0.1)
                    for future in done:
                        future.result()
                    if tick is not None:
                        over = rows.status != RUNNING
                        share = np.where(over, 1.0, np.minimum(rows.clock / max(self.times[-1], TINY), 1.0))
                        tick(int(over.sum()), float(share.mean()))
            except BaseException as error:
                halt.set()
                queue[0] = HALTED
                if not isinstance(error, KeyboardInterrupt):
                    raise

    def make_ready(self, work: Callable, rows: Rows, laws: object, width: int = 1) -> None:
        """Compile a kernel for these arrays, or read it from disk: it is called with a budget of nothing."""
        if not work.signatures:  # type: ignore[attr-defined]
            nothing = Rows(*(it[:0] for it in rows))
            work(np.zeros(1, np.int64), np.full(width, -1, np.int64), nothing, self.shared, laws, 0)

    @property
    def budget(self) -> int:
        """Return the number of events that a kernel does before it returns.

        They take some hundredths of a second; in large networks they are fewer.
        """
        if self.method in ("sparse", "tau"):
            return BUDGET
        laws, conditions = self.plan.laws, [trigger.condition for trigger in self.plan.triggers]
        size = sum(expression.size for expression in (*laws, *conditions))
        return max(BUDGET * 100 // max(size, 100), min(BUDGET, 1000))

    def runs(self, first: int, rows: Rows) -> Runs:
        """What became of the trajectories in these arrays."""
        status = np.where(rows.status == RUNNING, INTERRUPTED, rows.status)
        early = np.flatnonzero(~np.isin(status, (*ENDED, INTERRUPTED)))
        reasons = {i: self._reason(status[i], rows.x[i], rows.clock[i]) for i in early[:MOST_MESSAGES]}
        messages = [shown(f"trajectory {first + i}: {why}", MESSAGE_LIMIT) for i, why in reasons.items()]
        if len(early) > MOST_MESSAGES:
            messages.append("… and more")
        end = np.where(np.isin(status, ENDED), self.times[-1], rows.clock)
        return Runs(first, self._tables(rows), status.astype(np.int8), rows.fired, end, messages)

    def _reason(self, status: int, state: np.ndarray, time: float) -> str:
        at = f"at t = {time:g} in the state {describe(self.plan, state)}"
        if status == BAD_PROPENSITY:
            return blame(self.plan, self.numbers, state, time)
        if status == COUNT_TOO_LARGE:
            name = self.plan.slots[int(np.argmax(np.abs(state[: self.plan.num_counts])))]
            return f"the count of {name!r} is about to pass 2^53 {at}"
        if status == BAD_EVENT:
            return (
                f"an event set a count that is no whole number from 0 to 2^53, or events set one another "
                f"off without end, {at}"
            )
        return f"stopped after max_events = {self.request.max_events} {at}"

    def _tables(self, rows: Rows) -> dict[str, np.ndarray]:
        """A table for each species asked for; those that follow a rule are computed from the others."""
        network = self.request.network
        shape = (len(rows.status), len(self.times))
        unreached = np.arange(len(self.times)) >= rows.reached[:, None]  # (trajectory, time)
        recorded = {
            self.plan.slots[i]: (rows.counts if i < self.plan.num_counts else rows.others)[:, column]
            for i, column in enumerate(self.columns)
            if column >= 0
        }
        known = {**self.numbers.parameters, **self.numbers.initial, **recorded, TIME: self.times}
        tables = {}
        for name in self.request.species:
            if name in recorded:
                tables[name] = recorded[name]
            elif name in network.rules:
                with np.errstate(all="ignore"):
                    value = evaluate(network.inline(Name(name)), known)
                tables[name] = np.where(unreached, np.nan, np.broadcast_to(value, shape))
            else:
                tables[name] = np.where(unreached, -1, np.int64(self.numbers.initial[name]))
        return tables


def choose(layout: Plan, method: str) -> str:
    """The method that `auto` stands for; others as they are.

    Raises:
        ValueError: if there is no such method, or it cannot do this network.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if method == "auto":
        return "sparse" if len(layout.laws) > LARGEST_DIRECT and sparse.suits(layout) else "direct"
    if method in ("sparse", "tau") and not sparse.suits(layout):
        raise ValueError(f"method {method!r} cannot do events, or rates that depend on time; use 'direct'")
    return method


def available_threads() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
