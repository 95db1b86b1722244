"""The direct method for many trajectories in lockstep.

    one pass = one event in every lane:   t_l ← t_l + E_l / Σ a(x_l)

A lane of a vector register holds a trajectory with its own stream. Lane by lane the arithmetic is that of
`kernel`, in the same order, so the numbers are the same. The inner loop has no branch and LLVM makes
vector code of it. What is rare happens between two passes: a lane records the grid points its event has
gone past, and takes the next trajectory when it is done. Whatever needs more care (a bad propensity, a
count near its limit) is left to the scalar kernel.
"""

from partita.reactions.kernels import direct
from partita.reactions.kernels.layout import Plan
from partita.reactions.kernels.source import ARGUMENTS, DECORATOR, UNPACK, header, indented
from partita.reactions.kernels.state import ABSORBED, COUNT_LIMIT, EVENT_LIMIT, FINISHED, RUNNING
from partita.reactions.model.expression import operators
from partita.reactions.model.operators import OPERATORS

LANES = 16
FEWEST = 5  # with no more lanes in use than these the scalar kernel is as fast
# Rows of the work array, LANES numbers each; behind the state stands that before the event.
_CLOCK, _EDGE, _TOTAL, _STATE = range(4)
BLOCK = 1024  # passes between two looks at event limits and large counts


def suits(plan: Plan) -> bool:
    """Whether every law is plain arithmetic, which vector units can do, of the state alone."""
    return plan.is_plain and all(
        OPERATORS[symbol].is_arithmetic for law in plan.laws for symbol in operators(law)
    )


def lanes_source(plan: Plan) -> str:
    """Return the source of `run`, which has the arguments of the scalar kernel.

    `places` holds a trajectory for each lane, or −1. `run` returns when about `budget` events are done or
    none is left: False if too few trajectories are left to fill the lanes. Those still running then stand
    in their rows, for the scalar kernel to end; most ensembles need none, and the scalar kernel is not
    compiled.
    """
    slots = range(len(plan.slots))
    load = _load(plan)
    lines = [
        header(),
        f"LANES = {LANES}",
        "",
        "",
        DECORATOR,
        f"def run({ARGUMENTS}):",
        *indented([*UNPACK, *(f"p{i} = p[{i}]" for i in range(len(plan.constants)))], 1),
        f"    f = np.empty({_old(plan) + len(slots)} * LANES)",
        "    w = np.empty(4 * LANES, np.uint64)",
        "    kept = np.zeros(LANES, np.int64)",
        "    since = np.zeros(LANES, np.int64)",
        "    place = places",
        "    fresh = True",
        "    spent = 0",
        "    for l in range(LANES):",
        *indented(load, 2),
        "    while True:",
        f"        passes = {BLOCK}",
        "        active = 0",
        "        for l in range(LANES):",
        *indented(_room(plan, load), 3),
        "        if spent >= budget or active == 0:",
        "            break",
        "        since[:] = 0",
        "        for passed in range(passes):",
        "            rare = 0",
        "            for l in range(LANES):",
        *indented(_event(plan), 4),
        "            if rare:",
        *indented(_rare(plan, load), 4),
        "        spent += passes * LANES",
        "        for l in range(LANES):",
        "            i = place[l]",
        "            if i >= 0:",
        f"                clock[i] = {_at(_CLOCK)}; reached[i] = kept[l]; fired[i] += since[l] + passes",
        *indented([f"words[i, {s}] = w[{s * LANES} + l]" for s in range(4)], 4),
        *indented([f"x[i, {s}] = {_at(_STATE + s)}" for s in slots], 4),
        f"    return active > {FEWEST} or fresh",
    ]
    return "\n".join(lines) + "\n"


def _old(plan: Plan) -> int:
    return _STATE + len(plan.slots)


def _at(row: int) -> str:
    return f"f[{row * LANES} + l]"


