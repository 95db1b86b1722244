"""The master equation on the states that can be reached within bounds: exact distributions of small networks.

    dP/dt = Q P,        Q_mn = a_r(n) where m = n + Δ_r,        Q_nn = −Σ_r a_r(n)

A column of Q sums to 0 unless a reaction leads out of the bounds: probability that leaves is lost, and 1 − Σ P bounds the error
(Munsky & Khammash 2006).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from partita.reactions.expression import TIME, evaluate, names, to_text
from partita.reactions.network import COUNT_LIMIT, Network
from partita.reactions.reaction import whole

if TYPE_CHECKING:
    import xarray
    from scipy import sparse

STATE_LIMIT = 2_000_000


@dataclass(frozen=True, eq=False)
class MasterEquation:
    """The generator of a network on a finite set of states; `Network.master_equation` makes it.

    Args:
        species: Names of the columns of `states`.
        states: Counts, `(states, species)`, int64; the first is the initial one.
        generator: Q, `(states, states)`, sparse: `dP/dt = Q P`.

    Example:
        >>> law = Network.from_text("-> m @ 3; m -> @ 1").master_equation({"m": 20})
        >>> law.generator.shape
        (21, 21)
        >>> law.distribution([0, 1]).sel(m=0).values.round(4)  # exp(−3 (1 − e⁻¹))
        array([1.   , 0.1501])
    """

    species: tuple[str, ...]
    states: npt.NDArray[np.int64]
    generator: "sparse.csc_array"

    def distribution(self, times: Iterable[float], species: Iterable[str] | None = None) -> "xarray.DataArray":
        """The probabilities of counts at some times, from the initial state at time 0.

        Args:
            times: Times ≥ 0, ascending.
            species: Of which species; the others are summed over. By default all.

        Returns:
            An array of dimensions `time` and the species, each from 0 to its largest count. It sums to 1 less what was lost.

        Raises:
            ValueError: if times descend or are negative, or a species is unknown.
        """
        from scipy.sparse.linalg import expm_multiply

        instants = np.asarray(list(times), float)
        if not np.all(np.diff(instants, prepend=0.0) >= 0) or not np.all(np.isfinite(instants)):
            raise ValueError(f"times must be finite, at least 0 and ascending, got {instants.tolist()}")
        probabilities = np.zeros(len(self.states))
        probabilities[0] = 1.0
        rows = []
        for step in np.diff(instants, prepend=0.0):
            if step:
                probabilities = expm_multiply(self.generator * step, probabilities, traceA=self.generator.trace() * step)
            rows.append(probabilities)
        return self._spread(np.array(rows).reshape(-1, len(self.states)), species).assign_coords(time=instants)

    def stationary(self, species: Iterable[str] | None = None) -> "xarray.DataArray":
        """The probabilities of counts after a long time; reactions that lead out of the bounds do not happen.

        Args:
            species: Of which species; the others are summed over. By default all.

        Raises:
            ValueError: if it is not unique: more than one set of states is never left.

        Example:
            >>> law = Network.from_text("-> m @ 3; m -> @ 1").master_equation({"m": 40})
            >>> p = law.stationary()
            >>> float((p * p.m).sum())
            3.0
        """
        from scipy.sparse import csc_array, diags_array
        from scipy.sparse.csgraph import connected_components
        from scipy.sparse.linalg import splu

        closed = csc_array(self.generator - diags_array(self.generator.sum(axis=0)))
        count, labels = connected_components(closed.T, connection="strong")
        columns, rows = labels[closed.tocoo().col], labels[closed.tocoo().row]
        kept = np.setdiff1d(np.arange(count), columns[(columns != rows) & (closed.tocoo().data > 0)])
        if len(kept) > 1:
            raise ValueError(f"the stationary distribution is not unique: {len(kept)} sets of states are never left")
        inside = np.flatnonzero(labels == kept[0])
        probabilities = np.zeros(len(self.states))
        probabilities[inside[0]] = 1.0
        if len(inside) > 1:
            # Q P = 0 with P of one state set to 1: the other equations determine the rest.
            block = closed[inside][:, inside].tocsc()
            probabilities[inside[1:]] = splu(block[1:, 1:]).solve(-block[1:, [0]].toarray().ravel())
        probabilities = np.maximum(probabilities, 0) / np.maximum(probabilities, 0).sum()
        return self._spread(probabilities[None], species).isel(time=0)

    def _spread(self, probabilities: npt.NDArray[np.float64], species: Iterable[str] | None) -> "xarray.DataArray":
        import xarray

        chosen = self.species if species is None else tuple(species)
        if unknown := [name for name in chosen if name not in self.species]:
            raise ValueError(f"species must be among {', '.join(self.species)}, got {unknown[0]!r}")
        counts = self.states[:, [self.species.index(name) for name in chosen]]
        shape = tuple(counts.max(axis=0, initial=0) + 1)
        flat = np.ravel_multi_index(tuple(counts.T), shape) if chosen else np.zeros(len(counts), np.int64)
        table = np.stack([np.bincount(flat, row, math.prod(shape)) for row in probabilities]).reshape(-1, *shape)
        return xarray.DataArray(table, dims=("time", *chosen), coords={name: np.arange(n) for name, n in zip(chosen, shape, strict=True)})


def master_equation(
    net: Network, bounds: Mapping[str, int], initial: Mapping[str, int] | None = None, parameters: Mapping[str, float] | None = None
) -> MasterEquation:
    """The master equation of a network; see `Network.master_equation`.

    Example:
        >>> master_equation(Network.from_text("A = 2; A <-> B @ 1, 1"), {"A": 2, "B": 2}).states.tolist()
        [[2, 0], [1, 1], [0, 2]]
    """
    from scipy.sparse import coo_array

    box = _Box(net, bounds, net.counts({**net.initial, **(initial or {})}), net.values(parameters or {}))
    order = box.reachable()
    sorting = np.argsort(order)
    states = box.states(order)
    every, columns, rows, data = np.arange(len(order)), [], [], []
    for rate, after in box.leaps(states):
        stays = (after >= 0) & (rate > 0)
        columns += [every[stays], every]
        rows += [sorting[np.searchsorted(order, after[stays], sorter=sorting)], every]
        data += [rate[stays], -rate]
    entries = [np.concatenate(parts) if parts else np.zeros(0, int) for parts in (data, rows, columns)]
    generator = coo_array((entries[0].astype(float), (entries[1], entries[2])), shape=(len(order), len(order)))
    return MasterEquation(box.moving, states, generator.tocsc())


class _Box:
    """All states within the bounds, each with a number, and the reactions between them."""

    def __init__(self, net: Network, bounds: Mapping[str, int], start: Mapping[str, int], parameters: Mapping[str, float]):
        self.propensities = [net.propensity(reaction) for reaction in net.reactions]
        if net.events or any(TIME in names(propensity) for propensity in self.propensities):
            raise ValueError("a master equation takes no events and no rates that follow t")
        changed = {name for reaction in net.reactions for name in net.change(reaction)}
        self.moving = tuple(name for name in net.species if name in changed)
        if missing := [name for name in self.moving if name not in bounds]:
            raise ValueError(f"bounds must name every species that reactions change, got none for {missing[0]!r}")
        self.shape = tuple(whole(bounds[name], start[name], COUNT_LIMIT, f"bound of {name!r}") + 1 for name in self.moving)
        if math.prod(self.shape) > np.iinfo(np.int64).max:
            raise ValueError(f"bounds must span fewer than 2^63 states, got {math.prod(self.shape)}")
        self.changes = net.stoichiometry()[[net.species.index(name) for name in self.moving]]  # (moving, reactions)
        self.constants = {**parameters, **start}
        self.start = np.array([[start[name] for name in self.moving]])

    def states(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The counts of numbered states, `(states, moving)`."""
        if not self.shape:
            return np.zeros((len(numbers), 0), np.int64)
        return np.stack(np.unravel_index(numbers, self.shape), axis=1)

    def leaps(self, states: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]]:
        """For each reaction its rate from each state, and the number of the state it leads to: −1 beyond the bounds."""
        values = self.constants | {name: states[:, column].astype(float) for column, name in enumerate(self.moving)}
        for propensity, change in zip(self.propensities, self.changes.T, strict=True):
            with np.errstate(all="ignore"):
                rate = np.broadcast_to(evaluate(propensity, values), len(states)).astype(float)
            if (bad := np.flatnonzero(~((rate >= 0) & (rate < np.inf)))).size:
                state = dict(zip(self.moving, states[bad[0]].tolist(), strict=True))
                raise ValueError(f"propensity {to_text(propensity)} must be finite and not negative, got {rate[bad[0]]} at {state}")
            after = states + change
            inside = np.all((after >= 0) & (after < self.shape), axis=1)
            number = np.full(len(states), -1)
            number[inside] = np.ravel_multi_index(tuple(after[inside].T), self.shape)
            yield rate, number

    def reachable(self) -> npt.NDArray[np.int64]:
        """The numbers of all states that can be reached, the initial one first."""
        if not self.moving:
            return np.zeros(1, np.int64)
        known = fresh = np.ravel_multi_index(tuple(self.start.T), self.shape)
        found = [known]
        while fresh.size:
            reached = np.concatenate([after[(rate > 0) & (after >= 0)] for rate, after in self.leaps(self.states(fresh))])
            fresh = np.setdiff1d(reached, known)
            known = np.union1d(known, fresh)
            found.append(fresh)
            if len(known) > STATE_LIMIT:
                raise ValueError(f"bounds must hold at most {STATE_LIMIT} states that can be reached, got more")
        return np.concatenate(found)
