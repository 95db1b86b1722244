"""The master equation on the states that can be reached within bounds: exact distributions of small networks.

    dP/dt = Q P,        Q_mn = a_r(n) where m = n + Δ_r,        Q_nn = −Σ_r a_r(n)

A column of Q sums to 0 unless a reaction leads out of the bounds: probability that leaves is lost, and 1 − Σ
P bounds the error (Munsky & Khammash 2006). Stationary laws are found by `elimination`, others by
`uniformization`: neither subtracts.
"""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from partita.reactions.model.expression import TIME, evaluate, names, to_text
from partita.reactions.model.reaction import whole
from partita.reactions.model.system import COUNT_LIMIT, System

if TYPE_CHECKING:
    import xarray
    from scipy import sparse

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Entries = tuple[Floats, Ints, Ints]  # of a matrix: numbers, rows, columns

STATE_LIMIT = 2_000_000
TABLE_LIMIT = 200_000_000  # numbers of a result
LOST_LIMIT = 1e-4  # probability that may leave the bounds without a warning
LEAK_LIMIT = 1e-5  # share of the jumps of a stationary law that would leave them


class BoundsWarning(UserWarning):
    """The bounds of a master equation cut off more of the law than rounding.

    Example:
        >>> from partita.reactions import Network
        >>> law = Network.from_text("-> m @ 20").master_equation({"m": 9})
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     p = law.distribution([0.25])
        >>> caught[0].category.__name__, round(p.attrs["lost"][0], 4)
        ('BoundsWarning', 0.0318)
    """


