"""The door for SBML: what is wrong with a file as XML is found here, before libSBML sees it.

bytes  →  XML without DOCTYPE, not too large, not too deep  →  model  →  network
"""

import os
from typing import BinaryIO, NoReturn
from xml.parsers import expat

from partita.extras import need
from partita.quoting import MESSAGE_LIMIT, shown
from partita.reactions.model.system import System

BYTE_LIMIT = 16 * 2**20
DEPTH_LIMIT = 250
FORMULA_LIMIT = 10_000  # libSBML nests a sum as deep as it is long, and a deep one overflows its stack


def read(source: str | os.PathLike[str] | BinaryIO, rounding: bool = False) -> System:
    """Return the system of an SBML file; see `partita.reactions.read_sbml`."""
    if isinstance(source, str | os.PathLike):
        name = os.path.basename(source)
        with open(source, "rb") as file:
            data = file.read(BYTE_LIMIT + 1)
    else:
        name, data = getattr(source, "name", "SBML"), source.read(BYTE_LIMIT + 1)
    try:
        _check_xml(data)
        need("libsbml", "reading SBML")
        from partita.reactions.formats.sbml_model import network

        return network(data.decode("utf-8-sig"), rounding)
    except ValueError as error:
        raise ValueError(shown(f"{name}: {error}", MESSAGE_LIMIT)) from None


def _check_xml(data: bytes) -> None:  # noqa: C901 - the handlers of one parser
    """Raise a ValueError for input that a C++ parser should not be given.

    That is a document type, endless depth, or bytes that are no UTF-8.
    """
    if len(data) > BYTE_LIMIT:
        raise ValueError(f"a file must have at most {BYTE_LIMIT} bytes, got more")
    parser = expat.ParserCreate()
    depth = formula = parts = 0  # how deep; how deep the outermost formula began, 0 outside; elements in it

    def fail(message: str) -> NoReturn:
        place = f"line {parser.CurrentLineNumber}, column {parser.CurrentColumnNumber + 1}"
        raise ValueError(f"{place}: {message}")

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
        fail(expat.ErrorString(error.code))
