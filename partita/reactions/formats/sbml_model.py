"""An SBML model, Levels 2 and 3, to a network; what a network cannot say is refused by name, never skipped.

propensity = kinetic law,   a species in it = its count, or count / size where the file means concentrations
"""

import math
from collections import Counter
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from partita.quoting import shown
from partita.reactions.formats.mass_action import mass_action_constant
from partita.reactions.formats.mathml import Formulas, UnsupportedError, libsbml
from partita.reactions.formats.sbml_elements import by_id, check_document, fail, items, naming, refuse
from partita.reactions.model.consistency import follow
from partita.reactions.model.expression import (
    NAME_LIMIT,
    TIME,
    Call,
    Expression,
    Name,
    Number,
    check_name,
    constant,
    names,
    substitute,
)
from partita.reactions.model.reaction import COEFFICIENT_LIMIT, Event, Reaction, whole
from partita.reactions.model.simplification import tidy
from partita.reactions.model.system import COUNT_LIMIT, System


def network(text: str, rounding: bool = False) -> System:
    """The network of an SBML document.

    Args:
        text: The document, known to be harmless XML.
        rounding: Whether an initial amount that is no whole number is rounded.

    Raises:
        ValueError: with line and element, if it is no valid model or holds what is not supported.
    """
    # Without a declaration libSBML would add one as a line of its own, and count it.
    document = libsbml.readSBMLFromString(
        text if text.startswith("<?xml") else f'<?xml version="1.0" encoding="UTF-8"?>{text}'
    )
    check_document(document)
    return _Reader(document.getModel(), rounding).network()


