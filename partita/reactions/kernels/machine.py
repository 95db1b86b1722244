"""A small stack machine for expressions, written from the table of operators.

    k * (x + 1)   →   constant k, slot x, constant 1, +, *

An expression becomes a row of words, arguments before their operator. Conditions are 1 and 0. Nothing is
compiled for a network.
"""

from collections.abc import Callable, Mapping

import numpy as np

from partita.reactions.kernels import intervals
from partita.reactions.kernels.generated import load
from partita.reactions.kernels.source import INNER, header, indented
from partita.reactions.model.expression import DEPTH_LIMIT, TIME, Call, Expression, Name, Number, names
from partita.reactions.model.operators import MANY, OPERATORS

STACK = 2 * DEPTH_LIMIT + 10  # numbers that wait for their operator: at most two at each level
CONSTANT, SLOT = 1 << 20, 1 << 30  # words from here on push: a constant, a slot; those below are operators
VALUE = 1 << 40  # and, for ranges, the value of the words that follow, as many as it is larger than this
_LETTERS = ("a", "b", "c")
_DECORATOR = '@njit(error_model="numpy", no_cfunc_wrapper=True)'


def machine() -> Callable:
    """Return the compiled machine: `(program, begin, end, constants, slots, stack)` → the value.

    Example:
        >>> from partita.reactions.model.formula import parse
        >>> constants = {}
        >>> program = np.array(words(parse("2 * (x + 1)"), {"x": 0}, {}, constants))
        >>> float(
        ...     machine()(program, 0, len(program), numbers_of(constants), np.array([4.0]), np.zeros(STACK))
        ... )
        10.0
    """
    lines, (two, three) = _applying(_result, "np.nan")
    body = [
        "top = -1",
        "for place in range(begin, end):",
        "    word = program[place]",
        f"    if word >= {SLOT}:",
        "        top += 1",
        f"        stack[top] = slots[word - {SLOT}]",
        f"    elif word >= {CONSTANT}:",
        "        top += 1",
        f"        stack[top] = constants[word - {CONSTANT}]",
        f"    elif word < {two}:",
        "        stack[top] = apply1(word, stack[top])",
        f"    elif word < {three}:",
        "        top -= 1",
        "        stack[top] = apply2(word, stack[top], stack[top + 1])",
        "    else:",
        "        top -= 2",
        "        stack[top] = apply3(word, stack[top], stack[top + 1], stack[top + 2])",
        "return stack[0]",
    ]
    define = [_DECORATOR, "def run(program, begin, end, constants, slots, stack):"]
    return load("\n".join([header(), *lines, *define, *indented(body, 1), ""]))


def range_machine() -> Callable:
    """Return the machine for ranges while the time goes from t to end, which runs what `range_words` gives.

    `(program, begin, end_of_it, machine, constants, slots, t, end, stack, low, high)` → the pair that
    `intervals.enclose` gives; `low` and `high` are its stacks.
    """
    lines, (two, three) = _applying(_range_result, "np.nan, np.nan")
    rules = [f"rule{code} = inner_rule({symbol!r})" for symbol, code in _codes().items()]
    first, second, third = (f"(low[{place}], high[{place}])" for place in ("top", "top + 1", "top + 2"))
    body = [
        "top = -1",
        "place = begin",
        "while place < after:",
        "    word = program[place]",
        "    place += 1",
        f"    if word >= {VALUE}:",
        "        top += 1",
        f"        low[top] = machine(program, place, place + word - {VALUE}, constants, slots, stack)",
        "        high[top] = low[top]",
        f"        place += word - {VALUE}",
        f"    elif word >= {SLOT}:",  # the time is all that is left
        "        top += 1",
        "        low[top] = t; high[top] = end",
        f"    elif word < {two}:",
        f"        low[top], high[top] = apply1(word, {first})",
        f"    elif word < {three}:",
        "        top -= 1",
        f"        low[top], high[top] = apply2(word, {first}, {second})",
        "    else:",
        "        top -= 2",
        f"        low[top], high[top] = apply3(word, {first}, {second}, {third})",
        "return low[0], high[0]",
    ]
    begin = [
        "import numpy as np",
        "from numba import njit",
        f"from {intervals.__name__} import as_floats, inner_rule\n",
        *rules,
        "\n",
    ]
    define = [INNER, "def run(program, begin, after, machine, constants, slots, t, end, stack, low, high):"]
    return load("\n".join([*begin, *lines, *define, *indented(body, 1), ""]))


