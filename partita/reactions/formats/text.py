"""The text of a network to the network, statement by statement.

    2 A + B -> C @ k;   A -> B @@ k * A / (1 + A);   k = 0.1;   A = 100;   all := A + B;   at t >= 25: A = 50

Every error names the line and the column.
"""

from partita.reactions.model.consistency import CONVENTIONS, SIZE_LIMIT, NetworkError
from partita.reactions.model.expression import Call, Expression, Name, check_name, constant, is_condition
from partita.reactions.model.formula import Cursor, Token, statements
from partita.reactions.model.reaction import Event, Reaction, whole
from partita.reactions.model.system import COUNT_LIMIT, System

_ARROWS = ("->", "→", "<->", "⇌")


def read(text: str) -> System:
    """The network that a text describes; see `Network.from_text`.

    Raises:
        ValueError: with line and column, if it is none.

    Example:
        >>> read("-> m @ 20; m -> @ 1").species
        ('m',)
    """
    reader = _Reader()
    for count, tokens in enumerate(statements(text), 1):
        if count > SIZE_LIMIT:
            tokens[0].fail(f"want at most {SIZE_LIMIT} statements, got more")
        reader.statement(Cursor(tokens))
    return reader.network()


class _Reader:
    """What the statements so far have said."""

    def __init__(self) -> None:
        self.species: dict[str, None] = {}  # in this order
        self.fixed: set[str] = set()
        self.values: dict[str, tuple[Token, float]] = {}
        self.rules: dict[str, tuple[Token, Expression]] = {}
        self.reactions: list[tuple[Token, Reaction]] = []
        self.events: list[tuple[Token, Event]] = []
        self.labels: set[str] = set()
        self.convention: str | None = None
        self.named: list[Token] = []
        self.constants: list[Token] = []
        self.targets: list[Token] = []

    def statement(self, cursor: Cursor) -> None:
        """Take in one statement."""
        first = cursor.next
        if cursor.takes("species"):
            cursor.several(lambda: self._species(cursor))
        elif cursor.takes("fixed"):
            self.fixed.update(cursor.several(lambda: self._species(cursor)))
        elif cursor.takes("convention"):
            self._choose(cursor)
        elif first.kind == "name" and cursor.tokens[1].text in ("=", ":="):
            self._define(cursor)
        else:
            label = self._label(cursor)
            if cursor.next.text in ("at", "when"):
                self._event(cursor, label)
            elif any(token.text in _ARROWS for token in cursor.tokens):
                self._reaction(cursor, label)
            else:
                first.fail(
                    f"want a reaction 'A -> B @ k', a value 'k = 1', a rule 'x := k * A' or an event 'at t "
                    f">= 1: A = 2', got {first}"
                )
        cursor.want_end()
        self.named += cursor.names

    def _species(self, cursor: Cursor) -> str:
        name, _ = self._name(cursor, "a species")
        self.species[name] = None
        return name

    def _choose(self, cursor: Cursor) -> None:
        token = cursor.take()
        if token.text not in CONVENTIONS:
            token.fail(f"want a convention, {' or '.join(CONVENTIONS)}, got {token}")
        if self.convention is not None:
            token.fail("want one convention, got a second")
        self.convention = token.text

    def _define(self, cursor: Cursor) -> None:
        name, token = self._name(cursor, "a parameter")
        if name in self.values or name in self.rules:
            token.fail(f"{name!r} has been given a value before")
        if cursor.takes(":="):
            self.rules[name] = (token, cursor.number())
            return
        cursor.take()
        begin, tree = cursor.next, cursor.number()
        if cursor.names:
            cursor.names[0].fail(
                f"want a number, got {cursor.names[0]}: what follows other names is a rule, '{name} := …'"
            )
        self.values[name] = (token, begin.told(constant, tree, {}))

    def _label(self, cursor: Cursor) -> str:
        if cursor.next.kind != "name" or cursor.tokens[1].text != ":":
            return ""
        name, token = self._name(cursor, "a reaction")
        cursor.take()
        self._label_once(name, token)
        return name

    def _label_once(self, name: str, token: Token) -> None:
        if name in self.labels:
            token.fail(f"want a name for each reaction and event, got {name!r} twice")
        self.labels.add(name)

    def _reaction(self, cursor: Cursor, label: str) -> None:
        first = cursor.next
        reactants = self._side(cursor)
        arrow = cursor.take()
        if arrow.text not in _ARROWS:
            arrow.fail(f"want '+' or '->' after a species, got {arrow}")
        products = self._side(cursor)
        mass_action = cursor.next.text != "@@"
        if not cursor.takes("@", "@@"):
            cursor.next.fail(f"want '@' and a rate, got {cursor.next}")
        rates = [self._rate(cursor, mass_action)]
        if arrow.text in ("<->", "⇌"):
            cursor.want(",", "',' and the rate of the way back")
            rates.append(self._rate(cursor, mass_action))
        names = [label, label and f"{label}_back"]
        if label and len(rates) > 1:
            self._label_once(names[1], first)
        ways = [(reactants, products), (products, reactants)]
        for name, (before, after), rate in zip(names, ways, rates, strict=False):
            self.reactions.append((first, first.told(Reaction, before, after, rate, mass_action, name)))

    def _rate(self, cursor: Cursor, mass_action: bool) -> Expression:
        before = len(cursor.names)
        rate = cursor.number()
        if mass_action:
            self.constants += cursor.names[before:]
        return rate

    def _side(self, cursor: Cursor) -> list[tuple[str, int]]:
        if cursor.takes("∅") or cursor.next.text in (*_ARROWS, "@", "@@"):
            return []
        return cursor.several(lambda: self._term(cursor), between="+")

    def _term(self, cursor: Cursor) -> tuple[str, int]:
        count = 1
        if cursor.next.kind == "number":
            token = cursor.take()
            if not token.text.isdigit() or len(token.text) > 9:
                token.fail(f"want a whole number of a species, got {token}")
            count = int(token.text)
        return self._species(cursor), count

    def _event(self, cursor: Cursor, label: str) -> None:
        first = cursor.take()
        begin, trigger = cursor.next, cursor.expression()
        if not is_condition(trigger):
            if first.text == "when":
                begin.fail("want a condition, got a number")
            trigger = Call(">=", (Name("t"), trigger))
        priority, at_start = None, True
        while cursor.takes(","):
            if cursor.takes("priority"):
                priority = cursor.number()
            elif cursor.takes("not"):
                cursor.want("at", "'at start' after 'not'")
                cursor.want("start", "'start' after 'not at'")
                at_start = False
            else:
                cursor.next.fail(f"want 'priority' or 'not at start', got {cursor.next}")
        cursor.want(":", "':' after the condition of the event")
        assignments = cursor.several(lambda: self._assignment(cursor))
        self.events.append((first, first.told(Event, trigger, assignments, label, priority, at_start)))

    def _assignment(self, cursor: Cursor) -> tuple[str, Expression]:
        name, token = self._name(cursor, "a species or parameter")
        cursor.want("=", f"'=' and what {name!r} becomes")
        self.targets.append(token)
        return name, cursor.number()

    def _name(self, cursor: Cursor, what: str) -> tuple[str, Token]:
        token = cursor.want_name(what)
        return token.told(check_name, token.text), token

    def network(self) -> System:
        """The network that has been described."""
        parameters = {name: value for name, (_, value) in self.values.items() if name not in self.species}
        initial = {name: value for name, (_, value) in self.values.items() if name in self.species}
        for name, value in initial.items():
            self.values[name][0].told(whole, value, 0, COUNT_LIMIT, f"initial count of {name!r}")
        known = {*self.species, *parameters, *self.rules}
        for token in self.named:
            if token.text not in known:
                token.fail(f"{token} is no species and has no value: add '{token.text} = …'")
        for token in self.constants:
            if token.text in self.species:
                what = f"after '@' stands a constant, got the species {token}"
                token.fail(f"{what}: a full propensity follows '@@'")
        for token in self.targets:
            if token.text not in known or token.text in self.rules:
                token.fail(f"an event sets species and parameters that follow no rule, got {token}")
        try:
            return System(
                tuple(self.species),
                tuple(reaction for _, reaction in self.reactions),
                parameters,
                initial,  # type: ignore[arg-type]  # checked above: whole numbers
                tuple(event for _, event in self.events),
                {name: rule for name, (_, rule) in self.rules.items()},
                frozenset(self.fixed),
                self.convention or CONVENTIONS[0],
            )
        except NetworkError as error:
            self._token(error.subject).fail(str(error))

    def _token(self, subject: Reaction | Event | str) -> Token:
        """Where the subject of an error begins, which only the network as a whole could see."""
        if isinstance(subject, str):
            return self.rules[subject][0]
        return next(token for token, thing in (*self.reactions, *self.events) if thing is subject)
