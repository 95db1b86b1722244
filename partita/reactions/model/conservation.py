"""Sums of species that no reaction changes.

wᵀ Δ_r = 0 for every r:  wᵀ n is conserved
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

Law = dict[str, int]


def conserved(species: Iterable[str], changes: Iterable[Mapping[str, int]]) -> tuple[Law, ...]:
    """Return the conservation laws of species, given what each reaction adds to them.

    See `Network.conserved`.

    Example:
        >>> conserved(["A", "B"], [{"A": -1, "B": 2}, {"A": 1, "B": -2}])
        ({'A': 2, 'B': 1},)
    """
    # Rows [Δ | 1], one for each species, brought to echelon form; those whose Δ is gone are the laws.
    rows: dict[str, dict[int, int]] = {name: {} for name in species}
    for column, added in enumerate(changes):
        for name, difference in added.items():
            rows[name][column] = difference
    pivots: dict[int, tuple[dict[int, int], Law]] = {}
    laws: list[Law] = []
    for name, change in rows.items():
        row, law = change, {name: 1}
        while row and (column := min(row)) in pivots:
            above, its_law = pivots[column]
            ours, theirs = above[column], -row[column]
            row, law = _combine(row, ours, above, theirs), _combine(law, ours, its_law, theirs)
            divisor = math.gcd(*row.values(), *law.values())
            row, law = _divide(row, divisor), _divide(law, divisor)
        if row:
            pivots[min(row)] = (row, law)
        else:
            laws.append(law)
    return tuple({name: law[name] for name in rows if name in law} for law in _without_signs(laws))


def _combine(first: dict[Any, int], scale: int, second: dict[Any, int], other: int) -> dict[Any, int]:
    total = {key: scale * value for key, value in first.items()}
    for key, value in second.items():
        total[key] = total.get(key, 0) + other * value
    return {key: value for key, value in total.items() if value}


def _divide(row: dict[Any, int], divisor: int) -> dict[Any, int]:
    return {key: value // divisor for key, value in row.items()}


def _without_signs(laws: list[Law]) -> list[Law]:
    """Return the same laws, freed of negative terms by adding positive laws where that does it.

    For example E + ES and S + ES + P, not S + P − E.
    """
    laws = [law if sum(law.values()) >= 0 else _divide(law, -1) for law in laws]
    for position, signed in enumerate(laws):
        if min(signed.values()) < 0:
            for start in (signed, _divide(signed, -1)):
                law = start
                for other in laws:
                    if min(other.values()) > 0:
                        deficits = (math.ceil(-law[it] / other[it]) for it in law.keys() & other.keys())
                        law = _combine(law, 1, other, max([0, *deficits]))
                if min(law.values()) > 0:
                    laws[position] = _divide(law, math.gcd(*law.values()))
                    break
    return laws