def words(
    law: Expression, slots: Mapping[str, int], values: Mapping[str, float], constants: dict[str, int]
) -> list[int]:
    """Return the program of an expression.

    Args:
        law: The expression.
        slots: The place of each name that varies.
        values: The number of each other name.
        constants: Takes the numbers that are met: number in hexadecimal, which tells 0 from −0 → place.

    Example:
        >>> from partita.reactions.model.formula import parse
        >>> words(parse("x + x"), {"x": 3}, {}, {}) == [SLOT + 3, SLOT + 3, _codes()["+"]]
        True
    """
    if isinstance(law, Name) and law.name in slots:
        return [SLOT + slots[law.name]]
    if not isinstance(law, Call):
        value = law.value if isinstance(law, Number) else values[law.name]
        return [CONSTANT + constants.setdefault(float(value).hex(), len(constants))]
    return _joined(law, [words(argument, slots, values, constants) for argument in law.arguments])


def range_words(
    law: Expression, slots: Mapping[str, int], values: Mapping[str, float], constants: dict[str, int]
) -> list[int]:
    """Return the program of the range of an expression; see `words`.

    What does not depend on the time is computed as a value.

    Example:
        >>> from partita.reactions.model.formula import parse
        >>> range_words(parse("t + 2 * x"), {"x": 0, "t": 1}, {}, {}) == [
        ...     SLOT + 1,
        ...     VALUE + 3,
        ...     CONSTANT,
        ...     SLOT,
        ...     _codes()["*"],
        ...     _codes()["+"],
        ... ]
        True
    """
    if TIME not in names(law):
        program = words(law, slots, values, constants)
        return [VALUE + len(program), *program]
    if not isinstance(law, Call):
        return [SLOT + slots[TIME]]
    return _joined(law, [range_words(argument, slots, values, constants) for argument in law.arguments])


def numbers_of(constants: Mapping[str, int]) -> np.ndarray:
    """The constants that `words` has met."""
    return np.array([float.fromhex(number) for number in constants])


def _joined(law: Call, arguments: list[list[int]]) -> list[int]:
    operation = _codes()[law.operator]
    first, *rest = arguments
    if OPERATORS[law.operator].arity[1] == MANY:  # a + b + c: two at a time
        return [*first, *(word for argument in rest for word in (*argument, operation))]
    return [*first, *(word for argument in rest for word in argument), operation]


def _num_arguments(symbol: str) -> int:
    low, high = OPERATORS[symbol].arity
    return 2 if high == MANY else low


def _codes() -> dict[str, int]:
    """The word of each operator, those with one argument first."""
    return {symbol: code for code, symbol in enumerate(sorted(OPERATORS, key=_num_arguments))}


def _applying(result: Callable[[str, tuple[str, ...]], str], nothing: str) -> tuple[list[str], list[int]]:
    """Return source that applies operators of one, two and three arguments.

    With it come the first word of those of two, and of those of three.
    """
    codes, lines, firsts = _codes(), [], [0]
    for count in (1, 2, 3):
        letters = _LETTERS[:count]
        chosen = {symbol: code for symbol, code in codes.items() if _num_arguments(symbol) == count}
        lines += [INNER, f"def apply{count}(word, {', '.join(letters)}):"]
        lines += [f"    if word == {code}: return {result(it, letters)}" for it, code in chosen.items()]
        lines += [f"    return {nothing}", "", ""]
        firsts.append(firsts[-1] + len(chosen))
    return lines, firsts[1:3]


def _result(symbol: str, letters: tuple[str, ...]) -> str:
    row, given = OPERATORS[symbol], _given(symbol, letters, "({0} != 0.0)")
    return f"1.0 if {row.source(*given)} else 0.0" if row.gives else f"np.float64({row.source(*given)})"


def _range_result(symbol: str, letters: tuple[str, ...]) -> str:
    given = _given(symbol, letters, "({0}[0] != 0.0, {0}[1] != 0.0)")
    return f"as_floats(rule{_codes()[symbol]}({', '.join(given)}))"


def _given(symbol: str, letters: tuple[str, ...], condition: str) -> list[str]:
    """The arguments of an operator, made a condition where it wants one."""
    wants = OPERATORS[symbol].wants
    return [condition.format(x) if wants[min(i, len(wants) - 1)] else x for i, x in enumerate(letters)]
