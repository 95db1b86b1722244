"""Elements of an SBML document: lists of them, errors that name one, and checks of the whole document."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from partita.quoting import shown
from partita.reactions.formats.mathml import libsbml

EXTENDED_MATH = "l3v2extendedmath"


def items(things: Any) -> Iterator[Any]:
    """Yield the elements of a list of libSBML's."""
    return (things.get(i) for i in range(things.size()))


def by_id(things: Any) -> dict[str, Any]:
    """Return the elements of a list of libSBML's by their ids."""
    return {item.getId(): item for item in items(things)}


@contextmanager
def naming(element: Any) -> Iterator[None]:
    """Turn a ValueError into one that names line and element."""
    try:
        yield
    except ValueError as error:
        fail(element, str(error))


# What an element without an id of its own is about.
_ABOUT = {
    **dict.fromkeys(("assignmentRule", "rateRule", "eventAssignment"), "getVariable"),
    "initialAssignment": "getSymbol",
    "speciesReference": "getSpecies",
}


def _label(element: Any) -> str:
    name = element.getElementName()
    if name in _ABOUT:
        return f"{name} of {getattr(element, _ABOUT[name])()!r}"
    return f"{name} {element.getId()!r}" if element.getId() else name


def fail(element: Any, message: str) -> NoReturn:
    """Raise a ValueError that names line and element."""
    raise ValueError(f"line {element.getLine()}: {shown(_label(element), 200)}: {message}")


def refuse(element: Any, what: str) -> NoReturn:
    """Raise a ValueError for what a network cannot say."""
    fail(element, f"{what} is not supported")


def check_document(document: Any) -> None:
    """Raise a ValueError if a document is invalid, or needs what is not supported whatever stands in it.

    No two elements may have one id.
    """
    for i in range(document.getNumErrors()):
        error = document.getError(i)
        if error.getSeverity() >= libsbml.LIBSBML_SEV_ERROR:
            raise ValueError(
                f"line {error.getLine()}: {error.getShortMessage()}: {' '.join(error.getMessage().split())}"
            )
    if document.getLevel() not in (2, 3):
        refuse(document, f"SBML Level {document.getLevel()}")
    for plugin in (document.getPlugin(i) for i in range(document.getNumPlugins())):
        # libSBML adds the package of extended mathematics to every document of L3V2; what a formula uses of
        # it is looked at there.
        name = plugin.getPackageName()
        if document.getLevel() > 2 and name != EXTENDED_MATH and document.getPackageRequired(name):
            refuse(document, f"the package {name!r}, which changes the meaning,")
    model = document.getModel()
    if model is None:
        fail(document, "want a model, got none")
    for constraint in items(model.getListOfConstraints()):
        refuse(constraint, "a constraint")
    if model.isSetConversionFactor():
        refuse(model, "a conversion factor")
    _check_ids(model)


def _check_ids(model: Any) -> None:
    kinds = ("FunctionDefinitions", "Compartments", "Species", "Parameters", "Reactions", "Events")
    seen = set[str]()
    for item in (item for kind in kinds for item in items(getattr(model, f"getListOf{kind}")())):
        if item.getId() in seen:
            fail(item, "the id is taken")
        seen |= {item.getId()} - {""}
