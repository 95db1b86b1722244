"""A network as numbered slots and expressions, and the numbers that one call adds.

    state x = (counts that change, parameters that events set)
    constants p = (rate constants, all else that has a name)

A kernel is made from these. Rules are inlined. The rate constant of a mass-action law is a constant
whatever its expression, so that networks which differ in numbers or names only share one compiled kernel.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from partita.quoting import got, shown
from partita.reactions.kernels.guard import guarded
from partita.reactions.kernels.intervals import enclose
from partita.reactions.model.expression import (
    TIME,
    Call,
    Expression,
    Name,
    constant,
    evaluate,
    names,
    to_text,
)
from partita.reactions.model.reaction import Event, finite
from partita.reactions.model.system import System

_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})


@dataclass(frozen=True)
class Trigger:
    """An event in terms of slots.

    It has a condition, a priority and what is set; `at_start` says whether it may happen at the very
    start.
    """

    condition: Expression
    priority: Expression | None
    assignments: tuple[tuple[int, Expression], ...]
    at_start: bool

    @property
    def expressions(self) -> list[Expression]:
        """All of its expressions."""
        values = [value for _, value in self.assignments]
        return [self.condition, *([] if self.priority is None else [self.priority]), *values]


@dataclass(frozen=True)
class Plan:
    """A network laid out for kernels; made by `plan`.

    Args:
        network: The network.
        slots: Name of each number of the state: first the species, then parameters that events set.
        num_counts: How many slots are species.
        constants: Each constant's name and its value as an expression of parameters and of species that never
            change.
        rates: For each reaction, which of the constants is the k of its mass action; None for other laws.
        laws: The propensity of each reaction, over slots, constants and `t`.
        changes: Slot → difference, for each reaction.
        safe: Whether no propensity can turn negative as long as the rate constants are not.
        triggers: The events.
        stops: Expressions of the times at which a condition may turn.
        smooth: Whether a propensity changes with time in between.
    """

    network: System
    slots: tuple[str, ...]
    num_counts: int
    constants: tuple[tuple[str, Expression], ...]
    rates: tuple[int | None, ...]
    laws: tuple[Expression, ...]
    changes: tuple[Mapping[int, int], ...]
    safe: bool
    triggers: tuple[Trigger, ...]
    stops: tuple[Expression, ...]
    smooth: bool

    @functools.cached_property
    def largest_change(self) -> int:
        """The most that a reaction adds to a count or takes from it, at least 1."""
        return max((abs(v) for change in self.changes for v in change.values()), default=1) or 1

    @property
    def is_plain(self) -> bool:
        """Whether nothing but reactions happens, at rates that do not depend on time."""
        return not (self.triggers or self.stops or self.smooth)

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """The slot of each name."""
        return {name: i for i, name in enumerate(self.slots)}

    @functools.cached_property
    def readers(self) -> list[list[int]]:
        """For each slot, the reactions whose propensity reads it."""
        found: list[list[int]] = [[] for _ in self.slots]
        for r, law in enumerate(self.laws):
            for name in names(law) & self.places.keys():
                found[self.places[name]].append(r)
        return found

    @property
    def affected(self) -> list[list[int]]:
        """For each reaction, those whose propensity it changes."""
        return [sorted({r for slot in change for r in self.readers[slot]}) for change in self.changes]

    def rename(self, name: str) -> str:
        """The local variable of a kernel that holds a name."""
        return self._locals[name]

    @functools.cached_property
    def _locals(self) -> dict[str, str]:
        constants = {name: f"p{i}" for i, (name, _) in enumerate(self.constants)}
        return {TIME: "t"} | constants | {name: f"x{i}" for i, name in enumerate(self.slots)}


def plan(network: System) -> Plan:
    """Lay a network out.

    Raises:
        ValueError: if an event's condition follows time in a way that is not simulated exactly.

    Example:
        >>> from partita.reactions import Network
        >>> layout = plan(Network.from_text("2 A -> B @ 0.1"))
        >>> layout.slots, layout.changes, to_text(layout.laws[0])
        (('A', 'B'), ({0: -2, 1: 1},), 'rate@0 * A * (A - 1) / 2')
    """
    changed = {name for reaction in network.reactions for name in network.change(reaction)}
    assigned = {name for event in network.events for name, _ in event.assignments}
    changed |= assigned
    counts = [name for name in network.species if name in changed]
    slots = (*counts, *(name for name in network.parameters if name in assigned))
    index, varying = {name: i for i, name in enumerate(slots)}, frozenset({TIME, *slots})
    laws, constants, rates, safe = [], dict[str, Expression](), list[int | None](), not network.events
    for number, reaction in enumerate(network.reactions):
        rate = network.inline(reaction.rate)
        if reaction.mass_action and not names(rate) & varying:
            rates.append(len(constants))
            constants[name := f"rate@{number}"] = rate  # a name that no text can have
            laws.append(network.propensity(replace(reaction, rate=Name(name))))
            safe = safe and not any(species in network.rules for species, _ in reaction.reactants)
        else:
            rates.append(None)
            laws.append(guarded(network.propensity(reaction), network.change(reaction)))
            safe = False
    triggers = tuple(_trigger(network, event, index) for event in network.events)
    stops = _all_stops(network, laws, triggers, varying)
    expressions = [*laws, *(expression for trigger in triggers for expression in trigger.expressions)]
    for name in sorted(frozenset[str]().union(*map(names, expressions)) - {*varying, *constants}):
        constants[name] = Name(name)
    all_changes = map(network.change, network.reactions)
    return Plan(
        network,
        slots,
        len(counts),
        tuple(constants.items()),
        tuple(rates),
        tuple(laws),
        tuple({index[name]: value for name, value in change.items()} for change in all_changes),
        safe,
        triggers,
        tuple(dict.fromkeys(stop for stop in stops if stop is not None)),
        None in stops,
    )


def _trigger(network: System, event: Event, index: Mapping[str, int]) -> Trigger:
    return Trigger(
        network.inline(event.trigger),
        None if event.priority is None else network.inline(event.priority),
        tuple((index[name], network.inline(value)) for name, value in event.assignments),
        event.at_start,
    )


def _all_stops(
    network: System, laws: Iterable[Expression], triggers: Iterable[Trigger], varying: frozenset[str]
) -> list[Expression | None]:
    """The times at which a law or a condition may turn; None for a law that follows `t` all the time."""
    stops = [stop for law in laws for _, stop in _uses_of_time(law, varying)]
    for event, trigger in zip(network.events, triggers, strict=True):
        for use, stop in _uses_of_time(trigger.condition, varying):
            if stop is None:
                raise ValueError(
                    f"the condition of {str(event)!r} depends on time through {to_text(use)!r}: exact "
                    "simulation takes `t` in a condition of an event only where it is compared with "
                    "parameters, as in `at t >= 10: A = 0`"
                )
            stops.append(stop)
    return stops


def _uses_of_time(
    expression: Expression, varying: frozenset[str]
) -> Iterator[tuple[Expression, Expression | None]]:
    """Where `t` stands in an expression: comparisons of `t` with c, and the time c; all else, and None."""
    if TIME not in names(expression):
        return
    if not isinstance(expression, Call):
        yield expression, None
    elif expression.operator in _COMPARISONS and Name(TIME) in expression.arguments:
        other = expression.arguments[expression.arguments[0] == Name(TIME)]
        yield expression, None if names(other) & varying else other
    else:
        for argument in expression.arguments:
            yield from _uses_of_time(argument, varying)


@dataclass(frozen=True)
class Numbers:
    """The numbers of one call.

    They are the constants `(constant,)`, the initial state `(slot,)`, and the times at which conditions
    may turn, ending with inf.
    """

    constants: np.ndarray
    start: np.ndarray
    stops: np.ndarray
    initial: Mapping[str, int]
    parameters: Mapping[str, float]


def numbers(
    layout: Plan, initial: Mapping[str, int] | None, parameters: Mapping[str, float] | None
) -> Numbers:
    """Put numbers to a plan.

    Raises:
        ValueError: if a name is unknown, a count no whole number from 0 to 2⁵³, or a rate constant negative
            or no finite number.

    Example:
        >>> from partita.reactions import Network
        >>> numbers(plan(Network.from_text("A -> B @ k; k = 2")), {"A": 5}, {"k": 3}).constants
        array([3.])
    """
    network, given = layout.network, dict[str, float]()
    for name, value in (parameters or {}).items():
        if name not in network.parameters:
            there_are = shown(", ".join(network.parameters), 300) or "it has none"
            raise ValueError(f"parameters must name parameters of the network ({there_are}), got {got(name)}")
        given[name] = finite(value, f"parameters[{name!r}]")
    all_parameters = {**network.parameters, **given}
    counts = network.counts({**network.initial, **(initial or {})})
    known = {**all_parameters, **{name: float(count) for name, count in counts.items()}}
    constants = [constant(expression, known) for _, expression in layout.constants]
    for reaction, place in zip(network.reactions, layout.rates, strict=True):
        if place is not None and constants[place] < 0:
            raise ValueError(
                f"the rate constant of {str(reaction)!r} must not be negative, got {constants[place]:g}"
            )
    times = {constant(stop, known) for stop in layout.stops}
    # A strict comparison turns one float later than the others.
    stops = sorted(moment for time in times for moment in (time, np.nextafter(time, np.inf)) if moment > 0)
    start = np.array([known[name] for name in layout.slots])
    return Numbers(np.array(constants), start, np.array([*stops, np.inf]), counts, all_parameters)


@np.errstate(all="ignore")
def blame(layout: Plan, given: Numbers, state: np.ndarray, time: float) -> str:
    """Name the reaction whose propensity is negative, not finite, or about to grow without bound.

    The text also gives the time and the state.
    """
    constants = zip((name for name, _ in layout.constants), given.constants, strict=True)
    numbered = [*constants, (TIME, time), *zip(layout.slots, state, strict=True)]
    known = {name: np.float64(value) for name, value in numbered}
    following = np.nextafter(time, np.inf)
    at = f"at t = {time:.9g} in the state {describe(layout, state)}"
    for moment in (time, following) if layout.smooth else (time,):
        now = {**known, TIME: np.float64(moment)}
        values = [float(evaluate(law, now)) for law in layout.laws]
        for reaction, change, value in zip(layout.network.reactions, layout.changes, values, strict=True):
            missing = [slot for slot, difference in change.items() if state[slot] + difference < 0]
            if value < 0 and missing and evaluate(layout.network.propensity(reaction), now) > 0:
                slot = missing[0]
                taken = f"{-change[slot]} {layout.slots[slot]} where there are {state[slot]:g}"
                return f"{str(reaction)!r} would take {taken}, at a propensity of {-value:g} {at}"
            if not 0 <= value < np.inf:
                return f"the propensity of {str(reaction)!r} is {value:g} {at}"
    for reaction, law in zip(layout.network.reactions, layout.laws, strict=True):
        if layout.smooth and not enclose(law, known, time, following)[1] < np.inf:
            return f"the propensity of {str(reaction)!r} has no finite bound just after that, {at}"
    return f"the propensities add up to {sum(values):g} {at}"


def describe(layout: Plan, state: np.ndarray) -> str:
    """The state as text, at most twelve numbers of it."""
    parts = [f"{name} = {value:.17g}" for name, value in zip(layout.slots, state, strict=True)]
    return ", ".join(parts[:12]) + (f", … ({len(parts)} in all)" if len(parts) > 12 else "")
