import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.reactions.kernels import intervals
from partita.reactions.model.expression import evaluate, to_text
from partita.reactions.model.formula import parse
from partita.reactions.model.operators import OPERATORS
from tests.reactions.networks import expressions

TIMES = st.floats(0, 30) | st.integers(0, 20).map(float) | st.floats(0, 1e12)
WIDTHS = st.floats(0, 10) | st.floats(0, 1e-9) | st.floats(0, 1e6)
PLACES = np.array([0.0, 1e-9, 0.1, 0.25, 0.5, 0.7, 0.999, 1.0])


def sampled(expression, a, first, last):
    moments = np.clip(first + PLACES * (last - first), first, last)
    moments = np.unique(
        np.append(moments, np.clip(np.round(moments), first, last))
    )  # whole numbers are where much turns
    with np.errstate(all="ignore"):
        return np.array([evaluate(expression, {"a": np.float64(a), "t": np.float64(t)}) for t in moments])


@settings(max_examples=400, deadline=None)
@given(expressions(["a", "t", "t"], depth=4), st.floats(0, 20), TIMES, WIDTHS)
def test_a_range_holds_every_value(expression, a, first, width):
    with np.errstate(all="ignore"):
        low, high = intervals.enclose(expression, {"a": np.float64(a)}, first, first + width)
    values = sampled(expression, a, first, first + width)
    if not (np.isnan(low) or np.isnan(high)):
        assert (low <= values).all(), to_text(expression)
        assert (values <= high).all(), to_text(expression)


@settings(max_examples=200, deadline=None)
@given(expressions(["a", "t", "t"], condition=True), st.floats(0, 20), TIMES, WIDTHS)
def test_a_condition_is_sure_only_where_it_is(condition, a, first, width):
    with np.errstate(all="ignore"):
        surely, possibly = intervals.enclose(condition, {"a": np.float64(a)}, first, first + width)
    values = sampled(condition, a, first, first + width)
    assert values.all() or not surely
    assert possibly or not values.any()


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("t + t - 1", 1, 3),
        ("2 * t * (t - 3)", -8, -2),
        ("1 / t", 0.5, 1),
        ("1 / (t - 1.5)", -np.inf, np.inf),
        ("(t - 1) / (t - 1)", np.nan, np.nan),
        ("(t - 1.5) ** 2", 0, 0.25),
        ("(t - 1.5) ** 3", -0.125, 0.125),
        ("(t - 3) ** -2", 0.25, 1),
        ("(t - 1.5) ** -2", -np.inf, np.inf),
        ("(t - 1.5) ** t", np.nan, np.nan),
        ("t ** (0 - t)", 0.25, 1),
        ("exp(-t)", np.exp(-2), np.exp(-1)),
        ("log(t - 1)", -np.inf, 0),
        ("log(t - 1.5)", np.nan, np.nan),
        ("sqrt(t - 1.5)", np.nan, np.nan),
        ("min(10, 1 / (t - 1))", -np.inf, 10),
        ("max(t, 1.5, 0) + min(t, 1.5)", 2.5, 3.5),
        ("floor(t) + ceil(t)", 2, 4),
        ("abs(t - 1.75)", 0, 0.75),
        ("sin(t)", np.sin(1), 1),
        ("cos(3 * t)", -1, np.cos(6)),
        ("sin(100 * t)", -1, 1),
        ("tan(t)", -np.inf, np.inf),
        ("tan(t / 2)", np.tan(0.5), np.tan(1)),
        ("tanh(t)", np.tanh(1), np.tanh(2)),
        ("hill(t, 2, 2)", 0.2, 0.5),
        ("hill(t - 1, 2, -2)", 0.8, 1),
        ("mm(t, 6, 2)", 2, 3),
        ("mm(1e300, 1e300, t)", np.nan, np.nan),
        ("exp(1000 * t) * (t - 1.5)", np.nan, np.nan),
        ("if(t < 3, t, 1 / (t - t))", 1, 2),
        ("if(t < 1.5 or not t > 0, t, 9)", 1, 9),
        ("if(t <= 2 and t != 7, 1, 2)", 1, 1),
        ("if(t == 1.5, 1, 2)", 1, 2),
        ("if(t >= 3, 1, k)", 5, 5),
    ],
)
def test_ranges_are_as_narrow_as_they_should_be(text, low, high):
    """For t from 1 to 2; the lines that kernels compile say the same."""
    expression = parse(text)
    np.testing.assert_allclose(intervals.enclose(expression, {"k": 5.0}, 1.0, 2.0), (low, high), rtol=1e-12)
    scope = {"np": np, "point": intervals.point, "k": 5.0, "t": 1.0, "end": 2.0}
    for row in OPERATORS.values():
        exec(row.definition, scope)
    lines, rules = [], {}
    result = intervals.range_source(expression, str, lines, rules)
    scope |= {name: intervals.rule(symbol) for symbol, name in rules.items()}
    exec("\n".join([*lines, f"result = {result}"]), scope)
    np.testing.assert_allclose(scope["result"], (low, high), rtol=1e-12)
