"""Networks as they are used: a system of reactions, and all that can be asked of it."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy.typing as npt

from partita.reactions.formats import sbml
from partita.reactions.formats.text import read
from partita.reactions.model.system import System

if TYPE_CHECKING:
    import xarray as xr

    from partita.reactions.analysis.master import MasterEquation


class Network(System):
    """Species, reactions, and all that is needed to simulate them. Do not change its mappings.

    Args:
        species: Their names, in the order of results.
        reactions: The reactions.
        parameters: A number for each name.
        initial: Counts at the start; 0 for species not named.
        events: What is set when a condition turns true.
        rules: Names that follow others at all times, and the expressions they follow: species, or names of
            their own.
        fixed: Species whose count no reaction changes, though they take part.
        convention: What k counts in mass action: `"combinations"`, k · Π C(n, s), so that 2 A has k · n(n −
            1) / 2; or `"permutations"`, k · Π n(n − 1)…(n − s + 1).

    Raises:
        ValueError: naming what is wrong: unknown or doubled names, counts that are none, rules that follow
            themselves.

    Example:
        >>> net = Network.from_text("-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1")
        >>> net.species, len(net.reactions)
        (('m', 'n'), 4)
        >>> from partita.reactions import Reaction
        >>> print(Network(["A"], [Reaction({"A": 2}, {}, "k")], {"k": 0.1}, {"A": 100}))
        k = 0.1
        A = 100
        2 A -> @ k
    """

    @classmethod
    def of(cls, system: System) -> Self:
        """Return the network of a system, which has been checked already.

        Example:
            >>> type(Network.of(System(("A",), ()))).__name__
            'Network'
        """
        network = object.__new__(cls)
        network.__dict__.update(system.__dict__)
        return network

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The network that a text describes, one statement a line or parted by `;`.

        Args:
            text: Statements in any order; `#` begins a comment.

                - `2 A + B -> C @ k`: mass action; `A <-> B @ kf, kr`: both ways; nothing, or `∅`, for an
                  empty side. `name:` may go before.
                - `A -> B @@ k * A / (1 + A)`: the full propensity.
                - `k = 0.1`: a parameter. `A = 100`: the initial count of a species. Either may be an
                  expression of numbers.
                - `total := A + B`: a rule: the name follows the others.
                - `at t >= 25: X = 50`, `when P2 > 30, priority 1: P = 100, P2 = 0`: events; `at 25:` is
                  `at t >= 25:`.
                - `species A, B`, `fixed S`, `convention permutations`: order and further species, those that
                  do not change, what k counts.

        Raises:
            ValueError: with line and column, if it is none.

        Example:
            >>> net = Network.from_text("k = 1/2; A = 10; 2 A <-> A2 @ k, 0.1")
            >>> print(net.reactions[1], net.initial)
            A2 -> 2 A @ 0.1 {'A': 10, 'A2': 0}
        """
        return cls.of(read(text))

    def rate_equation(self, xp: Any = None) -> Callable[..., Any]:
        """Return the deterministic limit as a function `(t, y, p)` → dy/dt.

        y has the shape `(..., species)`, and dy/dt has the same shape and type. `p` maps names of
        parameters to numbers or tensors; those not given keep the network's values. Rates are those of
        `rate`. A species that follows a rule or is fixed has derivative 0. Arrays of NumPy give arrays,
        tensors of Keras's backend give tensors, also where they are traced (compiled, differentiated or
        mapped); float64 stays float64.

        Args:
            xp: `numpy` or `keras.ops`, to compute with nothing else; None follows the kind of y, t and p.

        Raises:
            ValueError: if the network has events.

        Example:
            >>> import numpy as np
            >>> field = Network.from_text("k = 2; A -> B @ k").rate_equation()
            >>> field(0.0, np.array([3.0, 0.0]), {"k": 1.0})
            array([-3.,  3.])
        """
        from partita.reactions.analysis.rate_equation import rate_equation

        return rate_equation(self, xp)

    def master_equation(
        self,
        bounds: Mapping[str, int],
        initial: Mapping[str, int] | None = None,
        parameters: Mapping[str, float] | None = None,
    ) -> "MasterEquation":
        """The exact law of the counts, on the states that can be reached from the initial one within bounds.

        Args:
            bounds: The largest count of each species that reactions change.
            initial: Counts at the start that differ from the network's.
            parameters: Values that differ from the network's.

        Raises:
            ValueError: if a bound is missing or below the initial count, more than 2,000,000 states can be
                reached, rates follow `t`, there are events, or a propensity is negative or not finite in a
                state.

        Example:
            >>> law = Network.from_text("A = 4; A <-> B @ 3, 1").master_equation({"A": 4, "B": 4})
            >>> law.stationary(["B"]).values.round(3)  # binomial, 3/4
            array([0.004, 0.047, 0.211, 0.422, 0.316])
        """
        from partita.reactions.analysis.master import master_equation

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
        """Simulate trajectories and record the counts at the times.

        `partita.reactions.simulate` describes the arguments and the result.

        Example:
            >>> Network.from_text("A -> @ 1; A = 3").simulate([0, 100], seed=0).A.values
            array([[3, 0]])
        """
        from partita.reactions.simulation.ensemble import simulate

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
            **options: `method`, `rtol`, `max_step`, `break_points` and the others of `partita.ode.solve`.
                With `throw=False` the solution is NaN from where it ended, and the attribute `status` says
                why.

        Raises:
            ValueError: if a name is unknown, the times do not rise, or the network has events.
            FloatingPointError: if the solution ends, with the time.

        Example:
            >>> Network.from_text("A -> B @ 1; A = 100").solve([0, 1]).A.values.round(3)
            array([100.   ,  36.788])
        """
        from partita.reactions.analysis.rate_equation import solve

        return solve(self, times, initial, parameters, **options)

    def trace(self, until: float, trajectory: int = 0, **options: Any) -> "xr.Dataset":
        """Every event of one trajectory; `partita.reactions.trace` says all about it.

        Example:
            >>> Network.from_text("A -> @ 1; A = 3").trace(100, seed=0).A.values
            array([3, 2, 1, 0])
        """
        from partita.reactions.simulation.trajectory import trace

        return trace(self, until, trajectory, **options)


def read_sbml(source: str | os.PathLike[str] | BinaryIO, rounding: bool = False) -> Network:
    """The network of an SBML file, Level 2 or 3.

    Kinetic laws are propensities as they stand, and amounts are counts of molecules, whatever unit the file
    names. Local parameters become parameters `reaction_name`; initial assignments are worked out once;
    function definitions and sizes of compartments (1 where none is given) are put in. Ids that have a meaning
    of their own in a network get a `_` at the end.

    Args:
        source: Path of the file, or the file open for reading bytes.
        rounding: Whether an initial amount that is no whole number is rounded; otherwise it is an error.

    Raises:
        ValueError: with the line and the element, if the file is no SBML or asks for what is not supported:
            delays, rate and algebraic rules, constraints, fast reactions, reversible reactions whose law
            subtracts, stoichiometry that is no whole number, conversion factors, sizes that change, packages
            that change the meaning.
        ImportError: if python-libsbml is not installed.

    Example:
        >>> from io import BytesIO
        >>> text = b'''<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1">
        ...   <model>
        ...   <listOfCompartments><compartment id="cell" size="2" constant="true"/></listOfCompartments>
        ...   <listOfSpecies><species id="X" compartment="cell" initialAmount="100"
        ...     hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/></listOfSpecies>
        ...   <listOfReactions><reaction id="decay" reversible="false" fast="false">
        ...     <listOfReactants>
        ...       <speciesReference species="X" stoichiometry="1" constant="true"/></listOfReactants>
        ...     <kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><ci>X</ci></math></kineticLaw>
        ...   </reaction></listOfReactions></model></sbml>'''
        >>> print(read_sbml(BytesIO(text)))
        X = 100
        decay: X -> @@ X / 2
    """
    return Network.of(sbml.read(source, rounding))