def _load(plan: Plan) -> list[str]:
    """Give a lane the next trajectory, if there is one."""
    slots = range(len(plan.slots))
    return [
        "while fresh and place[l] < 0:",
        "    i = fetch_add(queue, 1)",
        "    if i >= status.size:",
        "        fresh = False",
        f"    elif status[i] == {RUNNING}:",
        "        place[l] = i",
        "i = place[l]",
        "if i >= 0:",
        *indented([f"{_at(_STATE + s)} = x[i, {s}]" for s in slots], 1),
        *indented([f"w[{s * LANES} + l] = words[i, {s}]" for s in range(4)], 1),
        f"    {_at(_CLOCK)} = clock[i]; kept[l] = reached[i]; {_at(_EDGE)} = times[kept[l]]",
        "else:",  # an idle lane runs on harmlessly, at a time when nothing is to be recorded
        *indented([f"{_at(_STATE + s)} = 0.0" for s in slots], 1),
        f"    {_at(_CLOCK)} = np.inf; {_at(_EDGE)} = np.inf",
    ]


def _room(plan: Plan, load: list[str]) -> list[str]:
    """Return lines that count the lanes in use, and the passes until one comes near a limit.

    A lane that has come near one is left to the scalar kernel.
    """
    sizes = [f"abs({_at(_STATE + s)})" for s in range(len(plan.slots))]
    return [
        "i = place[l]",
        "if i >= 0:",
        "    left = max_events - fired[i]",
        f"    highest = max({', '.join(['0.0', *sizes])})",
        f"    near = highest > {COUNT_LIMIT} - {float(BLOCK * plan.largest_change)}",
        "    if left < 1:",
        f"        status[i] = {EVENT_LIMIT}",
        "    if left < 1 or near:",
        "        place[l] = -1",
        *indented(load, 2),
        "        passes = 0",
        "    else:",
        "        passes = min(passes, left)",
        "        active += 1",
    ]


def _event(plan: Plan) -> list[str]:
    """One event in a lane, without a branch."""
    slots = range(len(plan.slots))
    compute, sums = direct.propensities(plan)
    return [
        *(f"s{i} = w[{i * LANES} + l]" for i in range(4)),
        *direct.DRAWS,
        *(f"w[{i * LANES} + l] = s{i}" for i in range(4)),
        *(f"x{i} = {_at(_STATE + i)}" for i in slots),
        *compute,
        f"then = {_at(_CLOCK)} + wait / total",
        f"then = then if {direct.all_good(plan)} else np.nan",
        f"rare += 0 if then <= {_at(_EDGE)} else 1",
        f"{_at(_CLOCK)} = then",
        f"{_at(_TOTAL)} = total",
        *direct.choices(plan, sums),
        *(f"{_at(_old(plan) + i)} = x{i}" for i in slots),
        *(f"{_at(_STATE + i)} = x{i} + {change}" for i, change in direct.differences(plan).items()),
    ]


def _rare(plan: Plan, load: list[str]) -> list[str]:
    """Record what a lane has gone past, and end its trajectory where that was all."""
    old = _old(plan)
    return [
        "for l in range(LANES):",
        f"    if not ({_at(_CLOCK)} <= {_at(_EDGE)}):",
        "        i = place[l]",
        f"        then = {_at(_CLOCK)}",
        "        k = kept[l]",
        "        while i >= 0 and k < times.size and times[k] < then:",
        *indented(direct.recording(plan, lambda slot: _at(old + slot)), 3),
        "            k += 1; spent += 1",
        "        if i >= 0 and k < times.size and then == then:",
        f"            kept[l] = k; {_at(_EDGE)} = times[k]",
        "        else:",
        "            if i >= 0 and then == then:",
        f"                status[i] = {ABSORBED} if {_at(_TOTAL)} == 0.0 else {FINISHED}",
        "                reached[i] = k; fired[i] += since[l] + passed",
        *indented([f"x[i, {s}] = {_at(old + s)}" for s in range(len(plan.slots))], 4),
        "            place[l] = -1",
        *indented(load, 3),
        "            since[l] = -passed - 1",
    ]
