"""What a network does without chance: its rate equation, and the sums of species that no reaction changes.

dx/dt = Σ_r Δ_r a_r(x)        wᵀ Δ_r = 0 for every r:  wᵀ n is conserved
"""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from partita.reactions.model.expression import TIME, evaluate, names
from partita.reactions.model.reaction import finite
from partita.reactions.model.system import System

if TYPE_CHECKING:
    import xarray as xr

Law = dict[str, int]


def rate_equation(net: System, xp: Any = None) -> Callable[..., Any]:
    """Return the right side of the rate equation; see `Network.rate_equation`.

    Raises:
        ValueError: if the network has events, which no rate equation holds.

    Example:
        >>> from partita.reactions import Network
        >>> rate_equation(Network.from_text("k = 2; A -> B @ k"))(0.0, np.array([3.0, 0.0]))
        array([-6.,  6.])
    """
    if net.events:
        raise ValueError(
            f"a rate equation holds no events, got {net.events[0]}: leave them out with "
            "dataclasses.replace(net, events=())"
        )
    rates = [net.rate(reaction) for reaction in net.reactions]
    changes = net.stoichiometry().T  # (reactions, species)

    def slope(xp: Any, t: Any, y: Any, p: Mapping[str, Any]) -> Any:
        counts = {name: y[..., column] for column, name in enumerate(net.species)}
        values = {**counts, TIME: t, **net.parameters, **p}
        if not rates:
            return xp.zeros_like(y)
        nothing = xp.zeros_like(y[..., 0])  # rates that follow no species take its shape
        # (..., reactions)
        firings = xp.stack([evaluate(rate, values, xp) + nothing for rate in rates], axis=-1)
        return xp.matmul(firings, xp.array(changes, dtype=firings.dtype))  # (..., species)

    def field(t: Any, y: Any, p: Mapping[str, Any] | None = None) -> Any:
        given = p or {}
        tensor = next((value for value in (y, t, *given.values()) if _of_a_backend(value)), None)
        if xp is not np and (xp is not None or tensor is not None):
            return _of_tensors(slope, t, y, given, tensor)
        return slope(np, t, y if hasattr(y, "dtype") else np.asarray(y, float), given)

    return field


def _of_a_backend(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in ("jax", "jaxlib", "torch", "tensorflow", "keras")


def _of_tensors(slope: Callable[..., Any], t: Any, y: Any, p: Mapping[str, Any], tensor: Any) -> Any:
    """The slope by `keras.ops`, of y's type; float64 stays float64."""
    from partita.backend import choose, double_precision

    choose()
    import keras
    from keras import ops

    known = (keras.KerasTensor, keras.Variable)
    if tensor is not None and not (ops.is_tensor(tensor) or isinstance(tensor, known)):
        raise TypeError(
            f"expected arrays of NumPy or tensors of Keras's backend, {keras.backend.backend()}, got "
            f"{type(tensor).__module__}.{type(tensor).__name__}: choose the backend by the variable "
            "KERAS_BACKEND"
        )
    own = y if _of_a_backend(y) or hasattr(y, "dtype") else tensor
    dtype = keras.config.floatx() if own is None else keras.backend.standardize_dtype(own.dtype)
    if not keras.backend.is_float_dtype(dtype):
        dtype = keras.config.floatx()

    def tensor_of(value: Any) -> Any:
        return ops.cast(value, dtype) if _of_a_backend(value) else ops.convert_to_tensor(value, dtype)

    def number_of(value: Any) -> Any:
        return value if isinstance(value, (int, float)) else tensor_of(value)

    with double_precision() if dtype == "float64" else nullcontext():
        numbers = {name: number_of(value) for name, value in p.items()}
        return ops.cast(slope(_TypedOperations(ops, dtype), number_of(t), tensor_of(y), numbers), dtype)


class _TypedOperations:
    """The functions of `keras.ops`, which take plain numbers for tensors of one type.

    By itself `keras.ops` reads them as float32.
    """

    def __init__(self, ops: Any, dtype: str):
        self.ops, self.dtype = ops, dtype

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self.ops, name)

        def given(value: Any) -> Any:
            is_plain = isinstance(value, (int, float)) and not isinstance(value, bool)
            return self.ops.convert_to_tensor(value, self.dtype) if is_plain else value

        return lambda *arguments, **options: function(*map(given, arguments), **options)


def solve(
    net: System,
    times: Any,
    initial: Mapping[str, float] | None = None,
    parameters: Mapping[str, float] | None = None,
    **options: Any,
) -> "xr.Dataset":
    """The solution of the rate equation; see `Network.solve`.

    Example:
        >>> from partita.reactions import Network
        >>> solve(Network.from_text("-> A @ 2"), [0, 1]).A.values.round(6)
        array([0., 2.])
    """
    import xarray as xr

    from partita.backend import choose, double_precision

    choose()
    import keras

    from partita import ode

    if unknown := [name for name in initial or {} if name not in net.species]:
        raise ValueError(f"initial must name species of the network, got {unknown[0]!r}")
    amounts = {name: finite(value, f"initial[{name!r}]") for name, value in (initial or {}).items()}
    values = net.values(parameters or {})
    field = rate_equation(net, keras.ops)
    start = np.array([float(amounts.get(name, net.initial[name])) for name in net.species])
    with double_precision():
        ended = ode.solve(lambda t, y: field(t, y, values), start, times, **_settings(net, options))
        path = keras.ops.convert_to_numpy(ended.path if isinstance(ended, ode.Solution) else ended)
    columns = {name: ("time", path[:, column]) for column, name in enumerate(net.species)}
    status = {"status": ode.STATUSES[int(ended.status)]} if isinstance(ended, ode.Solution) else {}
    return xr.Dataset(columns, coords={"time": np.asarray(times, float)}, attrs=status)


def _settings(net: System, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of `ode.solve`, by default those of step control for stiff fields.

    There is no longest step by default if no rate follows time.
    """
    if options.get("dt") is not None or options.get("num_steps") is not None:
        return {"method": "rodas4"} | options
    follows_time = any(TIME in names(net.rate(reaction)) for reaction in net.reactions)
    longest = {} if follows_time else {"max_step": math.inf}
    return {"method": "rodas4", "rtol": 1e-7, "max_steps": 20_000} | longest | options
