"""Large networks: composition and rejection, whose cost for each event does not grow with the number of reactions.

    group e = { r : 2^e ≤ a_r < 2^(e+1) };   choose e with probability A_e / Σ A,   then r in it, until v 2^(e+1) < a_r

(Slepoy, Thompson, Plimpton 2008.) Only the propensities that an event changes are computed anew; a dependency graph says which. The
kernel reads tables and a small stack machine for laws that are not mass action, so nothing is compiled for a network.
"""

from typing import NamedTuple

import numpy as np

from partita.kernels import njit
from partita.reactions.kernels.direct import (
    ABSORBED,
    BAD_PROPENSITY,
    COUNT_LIMIT,
    COUNT_TOO_LARGE,
    EVENT_LIMIT,
    FINISHED,
    HALTED,
    INTERRUPTED,
    RUNNING,
)
from partita.reactions.kernels.layout import Numbers, Plan
from partita.reactions.kernels.streams import advance, bits_of, exponential, fetch_add, float_of, uniform
from partita.reactions.model.expression import Call, Expression, Name, Number, names

RESUM = 1 << 18  # after so many events the sums of the groups are added up anew: rounding errors do not pile up
STACK = 160  # an expression is at most 150 levels deep

# What the stack machine can do. Words above CONSTANT push: a constant, a slot.
_OPERATIONS = (
    "+", "-", "*", "/", "neg", "**", "min", "max", "exp", "log", "sqrt", "floor", "ceil", "abs", "sin", "cos", "tan", "tanh", "hill", "mm",
    "<", "<=", ">", ">=", "==", "!=", "and", "or", "not", "if",
)  # fmt: skip
(
    _ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _NEGATE, _POWER, _MIN, _MAX, _EXP, _LOG, _SQRT, _FLOOR, _CEIL, _ABS, _SIN, _COS, _TAN, _TANH,
    _HILL, _MM, _LESS, _AT_MOST, _MORE, _AT_LEAST, _EQUAL, _UNEQUAL, _AND, _OR, _NOT, _IF,
) = range(len(_OPERATIONS))  # fmt: skip
_CONSTANT = 1 << 20
_SLOT = 1 << 30


class Tables(NamedTuple):
    """A network as arrays, flat lists with the place where each reaction's entries begin.

    A law of mass action up to second order is k x_i (x_j − h), where the slot after the last is always 1. Others are programs.
    """

    rate: np.ndarray  # k; NaN where a program is to be run
    first: np.ndarray  # i
    second: np.ndarray  # j
    less: np.ndarray  # h
    program: np.ndarray
    program_begin: np.ndarray
    constants: np.ndarray
    changed: np.ndarray
    change: np.ndarray
    change_begin: np.ndarray
    touched: np.ndarray  # reactions whose propensity an event of this one changes
    touched_begin: np.ndarray
    largest_change: float
    num_counts: int


def suits(plan: Plan) -> bool:
    """Whether nothing but reactions happens, at rates that do not depend on time."""
    return plan.is_plain and bool(plan.laws)


