"""Reaction networks: what reacts, what comes of it, and how fast.

    a_r(n) = k_r · Π_i C(n_i, s_ir)   or any expression;        n ← n + Δ_r  at rate  a_r(n)

A state n holds a count for each species; Δ_r is the difference of the products and the reactants of reaction r.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from partita.quoting import got
from partita.reactions.consistency import CONVENTIONS, check_laws, check_names, follow
from partita.reactions.expression import Call, Expression, Name, Number, number, substitute, to_text
from partita.reactions.reaction import Event, Reaction, as_expression, finite, whole

if TYPE_CHECKING:
    import xarray as xr

    from partita.reactions.master import MasterEquation

COUNT_LIMIT = 2**53  # beyond it a float64 no longer tells a count from the next


@dataclass(frozen=True)
class Network:
    """Species, reactions, and all that is needed to simulate them. Do not change its mappings.

    Args:
        species: Their names, in the order of results.
        reactions: The reactions.
        parameters: A number for each name.
        initial: Counts at the start; 0 for species not named.
        events: What is set when a condition turns true.
        rules: Names that follow others at all times, and the expressions they follow: species, or names of their own.
        fixed: Species whose count no reaction changes, though they take part.
        convention: What k counts in mass action: `"combinations"`, k · Π C(n, s), so that 2 A has k · n(n − 1) / 2; or
            `"permutations"`, k · Π n(n − 1)…(n − s + 1).

    Raises:
        ValueError: naming what is wrong: unknown or doubled names, counts that are none, rules that follow themselves.

    Example:
        >>> net = Network.from_text("-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1")
        >>> net.species, len(net.reactions)
        (('m', 'n'), 4)
        >>> print(Network(["A"], [Reaction({"A": 2}, {}, "k")], {"k": 0.1}, {"A": 100}))
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
        values: dict[str, Any] = {
            "species": tuple(self.species),
            "reactions": tuple(self.reactions),
            "parameters": {name: finite(value, f"parameter {name!r}") for name, value in self.parameters.items()},
            "events": tuple(self.events),
            "rules": {name: as_expression(rule, f"rules[{name!r}]") for name, rule in self.rules.items()},
            "fixed": frozenset(self.fixed),
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)
        check_names(self)
        object.__setattr__(self, "initial", self.counts(self.initial))
        object.__setattr__(self, "_inlined", follow(self.rules))
        check_laws(self)

    def __hash__(self) -> int:
        return hash((self.species, self.reactions, self.convention))

    def __str__(self) -> str:
        mentioned = dict.fromkeys(name for reaction in self.reactions for name, _ in (*reaction.reactants, *reaction.products))
        fixed = [name for name in self.species if name in self.fixed]
        orderly = (*dict.fromkeys([*fixed, *mentioned]),) == self.species
        return "\n".join(
            [
                *([f"convention {self.convention}"] if self.convention != CONVENTIONS[0] else []),
                *([f"species {', '.join(self.species)}"] if not orderly else []),
                *([f"fixed {', '.join(fixed)}"] if fixed else []),
                *(f"{name} = {to_text(number(value))}" for name, value in self.parameters.items()),
                *(f"{name} = {count}" for name, count in self.initial.items() if count),
                *(f"{name} := {to_text(rule)}" for name, rule in self.rules.items()),
                *map(str, self.reactions),
                *map(str, self.events),
            ]
        )

    @classmethod
    def from_text(cls, text: str) -> "Network":
        """The network that a text describes, one statement a line or parted by `;`.

        Args:
            text: Statements in any order; `#` begins a comment.

                - `2 A + B -> C @ k`: mass action; `A <-> B @ kf, kr`: both ways; nothing, or `∅`, for an empty side. `name:` may go before.
                - `A -> B @@ k * A / (1 + A)`: the full propensity.
                - `k = 0.1`: a parameter. `A = 100`: the initial count of a species. Either may be an expression of numbers.
                - `total := A + B`: a rule: the name follows the others.
                - `at t >= 25: X = 50`, `when P2 > 30, priority 1: P = 100, P2 = 0`: events; `at 25:` is `at t >= 25:`.
                - `species A, B`, `fixed S`, `convention permutations`: order and further species, those that do not change, what k counts.

        Raises:
            ValueError: with line and column, if it is none.

        Example:
            >>> net = Network.from_text("k = 1/2; A = 10; 2 A <-> A2 @ k, 0.1")
            >>> print(net.reactions[1], net.initial)
            A2 -> 2 A @ 0.1 {'A': 10, 'A2': 0}
        """
        from partita.reactions.parse import read

        return read(text)

    def counts(self, initial: Mapping[str, int]) -> dict[str, int]:
        """A count for each species: those given, and 0 for the others.

        Raises:
            ValueError: if a name is no species or follows a rule, or a count is no whole number from 0 to 2⁵³.

        Example:
            >>> Network.from_text("A -> B @ 1").counts({"A": 5})
            {'A': 5, 'B': 0}
        """
        if unknown := [*(initial.keys() - {*self.species})]:
            raise ValueError(f"initial must name species of the network, got {got(unknown[0])}")
        given = {name: whole(count, 0, COUNT_LIMIT, f"initial count of {name!r}") for name, count in initial.items()}
        if ruled := [name for name, count in given.items() if count and name in self.rules]:
            raise ValueError(f"initial must name species that follow no rule, got {ruled[0]!r}")
        return {name: given.get(name, 0) for name in self.species}

    def values(self, parameters: Mapping[str, float]) -> dict[str, float]:
        """A number for each parameter: those given, and the network's own for the others.

        Raises:
            ValueError: if a name is no parameter, or a value no finite number.

        Example:
            >>> Network.from_text("k = 1; A -> B @ k").values({"k": 5})
            {'k': 5.0}
        """
        if unknown := [name for name in parameters if name not in self.parameters]:
            raise ValueError(f"parameters must name parameters of the network, got {got(unknown[0])}")
        return {**self.parameters, **{name: finite(value, f"parameter {name!r}") for name, value in parameters.items()}}

    def inline(self, expression: Expression) -> Expression:
        """The expression in terms of species that follow no rule, parameters and `t`.

        Example:
            >>> net = Network.from_text("A = 3; all := A + B; A -> B @@ 2 * all")
            >>> to_text(net.inline(net.reactions[0].rate))
            '2 * (A + B)'
        """
        return substitute(expression, self._inlined)

    def propensity(self, reaction: Reaction) -> Expression:
        """How often a reaction fires in a unit of time, rules inlined: for mass action k · Π C(n_i, s_i).

        Example:
            >>> net = Network.from_text("2 A + B -> C @ k; k = 0.1")
            >>> to_text(net.propensity(net.reactions[0]))
            'k * A * (A - 1) * B / 2'
        """

        def ways(species: Expression, count: int) -> list[Expression]:
            return [species, *(Call("-", (species, Number(taken))) for taken in range(1, count))]

        return self._rate(reaction, ways)

    def rate(self, reaction: Reaction) -> Expression:
        """The rate of a reaction in the limit of large counts: for mass action k · Π n_i^s_i / s_i!, otherwise the propensity.

        The k is that of the propensity, so that both agree where counts are large; under `"permutations"` nothing is divided.

        Example:
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
        factors = [factor for name, count in reaction.reactants for factor in ways(self.inline(Name(name)), count)]
        product = Call("*", (rate, *factors)) if factors else rate
        orders = math.prod(math.factorial(count) for _, count in reaction.reactants) if self.convention == CONVENTIONS[0] else 1
        return product if orders == 1 else Call("/", (product, Number(orders)))

    def change(self, reaction: Reaction) -> dict[str, int]:
        """What one firing adds to the counts: species → difference, those that stay as they are left out.

        Example:
            >>> net = Network.from_text("fixed S; S + E -> E + 2 P @ 1")
            >>> net.change(net.reactions[0])
            {'P': 2}
        """
        change = {name: -count for name, count in reaction.reactants}
        for name, count in reaction.products:
            change[name] = change.get(name, 0) + count
        return {name: difference for name, difference in change.items() if difference and name not in self.fixed}

    def stoichiometry(self) -> np.ndarray:
        """What each firing adds, `(species, reactions)`, int64.

        Example:
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
        """Sums of species that no reaction changes (events may): species → how often it counts. They are independent and complete.

        Example:
            >>> Network.from_text("E + S <-> ES @ 1, 1; ES -> E + P @ 1").conserved()
            ({'E': 1, 'ES': 1}, {'S': 1, 'ES': 1, 'P': 1})
        """
        from partita.reactions.deterministic import conserved

        return conserved(self)

    def rate_equation(self, xp: Any = None) -> Callable[..., Any]:
        """Return the deterministic limit as a function `(t, y, p)`: y of shape `(..., species)` → dy/dt of the same shape and type.

        `p` maps names of parameters to numbers or tensors; those not given keep the network's values. Rates are those of `rate`.
        A species that follows a rule or is fixed has derivative 0. Arrays of NumPy give arrays, tensors of Keras's backend give
        tensors, also where they are traced (compiled, differentiated or mapped); float64 stays float64.

        Args:
            xp: `numpy` or `keras.ops`, to compute with nothing else; None follows the kind of y, t and p.

        Raises:
            ValueError: if the network has events.

        Example:
            >>> field = Network.from_text("k = 2; A -> B @ k").rate_equation()
            >>> field(0.0, np.array([3.0, 0.0]), {"k": 1.0})
            array([-3.,  3.])
        """
        from partita.reactions.deterministic import rate_equation

        return rate_equation(self, xp)

    def master_equation(
        self, bounds: Mapping[str, int], initial: Mapping[str, int] | None = None, parameters: Mapping[str, float] | None = None
    ) -> "MasterEquation":
        """The exact law of the counts, on the states that can be reached from the initial one within bounds.

        Args:
            bounds: The largest count of each species that reactions change.
            initial: Counts at the start that differ from the network's.
            parameters: Values that differ from the network's.

        Raises:
            ValueError: if a bound is missing or below the initial count, more than 2,000,000 states can be reached, rates follow
                `t`, there are events, or a propensity is negative or not finite in a state.

        Example:
            >>> law = Network.from_text("A = 4; A <-> B @ 3, 1").master_equation({"A": 4, "B": 4})
            >>> law.stationary(["B"]).values.round(3)  # binomial, 3/4
            array([0.004, 0.047, 0.211, 0.422, 0.316])
        """
        from partita.reactions.master import master_equation

        return master_equation(self, bounds, initial, parameters)

    def simulate(
        self,
        times: npt.ArrayLike,
        trajectories: int = 1,
        initial: Mapping[str, int] | None = None,
        parameters: Mapping[str, float] | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> "xr.Dataset":
        """Simulate trajectories and record the counts at the times; `partita.reactions.simulate` says all about it.

        Example:
            >>> Network.from_text("A -> @ 1; A = 3").simulate([0, 100], seed=0).A.values
            array([[3, 0]])
        """
        from partita.reactions.ensemble import simulate

        return simulate(self, times, trajectories, initial, parameters, seed, **options)

    def solve(
        self,
        times: npt.ArrayLike,
        initial: Mapping[str, float] | None = None,
        parameters: Mapping[str, float] | None = None,
        **options: Any,
    ) -> "xr.Dataset":
        """Solve the rate equation, in float64 and with steps fit for stiff networks unless told otherwise.

        Args:
            times: Rising, `(time,)`; the first is that of the initial state.
            initial: Amounts at the start that differ from the network's counts; they need not be whole.
            parameters: Values that differ from the network's.
            **options: `method`, `rtol`, `max_step`, `break_points` and the others of `partita.ode.solve`. With `throw=False` the
                solution is NaN from where it ended, and the attribute `status` says why.

        Raises:
            ValueError: if a name is unknown, the times do not rise, or the network has events.
            FloatingPointError: if the solution ends, with the time.

        Example:
            >>> Network.from_text("A -> B @ 1; A = 100").solve([0, 1]).A.values.round(3)
            array([100.   ,  36.788])
        """
        from partita.reactions.deterministic import solve

        return solve(self, times, initial, parameters, **options)

    def trace(self, until: float, trajectory: int = 0, **options: Any) -> "xr.Dataset":
        """Every event of one trajectory; `partita.reactions.trace` says all about it.

        Example:
            >>> Network.from_text("A -> @ 1; A = 3").trace(100, seed=0).A.values
            array([3, 2, 1, 0])
        """
        from partita.reactions.trajectory import trace

        return trace(self, until, trajectory, **options)
