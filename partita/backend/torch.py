"""The operations that partita needs of PyTorch.

What is compiled elsewhere runs as it stands here: it is no slower than a loop in Python.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from keras import ops

from partita.backend.keras_internals import is_transformed


def devices() -> list[str]:
    found = torch.accelerator.current_accelerator()
    return (
        ["cpu"]
        if found is None
        else [f"{found.type}:{place}" for place in range(torch.accelerator.device_count())]
    )


def compiled(function: Callable) -> Callable:
    return function


differentiable = compiled
uncompiled = torch.compiler.disable


def is_known(tensor: Any) -> bool:
    # Keras builds on the meta device
    return not isinstance(tensor, torch.Tensor) or not (tensor.is_meta or is_transformed(tensor))


def float64() -> AbstractContextManager[None]:
    return nullcontext()


def add_rows(variable: Any, rows: Any, values: Any) -> None:
    variable.value.data.index_put_((rows.long(),), values, accumulate=True)


def derivative(function: Callable[[Any], Any], at: Any, along: Any) -> Any:
    return torch.func.jvp(function, (at,), (along,))[1]


def gradient(function: Callable[[Any], Any], at: Any) -> Any:
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        return torch.autograd.grad(function(at), at, create_graph=True)[0]


def value_and_jacobian(function: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    def both(x, *others):
        def with_value(x):
            value = function(x, *others)
            return value, value

        others = tuple(map(ops.convert_to_tensor, others))
        jacobian, value = torch.func.jacfwd(with_value, has_aux=True)(ops.convert_to_tensor(x))
        return value, jacobian

    return both


def value_and_gradient(function: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, Any]]:
    def both(x):
        x = ops.convert_to_tensor(x).detach().requires_grad_()
        value = function(x)
        return value.detach(), torch.autograd.grad(value.sum(), x)[0]

    return both


def gradients(loss: Callable[[], Any], variables: list[Any]) -> list[Any]:
    with torch.enable_grad():
        return [*torch.autograd.grad(loss(), [variable.value for variable in variables])]


def trajectory(
    step: Callable[..., tuple], unfinished: Callable[..., Any], start: tuple, limit: int
) -> tuple[tuple, Any]:
    states = [start]
    while len(states) <= limit and unfinished(*states[-1]):
        states.append(step(*states[-1]))
    return tuple(ops.stack(part) for part in zip(*states, strict=True)), len(states) - 1


def with_gradient(
    value: Callable[..., tuple[Any, tuple]], gradient: Callable[[Any, tuple, tuple], tuple]
) -> Callable[..., Any]:
    def run(*inputs):
        forwards = (torch.autograd.forward_ad.unpack_dual(x).tangent is not None for x in inputs)
        if not all(map(is_known, inputs)) or any(forwards):  # in one of torch.func's transforms
            return value(*inputs)[0]
        return _WithGradient.apply(value, gradient, *inputs)

    return run


def play_round(model: Any, turns: list[Any]) -> dict[str, Any]:
    before = {id(variable): variable.value.detach().clone() for variable in model.trainable_variables}
    for turn in turns:
        for _ in range(turn.steps):
            sources = [variable.value for variable in turn.variables]
            loss = turn.optimizer.scale_loss(turn.loss(before))
            gradients = torch.autograd.grad(loss, sources, allow_unused=True, materialize_grads=True)
            with torch.no_grad():
                turn.optimizer.apply([*gradients], turn.variables)
    model.optimizer.iterations.assign_add(1)
    return model.get_metrics_result()


class _WithGradient(torch.autograd.Function):
    """A function with a gradient of its own.

    It keeps what `value` says, unless its gradient is to be differentiated: that is then computed with a
    graph.
    """

    @staticmethod
    def forward(ctx, value, gradient, *inputs):
        result, kept = value(*inputs)
        ctx.value, ctx.gradient, ctx.num_inputs = value, gradient, len(inputs)
        ctx.save_for_backward(*inputs, *kept)
        return result

    @staticmethod
    def backward(ctx, weight):
        inputs, kept = ctx.saved_tensors[: ctx.num_inputs], ctx.saved_tensors[ctx.num_inputs :]
        if torch.is_grad_enabled():
            _, kept = ctx.value(*inputs)
        return None, None, *ctx.gradient(weight, inputs, kept)
