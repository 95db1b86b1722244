"""Text to tokens, and tokens to expressions: operator precedence, top down (Pratt 1973).

    expression(least)  =  prefix { operator expression(level + 1) }   while level ≥ least

Every error names the line and the column.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn, TypeVar

from partita.quoting import MESSAGE_LIMIT, shown
from partita.reactions.model.expression import DEPTH_LIMIT, TIME, Call, Expression, Name, Number, is_condition
from partita.reactions.model.operators import NEGATION, OPERATORS

LENGTH_LIMIT = 400_000
T = TypeVar("T")

_TOKEN = re.compile(
    r"(?P<space>\s+|\#.*)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<symbol><->|->|→|⇌|@@|@|:=|==|=>|!=|<=|>=|\*\*|[-+*/()<>,:;=∅])"
)
_HINTS = {
    "^": " (a power is written '**')",
    "&": " (write 'and')",
    "|": " (write 'or')",
    "!": " (write 'not')",
    "−": " (write '-')",
}
# How tightly what stands between two arguments binds.
_INFIX = {it: row.level for it, row in OPERATORS.items() if row.level is not None and row.arity[0] > 1}


class Token(NamedTuple):
    """A piece of text and where it stands, line and column counted from 1."""

    kind: str  # number, name, symbol, end
    text: str
    line: int
    column: int

    def fail(self, message: str) -> NoReturn:
        """Raise a ValueError that begins with the place of this token."""
        raise ValueError(f"line {self.line}, column {self.column}: {shown(message, MESSAGE_LIMIT)}")

    def told(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return the result of a function; its ValueErrors begin with the place of this token."""
        try:
            return function(*arguments)
        except ValueError as error:
            self.fail(str(error))

    def __str__(self) -> str:
        if self.kind == "end":
            return self.text
        return repr(self.text if len(self.text) <= 40 else self.text[:40] + "…")


def statements(text: str) -> Iterator[list[Token]]:
    """The tokens of each statement, closed by one of kind `end`; statements end with a line or at `;`.

    Raises:
        ValueError: if the text is no str, too long, or holds a character that no token begins with.
    """
    if not isinstance(text, str):
        raise ValueError(f"text must be a str, got {type(text).__name__}")
    if len(text) > LENGTH_LIMIT:
        raise ValueError(f"text must have at most {LENGTH_LIMIT} characters, got {len(text)}")
    for line_number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        tokens: list[Token] = []
        position = 0
        while position < len(line):
            match = _TOKEN.match(line, position)
            if match is None:
                character = line[position]
                Token("", "", line_number, position + 1).fail(
                    f"unexpected character {character!r}{_HINTS.get(character, '')}"
                )
            kind = match.lastgroup or ""
            if match.group() == ";":
                if tokens:
                    yield [*tokens, Token("end", "';'", line_number, position + 1)]
                tokens = []
            elif kind != "space":
                tokens.append(Token(kind, match.group(), line_number, position + 1))
            position = match.end()
        if tokens:
            yield [*tokens, Token("end", "the end of the line", line_number, len(line) + 1)]


