"""The formulas of SBML, as libSBML has read them, to expressions.

<apply><times/><ci> k </ci><ci> X </ci></apply>   →   k * X
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

from partita.reactions.model.expression import TIME, Call, Expression, Name, Number, number, substitute
from partita.reactions.model.operators import OPERATORS
from partita.reactions.model.simplification import ONE, ZERO, joined

with warnings.catch_warnings():
    # SWIG's types have no module, which newer Pythons tell
    warnings.simplefilter("ignore", DeprecationWarning)
    import libsbml

TOTAL_LIMIT = 3_000_000  # parts of all formulas together
AVOGADRO = 6.02214179e23  # as SBML Level 3 defines its symbol

TRUE, FALSE = Call("==", (ZERO, ZERO)), Call("!=", (ZERO, ZERO))


class UnsupportedError(ValueError):
    """What a formula holds that cannot be taken over."""


def _chain(symbol: str) -> Callable[..., Expression]:
    return lambda *arguments: joined("and", [Call(symbol, pair) for pair in pairwise(arguments)], TRUE)


def _many(symbol: str, empty: Expression) -> Callable[..., Expression]:
    return lambda *arguments: joined(symbol, arguments, empty)


def _plain(symbol: str) -> Callable[..., Expression]:
    return lambda *arguments: Call(symbol, arguments)


def _minus(*arguments: Expression) -> Expression:
    return Call("neg" if len(arguments) == 1 else "-", arguments)


def _root(first: Expression, second: Expression | None = None) -> Expression:
    if second is None or first == Number(2):
        return Call("sqrt", (second or first,))
    return Call("**", (second, Call("/", (ONE, first))))


def _log(first: Expression, second: Expression | None = None) -> Expression:
    base, x = (Number(10), first) if second is None else (first, second)
    return Call("/", (Call("log", (x,)), Call("log", (base,))))


def _differ(x: Expression, y: Expression) -> Expression:
    return Call("or", (Call("and", (x, Call("not", (y,)))), Call("and", (Call("not", (x,)), y))))


def _xor(*arguments: Expression) -> Expression:
    return reduce(_differ, arguments) if arguments else FALSE


def _piecewise(*arguments: Expression) -> Expression:
    if len(arguments) % 2 == 0:
        raise UnsupportedError("a piecewise without otherwise")
    result = arguments[-1]
    for value, condition in zip(arguments[-3::-2], arguments[-2::-2], strict=True):
        result = Call("if", (condition, value, result))
    return result


_BUILD: Mapping[int, Callable[..., Expression]] = {
    libsbml.AST_PLUS: _many("+", ZERO),
    libsbml.AST_TIMES: _many("*", ONE),
    libsbml.AST_MINUS: _minus,
    libsbml.AST_DIVIDE: _plain("/"),
    libsbml.AST_POWER: _plain("**"),
    libsbml.AST_FUNCTION_POWER: _plain("**"),
    libsbml.AST_FUNCTION_ROOT: _root,
    libsbml.AST_FUNCTION_LOG: _log,
    libsbml.AST_FUNCTION_MIN: _many("min", ZERO),
    libsbml.AST_FUNCTION_MAX: _many("max", ZERO),
    libsbml.AST_FUNCTION_PIECEWISE: _piecewise,
    libsbml.AST_RELATIONAL_EQ: _chain("=="),
    libsbml.AST_RELATIONAL_NEQ: _plain("!="),
    libsbml.AST_RELATIONAL_LT: _chain("<"),
    libsbml.AST_RELATIONAL_LEQ: _chain("<="),
    libsbml.AST_RELATIONAL_GT: _chain(">"),
    libsbml.AST_RELATIONAL_GEQ: _chain(">="),
    libsbml.AST_LOGICAL_AND: _many("and", TRUE),
    libsbml.AST_LOGICAL_OR: _many("or", FALSE),
    libsbml.AST_LOGICAL_NOT: _plain("not"),
    libsbml.AST_LOGICAL_XOR: _xor,
}


def _functions() -> dict[int, Callable[..., Expression]]:
    """What builds the functions that are one operator of ours."""
    rows = ((symbol, row.mathml) for symbol, row in OPERATORS.items() if row.mathml)
    return {getattr(libsbml, f"AST_FUNCTION_{element.upper()}"): _plain(symbol) for symbol, element in rows}


_CONSTANTS: Mapping[int, Expression] = {
    libsbml.AST_CONSTANT_PI: Number(math.pi),
    libsbml.AST_CONSTANT_E: Number(math.e),
    libsbml.AST_CONSTANT_TRUE: TRUE,
    libsbml.AST_CONSTANT_FALSE: FALSE,
    libsbml.AST_NAME_AVOGADRO: Number(AVOGADRO),
    libsbml.AST_NAME_TIME: Name(TIME),
}
_JOINING = {libsbml.AST_PLUS, libsbml.AST_TIMES, libsbml.AST_LOGICAL_AND, libsbml.AST_LOGICAL_OR}
_NUMBERS = {libsbml.AST_INTEGER, libsbml.AST_REAL, libsbml.AST_REAL_E, libsbml.AST_RATIONAL}
# Elements of the package l3v2extendedmath, and of L3V2, as MathML spells them.
_SPELLED = {
    libsbml.AST_FUNCTION_RATE_OF: "rateOf",
    libsbml.AST_FUNCTION_REM: "rem",
    libsbml.AST_FUNCTION_QUOTIENT: "quotient",
    libsbml.AST_LOGICAL_IMPLIES: "implies",
}
_TYPE_NAMES = {getattr(libsbml, it): it[4:].lower() for it in dir(libsbml) if it.startswith("AST_")}


def _operands(node: Any) -> list[Any]:
    """The operands of a node; libSBML has made a + b + c into (a + b) + c, however long the sum."""
    last: list[Any] = []
    kind = node.getType()
    while kind in _JOINING and node.getNumChildren() == 2 and node.getChild(0).getType() == kind:
        last.append(node.getChild(1))
        node = node.getChild(0)
    return [*(node.getChild(i) for i in range(node.getNumChildren())), *reversed(last)]


class Formulas:
    """A translator of formulas that knows the functions a model defines.

    Args:
        functions: The body of each function, and the names of its arguments.

    Example:
        >>> twice = libsbml.parseL3Formula("2 * x")
        >>> formulas = Formulas({"twice": (twice, ["x"])})
        >>> formulas.expression(libsbml.parseL3Formula("twice(k) + 1"), {"k": Name("k")}).arguments[
        ...     0
        ... ].operator
        '*'
    """

    def __init__(self, functions: Mapping[str, tuple[Any, Sequence[str]]]):
        self._functions = functions
        self._build = {**_BUILD, **_functions()}
        self._bodies: dict[str, Expression] = {}
        self._open: list[str] = []
        self._total = 0

    def expression(self, node: Any, names: Mapping[str, Expression]) -> Expression:
        """The expression of a formula.

        Args:
            node: A libSBML `ASTNode`.
            names: What stands for each name.

        Raises:
            ValueError: naming what is unknown or unsupported.
        """
        result = self._translate(node, names)
        self._total += result.size
        if self._total > TOTAL_LIMIT:
            raise UnsupportedError(f"formulas of more than {TOTAL_LIMIT} parts in all")
        return result

    def _translate(self, node: Any, names: Mapping[str, Expression]) -> Expression:
        if node is None:
            raise UnsupportedError("an empty formula")
        kind, name = node.getType(), node.getName()
        if kind in _NUMBERS:
            if not math.isfinite(node.getValue()):
                raise UnsupportedError("infinity or notanumber in a formula")
            return number(node.getValue())
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind == libsbml.AST_NAME:
            if name not in names:
                raise UnsupportedError(
                    f"the name {name!r}, which is no species, parameter or compartment, in a formula"
                )
            return names[name]
        arguments = [self._translate(operand, names) for operand in _operands(node)]
        if kind == libsbml.AST_FUNCTION:
            return self._call(name, arguments)
        if kind not in self._build:
            what = _SPELLED.get(kind) or _TYPE_NAMES.get(kind, "").removeprefix("function_")
            raise UnsupportedError(f"the function {what or name!r} in a formula")
        try:
            return self._build[kind](*arguments)
        except (TypeError, IndexError):
            what = f"{len(arguments)} arguments of {_TYPE_NAMES[kind]!r} in a formula"
            raise UnsupportedError(what) from None

    def _call(self, name: str, arguments: list[Expression]) -> Expression:
        if name not in self._functions:
            raise UnsupportedError(f"the function {name!r}, which is not defined, in a formula")
        body, bound = self._functions[name]
        if len(bound) != len(arguments):
            raise UnsupportedError(
                f"{len(arguments)} arguments of the function {name!r} in a formula, which takes {len(bound)}"
            )
        # A body is translated once, for arguments of names that no model can have: nested calls would double
        # the work each time.
        if name not in self._bodies:
            if name in self._open:
                raise UnsupportedError(f"the function {name!r}, which calls itself,")
            self._open.append(name)
            places = {argument: Name(f"{i}") for i, argument in enumerate(bound)}
            self._bodies[name] = self._translate(body, places)
            self._open.pop()
        return substitute(self._bodies[name], {f"{i}": argument for i, argument in enumerate(arguments)})
