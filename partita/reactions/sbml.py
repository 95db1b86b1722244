"""The door for SBML: what is wrong with a file as XML is found here, before libSBML sees it.

bytes  →  XML without DOCTYPE, not too large, not too deep  →  model  →  network
"""

import os
from typing import BinaryIO, NoReturn
from xml.parsers import expat

from partita.doctor import need
from partita.quoting import MESSAGE_LIMIT, shown
from partita.reactions.network import Network

BYTE_LIMIT = 16 * 2**20
DEPTH_LIMIT = 250
FORMULA_LIMIT = 10_000  # libSBML nests a sum as deep as it is long, and a deep one overflows its stack


def read_sbml(source: str | os.PathLike[str] | BinaryIO, rounding: bool = False) -> Network:
    """The network of an SBML file, Level 2 or 3.

    Kinetic laws are propensities as they stand, and amounts are counts of molecules, whatever unit the file names. Local
    parameters become parameters `reaction_name`; initial assignments are worked out once; function definitions and sizes of
    compartments (1 where none is given) are put in. Ids that have a meaning of their own in a network get a `_` at the end.

    Args:
        source: Path of the file, or the file open for reading bytes.
        rounding: Whether an initial amount that is no whole number is rounded; otherwise it is an error.

    Raises:
        ValueError: with the line and the element, if the file is no SBML or asks for what is not supported: delays, rate and
            algebraic rules, constraints, fast reactions, reversible reactions whose law subtracts, stoichiometry that is no whole
            number, conversion factors, sizes that change, packages that change the meaning.
        ImportError: if python-libsbml is not installed.

    Example:
        >>> from io import BytesIO
        >>> text = b'''<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model>
        ...   <listOfCompartments><compartment id="cell" size="2" constant="true"/></listOfCompartments>
        ...   <listOfSpecies><species id="X" compartment="cell" initialAmount="100" hasOnlySubstanceUnits="false"
        ...     boundaryCondition="false" constant="false"/></listOfSpecies>
        ...   <listOfReactions><reaction id="decay" reversible="false" fast="false">
        ...     <listOfReactants><speciesReference species="X" stoichiometry="1" constant="true"/></listOfReactants>
        ...     <kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><ci>X</ci></math></kineticLaw>
        ...   </reaction></listOfReactions></model></sbml>'''
        >>> print(read_sbml(BytesIO(text)))
        X = 100
        decay: X -> @@ X / 2
    """
    if isinstance(source, str | os.PathLike):
        name = os.path.basename(source)
        with open(source, "rb") as file:
            data = file.read(BYTE_LIMIT + 1)
    else:
        name, data = getattr(source, "name", "SBML"), source.read(BYTE_LIMIT + 1)
    try:
        _check_xml(data)
        return _model(data.decode("utf-8-sig"), rounding)
    except ValueError as error:
        raise ValueError(shown(f"{name}: {error}", MESSAGE_LIMIT)) from None


def _model(text: str, rounding: bool) -> Network:
    need("libsbml", "reading SBML")
    from partita.reactions.sbml_model import network

    return network(text, rounding)


def _check_xml(data: bytes) -> None:
    """Refuse what a C++ parser should not be given: a document type, endless depth, bytes that are no UTF-8."""
    if len(data) > BYTE_LIMIT:
        raise ValueError(f"a file must have at most {BYTE_LIMIT} bytes, got more")
    parser = expat.ParserCreate()
    depth = formula = parts = 0  # how deep; how deep the outermost formula began, 0 outside; elements in it

    def fail(message: str) -> NoReturn:
        raise ValueError(f"line {parser.CurrentLineNumber}, column {parser.CurrentColumnNumber + 1}: {message}")

    def start(name: str, _: object) -> None:
        nonlocal depth, formula, parts
        local = name.rpartition(":")[2]
        if depth == 0 and local != "sbml":
            fail(f"want the element sbml, got {name!r}")
        depth += 1
        if depth > DEPTH_LIMIT:
            fail(f"elements must be at most {DEPTH_LIMIT} deep, got more")
        if formula:
            parts += 1
        elif local == "math":
            formula, parts = depth, 0
        if parts > FORMULA_LIMIT:
            fail(f"a formula must have at most {FORMULA_LIMIT} elements, got more")

    def end(_: str) -> None:
        nonlocal depth, formula
        depth -= 1
        formula *= depth >= formula

    def declare(_version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "us-ascii"):
            fail(f"want the encoding UTF-8, got {encoding!r}")

    parser.XmlDeclHandler = declare
    parser.StartDoctypeDeclHandler = lambda *_: fail("a DOCTYPE is not allowed")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        data.decode("utf-8")
        parser.Parse(data, True)
    except UnicodeDecodeError as error:
        raise ValueError(f"want UTF-8, got byte {data[error.start]:#04x} after {error.start} bytes") from None
    except expat.ExpatError as error:
        raise ValueError(f"line {error.lineno}, column {error.offset + 1}: {expat.ErrorString(error.code)}") from None