class Cursor:
    """A place in the tokens of one statement, and the names met in expressions on the way.

    Args:
        tokens: The statement, its last token of kind `end`.
    """

    def __init__(self, tokens: list[Token]):
        self.tokens = tokens
        self.position = 0
        self.names: list[Token] = []
        self._nesting = 0

    @property
    def next(self) -> Token:
        """The token that comes next."""
        return self.tokens[self.position]

    def take(self) -> Token:
        """The next token, and on to the one after it."""
        token = self.next
        self.position += token.kind != "end"
        return token

    def takes(self, *texts: str) -> bool:
        """Whether the next token is one of these; if so it is taken."""
        found = self.next.kind != "end" and self.next.text in texts
        self.position += found
        return found

    def want(self, text: str, what: str) -> None:
        """Take this token, or fail saying what was wanted."""
        if not self.takes(text):
            self.next.fail(f"want {what}, got {self.next}")

    def want_name(self, what: str) -> Token:
        """Take a name, or fail saying of what."""
        if self.next.kind != "name":
            self.next.fail(f"want the name of {what}, got {self.next}")
        return self.take()

    def want_end(self) -> None:
        """Fail unless the statement is at its end."""
        if self.next.kind != "end":
            self.next.fail(f"want the end of the statement, got {self.next}")

    def number(self) -> Expression:
        """Take an expression that is a number."""
        begin, result = self.next, self.expression()
        if is_condition(result):
            begin.fail("want a number, got a condition")
        return result

    def several(self, take: Callable[[], T], between: str = ",") -> list[T]:
        """Take one thing or more, with this token between them."""
        taken = [take()]
        while self.takes(between):
            taken.append(take())
        return taken

    def expression(self, least: int = 0) -> Expression:
        """Take an expression whose operators bind at least so tightly."""
        self._nesting += 1
        if self._nesting > DEPTH_LIMIT:
            self.next.fail(f"an expression must be at most {DEPTH_LIMIT} levels deep, got more")
        left = self._prefix()
        while (level := _INFIX.get(self.next.text, -1)) >= least:
            token = self.take()
            tighter = NEGATION if token.text == "**" else level + 1
            arguments = [left, self.expression(tighter)]
            while OPERATORS[token.text].arity[1] > 2 and self.takes(token.text):
                arguments.append(self.expression(tighter))
            left = self._call(token, arguments)
            if level == _INFIX["<"] == _INFIX.get(self.next.text):
                self.next.fail("comparisons do not chain: join them with 'and'")
        self._nesting -= 1
        return left

    def _prefix(self) -> Expression:
        token = self.take()
        if token.kind == "number":
            return self._number(token)
        if token.text == "-":
            return self._call(token, [self.expression(NEGATION)], "neg")
        if token.text == "not":
            return self._call(token, [self.expression(OPERATORS["not"].level or 0)])
        if token.text == "(":
            inside = self.expression()
            self.want(")", f"')' for the '(' in column {token.column}")
            return inside
        if token.kind == "name" and token.text not in _INFIX:
            if self.next.text == "(" and self.next.kind == "symbol":
                return self._function(token)
            if _is_function(token.text):
                self.next.fail(f"want '(' after the function {token}, got {self.next}")
            if token.text != TIME:
                self.names.append(token)
            return Name(token.text)
        token.fail(f"want an expression, got {token}")

    def _number(self, token: Token) -> Number:
        try:
            return Number(float(token.text))
        except ValueError:
            token.fail(f"{token} is too large a number")

    def _function(self, token: Token) -> Expression:
        if not _is_function(token.text):
            known = ", ".join(sorted(filter(_is_function, OPERATORS)))
            token.fail(f"there is no function {token}; there are {known}")
        self.take()
        if self.takes(")"):
            return self._call(token, [])
        arguments = self.several(self.expression)
        self.want(")", f"',' or ')' in the arguments of {token}")
        return self._call(token, arguments)

    def _call(self, token: Token, arguments: list[Expression], symbol: str | None = None) -> Expression:
        return token.told(Call, symbol or token.text, tuple(arguments))


def _is_function(name: str) -> bool:
    return name in OPERATORS and OPERATORS[name].level is None


def parse(text: str) -> Expression:
    """The expression that a text says, a number or a condition.

    Args:
        text: Numbers, names, `t`, `+ - * / **`, comparisons, `and or not`, `if(condition, a, b)` and the
            functions of the table.

    Raises:
        ValueError: with line and column, if it is none.

    Example:
        >>> parse("k * hill(x, 40, 2)").arguments[0]
        Name(name='k')
    """
    found = list(statements(text))
    if len(found) != 1:
        raise ValueError(f"want one expression, got {len(found)} statements in {text[:40]!r}")
    cursor = Cursor(found[0])
    result = cursor.expression()
    cursor.want_end()
    return result
