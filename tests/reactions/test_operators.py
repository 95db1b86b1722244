"""One row of the table is all that an operator needs; and the derivatives that the rows give."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings

from partita.reactions.model.derivative import derivative
from partita.reactions.model.expression import evaluate, to_text
from partita.reactions.model.formula import parse
from partita.reactions.model.operators import OPERATORS
from tests.reactions.networks import expressions

# A row added in a process of its own: what is compiled and cached in this one does not know it.
NEW_FUNCTION = """
import io, json, numpy as np
from partita.reactions.model.ranges import wider
from partita.reactions.model.operators import OPERATORS, function

def hyperbolic_sine(x):
    return wider(np.sinh(x[0]), np.sinh(x[1]))

OPERATORS["sinh"] = function(
    "sinh", hyperbolic_sine, "if(x < 0, sqrt(1 + sinh(x) ** 2), sqrt(1 + sinh(x) ** 2)) * dx"
)

from partita.reactions import Network, read_sbml
from partita.reactions.model.derivative import derivative
from partita.reactions.model.expression import evaluate
from partita.reactions.model.formula import parse

def at_the_end(net, trajectories, **options):
    return float(net.simulate([1.0], trajectories, seed=0, **options).A.mean())

birth = Network.from_text("-> A @@ 10 * sinh(k); k = 1; A -> @ 0.001")
ring = "; ".join(f"B{i} -> B{i + 1} @@ 0 * sinh(B{i})" for i in range(40))
sbml = b'''<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model>
<listOfCompartments><compartment id="cell" size="1" constant="true"/></listOfCompartments>
<listOfSpecies><species id="A" compartment="cell" initialAmount="0" hasOnlySubstanceUnits="true"
 boundaryCondition="false" constant="false"/></listOfSpecies>
<listOfReactions><reaction id="make" reversible="false" fast="false">
<listOfProducts><speciesReference species="A" stoichiometry="1" constant="true"/></listOfProducts>
<kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML">
<apply><times/><cn>10</cn><apply><sinh/><cn>1</cn></apply></apply>
</math></kineticLaw></reaction></listOfReactions></model></sbml>'''
print(json.dumps({
    "text": str(birth.reactions[0]),
    "sbml": str(read_sbml(io.BytesIO(sbml)).reactions[0]),
    "direct": at_the_end(birth, 4),
    "lanes or direct": at_the_end(birth, 100),
    "sparse": at_the_end(Network.from_text(f"-> A @@ 10 * sinh(1 + 0 * A); {ring}"), 100),
    "tau": at_the_end(birth, 100, method="tau"),
    "thinning": at_the_end(Network.from_text("-> A @@ 10 * sinh(1 + 0 * t)"), 100),
    "rate equation": float(birth.rate_equation()(0.0, np.zeros(1), {})[0]),
    "solution": float(birth.solve([0, 1]).A[-1]),
    "master equation": float(
        birth.master_equation({"A": 60}).distribution([1.0], ["A"]).values[0] @ np.arange(61)
    ),
    "derivative": float(evaluate(derivative(parse("sinh(2 * x)"), "x"), {"x": 0.5})),
}))
"""


def test_a_function_is_one_row():
    found = json.loads(
        subprocess.run(
            [sys.executable, "-c", NEW_FUNCTION], check=True, capture_output=True, text=True
        ).stdout
    )
    mean, error = 10 * np.sinh(1), 4 * np.sqrt(10 * np.sinh(1) / 100)
    assert found.pop("text") == "-> A @@ 10 * sinh(k)"
    assert found.pop("sbml") == "make: -> A @ 10 * sinh(1)"
    np.testing.assert_allclose(found.pop("derivative"), 2 * np.cosh(1))
    np.testing.assert_allclose(found.pop("rate equation"), mean)
    np.testing.assert_allclose(found.pop("solution"), mean, rtol=1e-3)
    np.testing.assert_allclose(found.pop("direct"), mean, atol=5 * error)
    for name, value in found.items():
        np.testing.assert_allclose(value, mean, atol=error, err_msg=name)


def test_every_operator_has_a_derivative_or_gives_a_condition():
    assert all(bool(row.derivative) != row.gives for row in OPERATORS.values())


@pytest.mark.parametrize(
    ("text", "slope"),
    [
        ("k * x", "k"),
        ("x ** 3", "3 * x ** 2"),
        ("x * (x - 1) / 2", "(x - 1 + x) / 2"),
        ("exp(-x / 2)", "-exp(-x / 2) / 2"),
        ("log(x) + sqrt(x)", "1 / x + 1 / (2 * sqrt(x))"),
        ("sin(x) * cos(x) + tan(x)", "cos(x) ** 2 - sin(x) ** 2 + 1 + tan(x) ** 2"),
        ("tanh(x)", "1 - tanh(x) ** 2"),
        ("hill(x, 2, 3)", "3 * x ** 2 * 8 / (8 + x ** 3) ** 2"),
        ("hill(x, 2, -3)", "-3 * x ** 2 * 8 / (8 + x ** 3) ** 2"),
        ("hill(2, x, 3)", "-3 * 8 * x ** 2 / (8 + x ** 3) ** 2"),
        ("mm(x, 5, 2)", "10 / (2 + x) ** 2"),
        ("mm(2, x, 3)", "2 / 5"),
        ("mm(2, 3, x)", "-6 / (x + 2) ** 2"),
        ("2 ** x", "2 ** x * log(2)"),
        ("if(x < 1, x ** 2, 3 * x)", "if(x < 1, 2 * x, 3)"),
        ("min(x, 1, 2) + max(x, 1, 2)", "if(x <= 1, 1, 0) + if(x >= 2, 1, 0)"),
        ("abs(x - 1) + floor(x) + ceil(x)", "if(x < 1, -1, 1)"),
        ("x + " + " + ".join(["x"] * 3000), "3001"),
    ],
)
def test_derivatives_are_those_of_the_textbook(text, slope):
    x = np.array([0.3, 0.8, 1.7, 2.6])
    values = {"x": x, "k": 2.0}
    np.testing.assert_allclose(
        evaluate(derivative(parse(text), "x"), values) + 0 * x,
        evaluate(parse(slope), values) + 0 * x,
        rtol=1e-12,
    )


def test_a_hill_function_has_a_derivative_at_zero():
    assert [
        float(evaluate(derivative(parse(f"hill(x, 2, {n})"), "x"), {"x": np.float64(0)})) for n in (1, 2, -1)
    ] == [0.5, 0.0, -0.5]


@pytest.mark.parametrize(
    ("text", "values"), [("x ** n", {"x": 0.0, "n": 0.0}), ("hill(x, 2, n)", {"x": 0.0, "n": 0.0})]
)
def test_a_power_of_zero_is_constant(text, values):
    with np.errstate(all="ignore"):
        assert (
            evaluate(
                derivative(parse(text), "x"), {name: np.float64(value) for name, value in values.items()}
            )
            == 0
        )


def test_a_derivative_in_another_name_is_zero():
    assert to_text(derivative(parse("x ** 2 * exp(x)"), "k")) == "0"


@settings(max_examples=300, deadline=None)
@given(expressions(["a", "t"], depth=3))
def test_derivatives_are_limits_of_differences(expression):
    """A derivative agrees with finite differences, taken without complex numbers.

    Two differences that agree show that there is a derivative; the third number is the computed one.
    """
    at, step = 1.37, 1e-6
    with np.errstate(all="ignore"):
        values = [
            np.float64(evaluate(expression, {"a": np.float64(at + shift), "t": 0.61}))
            for shift in (-step, 0, step)
        ]
        left, right = (values[1] - values[0]) / step, (values[2] - values[1]) / step
        assume(
            np.isfinite([left, right]).all()
            and abs(left - right) <= 1e-4 * (1 + abs(left))
            and abs(values[1]) < 1e4
        )
        try:
            slope = np.float64(evaluate(derivative(expression, "a"), {"a": np.float64(at), "t": 0.61}))
        except ValueError:
            assume(False)
    assume(np.isfinite(slope))  # 0 times what is infinite
    np.testing.assert_allclose(slope, (left + right) / 2, rtol=1e-3, atol=1e-3)