@dataclass(frozen=True, eq=False)
class MasterEquation:
    """The generator of a network on a finite set of states; `Network.master_equation` makes it.

    Args:
        species: Names of the columns of `states`.
        states: Counts, `(states, species)`, int64; the first is the initial one.
        generator: Q, `(states, states)`, sparse: `dP/dt = Q P`.
        leaks: The rate at which each state is left past the bound of each species, `(species, states)`,
            sparse; by default none.
        escape: The rate at which each state is left past any bound, `(states,)`; by default none.

    Example:
        >>> from partita.reactions import Network
        >>> law = Network.from_text("-> m @ 3; m -> @ 1").master_equation({"m": 20})
        >>> law.generator.shape
        (21, 21)
        >>> law.distribution([0, 1]).sel(m=0).values.round(4)  # exp(−3 (1 − e⁻¹))
        array([1.   , 0.1501])
    """

    species: tuple[str, ...]
    states: Ints
    generator: "sparse.csc_array"
    leaks: "sparse.csr_array | None" = None
    escape: Floats | None = None

    def distribution(
        self, times: Iterable[float], species: Iterable[str] | None = None
    ) -> "xarray.DataArray":
        """Return the probabilities of counts at some times, from the initial state at time 0.

        Args:
            times: Times ≥ 0, ascending, in the unit of time that the rates are given in.
            species: Of which species; the others are summed over. By default all.

        Returns:
            An array of dimensions `time` and the species, each from 0 to its largest count. It sums to 1 less
            what has left the bounds, which the attribute `lost` holds, a number for each time.

        Raises:
            ValueError: if times descend or are negative, a species is unknown, or the rates are so stiff that
                the law takes too long.

        Warns:
            BoundsWarning: if more than 1e-4 has left the bounds, naming those to raise.
        """
        from partita.reactions.analysis.uniformization import Chain

        instants = np.asarray(list(times), float)
        if not np.all(np.diff(instants, prepend=0.0) >= 0) or not np.all(np.isfinite(instants)):
            raise ValueError(
                f"times must be finite, at least 0 and ascending, got {instants.tolist()!r:.200}"
            )
        chosen = self._chosen(species, len(instants))
        chain = Chain(self.generator, np.zeros(len(self.states)) if self.escape is None else self.escape)
        probabilities, gone = np.zeros(len(self.states)), 0.0
        probabilities[0] = 1.0
        rows, lost = [], []
        for step in np.diff(instants, prepend=0.0):
            probabilities, more = chain.after(probabilities, float(step))
            gone += more
            rows.append(probabilities)
            lost.append(gone)
        if gone > LOST_LIMIT:
            remedy = self._remedy(np.mean(rows, axis=0))
            message = f"{gone:.2g} of the probability has left the bounds by t = {instants[-1]:g}: {remedy}"
            warnings.warn(message, BoundsWarning, stacklevel=2)
        table = self._spread(np.array(rows).reshape(-1, len(self.states)), chosen)
        return table.assign_coords(time=instants).assign_attrs(lost=lost)

    def stationary(self, species: Iterable[str] | None = None) -> "xarray.DataArray":
        """Return the probabilities of counts after a long time.

        Reactions that lead out of the bounds do not happen.

        Args:
            species: Of which species; the others are summed over. By default all.

        Returns:
            An array of dimensions the species, each from 0 to its largest count, with two attributes: `leak`,
            how often in a unit of time a reaction would lead out of the bounds, and `leak_share`, the share
            of these among all that happen.

        Raises:
            ValueError: if it is not unique (more than one set of states is never left), a species is unknown,
                or it would take too much memory or time.

        Warns:
            BoundsWarning: if `leak_share` is above 1e-5, naming the bounds to raise.

        Source:
            Grassmann, Taksar, Heyman, Operations Research 33 (1985) 1107.

        Example:
            >>> from partita.reactions import Network
            >>> law = Network.from_text("-> m @ 3; m -> @ 1").master_equation({"m": 40})
            >>> p = law.stationary()
            >>> float((p * p.m).sum())
            3.0
        """
        from scipy.sparse import csc_array
        from scipy.sparse.csgraph import connected_components

        from partita.reactions.analysis.elimination import off_diagonal, stationary

        chosen = self._chosen(species, 1)
        moving = off_diagonal(self.generator)
        count, labels = connected_components(moving.T, connection="strong")
        entries = moving.tocoo()
        columns, rows = labels[entries.col], labels[entries.row]
        kept = np.setdiff1d(np.arange(count), columns[columns != rows])
        if len(kept) > 1:
            raise ValueError(
                f"the stationary distribution is not unique: {len(kept)} sets of states are never left"
            )
        inside = np.flatnonzero(labels == kept[0])
        probabilities = np.zeros(len(self.states))
        probabilities[inside] = stationary(csc_array(moving[inside][:, inside]), self.states[inside])
        leak = 0.0 if self.escape is None else float(self.escape @ probabilities)
        happens = float(moving.sum(axis=0) @ probabilities) + leak
        share = leak / happens if happens else 0.0
        if share > LEAK_LIMIT:
            message = (
                f"{share:.2g} of what happens would lead out of the bounds, {leak:.2g} in a unit of time: "
                f"{self._remedy(probabilities)}"
            )
            warnings.warn(message, BoundsWarning, stacklevel=2)
        table = self._spread(probabilities[None], chosen)
        return table.isel(time=0).assign_attrs(leak=leak, leak_share=share)

    def _remedy(self, probabilities: Floats) -> str:
        """What to do about what leads out of the bounds from these states."""
        if self.leaks is None or self.escape is None:
            return "raise the bounds"
        flows = self.leaks @ probabilities
        if flows.sum() <= 0.5 * (self.escape @ probabilities):
            return "a reaction takes what is not there; write a propensity that is 0 where it would"
        large = 0.01 * flows.max()
        leaking = [name for name, flow in zip(self.species, flows, strict=True) if flow > large]
        return f"raise the bounds of {', '.join(leaking)}"

    def _chosen(self, species: Iterable[str] | None, num_times: int) -> tuple[str, ...]:
        """The species of a table of this many times; an error if one is unknown, or the table too large."""
        chosen = self.species if species is None else tuple(species)
        if unknown := [name for name in chosen if name not in self.species]:
            raise ValueError(f"species must be among {', '.join(self.species)}, got {unknown[0]!r}")
        size = num_times * math.prod(self._counts(chosen)[1])
        if size > TABLE_LIMIT:
            raise ValueError(
                f"the table of all counts would have {size:.3g} entries, at most {TABLE_LIMIT:.0g} are "
                "allowed: name fewer species"
            )
        return chosen

    def _counts(self, chosen: tuple[str, ...]) -> tuple[Ints, tuple[int, ...]]:
        """The counts of these species in each state, and how many counts each may have."""
        counts = self.states[:, [self.species.index(name) for name in chosen]]
        return counts, tuple((counts.max(axis=0, initial=0) + 1).tolist())

    def _spread(self, probabilities: Floats, chosen: tuple[str, ...]) -> "xarray.DataArray":
        import xarray

        counts, shape = self._counts(chosen)
        flat = np.ravel_multi_index(tuple(counts.T), shape) if chosen else np.zeros(len(counts), np.int64)
        table = np.stack([np.bincount(flat, row, math.prod(shape)) for row in probabilities])
        return xarray.DataArray(
            table.reshape(-1, *shape),
            dims=("time", *chosen),
            coords={name: np.arange(n) for name, n in zip(chosen, shape, strict=True)},
        )


