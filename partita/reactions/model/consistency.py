"""Consistency checks of a network.

Each name is known and means one thing, constants are constant, and rules do not follow themselves.
"""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import Protocol

from partita.quoting import MESSAGE_LIMIT, shown
from partita.reactions.model.expression import TIME, Expression, check_name, names, substitute, to_text
from partita.reactions.model.reaction import Event, Reaction

SIZE_LIMIT = 100_000
TOTAL_LIMIT = 5_000_000
CONVENTIONS = ("combinations", "permutations")


class _System(Protocol):
    """What is looked at: the parts of a `System`, and its laws."""

    @property
    def species(self) -> tuple[str, ...]: ...
    @property
    def reactions(self) -> tuple[Reaction, ...]: ...
    @property
    def parameters(self) -> Mapping[str, float]: ...
    @property
    def events(self) -> tuple[Event, ...]: ...
    @property
    def rules(self) -> Mapping[str, Expression]: ...
    @property
    def fixed(self) -> frozenset[str]: ...
    @property
    def convention(self) -> str: ...
    def inline(self, expression: Expression) -> Expression: ...
    def propensity(self, reaction: Reaction) -> Expression: ...
    def change(self, reaction: Reaction) -> dict[str, int]: ...


class NetworkError(ValueError):
    """A network that is none, and the reaction, the event or the name of the rule that makes it so."""

    def __init__(self, message: str, subject: Reaction | Event | str):
        super().__init__(shown(message, MESSAGE_LIMIT))
        self.subject = subject


def check_names(net: _System) -> None:
    """Whether each name is a name, and of one thing.

    Raises:
        ValueError: naming what is not so.
    """
    if not net.species:
        raise ValueError("species must name at least one, got none")
    for what in ("species", "reactions", "events", "rules"):
        if (count := len(getattr(net, what))) > SIZE_LIMIT:
            raise ValueError(f"{what} must be at most {SIZE_LIMIT}, got {count}")
    if net.convention not in CONVENTIONS:
        raise ValueError(f"convention must be one of {', '.join(CONVENTIONS)}, got {net.convention!r}")
    for name in (*net.species, *net.parameters, *net.rules):
        check_name(name)
    _check_unique("species", net.species)
    happenings: tuple[Reaction | Event, ...] = (*net.reactions, *net.events)
    _check_unique("reactions and events", (it.name for it in happenings if it.name))
    if both := sorted(net.parameters.keys() & {*net.rules, *net.species}):
        raise ValueError(f"{both[0]!r} must be one thing, got a parameter that is also a species or a rule")
    if unknown := sorted(net.fixed - {*net.species}):
        raise ValueError(f"fixed must name species of the network, got {unknown[0]!r}")


def check_laws(net: _System) -> None:
    """Whether rules, reactions and events make sense with the names there are.

    Raises:
        NetworkError: naming the one that does not.
    """
    species = {*net.species}
    settable = species | net.parameters.keys()
    known = settable | net.rules.keys() | {TIME}
    for name, rule in net.rules.items():
        _check_known(rule, known, f"the rule of {name!r}", name)
    settable -= net.rules.keys()
    # Taken one at a time, so that the first fault is the one that is told, and nothing follows the limit.
    sizes: Iterator[tuple[str, Reaction | Event, int]] = chain(
        (("propensities", it, _check_reaction(net, it, known, species)) for it in net.reactions),
        (("propensities and events", it, _check_event(net, it, known, settable)) for it in net.events),
    )
    total = 0
    for what, subject, size in sizes:
        total += size
        if total > TOTAL_LIMIT:
            raise NetworkError(f"{what} must have at most {TOTAL_LIMIT} parts in all, got more", subject)


def _check_known(expression: Expression, known: set[str], what: str, subject: Reaction | Event | str) -> None:
    if unknown := sorted(names(expression) - known):
        message = (
            f"{what} must name species, parameters and rules of the network, got {unknown[0]!r}: "
            f"{to_text(expression)}"
        )
        raise NetworkError(message, subject)


def _check_reaction(net: _System, reaction: Reaction, known: set[str], species: set[str]) -> int:
    """The size of the propensity, if nothing is wrong with the reaction."""
    what = f"reaction {reaction.name or reaction}"
    _check_known(reaction.rate, known, what, reaction)
    if unknown := [name for name, _ in (*reaction.reactants, *reaction.products) if name not in species]:
        raise NetworkError(f"{what} must name species of the network, got {unknown[0]!r}", reaction)
    if ruled := [name for name in net.change(reaction) if name in net.rules]:
        raise NetworkError(f"{what} must not change {ruled[0]!r}, which follows a rule", reaction)
    try:
        size = net.propensity(reaction).size
        moving = sorted(names(net.inline(reaction.rate)) & species) if reaction.mass_action else ()
    except ValueError as error:
        raise NetworkError(f"{what}: {error}", reaction) from None
    if moving:
        message = (
            f"{what} must have a constant for mass action, got one that follows {moving[0]!r}: write '@@ "
            f"propensity'"
        )
        raise NetworkError(message, reaction)
    return size


def _check_event(net: _System, event: Event, known: set[str], settable: set[str]) -> int:
    """The size of what the event computes, if nothing is wrong with it."""
    total = 0
    what = f"event {event.name or event}"
    values = [value for _, value in event.assignments]
    for expression in [event.trigger, *values, *([event.priority] if event.priority else [])]:
        _check_known(expression, known, what, event)
        try:
            total += net.inline(expression).size
        except ValueError as error:
            raise NetworkError(f"{what}: {error}", event) from None
    if stray := [target for target, _ in event.assignments if target not in settable]:
        raise NetworkError(
            f"{what} must set species or parameters that follow no rule, got {stray[0]!r}", event
        )
    return total


def _check_unique(what: str, things: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in things:
        if name in seen:
            raise ValueError(f"{what} must have names of their own, got {name!r} twice")
        seen.add(name)


def follow(rules: Mapping[str, Expression]) -> dict[str, Expression]:
    """Rules in terms of names that follow none.

    Raises:
        NetworkError: if a rule follows itself, or becomes too large.
    """
    needs = {name: names(rule) & rules.keys() for name, rule in rules.items()}
    try:
        order = [*TopologicalSorter(needs).static_order()]
    except CycleError as error:
        circle = error.args[1][:-1]
        first = min(circle, key=[*rules].index)
        start = circle.index(first)
        path = " → ".join([*circle[start:], *circle[:start], first])
        raise NetworkError(f"a rule must not follow itself, got {path}", first) from None
    inlined: dict[str, Expression] = {}
    for name in order:
        try:
            inlined[name] = substitute(rules[name], inlined)
        except ValueError as error:
            raise NetworkError(f"the rule of {name!r}: {error}", name) from None
    return inlined
