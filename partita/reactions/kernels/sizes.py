"""Limits to the size of a kernel that is written for a network.

A compiler takes about a second and some megabytes for a thousand characters. Larger networks run from
tables, somewhat slower, by one kernel for all of them.
"""

from partita.reactions.kernels import direct, thinning
from partita.reactions.kernels.layout import Plan

SOURCE_LIMIT = 30_000  # characters of a kernel
EVENT_SOURCE_LIMIT = 20_000  # the same with events, whose many branches take more
PART_LIMIT = 20_000  # numbers, names and operators in it


def source_of(plan: Plan, log: bool = False) -> str | None:
    """Return the source of the kernel that runs one trajectory at a time.

    The result is None for a network that is too large for one.

    Example:
        >>> from partita.reactions import Network
        >>> from partita.reactions.kernels.layout import plan
        >>> source_of(plan(Network.from_text("A -> B @ 1"))) is None
        False
        >>> many = "; ".join(f"at t >= {i}: A = {i}" for i in range(200))
        >>> source_of(plan(Network.from_text(f"A -> B @ 1; {many}"))) is None
        True
    """
    if _num_parts(plan) > PART_LIMIT:
        return None
    write = thinning.source if plan.smooth else direct.scalar_source
    source = write(plan, False)
    if len(source) > (EVENT_SOURCE_LIMIT if plan.triggers else SOURCE_LIMIT):
        return None
    # one kernel or the other, whether events are written down or not
    return write(plan, True) if log else source


def _num_parts(plan: Plan) -> int:
    """How many parts the source would have, before it is written."""
    total = 3 * (len(plan.slots) + len(plan.constants) + len(plan.triggers) + sum(map(len, plan.changes)))
    total += sum(law.size for law in plan.laws)
    total += sum(expression.size for trigger in plan.triggers for expression in trigger.expressions)
    if direct.is_branching(plan):  # propensities are computed anew after each reaction, written out for each
        anew = [sum(plan.laws[r].size for r in readers) for readers in plan.readers]
        total += sum(anew[slot] for change in plan.changes for slot in change)
    return total