class _Reader:
    """One model on its way to a network."""

    def __init__(self, model: Any, rounding: bool):
        self.model, self.rounding = model, rounding
        # From Level 3 on, local parameters have a list of their own, and events say more of their conditions.
        self.is_old = model.getLevel() < 3
        self.species = by_id(model.getListOfSpecies())
        self.parameters = by_id(model.getListOfParameters())
        self.compartments = by_id(model.getListOfCompartments())
        self.taken: set[str] = set()
        # An id of the file → its name in the network. In formulas the name means what the id means to the
        # file, until `_fold`.
        self.names = {
            name: self._legal(name) for name in (*self.species, *self.parameters, *self.compartments)
        }
        self.symbols: dict[str, Expression] = {name: Name(legal) for name, legal in self.names.items()}
        self.ids = {legal: name for name, legal in self.names.items()}
        functions: dict[str, tuple[Any, list[str]]] = {}
        for name, it in by_id(model.getListOfFunctionDefinitions()).items():
            bound = [it.getArgument(i).getName() for i in range(it.getNumArguments())]
            functions[name] = (it.getBody(), bound)
        self.formulas = Formulas(functions)
        self.rules = {rule.getVariable(): self._rule(rule) for rule in items(model.getListOfRules())}
        assigned = items(model.getListOfInitialAssignments())
        self.assigned = {it.getSymbol(): self._assignment(it, it.getSymbol()) for it in assigned}
        for item in self.species.values():
            if item.isSetConversionFactor():
                refuse(item, "a conversion factor")
            if item.getCompartment() not in self.compartments:
                fail(item, f"want a compartment, got {item.getCompartment()!r}")
        self.counts = {self.names[name] for name in self.species}
        self.values = self._start()
        self.sizes = {name: self._size(name) for name in self.compartments}
        self.replacements = {legal: self._replacement(name) for name, legal in self.names.items()}

    def network(self) -> System:
        """The network of the model."""
        rules = {self.names[name]: self._as_count(name, rule) for name, rule in self.rules.items()}
        self.inlined = follow(rules)
        local: dict[str, float] = {}
        reactions = tuple(self._reaction(item, local) for item in items(self.model.getListOfReactions()))
        fixed = [name for name, it in self.species.items() if it.getBoundaryCondition() or it.getConstant()]
        return System(
            tuple(self.names[name] for name in self.species),
            reactions,
            {self.names[name]: self._parameter(name) for name in self.parameters if name not in self.rules}
            | local,
            {self.names[name]: self._count(name) for name in self.species if name not in self.rules},
            self._events(),
            rules,
            frozenset(self.names[name] for name in fixed),
        )

    def _legal(self, name: str) -> str:
        """A name as networks allow it, and new."""
        while name in self.taken or not _is_allowed(name):
            if len(name) >= NAME_LIMIT:
                raise ValueError(
                    f"an id must have fewer than {NAME_LIMIT} letters (with its reaction's, if local), got "
                    f"{name[:40]!r}…"
                )
            name += "_"
        self.taken.add(name)
        return name

    def _formula(self, element: Any, local: Mapping[str, Expression] | None = None) -> Expression:
        if element is None or element.getMath() is None:
            fail(element or self.model, "want a formula, got none")
        try:
            return self.formulas.expression(element.getMath(), {**self.symbols, **(local or {})})
        except ValueError as error:
            fail(element, f"{error}{' is not supported' if isinstance(error, UnsupportedError) else ''}")

    def _fold(self, formula: Expression) -> Expression:
        """Return a formula of the file in terms of the network.

        It has counts for concentrations, and numbers for sizes of compartments.
        """
        return tidy(substitute(formula, self.replacements))

    def _replacement(self, name: str) -> Expression:
        if name in self.sizes:
            return Number(self.sizes[name])
        count = Name(self.names[name])
        return Call("/", (count, Number(self._divisor(name)))) if self._is_concentration(name) else count

    def _is_concentration(self, name: str) -> bool:
        """Whether the symbol of a species means an amount over a size."""
        item = self.species.get(name)
        if item is None or item.getHasOnlySubstanceUnits():
            return False
        # NaN where it is not said
        return self.compartments[item.getCompartment()].getSpatialDimensionsAsDouble() != 0

    def _divisor(self, name: str) -> float:
        """Return what a count is divided by where its symbol stands."""
        return self.sizes[self.species[name].getCompartment()] if self._is_concentration(name) else 1.0

    def _rule(self, rule: Any) -> Expression:
        if not rule.isAssignment():
            refuse(rule, "a rate rule" if rule.isRate() else "an algebraic rule")
        return self._assignment(rule, rule.getVariable())

    def _assignment(self, element: Any, target: str) -> Expression:
        if target in self.compartments and element.getTypeCode() != libsbml.SBML_INITIAL_ASSIGNMENT:
            refuse(element, "a compartment whose size changes")
        if target not in self.names:
            refuse(element, f"setting {target!r}, which is no species or parameter,")
        return self._formula(element)

    def _start(self) -> dict[str, float]:
        """The value of each symbol at time 0 as the file means it; those that have none are left out."""
        formulas = self.assigned | self.rules
        needs: dict[str, set[str]] = {name: set() for name in self.names}
        needs |= {name: {item.getCompartment()} for name, item in self.species.items()}
        needs |= {name: self._ids(formula) for name, formula in formulas.items()}
        try:
            order = [*TopologicalSorter(needs).static_order()]
        except CycleError as error:
            ids = shown(" → ".join(error.args[1]), 300)
            raise ValueError(f"values at the start must not follow one another in a circle: {ids}") from None
        values = {TIME: 0.0}
        for name in order:
            if name not in formulas:
                value = self._given(name, values)
            else:
                try:
                    value = constant(formulas[name], values)
                except ValueError as error:
                    raise ValueError(f"the value of {name!r} at the start: {error}") from None
            if not math.isnan(value):
                values[self.names[name]] = value
        return values

    def _given(self, name: str, values: Mapping[str, float]) -> float:
        if name in self.parameters:
            return self.parameters[name].getValue() if self.parameters[name].isSetValue() else math.nan
        if name in self.compartments:
            size = self.compartments[name].getSize() if self.compartments[name].isSetSize() else math.nan
            return size if not math.isnan(size) else 1.0
        item = self.species[name]
        size = values.get(self.names[item.getCompartment()], 1.0)
        if not size > 0:
            fail(self.compartments[item.getCompartment()], f"want a positive size, got {size:g}")
        if item.isSetInitialConcentration():
            amount = item.getInitialConcentration() * size
        else:
            amount = item.getInitialAmount() if item.isSetInitialAmount() else math.nan
        return amount / size if self._is_concentration(name) else amount

    def _size(self, name: str) -> float:
        size = self.values[self.names[name]]
        if not 0 < size < math.inf:
            fail(self.compartments[name], f"want a positive size, got {size:g}")
        return size

    def _parameter(self, name: str) -> float:
        if self.names[name] not in self.values:
            fail(self.parameters[name], "want a value, got none")
        return self._finite(self.parameters[name], self.values[self.names[name]])

    def _finite(self, element: Any, value: float) -> float:
        if not math.isfinite(value):
            fail(element, f"want a finite value, got {value}")
        return value

    def _count(self, name: str) -> int:
        item = self.species[name]
        if self.names[name] not in self.values:
            fail(item, "want an initial amount or concentration, got none")
        amount = self._finite(item, self.values[self.names[name]] * self._divisor(name))
        nearest = round(amount)
        if not (self.rounding or math.isclose(amount, nearest, rel_tol=1e-9, abs_tol=1e-9)):
            wanted = "expected an initial amount that is a whole number of molecules"
            fail(item, f"{wanted}, got {amount:g}: `rounding=True` rounds it")
        with naming(item):
            return whole(nearest, 0, COUNT_LIMIT, "initial amount")

    def _reaction(self, item: Any, parameters: dict[str, float]) -> Reaction:
        if item.isSetFast() and item.getFast():
            refuse(item, "a fast reaction")
        law = item.getKineticLaw()
        if law is None:
            fail(item, "want a kinetic law, got none")
        local: dict[str, Expression] = {}
        for parameter in items(law.getListOfParameters() if self.is_old else law.getListOfLocalParameters()):
            name = self._legal(f"{item.getId()}_{parameter.getId()}")
            if not parameter.isSetValue():
                fail(parameter, "want a value, got none")
            parameters[name] = self._finite(parameter, parameter.getValue())
            local[parameter.getId()] = Name(name)
        rate = self._fold(self._formula(law, local))
        if item.getReversible() and self._subtracts(rate):
            fail(
                item,
                "a reversible reaction whose law subtracts has a net rate, forward less backward, which is "
                'no propensity: write two reactions, or reversible="false" if the law never turns negative',
            )
        reactants, products = self._side(item.getListOfReactants()), self._side(item.getListOfProducts())
        name = self._legal(item.getId())
        with naming(item):
            reaction = Reaction(reactants, products, rate, mass_action=False, name=name)
            constant = mass_action_constant(reaction)
            if constant is None or self._follows_species(constant):
                return reaction
            return Reaction(reactants, products, constant, name=name)

    def _subtracts(self, rate: Expression) -> bool:
        if not isinstance(rate, Call):
            return False
        subtracts = rate.operator in ("-", "neg") and self._follows_species(rate)
        return subtracts or any(map(self._subtracts, rate.arguments))

    def _follows_species(self, rate: Expression) -> bool:
        return not names(substitute(rate, self.inlined)).isdisjoint(self.counts)

    def _side(self, references: Any) -> list[tuple[str, int]]:
        pairs = []
        for reference in items(references):
            if reference.getSpecies() not in self.species:
                fail(reference, "want a species of the model")
            if reference.isSetStoichiometryMath():
                refuse(reference, "stoichiometryMath")
            given = reference.getStoichiometry() / (reference.getDenominator() if self.is_old else 1)
            with naming(reference):
                count = whole(given, 0, COEFFICIENT_LIMIT, "stoichiometry")
            if count:
                pairs.append((self.names[reference.getSpecies()], count))
        return pairs

    def _events(self) -> tuple[Event, ...]:
        elements = [*items(self.model.getListOfEvents())]
        set_by = [{it.getVariable() for it in items(item.getListOfEventAssignments())} for item in elements]
        setters = Counter(name for targets in set_by for name in targets)
        events = []
        for item in elements:
            if item.isSetDelay():
                refuse(item, "a delay")
            if not item.isSetTrigger():
                fail(item, "want a trigger, got none")
            trigger = self._formula(item.getTrigger())
            values = {
                it.getVariable(): self._event_assignment(it) for it in items(item.getListOfEventAssignments())
            }
            others = {name for name, count in setters.items() if count > 1 or name not in values}
            # With one event at a moment, when values are taken and whether the condition still holds makes no
            # difference.
            if item.getUseValuesFromTriggerTime() and any(
                self._needs(value) & others for value in values.values()
            ):
                refuse(item, "useValuesFromTriggerTime with values that another event sets")
            fades = not (self.is_old or item.getTrigger().getPersistent())
            if fades and self._needs(trigger) & others:
                refuse(item, 'persistent="false" with a condition on what another event sets')
            with naming(item):
                event = Event(
                    self._fold(trigger),
                    [(self.names[name], self._as_count(name, value)) for name, value in values.items()],
                    self._legal(item.getId()) if item.getId() else "",
                    self._fold(self._formula(item.getPriority())) if item.isSetPriority() else None,
                    not (self.is_old or item.getTrigger().getInitialValue()),
                )
            events.append(event)
        return tuple(events)

    def _event_assignment(self, element: Any) -> Expression:
        name = element.getVariable()
        formula = self._assignment(element, name)
        if (self.species.get(name) or self.parameters[name]).getConstant():
            fail(element, "want a target that is not constant")
        if name in self.rules:
            fail(element, "want a target that follows no rule")
        return formula

    def _as_count(self, name: str, value: Expression) -> Expression:
        return tidy(Call("*", (self._fold(value), Number(self._divisor(name)))))

    def _ids(self, formula: Expression) -> set[str]:
        return {self.ids[name] for name in names(formula) & self.ids.keys()}

    def _needs(self, formula: Expression) -> set[str]:
        """All ids that a formula follows, through rules."""
        found, fresh = set[str](), self._ids(formula)
        while fresh:
            found |= fresh
            fresh = {it for name in fresh & self.rules.keys() for it in self._ids(self.rules[name])} - found
        return found


def _is_allowed(name: str) -> bool:
    try:
        return check_name(name) == name
    except ValueError:
        return False
