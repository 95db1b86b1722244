"""Reaction networks: what reacts, what comes of it, and how fast.

    a_r(n) = k_r · Π_i C(n_i, s_ir)   or any expression;        n ← n + Δ_r  at rate  a_r(n)

A state n holds a count for each species; Δ_r is the difference of the products and the reactants of reaction
r.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from partita.quoting import got
from partita.reactions.model.conservation import conserved
from partita.reactions.model.consistency import CONVENTIONS, check_laws, check_names, follow
from partita.reactions.model.expression import Call, Expression, Name, Number, number, substitute, to_text
from partita.reactions.model.reaction import Event, Reaction, as_expression, finite, whole

COUNT_LIMIT = 2**53  # beyond it a float64 no longer tells a count from the next


def falling(species: Expression, count: int) -> list[Expression]:
    """Return the factors of n (n − 1) … (n − count + 1)."""
    return [species, *(Call("-", (species, Number(taken))) for taken in range(1, count))]


@dataclass(frozen=True)
class System:
    """A network as data: its arguments, and what is wrong with them, as `Network` says.

    Raises:
        ValueError: naming what is wrong.

    Example:
        >>> print(System(("A",), (Reaction({"A": 2}, {}, "k"),), {"k": 0.1}, {"A": 100}))
        k = 0.1
        A = 100
        2 A -> @ k
    """

    species: tuple[str, ...]
    reactions: tuple[Reaction, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)
    initial: Mapping[str, int] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    rules: Mapping[str, Expression] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    convention: str = "combinations"
    _inlined: Mapping[str, Expression] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.__dict__.update(
            species=tuple(self.species),
            reactions=tuple(self.reactions),
            parameters=_finite(self.parameters),
            events=tuple(self.events),
            rules={name: as_expression(rule, f"rules[{name!r}]") for name, rule in self.rules.items()},
            fixed=frozenset(self.fixed),
        )
        check_names(self)
        self.__dict__.update(initial=self.counts(self.initial), _inlined=follow(self.rules))
        check_laws(self)

    def __hash__(self) -> int:
        return hash((self.species, self.reactions, self.convention))

    def __str__(self) -> str:
        mentioned = [name for it in self.reactions for name, _ in (*it.reactants, *it.products)]
        fixed = [name for name in self.species if name in self.fixed]
        orderly = (*dict.fromkeys([*fixed, *mentioned]),) == self.species
        lines = [
            *([f"convention {self.convention}"] if self.convention != CONVENTIONS[0] else []),
            *([f"species {', '.join(self.species)}"] if not orderly else []),
            *([f"fixed {', '.join(fixed)}"] if fixed else []),
            *(f"{name} = {to_text(number(value))}" for name, value in self.parameters.items()),
            *(f"{name} = {count}" for name, count in self.initial.items() if count),
            *(f"{name} := {to_text(rule)}" for name, rule in self.rules.items()),
            *map(str, self.reactions),
            *map(str, self.events),
        ]
        return "\n".join(lines)

    def counts(self, initial: Mapping[str, int]) -> dict[str, int]:
        """A count for each species: those given, and 0 for the others.

        Raises:
            ValueError: if a name is no species or follows a rule, or a count is no whole number from 0 to
                2⁵³.

        Example:
            >>> from partita.reactions import Network
            >>> Network.from_text("A -> B @ 1").counts({"A": 5})
            {'A': 5, 'B': 0}
        """
        if unknown := [*(initial.keys() - {*self.species})]:
            raise ValueError(f"initial must name species of the network, got {got(unknown[0])}")
        given = {
            name: whole(count, 0, COUNT_LIMIT, f"initial count of {name!r}")
            for name, count in initial.items()
        }
        if ruled := [name for name, count in given.items() if count and name in self.rules]:
            raise ValueError(f"initial must name species that follow no rule, got {ruled[0]!r}")
        return {name: given.get(name, 0) for name in self.species}

    def values(self, parameters: Mapping[str, float]) -> dict[str, float]:
        """A number for each parameter: those given, and the network's own for the others.

        Raises:
            ValueError: if a name is no parameter, or a value no finite number.

        Example:
            >>> from partita.reactions import Network
            >>> Network.from_text("k = 1; A -> B @ k").values({"k": 5})
            {'k': 5.0}
        """
        if unknown := [name for name in parameters if name not in self.parameters]:
            raise ValueError(f"parameters must name parameters of the network, got {got(unknown[0])}")
        return {**self.parameters, **_finite(parameters)}

    def inline(self, expression: Expression) -> Expression:
        """The expression in terms of species that follow no rule, parameters and `t`.

        Example:
            >>> from partita.reactions import Network
            >>> net = Network.from_text("A = 3; all := A + B; A -> B @@ 2 * all")
            >>> to_text(net.inline(net.reactions[0].rate))
            '2 * (A + B)'
        """
        return substitute(expression, self._inlined)

    def propensity(self, reaction: Reaction) -> Expression:
        """How often a reaction fires in a unit of time, rules inlined: for mass action k · Π C(n_i, s_i).

        Example:
            >>> from partita.reactions import Network
            >>> net = Network.from_text("2 A + B -> C @ k; k = 0.1")
            >>> to_text(net.propensity(net.reactions[0]))
            'k * A * (A - 1) * B / 2'
        """
        return self._rate(reaction, falling)

    def rate(self, reaction: Reaction) -> Expression:
        """Return the rate of a reaction in the limit of large counts.

        For mass action it is k · Π n_i^s_i / s_i!, otherwise the propensity. The k is that of the
        propensity, so that both agree where counts are large; under `"permutations"` nothing is divided.

        Example:
            >>> from partita.reactions import Network
            >>> net = Network.from_text("2 A + B -> C @ k; k = 0.1")
            >>> to_text(net.rate(net.reactions[0]))
            'k * A ** 2 * B / 2'
        """

        def ways(species: Expression, count: int) -> list[Expression]:
            return [species if count == 1 else Call("**", (species, Number(count)))]

        return self._rate(reaction, ways)

    def _rate(self, reaction: Reaction, ways: Callable[[Expression, int], list[Expression]]) -> Expression:
        rate = self.inline(reaction.rate)
        if not reaction.mass_action:
            return rate
        factors = [it for name, count in reaction.reactants for it in ways(self.inline(Name(name)), count)]
        product = Call("*", (rate, *factors)) if factors else rate
        orders = math.prod(math.factorial(count) for _, count in reaction.reactants)
        divides = orders > 1 and self.convention == CONVENTIONS[0]
        return Call("/", (product, Number(orders))) if divides else product

    def change(self, reaction: Reaction) -> dict[str, int]:
        """What one firing adds to the counts: species → difference, those that stay as they are left out.

        Example:
            >>> from partita.reactions import Network
            >>> net = Network.from_text("fixed S; S + E -> E + 2 P @ 1")
            >>> net.change(net.reactions[0])
            {'P': 2}
        """
        change = {name: -count for name, count in reaction.reactants}
        for name, count in reaction.products:
            change[name] = change.get(name, 0) + count
        return {name: count for name, count in change.items() if count and name not in self.fixed}

    def stoichiometry(self) -> np.ndarray:
        """What each firing adds, `(species, reactions)`, int64.

        Example:
            >>> from partita.reactions import Network
            >>> Network.from_text("2 A -> B @ 1; B -> @ 1").stoichiometry()
            array([[-2,  0],
                   [ 1, -1]])
        """
        matrix = np.zeros((len(self.species), len(self.reactions)), np.int64)
        rows = {name: row for row, name in enumerate(self.species)}
        for column, reaction in enumerate(self.reactions):
            for name, difference in self.change(reaction).items():
                matrix[rows[name], column] = difference
        return matrix

    def conserved(self) -> tuple[dict[str, int], ...]:
        """Sums of species that no reaction changes (events may): species → how often it counts.

        They are independent and complete.

        Example:
            >>> from partita.reactions import Network
            >>> Network.from_text("E + S <-> ES @ 1, 1; ES -> E + P @ 1").conserved()
            ({'E': 1, 'ES': 1}, {'S': 1, 'ES': 1, 'P': 1})
        """
        free = [name for name in self.species if name not in self.fixed and name not in self.rules]
        return conserved(free, map(self.change, self.reactions))


def _finite(parameters: Mapping[str, float]) -> dict[str, float]:
    return {name: finite(value, f"parameter {name!r}") for name, value in parameters.items()}
