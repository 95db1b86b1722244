"""Texts that are no network: each ends in one line that names the place, and at once."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.reactions import Network
from partita.reactions.model.formula import LENGTH_LIMIT, parse

# (text, line, column, what the error says)
BROKEN = {
    "nothing-but-a-word": ("hello", 1, 1, "want a reaction 'A -> B @ k', a value"),
    "no-rate": ("A -> B", 1, 7, "want '@' and a rate, got the end of the line"),
    "empty-rate": ("A -> B @", 1, 9, "want an expression, got the end of the line"),
    "rate-of-words": ("A -> B @ very fast", 1, 15, "want the end of the statement, got 'fast'"),
    "unknown-rate": ("A -> B @ 1\nA -> B @ k", 2, 10, "'k' is no species and has no value: add 'k = …'"),
    "unknown-in-law": ("k = 1\n A -> B @@ k * C", 2, 16, "'C' is no species and has no value"),
    "dangling-plus": ("A + -> B @ 1", 1, 5, "want the name of a species, got '->'"),
    "leading-plus": ("+ A -> B @ 1", 1, 1, "want the name of a species, got '+'"),
    "missing-plus": ("A B -> C @ 1", 1, 3, "want '+' or '->' after a species, got 'B'"),
    "half-a-molecule": ("0.5 A -> B @ 1", 1, 1, "want a whole number of a species, got '0.5'"),
    "no-molecule": ("0 A -> B @ 1", 1, 1, "must be a whole number from 1 to 1000000, got 0"),
    "negative-molecules": ("-2 A -> B @ 1", 1, 1, "want the name of a species, got '-'"),
    "too-many-molecules": (
        "A -> 999999999 B @ 1",
        1,
        1,
        "must be a whole number from 1 to 1000000, got 999999999",
    ),
    "absurdly-many-molecules": ("A -> " + "9" * 10000 + " B @ 1", 1, 6, "want a whole number of a species"),
    "too-many-reactants": ("21 A -> @ 1", 1, 1, "mass action takes at most 20 reactants, got 21"),
    "two-arrows": ("A -> B -> C @ 1", 1, 8, "want '@' and a rate, got '->'"),
    "wrong-arrow": ("A => B @ 1", 1, 1, "want a reaction"),
    "one-rate-for-two": ("A <-> B @ 1", 1, 12, "want ',' and the rate of the way back"),
    "two-rates-for-one": ("A -> B @ 1, 2", 1, 11, "want the end of the statement, got ','"),
    "species-as-constant": ("A -> B @ A", 1, 10, "after '@' stands a constant, got the species 'A'"),
    "species-behind-a-constant": (
        "x := 2 * A; A -> B @ x",
        1,
        13,
        "must have a constant for mass action, got one that follows 'A'",
    ),
    "condition-as-rate": ("A -> B @@ A > 1", 1, 11, "want a number, got a condition"),
    "number-as-condition": ("A -> B @@ if(A, 1, 2)", 1, 11, "argument 1 of 'if' must be a condition"),
    "condition-in-a-sum": (
        "A -> B @@ 1 + (A > 2)",
        1,
        13,
        "argument 2 of '+' must be a number, got a condition",
    ),
    "chained-comparison": (
        "A -> B @@ if(1 < A < 3, 1, 2)",
        1,
        20,
        "comparisons do not chain: join them with 'and'",
    ),
    "unknown-function": ("A -> B @ __import__('os')", 1, 21, 'unexpected character "\'"'),
    "call-of-a-name": ("A -> B @ open(1)", 1, 10, "there is no function 'open'; there are abs, ceil"),
    "function-without-arguments": ("A -> B @ exp", 1, 13, "want '(' after the function 'exp'"),
    "too-few-arguments": ("A -> B @@ hill(A, 1)", 1, 11, "'hill' takes 3 arguments, got 2"),
    "no-arguments": ("A -> B @ max()", 1, 10, "'max' takes 2 or more arguments, got 0"),
    "attribute": ("A -> B @@ A.real", 1, 12, "unexpected character '.'"),
    "subscript": ("A -> B @@ A[0]", 1, 12, "unexpected character '['"),
    "string": ('A -> B @ "1"', 1, 10, "unexpected character '\"'"),
    "hat": ("A -> B @@ A ^ 2", 1, 13, "unexpected character '^' (a power is written '**')"),
    "ampersand": ("when A > 1 & A < 3: A = 2; A -> @ 1", 1, 12, "unexpected character '&' (write 'and')"),
    "control-character": ("A -> B @ 1\x00", 1, 11, "unexpected character '\\x00'"),
    "lone-surrogate": ("A -> \ud800 @ 1", 1, 6, "unexpected character"),
    "open-parenthesis": (
        "A -> B @ (1 + 2",
        1,
        16,
        "want ')' for the '(' in column 10, got the end of the line",
    ),
    "open-arguments": ("A -> B @ exp(1", 1, 15, "want ',' or ')' in the arguments of 'exp'"),
    "stray-parenthesis": ("A -> B @ 1)", 1, 11, "want the end of the statement, got ')'"),
    "two-operators": ("A -> B @ 2 * / 3", 1, 14, "want an expression, got '/'"),
    "too-large-a-number": ("k = 1e999", 1, 5, "'1e999' is too large a number"),
    "not-a-number": ("k = nan; A -> B @ k", 1, 5, "want a number, got 'nan'"),
    "one-over-zero": ("k = 1/0", 1, 5, "1 / 0 is no finite number"),
    "power-tower": ("k = 9**9**9**9**9", 1, 5, "is no finite number"),
    "root-of-minus-one": ("k = (0-1)**0.5", 1, 5, "is no finite number"),
    "value-of-names": (
        "a = 1; b = 2 * a",
        1,
        16,
        "want a number, got 'a': what follows other names is a rule, 'b := …'",
    ),
    "value-twice": ("k = 1\nk = 2", 2, 1, "'k' has been given a value before"),
    "value-of-nothing": ("k =", 1, 4, "want an expression, got the end of the line"),
    "fractional-count": ("A = 2.5; A -> B @ 1", 1, 1, "initial count of 'A' must be a whole number"),
    "negative-count": ("A = -5; A -> B @ 1", 1, 1, "initial count of 'A' must be a whole number"),
    "count-past-2^53": (
        "A = 1e16; A -> B @ 1",
        1,
        1,
        "initial count of 'A' must be a whole number from 0 to 9007199254740992",
    ),
    "count-of-a-rule": ("A = 5; A := B; B -> @ 1", 1, 8, "'A' has been given a value before"),
    "reserved-species": ("t -> B @ 1", 1, 1, "'t' has a meaning of its own"),
    "reserved-parameter": ("log = 3", 1, 1, "'log' has a meaning of its own"),
    "rule-in-a-circle": (
        "A -> B @ 1\nx := y\ny := x + 1",
        2,
        1,
        "a rule must not follow itself, got x → y → x",
    ),
    "rule-of-itself": ("A -> B @ 1; x := x", 1, 13, "a rule must not follow itself, got x → x"),
    "rule-on-a-moving-species": (
        "A := 2 * B; A -> B @ 1",
        1,
        13,
        "must not change 'A', which follows a rule",
    ),
    "rules-that-explode": (
        "x0 := 2\n" + "\n".join(f"x{i + 1} := x{i} * x{i}" for i in range(60)) + "\nA -> B @ 1",
        14,
        1,
        "at most 10000 parts",
    ),
    "event-without-assignments": ("A -> B @ 1; at t >= 5:", 1, 23, "want the name of a species or parameter"),
    "event-without-colon": (
        "A -> B @ 1; at t >= 5 A = 1",
        1,
        23,
        "want ':' after the condition of the event, got 'A'",
    ),
    "event-of-a-number": ("A -> B @ 1; when A: A = 5", 1, 18, "want a condition, got a number"),
    "event-on-nothing": (
        "A -> B @ 1; at 5: C = 1",
        1,
        19,
        "an event sets species and parameters that follow no rule, got 'C'",
    ),
    "event-that-adds": ("A -> B @ 1; at 5: A += 1", 1, 21, "want '=' and what 'A' becomes, got '+'"),
    "event-twice-on-one": ("A -> B @ 1; at 5: A = 1, A = 2", 1, 13, "each once"),
    "odd-clause": ("A -> B @ 1; at 5, maybe: A = 1", 1, 19, "want 'priority' or 'not at start', got 'maybe'"),
    "label-twice": (
        "r: A -> B @ 1\nr: B -> A @ 1",
        2,
        1,
        "want a name for each reaction and event, got 'r' twice",
    ),
    "label-of-the-way-back": ("r_back: A -> B @ 1; r: B <-> A @ 1, 2", 1, 24, "got 'r_back' twice"),
    "unknown-convention": (
        "convention powers",
        1,
        12,
        "want a convention, combinations or permutations, got 'powers'",
    ),
    "two-conventions": (
        "convention permutations; convention permutations",
        1,
        37,
        "want one convention, got a second",
    ),
    "species-without-names": ("species 3", 1, 9, "want the name of a species, got '3'"),
    "fixed-unfinished": ("fixed A,", 1, 9, "want the name of a species, got the end of the line"),
    "deep-parentheses": ("A -> B @ " + "(" * 100_000, 1, 160, "at most 150 levels deep"),
    "deep-signs": ("A -> B @ " + "-" * 100_000 + "1", 1, 160, "at most 150 levels deep"),
    "deep-powers": ("A -> B @ " + "2 ** " * 10_000 + "1", 1, 760, "at most 150 levels deep"),
    "deep-differences": ("A -> B @ " + "1 - " * 10_000 + "1", 1, 608, "at most 150 levels deep"),
    "deep-calls": ("A -> B @ " + "exp(" * 10_000, 1, 610, "at most 150 levels deep"),
    "wide-sum": (
        "A -> B @ " + "1 + " * 20_000 + "1",
        1,
        12,
        "takes 2 or more arguments, got 20001|at most 10000 parts",
    ),
    "all-the-statements": ("A -> B @ 1;" * 36_000 + "?", 1, 396_001, "unexpected character '?'"),
}


@pytest.mark.parametrize(("text", "line", "column", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_text_is_told_by_line_and_column(text, line, column, message):
    begin = time.process_time()
    with pytest.raises(ValueError, match=rf"^line {line}, column {column}: ") as caught:
        Network.from_text(text)
    assert any(part in str(caught.value) for part in message.split("|"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert time.process_time() - begin < 5  # a hang, not a speed: each takes milliseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "species must name at least one, got none"),
        ("# nothing\n;;\n", "species must name at least one, got none"),
        ("k = 1", "species must name at least one, got none"),
        ("A -> B @ 1 " + "#" * LENGTH_LIMIT, "text must have at most 400000 characters, got 400011"),
    ],
)
def test_a_text_that_is_wrong_as_a_whole_is_told_so(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Network.from_text(text)


@given(st.text(max_size=40) | st.text("AB kt0129.+-*/()<>=@:;,#\n", max_size=60))
def test_any_text_is_a_network_or_a_value_error(text):
    try:
        net = Network.from_text(text)
    except ValueError:
        return
    assert Network.from_text(str(net)) == net


@pytest.mark.parametrize("text", ["", "a; b", "a b", "a +"])
def test_one_expression_is_wanted(text):
    with pytest.raises(ValueError, match=r"want|line 1"):
        parse(text)
