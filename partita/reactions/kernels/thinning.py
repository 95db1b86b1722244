"""Thinning (Extrande): the direct method where propensities change with time.

    B ≥ Σ a_r(s, x) for all s in [t, t + L]:   t ← t + E / B, or t + L if that is past it;
    r = min { r : u B < a_1 + … + a_r }, if any

Candidates come too often, and some are left out. A candidate without such an r is no event, which has the
probability 1 − Σ a_r / B. So the law of the events is exact whatever bound and window are; they only
decide how much work is in vain. The window L doubles when no candidate falls in it, and is halved where
the bound expects too many. It never goes past a time at which a condition turns.

Source: Voliotis, Thomas, Grima, Bowsher, PLOS Computational Biology 12 (2016) e1004923.
"""

import sys

from partita.reactions.kernels import direct
from partita.reactions.kernels.intervals import range_source
from partita.reactions.kernels.layout import Plan
from partita.reactions.kernels.settling import settling
from partita.reactions.kernels.source import INNER, indented
from partita.reactions.kernels.state import ABSORBED, BAD_PROPENSITY, FINISHED

MOST = 4.0  # candidates expected in a window: fewer cost windows in vain, more cost candidates in vain
# The same where the bounds leave open whether a propensity turns negative: it is then looked at more often.
MOST_UNSURE = 1 / 16
ROUNDING = 1.0 + 2.0**-40  # more than the sum of thousands of propensities can err


def source(plan: Plan, log: bool = False) -> str:
    """Source of `run`, as that of `direct.scalar_source`; `window` of the rows is the length L.

    A propensity that is negative, infinite or NaN at a candidate ends the trajectory, and so does one that
    has no finite bound in the shortest of windows. A window in which one may be negative begins and ends with
    a look at it, and is short: what is negative between two looks only, while less than a sixteenth of a
    candidate is expected, passes for 0.
    """
    compute, sums = direct.propensities(plan)
    step = [
        "spent += 1",
        "if spent + done >= budget:",
        "    break",
        *_look_ahead(plan),
        "before = s0, s1, s2, s3",
        *direct.DRAWS,
        "then = t + wait / bound",
        "inside = then <= end",
        "until = then if inside else end if end < last else stops[b]",
        "if not until <= times[k]:",
        *indented(_record(plan), 1),
        "if not inside:",
        *indented(_outside(plan, log), 1),
        "t = then",
        *compute,
        f"if not ({direct.all_good(plan)}):",
        f"    state = {BAD_PROPENSITY}",
        "    break",
        "threshold = u * bound",
        "if threshold < total:",
        *indented(_happen(plan, sums, log), 1),
    ]
    return direct.program(plan, log, [], step, _bounds_source(plan))


def _given(plan: Plan) -> list[str]:
    return [*(f"x{i}" for i in range(len(plan.slots))), *(f"p{i}" for i in range(len(plan.constants)))]


def _bounds(plan: Plan, first: str, last: str, found: str = "least, most, bound") -> str:
    return f"{found} = bounds_of({', '.join([first, last, *_given(plan)])})"


def _look_ahead(plan: Plan) -> list[str]:
    """Find a window with not too many candidates, and the bound in it; leave where the laws have none."""
    return [
        "last = np.nextafter(stops[b], -np.inf)",
        "shortest = np.nextafter(t, np.inf)",
        "while True:",
        "    end = min(max(t + window[i], shortest), last)",
        f"    {_bounds(plan, 't', 'end')}",
        "    expected = bound * (end - t)",
        "    fine = bound < np.inf",
        f"    enough = expected <= {MOST}",
        "    if fine and not least >= 0.0:",
        f"        {_bounds(plan, 't', 't', 'least, most, total')}",
        f"        {_bounds(plan, 'end', 'end', 'least, final, after')}",
        "        fine = most >= 0.0 and final >= 0.0 and total < np.inf and after < np.inf",
        f"        enough = expected <= {MOST_UNSURE}",
        "    if (fine and enough) or end <= shortest:",
        "        break",
        "    window[i] *= 0.5",
        "if not fine:",
        f"    state = {BAD_PROPENSITY} if shortest < times[times.size - 1] else {FINISHED}",
        *indented(direct.recording_while(plan, f"(state == {FINISHED} or times[k] <= t)"), 1),
        "    break",
    ]


def _record(plan: Plan) -> list[str]:
    return [
        *direct.recording_while(plan, "times[k] < until"),
        "if k == times.size:",
        f"    {_bounds(plan, 't', repr(sys.float_info.max))}",
        f"    state = {ABSORBED} if bound == 0.0 and stops[b] == np.inf else {FINISHED}",
        "    s0, s1, s2, s3 = before",
        "    break",
    ]


def _outside(plan: Plan, log: bool) -> list[str]:
    """Go on to the end of a window, or to the next stop."""
    return [
        "if end < last:",
        "    window[i] = 2.0 * (end - t)",
        "    t = end",
        "else:",
        "    t = stops[b]",
        "    b += 1",
        *indented(direct.settling_noted(plan, log), 1),
        "continue",
    ]


def _happen(plan: Plan, sums: list[str], log: bool) -> list[str]:
    return [
        *direct.choices(plan, sums)[1:],
        *direct.happening(plan),
        "done += 1",
        *settling(plan),
        *(direct.noting(plan, direct.chosen_index(sums)) if log else []),
    ]


def _bounds_source(plan: Plan) -> str:
    """Return the source of `bounds_of`.

    It computes the sums of the negative lower and of the negative upper bounds, and the bound of the
    total propensity.
    """
    lines: list[str] = []
    rules: dict[str, str] = {}
    ranges = [range_source(law, plan.rename, lines, rules) for law in plan.laws]
    lines.append("least = 0.0; most = 0.0; total = 0.0")
    for low_high in ranges:
        lines += [
            f"low, high = {low_high}",
            "least += 0.0 if low >= 0.0 else low",  # written so that NaN stays NaN
            "most += 0.0 if high >= 0.0 else high",
            "total += 0.0 if high < 0.0 else high",
        ]
    lines.append(f"return least, most, total * {ROUNDING!r}")
    return "\n".join(
        [
            "from partita.reactions.kernels.intervals import inner_rule, point\n",
            *(f"{name} = inner_rule({symbol!r})" for symbol, name in rules.items()),
            "\n",
            INNER,
            f"def bounds_of({', '.join(['t', 'end', *_given(plan)])}):",
            *indented(lines, 1),
            "",
            "",
            "",
        ]
    )
