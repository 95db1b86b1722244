"""What every kernel is given: the rows of its trajectories, what they share, and how each may end.

    run(queue, places, rows, shared, laws, budget) → whether work is left

A kernel takes trajectories from the queue, works until about `budget` events are done, and returns. All it
knows of a trajectory stands in its rows, so that any kernel can go on with it. `places` `(lane,)` holds the
trajectories in hand, −1 for none. `laws` are the numbers of this call as the kernel computes propensities
from them: an array of constants, or tables.
"""

from typing import Any, NamedTuple

import numpy as np

from partita.reactions.model.system import COUNT_LIMIT as _COUNT_LIMIT

RUNNING, FINISHED, ABSORBED, EVENT_LIMIT, BAD_PROPENSITY, COUNT_TOO_LARGE, BAD_EVENT, INTERRUPTED = range(8)
STATUS = (
    "running",
    "finished",
    "absorbed",
    "event limit",
    "bad propensity",
    "count limit",
    "bad event",
    "interrupted",
)
ENDED = (FINISHED, ABSORBED)
HALTED = 1 << 40  # the queue is set to this to stop kernels that work long before they return
COUNT_LIMIT = float(_COUNT_LIMIT)
NONE: Any = np.int64(-1)  # no reaction, no event; of the type of the others, or all would be compiled twice
FIRST_WINDOW = 1.0  # a unit of time; soon the window has grown or shrunk to what suits


class Rows(NamedTuple):
    """A row for each trajectory."""

    words: np.ndarray  # (trajectory, 4) uint64: where the stream stands
    x: np.ndarray  # (trajectory, slot): the state
    clock: np.ndarray  # (trajectory,)
    reached: np.ndarray  # (trajectory,) int64: the next of `times`
    fired: np.ndarray  # (trajectory,) int64: events done
    status: np.ndarray  # (trajectory,) int8
    stop: np.ndarray  # (trajectory,) int64: the next of `stops`, −1 before the start
    armed: np.ndarray  # (trajectory, event) bool: whether the condition was true
    window: np.ndarray  # (trajectory,): how far thinning looks ahead
    exact: np.ndarray  # (trajectory,) int64: events that tau-leaping does one by one, still to be done
    counts: np.ndarray  # (trajectory, column, time) int64: what is recorded of species
    others: np.ndarray  # (trajectory, column, time): what is recorded of other slots


class Shared(NamedTuple):
    """What is the same for all trajectories of a call."""

    columns: np.ndarray  # (slot,) int64: the column that a slot is recorded in, −1 for none
    times: np.ndarray  # (time,): when to record
    stops: np.ndarray  # (stop,): when a condition of time may turn; the last is infinite
    max_events: int


class Log(NamedTuple):
    """Room for events written down, one a row."""

    time: np.ndarray  # (event,)
    reaction: np.ndarray  # (event,) int64: −1 where conditions have set the state
    state: np.ndarray  # (event, slot)


def new_rows(
    start: np.ndarray, words: np.ndarray, armed: np.ndarray, num_columns: tuple[int, int], num_times: int
) -> Rows:
    """Return the rows of trajectories that have not begun.

    Args:
        start: State at the start, `(slot,)`.
        words: Of their streams, `(trajectory, 4)`.
        armed: Whether the condition of each event counts as true before the start, `(event,)`.
        num_columns: How many species and how many other slots are recorded.
        num_times: How many times are.

    Example:
        >>> new_rows(np.ones(2), np.zeros((3, 4), np.uint64), np.zeros(0, bool), (1, 0), 5).counts.shape
        (3, 1, 5)
    """
    many = len(words)
    return Rows(
        words=words,
        x=np.tile(start, (many, 1)),
        clock=np.zeros(many),
        reached=np.zeros(many, np.int64),
        fired=np.zeros(many, np.int64),
        status=np.full(many, RUNNING, np.int8),
        stop=np.full(many, -1, np.int64),
        armed=np.tile(armed, (many, 1)),
        window=np.full(many, FIRST_WINDOW),
        exact=np.zeros(many, np.int64),
        counts=np.full((many, num_columns[0], num_times), -1, np.int64),
        others=np.full((many, num_columns[1], num_times), np.nan),
    )
