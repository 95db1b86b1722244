"""Nested dissection: an order of elimination for a graph (George 1973).

    states  →  left | separator | right,   no edge from left to right;
    eliminate left, right, then the separator

The graph's vertices have whole-number coordinates. A separator is what must stay together: eliminating
left and right fills in nothing between them.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from partita.kernels import njit

LEAF = 48  # vertices that are not parted further

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Step(NamedTuple):
    """Vertices that are eliminated together.

    `children` are the earlier steps that leave something behind for this one.
    """

    pivots: Ints
    children: tuple[int, ...]


class Cost(NamedTuple):
    """Numbers that an elimination keeps, and multiplications that it takes."""

    kept: int
    work: int


@njit()
def _touching(indptr, indices, side, members):
    """Which of the members have a neighbour on the other side (1 or 2)."""
    found = np.zeros(members.size, np.bool_)
    for place in range(members.size):
        vertex = members[place]
        other = 3 - side[vertex]
        for entry in range(indptr[vertex], indptr[vertex + 1]):
            if side[indices[entry]] == other:
                found[place] = True
                break
    return found


@njit()
def front(indptr, indices, begun, num_pivots, done, local):
    """Return the vertices of a front.

    They are the pivots and what the children hand on, which are `begun`, and all neighbours of pivots that
    are not done.

    `local` holds −1 for each vertex, and afterwards the place of each vertex of the front.
    """
    room = begun.size
    for vertex in begun[:num_pivots]:
        room += indptr[vertex + 1] - indptr[vertex]
    members = np.empty(room, np.int64)
    count = 0
    for vertex in begun:
        if local[vertex] < 0:
            local[vertex] = count
            members[count] = vertex
            count += 1
    for vertex in begun[:num_pivots]:
        for entry in range(indptr[vertex], indptr[vertex + 1]):
            other = indices[entry]
            if local[other] < 0 and not done[other]:
                local[other] = count
                members[count] = other
                count += 1
    return members[:count]


def dissect(indptr: Ints, indices: Ints, coordinates: Ints) -> list[Step]:
    """An order of elimination, children before their parents.

    Args:
        indptr: Where the neighbours of each vertex begin, `(vertices + 1,)`.
        indices: The neighbours; the graph is symmetric.
        coordinates: `(vertices, dimensions)`.

    Returns:
        Steps whose pivots are all vertices, each once.

    Example:
        >>> chain = np.arange(200)
        >>> indptr = np.array([0, *np.cumsum([1, *[2] * 198, 1])])
        >>> indices = np.concatenate([[v for v in (i - 1, i + 1) if 0 <= v < 200] for i in chain])
        >>> sorted(len(step.pivots) for step in dissect(indptr, indices, chain[:, None]))[:3]
        [1, 1, 1]
    """
    side = np.zeros(len(indptr) - 1, np.int8)
    steps: list[Step] = []
    # A set is parted when it is taken the first time, and its separator becomes a step when it is taken the
    # second time.
    todo: list[tuple[Ints, bool]] = [(np.arange(len(side)), False)]
    open_steps: list[int] = []  # finished steps without a parent
    while todo:
        members, parted = todo.pop()
        parts = None
        if not parted and len(members) > LEAF:
            parts = _parts(indptr, indices, coordinates, side, members)
        if parts is not None:
            left, separator, right = parts
            todo += [(separator, True), (right, False), (left, False)]
            continue
        steps.append(Step(members, (open_steps.pop(-2), open_steps.pop()) if parted else ()))
        open_steps.append(len(steps) - 1)
    return steps


def _parts(
    indptr: Ints, indices: Ints, coordinates: Ints, side: npt.NDArray[np.int8], members: Ints
) -> tuple[Ints, Ints, Ints] | None:
    """Return left, separator and right, by the coordinate whose separator is smallest.

    The result is None where no cut is worth it.
    """
    best: tuple[Ints, Ints, Ints] | None = None
    for column in range(coordinates.shape[1]):
        values = coordinates[members, column]
        middle = np.partition(values, len(values) // 2)[len(values) // 2]
        is_left = values < middle
        if not is_left.any():
            is_left = values == middle
            if is_left.all():
                continue
        side[members] = np.where(is_left, 1, 2)
        touching = _touching(indptr, indices, side, members)
        from_left = is_left if (touching & is_left).sum() < (touching & ~is_left).sum() else ~is_left
        cut = touching & from_left
        left, separator, right = members[is_left & ~cut], members[cut], members[~is_left & ~cut]
        if min(len(left), len(right)) > len(members) // 8 and (best is None or len(separator) < len(best[1])):
            best = left, separator, right
    side[members] = 0
    return best


def cost(steps: list[Step], indptr: Ints, indices: Ints) -> Cost:
    """What the elimination in this order takes.

    Example:
        >>> cost([Step(np.array([0]), ()), Step(np.array([1]), (0,))], np.array([0, 1, 2]), np.array([1, 0]))
        Cost(kept=3, work=5)
    """
    done, local = np.zeros(len(indptr) - 1, np.bool_), np.full(len(indptr) - 1, -1)
    left_over: dict[int, Ints] = {}
    kept = work = 0
    for number, step in enumerate(steps):
        begun = np.concatenate([step.pivots, *(left_over.pop(child) for child in step.children)])
        members = front(indptr, indices, begun, len(step.pivots), done, local)
        local[members] = -1
        done[step.pivots] = True
        left_over[number] = members[len(step.pivots) :]
        kept += len(members) * len(step.pivots)
        work += len(members) ** 2 * len(step.pivots)
    return Cost(kept, work)
