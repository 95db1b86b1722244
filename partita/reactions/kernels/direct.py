"""The direct method as one compiled function for each structure of network.

    E ~ Exp(1), u ~ U[0, 1):   t ← t + E / Σ a_r,
    r = min { r : u Σ a < a_1 + … + a_r }        (Gillespie 1977)

The source is written out from the plan: species are local variables, and in small networks a reaction is
chosen without a branch. With the partial sums c_r of the propensities and g_r = [u Σ a ≥ c_r], species i
changes by v_i1 + Σ_r (v_i,r+1 − v_ir) g_r.
"""

from collections.abc import Callable
from itertools import pairwise

from partita.reactions.kernels.layout import Plan
from partita.reactions.kernels.settling import settle_source, settling
from partita.reactions.kernels.source import ARGUMENTS, DECORATOR, UNPACK, header, indented
from partita.reactions.kernels.state import (
    ABSORBED,
    BAD_PROPENSITY,
    COUNT_LIMIT,
    COUNT_TOO_LARGE,
    EVENT_LIMIT,
    FINISHED,
    RUNNING,
    Log,
)
from partita.reactions.model.expression import source

# Partial sums are added up in a tree of this width: short chains of additions, and still never decreasing.
RADIX = 4
# Reactions; in larger networks finding one by branches costs less than computing all propensities anew.
LARGEST_BRANCHLESS = 10


# Lines that take the two numbers of an event from the stream s0…s3
DRAWS = (
    "r, s0, s1, s2, s3 = advance(s0, s1, s2, s3)",
    "wait = exponential(r)",
    "r, s0, s1, s2, s3 = advance(s0, s1, s2, s3)",
    "u = uniform(r)",
)


def laws(plan: Plan) -> list[str]:
    """Lines that compute a0, a1 and so on."""
    return [f"a{i} = {source(law, plan.rename)}" for i, law in enumerate(plan.laws)]


def propensities(plan: Plan) -> tuple[list[str], list[str]]:
    """Lines that compute a0, a1, … and their `total`, and the names of the partial sums."""
    lines = laws(plan)
    sums = _partial_sums([f"a{i}" for i in range(len(plan.laws))], lines)
    # Adding 0 makes 0 of −0, which would turn the waiting time to −inf.
    lines.append(f"total = {sums[-1]} + 0.0" if sums else "total = 0.0")
    return lines, sums


def _partial_sums(terms: list[str], lines: list[str]) -> list[str]:
    if len(terms) <= 1:
        return terms
    size = 1
    while size * RADIX < len(terms):
        size *= RADIX
    sums: list[str] = []
    for first in range(0, len(terms), size):
        inner = _partial_sums(terms[first : first + size], lines)
        if sums:
            numbered = [(f"c{i}", term) for i, term in enumerate(inner, len(lines))]
            lines += [f"{name} = {sums[-1]} + {term}" for name, term in numbered]
            inner = [name for name, _ in numbered]
        sums += inner
    return sums


def all_good(plan: Plan) -> str:
    """The condition that no propensity is negative, NaN or infinite."""
    each = [] if plan.safe else [f"(a{i} >= 0.0)" for i in range(len(plan.laws))]
    return " & ".join([*each, "(total < np.inf)"])


def choices(plan: Plan, sums: list[str]) -> list[str]:
    """Lines that set g0, g1, …: whether the chosen reaction stands after reaction 0, 1 and so on."""
    return ["threshold = u * total", *(f"g{r} = threshold >= {name}" for r, name in enumerate(sums[:-1]))]


def differences(plan: Plan) -> dict[int, str]:
    """Slot → source of what the chosen reaction adds to it; exact, as whole numbers are."""
    found = {}
    for slot in sorted({slot for change in plan.changes for slot in change}):
        values = [change.get(slot, 0) for change in plan.changes]
        steps = [after - before for before, after in pairwise(values)]
        terms = [f"({float(step)} if g{r} else 0.0)" for r, step in enumerate(steps) if step]
        terms += [str(float(values[0]))] if values[0] else []
        while len(terms) > 1:
            terms = [f"({' + '.join(terms[i : i + 2])})" for i in range(0, len(terms), 2)]
        found[slot] = terms[0]
    return found