def tables(plan: Plan, given: Numbers) -> Tables:
    """The network as arrays, with the numbers of one call in them."""
    slots = {name: i for i, name in enumerate(plan.slots)}
    values = dict(zip((name for name, _ in plan.constants), given.constants, strict=True))
    one = len(slots)
    rate = np.full(len(plan.laws), np.nan)
    first, second, less = np.full(len(rate), one, np.int32), np.full(len(rate), one, np.int32), np.zeros(len(rate))
    program: list[int] = []
    program_begin = [0]
    constants: dict[float, int] = {}
    readers: dict[int, list[int]] = {}
    for r, (reaction, law) in enumerate(zip(plan.network.reactions, plan.laws, strict=True)):
        for name in names(law) & slots.keys():
            readers.setdefault(slots[name], []).append(r)
        molecules = [name for name, count in reaction.reactants for _ in range(count)]
        constant = values.get(f"rate@{r}")
        if constant is not None and len(molecules) <= 2 and slots.keys() >= {*molecules}:
            rate[r] = constant
            for place, name in zip((first, second), molecules, strict=False):
                place[r] = slots[name]
            if len(molecules) == 2 and molecules[0] == molecules[1]:
                less[r] = 1
                rate[r] /= 2 if plan.network.convention == "combinations" else 1
        else:
            program += _compile(law, slots, values, constants)
        program_begin.append(len(program))
    changed, change, change_begin = _flat([list(change.items()) for change in plan.changes])
    affected = [sorted({r for slot in change for r in readers.get(slot, ())}) for change in plan.changes]
    touched, _, touched_begin = _flat([[(r, 0) for r in row] for row in affected])
    return Tables(
        rate, first, second, less, np.array(program, np.int64), np.array(program_begin, np.int64), np.array([*constants]),
        changed, change, change_begin, touched, touched_begin, float(plan.largest_change), plan.num_counts,
    )  # fmt: skip


