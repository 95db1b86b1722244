"""Networks as data: trees, reactions, events, rules, and what must hold of them. No Numba, no xarray."""
