"""What happens in a network: a reaction at its rate, an event when a condition turns true.

a = k · Π_i C(n_i, s_i)        mass action, Gillespie's convention
a = any expression             otherwise
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from partita.quoting import got
from partita.reactions.model.expression import (
    KINDS,
    TIME,
    Expression,
    check_name,
    is_condition,
    names,
    number,
    to_text,
)
from partita.reactions.model.formula import parse

COEFFICIENT_LIMIT = 1_000_000
MOLECULARITY_LIMIT = 20

Side = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Reaction:
    """Reactants become products at a rate.

    Args:
        reactants: Species and how many of each: pairs or a mapping. A species named twice counts twice.
        products: The same for what is made.
        rate: With mass action the constant k, a number or an expression of parameters; otherwise the
            propensity, an expression of species, parameters and `t`. Text is parsed.
        mass_action: Whether the propensity is k times the ways to choose the reactants.
        name: A name, or nothing.

    Raises:
        ValueError: if a count is no whole number from 1 to 1,000,000, a name is none, or the rate is no
            expression that is a number.

    Example:
        >>> print(Reaction({"m": 1}, {"m": 1, "n": 1}, 2.5))
        m -> m + n @ 2.5
        >>> print(Reaction((), {"A": 1}, "vmax * hill(R, 40, -2)", mass_action=False, name="make"))
        make: -> A @@ vmax * hill(R, 40, -2)
    """

    reactants: Side
    products: Side
    rate: Expression
    mass_action: bool = True
    name: str = ""

    def __init__(
        self,
        reactants: Mapping[str, int] | Iterable[tuple[str, int]],
        products: Mapping[str, int] | Iterable[tuple[str, int]],
        rate: Expression | str | float,
        mass_action: bool = True,
        name: str = "",
    ):
        self.__dict__.update(
            reactants=_side(reactants, "reactants"),
            products=_side(products, "products"),
            rate=as_expression(rate, "rate"),
            mass_action=bool(mass_action),
            name=name and check_name(name),
        )
        if mass_action and (molecularity := sum(count for _, count in self.reactants)) > MOLECULARITY_LIMIT:
            raise ValueError(
                f"mass action takes at most {MOLECULARITY_LIMIT} reactants, got {molecularity}: write a "
                f"full propensity"
            )

    def __str__(self) -> str:
        before, after = (
            " + ".join(f"{count} {name}" if count > 1 else name for name, count in side)
            for side in (self.reactants, self.products)
        )
        label, sign = self.name and f"{self.name}:", "@" if self.mass_action else "@@"
        return " ".join(filter(None, [label, before, "->", after, sign, to_text(self.rate)]))


@dataclass(frozen=True)
class Event:
    """Values set at the moment a condition turns true; it can happen again once the condition has been false.

    Args:
        trigger: The condition, of species, parameters and `t`. Text is parsed.
        assignments: Species or parameters and what they become, pairs or a mapping. All values are those
            before the event.
        name: A name, or nothing.
        priority: Of several events at one moment the one of highest priority goes first; without one, after
            those that have one. Ties go by their order in the network.
        at_start: Whether a condition that is true at the very start is taken to have turned true then.

    Raises:
        ValueError: if the trigger is no condition, or there are no assignments.

    Example:
        >>> print(Event("t >= 25", {"X": 50}))
        at t >= 25: X = 50
        >>> print(Event("P2 > 30 and P < 5", {"P": 100, "P2": 0}, priority=2, at_start=False))
        when P2 > 30 and P < 5, priority 2, not at start: P = 100, P2 = 0
    """

    trigger: Expression
    assignments: tuple[tuple[str, Expression], ...]
    name: str = ""
    priority: Expression | None = None
    at_start: bool = True

    def __init__(
        self,
        trigger: Expression | str,
        assignments: Mapping[str, Expression | str | float] | Iterable[tuple[str, Expression | str | float]],
        name: str = "",
        priority: Expression | str | float | None = None,
        at_start: bool = True,
    ):
        pairs = list(assignments.items() if isinstance(assignments, Mapping) else assignments)
        self.__dict__.update(
            trigger=as_expression(trigger, "trigger", condition=True),
            assignments=tuple(
                (check_name(target), as_expression(value, f"assignments[{target!r}]"))
                for target, value in pairs
            ),
            name=name and check_name(name),
            priority=None if priority is None else as_expression(priority, "priority"),
            at_start=bool(at_start),
        )
        if not pairs or len(dict(pairs)) < len(pairs):
            raise ValueError(
                f"assignments must name at least one species or parameter, and each once, got "
                f"{[name for name, _ in pairs]}"
            )

    def __str__(self) -> str:
        word = "at" if names(self.trigger) == {TIME} else "when"
        clauses = [
            f"{word} {to_text(self.trigger)}",
            *([] if self.priority is None else [f"priority {to_text(self.priority)}"]),
            *([] if self.at_start else ["not at start"]),
        ]
        label = f"{self.name}: " if self.name else ""
        assignments = (f"{target} = {to_text(value)}" for target, value in self.assignments)
        return f"{label}{', '.join(clauses)}: {', '.join(assignments)}"


def as_expression(value: Expression | str | float, what: str, condition: bool = False) -> Expression:
    """The expression that a tree, a text or a number says, and of the kind that is wanted.

    Raises:
        ValueError: naming what it is for.
    """
    try:
        given = parse(value) if isinstance(value, str) else value
        tree = given if isinstance(given, Expression) else number(given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what} must be an expression, got {got(value)}: {error}") from None
    if is_condition(tree) != condition:
        raise ValueError(f"{what} must be {KINDS[condition]}, got {to_text(tree):.200}")
    return tree


def whole(value: Any, low: int, high: int, what: str) -> int:
    """The value as an int.

    Raises:
        ValueError: if it is no whole number from `low` to `high`.
    """
    try:
        fits = low <= value <= high and value == int(value)
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        raise ValueError(f"{what} must be a whole number from {low} to {high}, got {got(value)}")
    return int(value)


def finite(value: Any, what: str) -> float:
    """The value as a float.

    Raises:
        ValueError: if it is no finite number.
    """
    if getattr(value, "ndim", 0) or isinstance(value, (list, tuple, dict, set)):
        raise ValueError(
            f"{what} must be one finite number, got {got(value)}: for several values call once for each, "
            f"nothing is compiled again"
        )
    try:
        result = math.nan if isinstance(value, (str, bytes, np.complexfloating)) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise ValueError(f"{what} must be a finite number, got {got(value)}")
    return result


def _side(side: Mapping[str, int] | Iterable[tuple[str, int]], what: str) -> Side:
    counts: dict[str, int] = {}
    for name, count in side.items() if isinstance(side, Mapping) else side:
        label = f"count of {check_name(name)!r} in {what}"
        added = whole(count, 1, COEFFICIENT_LIMIT, label)
        counts[name] = whole(counts.get(name, 0) + added, 1, COEFFICIENT_LIMIT, label)
    return tuple(counts.items())