def _flat(rows: list[list[tuple[int, int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pairs = np.array([pair for row in rows for pair in row], np.int64).reshape(-1, 2)
    return pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.float64), np.cumsum([0, *map(len, rows)])


def _compile(law: Expression, slots: dict[str, int], values: dict[str, float], constants: dict[float, int]) -> list[int]:
    """The law as words for the stack machine, arguments before their operator."""
    if isinstance(law, Name) and law.name in slots:
        return [_SLOT + slots[law.name]]
    if isinstance(law, (Name, Number)):
        value = law.value if isinstance(law, Number) else values[law.name]
        return [_CONSTANT + constants.setdefault(float(value), len(constants))]
    assert isinstance(law, Call)
    arguments = [_compile(argument, slots, values, constants) for argument in law.arguments]
    operation = _OPERATIONS.index(law.operator)
    if len(arguments) > 2 and law.operator not in ("if", "hill", "mm"):  # a + b + c
        words = arguments[0]
        for argument in arguments[1:]:
            words = [*words, *argument, operation]
        return words
    return [word for argument in arguments for word in argument] + [operation]


@njit(error_model="numpy")
def _run_program(program, begin, end, constants, x, stack):
    top = -1
    for place in range(begin, end):
        word = program[place]
        if word >= _SLOT:
            top += 1
            stack[top] = x[word - _SLOT]
            continue
        if word >= _CONSTANT:
            top += 1
            stack[top] = constants[word - _CONSTANT]
            continue
        if word in (_IF, _HILL, _MM):
            top -= 2
            a, b, c = stack[top], stack[top + 1], stack[top + 2]
            if word == _IF:
                a = b if a != 0.0 else c
            elif word == _HILL:
                if c < 0.0:
                    a, b, c = b, a, -c
                a = a**c / (b**c + a**c)
            else:
                a = b * a / (c + a)
        elif word in (_NEGATE, _EXP, _LOG, _SQRT, _FLOOR, _CEIL, _ABS, _SIN, _COS, _TAN, _TANH, _NOT):
            a = _one_argument(word, stack[top])
        else:
            top -= 1
            a = _two_arguments(word, stack[top], stack[top + 1])
        stack[top] = a
    return stack[0]


@njit(error_model="numpy")
def _one_argument(word, a):
    if word == _NEGATE:
        return -a
    if word == _EXP:
        return np.exp(a)
    if word == _LOG:
        return np.log(a)
    if word == _SQRT:
        return np.sqrt(a)
    if word == _FLOOR:
        return np.floor(a)
    if word == _CEIL:
        return np.ceil(a)
    if word == _ABS:
        return abs(a)
    if word == _SIN:
        return np.sin(a)
    if word == _COS:
        return np.cos(a)
    if word == _TAN:
        return np.tan(a)
    if word == _TANH:
        return np.tanh(a)
    return 1.0 if a == 0.0 else 0.0


@njit(error_model="numpy")
def _two_arguments(word, a, b):
    if word == _ADD:
        return a + b
    if word == _SUBTRACT:
        return a - b
    if word == _MULTIPLY:
        return a * b
    if word == _DIVIDE:
        return a / b
    if word == _POWER:
        return a**b
    if word == _MIN:
        return min(a, b)
    if word == _MAX:
        return max(a, b)
    if word == _LESS:
        return 1.0 if a < b else 0.0
    if word == _AT_MOST:
        return 1.0 if a <= b else 0.0
    if word == _MORE:
        return 1.0 if a > b else 0.0
    if word == _AT_LEAST:
        return 1.0 if a >= b else 0.0
    if word == _EQUAL:
        return 1.0 if a == b else 0.0
    if word == _UNEQUAL:
        return 1.0 if a != b else 0.0
    if word == _AND:
        return 1.0 if a != 0.0 and b != 0.0 else 0.0
    return 1.0 if a != 0.0 or b != 0.0 else 0.0


@njit(inline="always")
def _join(r, value, exponent, row_of, group, position, members, size, weight, bound, rows):
    """Put a reaction into the group of its exponent, a new one if need be; gives the number of groups."""
    g = row_of[exponent]
    if g < 0:
        g = rows
        rows += 1
        row_of[exponent] = g
        size[g] = 0
        weight[g] = 0.0
        bound[g] = float_of((exponent + 1) << 52)
    group[r] = g
    position[r] = size[g]
    members[g, size[g]] = r
    size[g] += 1
    weight[g] += value
    return rows


@njit(nogil=True, error_model="numpy", boundscheck=False)
def run(
    queue, places, words, x, clock, reached, fired, status, stop, armed, out, extra, columns, tables, times, stops, max_events, budget
):  # fmt: skip
    """The kernel, with the arguments and the result of `kernel.scalar_source`, but `tables` for the constants."""
    # Arrays that stand in a tuple are counted at every use; those with a name of their own are not.
    rate, first, second, less, program, program_begin, constants = tables[:7]
    changed, change, change_begin, touched, touched_begin, largest_change, num_counts = tables[7:]
    num_reactions, num_slots = rate.size, x.shape[1]
    y = np.ones(num_slots + 1)
    stack = np.zeros(STACK)
    a = np.zeros(num_reactions)
    group, position = np.empty(num_reactions, np.int32), np.empty(num_reactions, np.int32)
    room_for = 64
    members = np.empty((room_for, num_reactions), np.int32)
    size, weight, bound = np.zeros(room_for, np.int64), np.zeros(room_for), np.zeros(room_for)
    row_of = np.empty(2048, np.int32)
    spent = 0
    while spent < budget:
        i = places[0]
        if i < 0:
            i = fetch_add(queue, 1)
            if i >= status.size:
                return False
            if status[i] != RUNNING:
                continue
            places[0] = i
        y[:num_slots] = x[i]
        t, k, state, start = clock[i], reached[i], RUNNING, fired[i]
        s0, s1, s2, s3 = words[i, 0], words[i, 1], words[i, 2], words[i, 3]
        events = start
        # The sums depend on their history. So that nothing else depends on it, a call ends at multiples of RESUM only.
        boundary = (start // RESUM + 1) * RESUM
        allowed = 64
        while state == RUNNING and events < boundary:
            highest = 0.0
            for s in range(num_counts):
                highest = max(highest, abs(y[s]))
            room = np.int64((COUNT_LIMIT - highest) / largest_change)
            last = min(boundary, max_events, events + room)
            if events >= last:
                state = COUNT_TOO_LARGE if room < 1 else EVENT_LIMIT
                break
            if allowed > room_for:
                room_for = allowed
                members = np.empty((room_for, num_reactions), np.int32)
                size, weight, bound = np.zeros(room_for, np.int64), np.zeros(room_for), np.zeros(room_for)
            row_of[:] = -1
            rows = 0
            crowded = False
            for r in range(num_reactions):
                value = rate[r] * y[first[r]] * (y[second[r]] - less[r])
                if value != value:
                    value = _run_program(program, program_begin[r], program_begin[r + 1], constants, y, stack)
                a[r] = value
                group[r] = -1
                if not 0.0 <= value < np.inf:
                    state = BAD_PROPENSITY
                elif value > 0.0:
                    exponent = bits_of(value) >> 52
                    if row_of[exponent] < 0 and rows == allowed:
                        crowded = True
                    else:
                        rows = _join(r, value, exponent, row_of, group, position, members, size, weight, bound, rows)
            while state == RUNNING and not crowded and events < last:
                if (events & 255) == 0 and fetch_add(queue, 0) >= HALTED:
                    state = INTERRUPTED
                    break
                total = 0.0
                for g in range(rows):
                    total += weight[g]
                h0, h1, h2, h3 = s0, s1, s2, s3
                word, s0, s1, s2, s3 = advance(s0, s1, s2, s3)
                then = t + exponential(word) / total
                if not then <= times[k] or not total < np.inf:
                    while k < times.size and times[k] < then:
                        for s in range(num_slots):
                            if columns[s] >= 0:
                                out[i, columns[s], k] = np.int64(y[s])
                        k += 1
                    if k == times.size or not total < np.inf:
                        state = BAD_PROPENSITY if not total < np.inf else (ABSORBED if total == 0.0 else FINISHED)
                        s0, s1, s2, s3 = h0, h1, h2, h3
                        break
                t = then
                word, s0, s1, s2, s3 = advance(s0, s1, s2, s3)
                threshold = uniform(word) * total
                chosen = 0
                reach = 0.0
                for g in range(rows):
                    if size[g] > 0:
                        chosen = g
                        reach += weight[g]
                        if threshold < reach:
                            break
                count, ceiling = np.float64(size[chosen]), bound[chosen]
                while True:  # the whole part of one number picks a reaction, its fraction accepts or rejects it
                    word, s0, s1, s2, s3 = advance(s0, s1, s2, s3)
                    v = uniform(word) * count
                    r = members[chosen, np.int64(v)]
                    if (v - np.floor(v)) * ceiling < a[r]:
                        break
                events += 1
                for place in range(change_begin[r], change_begin[r + 1]):
                    y[changed[place]] += change[place]
                for place in range(touched_begin[r], touched_begin[r + 1]):
                    d = touched[place]
                    value = rate[d] * y[first[d]] * (y[second[d]] - less[d])
                    if value != value:
                        value = _run_program(program, program_begin[d], program_begin[d + 1], constants, y, stack)
                    before, g = a[d], group[d]
                    if not 0.0 <= value < np.inf:
                        state = BAD_PROPENSITY
                        break
                    a[d] = value
                    exponent = bits_of(value) >> 52
                    if value > 0.0 and g >= 0 and row_of[exponent] == g:
                        weight[g] += value - before
                        continue
                    if g >= 0:
                        size[g] -= 1
                        other = members[g, size[g]]
                        members[g, position[d]] = other
                        position[other] = position[d]
                        group[d] = -1
                        weight[g] = weight[g] - before if size[g] > 0 else 0.0
                    if value > 0.0:
                        if row_of[exponent] < 0 and rows == allowed:
                            crowded = True
                            break
                        rows = _join(d, value, exponent, row_of, group, position, members, size, weight, bound, rows)
            if crowded:
                allowed *= 2
        if state == BAD_PROPENSITY:  # no matter where nothing is to be recorded any more
            while k < times.size and times[k] <= t:
                for s in range(num_slots):
                    if columns[s] >= 0:
                        out[i, columns[s], k] = np.int64(y[s])
                k += 1
            if k == times.size:
                state = FINISHED
        x[i] = y[:num_slots]
        spent += events - start + 1 + k - reached[i]
        clock[i], reached[i], fired[i], status[i] = t, k, events, state
        words[i, 0], words[i, 1], words[i, 2], words[i, 3] = s0, s1, s2, s3
        if state != RUNNING:
            places[0] = -1
    return True
