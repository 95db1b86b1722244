import math
from functools import reduce

import numpy as np
import pytest
from hypothesis import given

from partita.reactions.model import expression as tree
from partita.reactions.model.expression import Call, Name, Number
from partita.reactions.model.formula import parse
from partita.reactions.model.operators import OPERATORS
from tests.reactions.networks import expressions

VALUES = {"a": 2.5, "b": 0.75, "c": 3.0, "t": 1.5}


def compiled(text):
    """The value of the Numba source of an expression, run by Python itself."""
    scope = {"np": np, **VALUES}
    for row in OPERATORS.values():
        exec(row.definition, scope)
    return eval(tree.source(parse(text), str), scope)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a - b - c", 2.5 - 0.75 - 3),
        ("a / b * c", 2.5 / 0.75 * 3),
        ("-a ** 2", -6.25),
        ("2 ** -b ** 2", 2 ** -(0.75**2)),
        ("a + b * c + t", 2.5 + 2.25 + 1.5),
        ("min(a, b, c) + max(a, b, c)", 3.75),
        ("exp(log(a)) + sqrt(b * b) + abs(-c)", 6.25),
        ("floor(a) * 10 + ceil(b)", 21.0),
        ("sin(a) ** 2 + cos(a) ** 2 + tan(b) - sin(b) / cos(b) + tanh(0)", 1.0),
        ("hill(a, b, c)", 2.5**3 / (0.75**3 + 2.5**3)),
        ("hill(a, b, -c)", 0.75**3 / (0.75**3 + 2.5**3)),
        ("hill(0, b, -c)", 1.0),
        ("mm(a, b, c)", 0.75 * 2.5 / 5.5),
        ("if(a < b or not b >= c and t != 1, a, b)", 2.5),
        ("if(a == 2.5, 1e-3, .5)", 1e-3),
        ("if(a > b and (b <= c), 7, 8.)", 7.0),
    ],
)
def test_an_expression_has_one_value_however_it_is_computed(text, value):
    assert math.isclose(tree.evaluate(parse(text), VALUES), value)
    assert math.isclose(compiled(text), value)
    arrays = {name: np.full(3, number) for name, number in VALUES.items()}
    assert np.allclose(tree.evaluate(parse(text), arrays), value)


@given(expressions(["a", "b", "t"]))
def test_printing_and_parsing_is_the_identity(expression):
    assert parse(tree.to_text(expression)) == expression


@given(expressions(["a", "b", "t"], condition=True))
def test_printing_and_parsing_conditions_is_the_identity(expression):
    assert parse(tree.to_text(expression)) == expression


@given(expressions(["a", "b"]), expressions(["c"]))
def test_substitution_removes_a_name(expression, replacement):
    assert "a" not in tree.names(tree.substitute(expression, {"a": replacement}))


def test_keras_computes_the_same():
    ops = pytest.importorskip("keras").ops
    expression = parse(
        "if(a > 1 and not b > a, hill(a, b, 2) * min(a, b, 3) + a ** 0.5, hill(a - 0.5, b, 0 - 2))"
    )
    a, b = np.array([0.5, 2.0, 4.0], "float32"), np.array([1.0, 1.0, 9.0], "float32")
    values = {"a": ops.convert_to_tensor(a), "b": ops.convert_to_tensor(b)}
    result = ops.convert_to_numpy(tree.evaluate(expression, values, ops))
    np.testing.assert_allclose(result, tree.evaluate(expression, {"a": a, "b": b}), rtol=1e-5)


def test_every_operator_is_listed_where_it_can_be_written():
    assert all(row.level is not None or name.isidentifier() for name, row in OPERATORS.items())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Number(-1), "finite and not negative, got -1.0"),
        (lambda: Number(math.inf), "finite and not negative, got inf"),
        (lambda: tree.number(math.nan), "got nan"),
        (lambda: Call("%", (Number(1), Number(2))), "operator must be one of .* got '%'"),
        (lambda: Call("-", (Number(1),)), "'-' takes 2 arguments, got 1"),
        (lambda: Call("max", (Number(1),)), "'max' takes 2 or more arguments, got 1"),
        (
            lambda: Call("and", (Number(1), Number(2))),
            "argument 1 of 'and' must be a condition, got a number",
        ),
        (
            lambda: Call("+", (Number(1), Call("<", (Number(1), Number(2))))),
            "argument 2 of '\\+' must be a number, got a condition",
        ),
        (lambda: tree.check_name("2a"), "letters, digits and _, and begin with no digit, got '2a'"),
        (lambda: tree.check_name("log"), "'log' has a meaning of its own"),
        (lambda: tree.check_name(3), "got 3"),
        (lambda: tree.constant(Name("k"), {}), "'k' has no value here"),
        (lambda: tree.constant(parse("(0 - 8) ** 0.5"), {}), "no finite number"),
        (lambda: tree.constant(parse("log(0)"), {}), "no finite number"),
        (lambda: tree.constant(parse("10 ** 400"), {}), "no finite number"),
    ],
)
def test_what_is_no_expression_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_an_expression_that_doubles_itself_is_stopped():
    with pytest.raises(ValueError, match="at most 10000 parts"):
        reduce(lambda inner, _: Call("+", (inner, inner)), range(1000), Name("x"))


def test_an_expression_that_grows_deep_is_stopped():
    with pytest.raises(ValueError, match="at most 150 levels deep"):
        reduce(lambda inner, _: Call("neg", (inner,)), range(1000), Name("x"))


def test_a_long_sum_is_one_sum():
    assert parse(" + ".join(["a"] * 2000)).depth == 2