def happening(plan: Plan) -> list[str]:
    """Lines that do what the chosen reaction does; they read g0, g1 and so on."""
    return [f"x{slot} += {change}" for slot, change in differences(plan).items()]


def is_branching(plan: Plan) -> bool:
    """Return whether the chosen reaction is found by branches.

    Each branch computes anew what the reaction changes.
    """
    return len(plan.laws) > LARGEST_BRANCHLESS and plan.is_plain


def scalar_source(plan: Plan, log: bool = False) -> str:
    """Return the source of `run`, which takes trajectories from the queue one at a time.

    With `log` it writes every event down, and its laws are the constants and a `Log`.
    """
    compute, sums = propensities(plan)
    good = all_good(plan)
    branching = is_branching(plan) and not log
    if branching:
        compute = compute[len(plan.laws) :]
        happen = ["threshold = u * total", *_branches(plan, sums, _anew(plan), 0, len(plan.laws))]
    else:
        happen = [*choices(plan, sums), *happening(plan)]
    crossing = [
        # A propensity that is wrong from now on is no matter where nothing is to be recorded any more.
        f"wrong = not ({good})",
        "until = np.nextafter(t, np.inf) if wrong else min(then, stops[b])",
        *recording_while(plan, "times[k] < until"),
        "if k == times.size:",
        f"    state = {ABSORBED} if total == 0.0 and not wrong and stops[b] == np.inf else {FINISHED}",
        "elif wrong:",
        f"    state = {BAD_PROPENSITY}",
        "if state != 0:",
        "    s0, s1, s2, s3 = before",
        "    break",
        "edge = min(times[k], stops[b])",
        "if then >= stops[b]:",
        "    t = stops[b]",
        "    b += 1",
        *indented(settling_noted(plan, log), 1),
        "    edge = min(times[k], stops[b])",
        "    continue",
    ]
    step = [
        "before = s0, s1, s2, s3",
        *DRAWS,
        *compute,
        "then = t + wait / total",
        f"if not ((then <= edge) & {good}):",
        *indented(crossing, 1),
        "t = then",
        *happen,
        "done += 1",
        *settling(plan),
        *(noting(plan, chosen_index(sums)) if log else []),
    ]
    ready = ["edge = min(times[k], stops[b])", *(laws(plan) if branching else [])]
    return program(plan, log, ready, step)


def program(plan: Plan, log: bool, ready: list[str], step: list[str], before: str = "") -> str:
    """Source of `run` around what it does step by step.

    Args:
        plan: The network.
        log: Whether events are written down.
        ready: Lines before the first step of a trajectory.
        step: Lines of one step, which count the events in `done`, and set `state` to end the trajectory.
        before: Source that stands before `run`.
    """
    slots = range(len(plan.slots))
    sizes = [f"abs(x{i})" for i in range(plan.num_counts)] or ["0.0"]
    highest = f"max({', '.join(sizes)})" if len(sizes) > 1 else sizes[0]
    body = [
        *(f"x{i} = x[i, {i}]" for i in slots),
        *(["w = armed[i]"] if plan.triggers else []),
        "t = clock[i]; k = reached[i]; b = stop[i]; state = 0; done = 0; todo = 1",
        "s0 = words[i, 0]; s1 = words[i, 1]; s2 = words[i, 2]; s3 = words[i, 3]",
        "if b < 0:",
        "    b = 0",
        *indented(settling_noted(plan, log), 1),
        # Within `room` events no count can pass the limit, so that the loop need not look at them.
        f"room = np.int64(({COUNT_LIMIT} - {highest}) / {float(plan.largest_change)})",
        "todo = min(budget - spent, max_events - fired[i], room)",
        "if todo < 1 and state == 0:",
        f"    state = {COUNT_TOO_LARGE} if room < 1 else {EVENT_LIMIT}",
        *ready,
        "while state == 0 and done < todo:",
        *indented(step, 1),
        *(f"x[i, {i}] = x{i}" for i in slots),
        "spent += done + 1 + k - reached[i]",
        "clock[i] = t; fired[i] += done; reached[i] = k; stop[i] = b; status[i] = state",
        "words[i, 0] = s0; words[i, 1] = s1; words[i, 2] = s2; words[i, 3] = s3",
        "if state != 0:",
        "    places[0] = -1",
    ]
    unpack = [*UNPACK, *(f"p{i} = p[{i}]" for i in range(len(plan.constants))), "spent = 0"]
    room = [f"{', '.join(f'log_{name}' for name in Log._fields)} = log", "logged = 0"]
    lines = [
        header() + before,
        *(settle_source(plan) if plan.triggers else []),
        DECORATOR,
        f"def run({ARGUMENTS}):",
        *indented(["p, log = p", *unpack, *room] if log else unpack, 1),
        *([f"    y = np.empty({len(plan.slots)})"] if plan.triggers else []),
        "    while spent < budget:",
        *indented(_NEXT, 2),
        *indented(body, 2),
        "    return True",
    ]
    return "\n".join(lines) + "\n"


