"""Bounds of what is handed to the compiler, which takes about a second and some megabytes for a thousand characters of source."""

from partita.reactions.kernels.layout import Plan
from partita.reactions.model.expression import names

SOURCE_LIMIT = 80_000  # characters of a kernel: below a minute, and below 1 GiB
EVENT_SOURCE_LIMIT = 40_000  # the same with events, whose many branches take more
PART_LIMIT = 20_000  # numbers, names and operators in it


def check_parts(plan: Plan, branching: bool) -> None:
    """Refuse a network before its kernel is written, if that would be much too large.

    Args:
        plan: The network.
        branching: Whether the kernel computes propensities anew after each reaction, written out for each.

    Raises:
        ValueError: naming the event or reaction that is largest.
    """
    parts: dict[str, int] = {}
    for event, trigger in zip(plan.network.events, plan.triggers, strict=True):
        expressions = [trigger.condition, *(value for _, value in trigger.assignments), *([trigger.priority] if trigger.priority else [])]
        parts[str(event)[:200]] = 3 + sum(expression.size for expression in expressions)
    readers: dict[str, int] = {}
    if branching:
        for law in plan.laws:
            for name in names(law):
                readers[name] = readers.get(name, 0) + law.size
    for reaction, law, change in zip(plan.network.reactions, plan.laws, plan.changes, strict=True):
        anew = sum(readers.get(plan.slots[slot], 0) for slot in change)
        parts[str(reaction)[:200]] = parts.get(str(reaction)[:200], 0) + law.size + anew + 3 * len(change)
    total = sum(parts.values()) + 3 * (len(plan.slots) + len(plan.constants))
    if total > PART_LIMIT:
        largest = max(parts, key=parts.__getitem__)
        raise ValueError(f"{_too_large(plan)}: it has {total:,} parts, {PART_LIMIT:,} are allowed, the most in {largest!r}")


def check_source(plan: Plan, source: str) -> str:
    """Return the source of a kernel, if it is not too large.

    Raises:
        ValueError: if it is.
    """
    limit = EVENT_SOURCE_LIMIT if plan.triggers else SOURCE_LIMIT
    if len(source) > limit:
        raise ValueError(f"{_too_large(plan)}: its source has {len(source):,} characters, {limit:,} are allowed")
    return source


def _too_large(plan: Plan) -> str:
    what = f"{len(plan.laws):,} reactions and {len(plan.triggers):,} events"
    if plan.is_plain:
        return f"the network of {what} is too large to be compiled for method 'direct': take method 'sparse'"
    return f"the network of {what} is too large to be compiled, which events and rates that follow t need: write fewer or shorter ones"