def master_equation(
    net: System,
    bounds: Mapping[str, int],
    initial: Mapping[str, int] | None = None,
    parameters: Mapping[str, float] | None = None,
) -> MasterEquation:
    """The master equation of a network; see `Network.master_equation`.

    Example:
        >>> from partita.reactions import Network
        >>> master_equation(Network.from_text("A = 2; A <-> B @ 1, 1"), {"A": 2, "B": 2}).states.tolist()
        [[2, 0], [1, 1], [0, 2]]
    """
    from scipy.sparse import coo_array

    box = _Box(net, bounds, net.counts({**net.initial, **(initial or {})}), net.values(parameters or {}))
    order = box.reachable()
    sorting, states, size = np.argsort(order), box.states(order), len(order)
    every, escape = np.arange(size), np.zeros(size)
    inside, over = list[Entries](), list[Entries]()
    for (rate, after), change in zip(box.leaps(states), box.changes.T, strict=True):
        if not change.any():
            continue
        stays, leaves = (after >= 0) & (rate > 0), np.flatnonzero((after < 0) & (rate > 0))
        reached = sorting[np.searchsorted(order, after[stays], sorter=sorting)]
        inside += [(rate[stays], reached, every[stays]), (-rate, every, every)]
        escape[leaves] += rate[leaves]
        for row in np.flatnonzero(change):
            beyond = leaves[states[leaves, row] + change[row] >= box.shape[row]]
            over.append((rate[beyond], np.full(len(beyond), row), beyond))
    generator = coo_array(_joined(inside), shape=(size, size)).tocsc()
    if not np.isfinite(generator.data).all():
        raise ValueError("propensities must add up to a finite number, got more than 1.8e308")
    leaks = coo_array(_joined(over), shape=(len(box.moving), size)).tocsr()
    return MasterEquation(box.moving, states, generator, leaks, escape)


def _joined(parts: list[Entries]) -> tuple[Floats, tuple[Ints, Ints]]:
    """Entries of a matrix as `coo_array` takes them."""
    nothing = np.zeros(0), np.zeros(0, int), np.zeros(0, int)
    data, rows, columns = map(np.concatenate, zip(nothing, *parts, strict=True))
    return data, (rows, columns)


class _Box:
    """All states within the bounds, each with a number, and the reactions between them."""

    def __init__(
        self, net: System, bounds: Mapping[str, int], start: dict[str, int], parameters: dict[str, float]
    ):
        self.propensities = [net.propensity(reaction) for reaction in net.reactions]
        if net.events or any(TIME in names(propensity) for propensity in self.propensities):
            raise ValueError("a master equation takes no events and no rates that follow t")
        changed = {name for reaction in net.reactions for name in net.change(reaction)}
        self.moving = tuple(name for name in net.species if name in changed)
        if missing := [name for name in self.moving if name not in bounds]:
            raise ValueError(
                f"bounds must name every species that reactions change, got none for {missing[0]!r}"
            )
        self.shape = tuple(
            whole(bounds[name], start[name], COUNT_LIMIT, f"bound of {name!r}") + 1 for name in self.moving
        )
        if math.prod(self.shape) > np.iinfo(np.int64).max:
            raise ValueError(f"bounds must span fewer than 2^63 states, got {math.prod(self.shape)}")
        # (moving, reactions)
        self.changes = net.stoichiometry()[[net.species.index(name) for name in self.moving]]
        self.constants = {**parameters, **start}
        self.start = np.array([[start[name] for name in self.moving]])

    def states(self, numbers: Ints) -> Ints:
        """The counts of numbered states, `(states, moving)`."""
        if not self.shape:
            return np.zeros((len(numbers), 0), np.int64)
        return np.stack(np.unravel_index(numbers, self.shape), axis=1)

    def leaps(self, states: Ints) -> Iterator[tuple[Floats, Ints]]:
        """Yield for each reaction its rate from each state, and the number of the state it leads to.

        The number is −1 beyond the bounds.
        """
        counts = {name: states[:, column].astype(float) for column, name in enumerate(self.moving)}
        values = {**self.constants, **counts}
        for propensity, change in zip(self.propensities, self.changes.T, strict=True):
            with np.errstate(all="ignore"):
                rate = np.broadcast_to(evaluate(propensity, values), len(states)).astype(float)
            if (bad := np.flatnonzero(~((rate >= 0) & (rate < np.inf)))).size:
                state = dict(zip(self.moving, states[bad[0]].tolist(), strict=True))
                raise ValueError(
                    f"propensity {to_text(propensity):.200} must be finite and not negative, got "
                    f"{rate[bad[0]]} at {state}"
                )
            after = states + change
            inside = np.all((after >= 0) & (after < self.shape), axis=1)
            number = np.full(len(states), -1)
            number[inside] = np.ravel_multi_index(tuple(after[inside].T), self.shape)
            yield rate, number

    def reachable(self) -> Ints:
        """The numbers of all states that can be reached, the initial one first."""
        if not self.moving:
            return np.zeros(1, np.int64)
        fresh = np.ravel_multi_index(tuple(self.start.T), self.shape)
        known, found = {*fresh.tolist()}, [fresh]
        while fresh.size:
            leaps = self.leaps(self.states(fresh))
            reached = np.concatenate([after[(rate > 0) & (after >= 0)] for rate, after in leaps])
            new = {*reached.tolist()} - known
            known |= new
            fresh = np.array(sorted(new), np.int64)
            found.append(fresh)
            if len(known) > STATE_LIMIT:
                raise ValueError(
                    f"bounds must hold at most {STATE_LIMIT} states that can be reached, got more"
                )
        return np.concatenate(found)