def settling_noted(plan: Plan, log: bool) -> list[str]:
    """Lines that let events happen, and with `log` write down the state after them."""
    return [*settling(plan), *(noting(plan, "-1") if log and plan.triggers else [])]


def noting(plan: Plan, chosen: str) -> list[str]:
    """Lines that write an event down."""
    return [
        f"chosen = {chosen}",
        "log_time[logged] = t",
        "log_reaction[logged] = chosen",
        *(f"log_state[logged, {i}] = x{i}" for i in range(len(plan.slots))),
        "logged += 1",
    ]


def chosen_index(sums: list[str]) -> str:
    """The number of the chosen reaction, from g0, g1 and so on."""
    return " + ".join(f"np.int64(g{r})" for r in range(len(sums) - 1)) or "0"


def _anew(plan: Plan) -> list[list[str]]:
    """For each reaction, lines that compute the propensities which it changes."""
    lines = laws(plan)
    return [[lines[r] for r in affected] for affected in plan.affected]


def _branches(plan: Plan, sums: list[str], anew: list[list[str]], first: int, last: int) -> list[str]:
    """Return lines that find the chosen reaction by bisection and do what it does.

    They compute anew only the propensities that it changes.
    """
    if last - first == 1:
        happen = [f"x{slot} += {float(value)}" for slot, value in plan.changes[first].items()]
        return [*happen, *anew[first]] or ["pass"]
    middle = (first + last) // 2
    lower, upper = _branches(plan, sums, anew, first, middle), _branches(plan, sums, anew, middle, last)
    return [f"if threshold < {sums[middle - 1]}:", *indented(lower, 1), "else:", *indented(upper, 1)]


_NEXT = (
    "i = places[0]",
    "if i < 0:",
    "    i = fetch_add(queue, 1)",
    "    if i >= status.size:",
    "        return False",
    f"    if status[i] != {RUNNING}:",
    "        continue",
    "    places[0] = i",
)


def recording_while(plan: Plan, condition: str) -> list[str]:
    """Lines that write the state down for one time after another, as long as a condition holds."""
    return [
        f"while k < times.size and {condition}:",
        *indented(recording(plan, "x{}".format), 1),
        "    k += 1",
    ]


def recording(plan: Plan, value: Callable[[int], str]) -> list[str]:
    """Lines that write the slots asked for into row `k` of time."""
    lines = []
    for slot in range(len(plan.slots)):
        target, kind = ("counts", "np.int64") if slot < plan.num_counts else ("others", "np.float64")
        lines += [
            f"if columns[{slot}] >= 0:",
            f"    {target}[i, columns[{slot}], k] = {kind}({value(slot)})",
        ]
    return lines or ["pass"]
