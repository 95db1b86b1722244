"""Any text, any bytes: a parser returns or raises `ValueError`, and nothing else.

A few examples in the suite; `PARTITA_EXAMPLES=100000 python -m pytest tests/trust/test_parsers.py` draws that
many, new ones at each call.
"""

import gzip
import io
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from partita.contrast import WordVectors
from partita.crf import Lexicon, read_columns, read_segmented
from partita.flows.files import read_rows
from partita.reactions import Network, read_sbml
from partita.reactions.commands.fit import read_observations

EXAMPLES = os.environ.get("PARTITA_EXAMPLES")
SECONDS = 10  # for one text; held where many are drawn, and the machine is no one else's

fuzz = settings(
    max_examples=int(EXAMPLES or 60),
    derandomize=EXAMPLES is None,
    deadline=SECONDS * 1000 if EXAMPLES else None,
    suppress_health_check=[*HealthCheck],
    database=None,
)


@st.composite
def edited(draw, seeds, pieces):
    """One of the seeds with some stretches left out, said twice, or replaced by pieces."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        new = draw(st.one_of(st.sampled_from(pieces), st.just(content[start:end] * 2)))
        content = content[:start] + new + content[end:]
    return content


def bytes_like(seeds, pieces=()):
    common = [
        b"",
        b"\0",
        b"\xff\xff\xff\xff",
        b"\x80",
        b"\n",
        b"\r\n",
        b" ",
        b",",
        b'"',
        b"-1",
        b"1e999",
        b"nan",
        b"99999999999999999999",
        b"\xef\xbb\xbf",
    ]
    return st.one_of(st.binary(max_size=60), edited([*seeds], [*common, *pieces]))


def or_refused(parse, *arguments):
    """What a parser gives, or None where it raised a `ValueError`."""
    with suppress(ValueError):
        return parse(*arguments)
    return None


def in_file(content, name, parse, *arguments):
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        return or_refused(parse, path, *arguments)


NETWORKS = [
    "-> m @ 20; m -> m + n @ 2.5; m -> @ 1; n -> @ 1",
    "k = 1e-3 # rate\nA = 10; 2 A + B <-> C @ k, 2 * k\nfixed S; total := A + B / 2",
    "species X, Y; X = 3; at t >= 2: X = 50, Y = X; when X <= 25, priority 1: Y = 1",
    "X = 3; r: -> X @@ if(X < 3 and not X > 1, exp(1), hill(X, 2, 3))",
    "r: -> X @@ if(X < 3 and not X > 1, exp(1), hill(X, 2, 3))",
]
WORDS = [
    "->",
    "<->",
    "@",
    "@@",
    ":=",
    "=",
    ";",
    "\n",
    ",",
    ":",
    "#",
    "+",
    "-",
    "*",
    "/",
    "**",
    "(",
    ")",
    "<",
    ">=",
    "if(",
    "and",
    "not",
    "when",
    "at",
]
WORDS += [
    "t",
    "A",
    "species",
    "fixed",
    "priority",
    "0",
    "1",
    "2.5",
    "1e308",
    "1e-320",
    "999999999999999999999",
    "é",
    "\u0660",
    "\x00",
    " ",
    "_",
    "exp(",
    "log(0)",
    "((((",
    "inf",
]
networks = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join), edited(NETWORKS, WORDS), st.text(max_size=40)
)


@fuzz
@given(networks)
@example("A -> @ 1; when A > 1: A = 1e400")
def test_networks(text):
    network = or_refused(Network.from_text, text)
    if network is not None:
        assert Network.from_text(str(network)) == network


MODEL = b"""<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model>
<listOfCompartments><compartment id="cell" size="2" constant="true"/></listOfCompartments>
<listOfSpecies><species id="X" compartment="cell" initialAmount="9" hasOnlySubstanceUnits="false"
boundaryCondition="false" constant="false"/></listOfSpecies>
<listOfParameters><parameter id="k" value="2" constant="true"/></listOfParameters>
<listOfReactions><reaction id="r" reversible="false" fast="false">
<listOfReactants><speciesReference species="X" stoichiometry="2" constant="true"/></listOfReactants>
<kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><ci>k</ci><ci>X</ci>
</apply></math></kineticLaw></reaction></listOfReactions>
<listOfEvents><event id="e" useValuesFromTriggerTime="true"><trigger initialValue="true" persistent="true">
<math xmlns="http://www.w3.org/1998/Math/MathML"><apply><gt/><ci>X</ci><cn>5</cn></apply></math></trigger>
<listOfEventAssignments><eventAssignment variable="X">
<math xmlns="http://www.w3.org/1998/Math/MathML"><cn>1</cn></math>
</eventAssignment></listOfEventAssignments></event></listOfEvents></model></sbml>"""
TAGS = [
    b"<apply>",
    b"</apply>",
    b"<ci>X</ci>",
    b"<cn>1</cn>",
    b"<piecewise>",
    b"<lambda>",
    b'"NaN"',
    b'"-1"',
    b'"1e400"',
    b'""',
    b"</math>",
    b"<math>",
    b"&lt;",
    b"<!-- -->",
    b"<![CDATA[",
]
TAGS += [
    b'id="X"',
    b'id="k"',
    b"times",
    b"minus",
    b"root",
    b"factorial",
    b"true",
    b"delay",
    b"constant",
    b"species",
    b"listOfRules",
    b"<notes>",
]


@fuzz
@given(edited([MODEL], TAGS))
def test_sbml(content):
    pytest.importorskip("libsbml")
    network = or_refused(read_sbml, io.BytesIO(content))
    if network is not None:
        assert Network.from_text(str(network)) == network


def all_of(parse):
    return lambda path: [*parse(path)]


CORPORA = [
    b"in\tIN O\nParis  NNP B-LOC\n\nso RB O\n",
    "共同  创造\u3000美好\n\n新  世纪\n".encode(),
    "\ufeffa b\r\nc d\r\n".encode(),
]


@fuzz
@given(
    bytes_like(
        [*CORPORA, *map(gzip.compress, CORPORA)],
        [b"\xe3\x80\x80", b"\xc2\x85", b"\xe2\x80\xa8", b"\t", b"B-X"],
    ),
    st.sampled_from(["a.txt", "a.txt.gz"]),
)
def test_corpora(content, name):
    in_file(content, name, all_of(read_columns))
    sentences = in_file(content, name, all_of(read_segmented))
    if sentences is not None:
        assert all(word and not any(map(str.isspace, word)) for words in sentences for word in words)


def archive(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


VECTORS = [
    b"2 3\na 1 2 3\nb -1 .5 1e3\n",
    b"2 2\na " + np.ones(2, "<f4").tobytes() + b"\nb " + np.zeros(2, "<f4").tobytes() + b"\n",
    archive(words=np.frombuffer(b"a\0b", np.uint8), vectors=np.ones((2, 2)), counts=np.ones(2, int)),
]


@fuzz
@given(bytes_like(VECTORS, [b"2 3", b"999999999 1", b"1 999999999", b"PK\3\4"]))
@example(b"5 1264000000")
@example(VECTORS[0].replace(b"1e3", b"1e39"))
@example(VECTORS[2][:20] + VECTORS[2][21:])  # places of a zip file's members that lie before its beginning
def test_vectors(content):
    in_file(content, "vectors.bin", WordVectors.load)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


ROWS = {
    "a.csv": [b"a,b,c\n1,2,3\n4,5,6\n", b"1;2\n3;4\n", b"1 2\n3\t4\n", b'"a","b"\n1,2\n'],
    "a.tsv.gz": [gzip.compress(b"a\tb\n1\t2\n")],
    "a.npy": [npy(np.ones((3, 2))), npy(np.zeros((2, 3, 3), np.uint8))],
    "a.npz": [archive(x=np.ones((3, 2))), archive(images=np.zeros((2, 3, 3), np.uint8), y=np.ones(2))],
    "a.idx": [b"\0\0\x08\2\0\0\0\2\0\0\0\3abcdef", b"\0\0\x0d\1\0\0\0\1\0\0\0\0"],
    "a.gz": [gzip.compress(b"\0\0\x08\2\0\0\0\2\0\0\0\3abcdef")],
}
rows = st.sampled_from([*ROWS]).flatmap(
    lambda name: st.tuples(
        st.just(name), bytes_like(ROWS[name], [b"'<f8'", b"'|O'", b"(9999999999, 9)", b"{", b"\x0d\xff"])
    )
)


@fuzz
@given(rows)
@example(("a.npz", ROWS["a.npz"][0][:20] + ROWS["a.npz"][0][21:]))
@example(("a.npy", ROWS["a.npy"][0].replace(b"}", b"(")))  # NumPy reads the header with Python's tokenizer
@example(("a.npy", ROWS["a.npy"][0].replace(b"}", b"\0")))
@example(("a.npy", npy(np.array([[1e39]]))))
@example(("a.csv", b"1e39"))
def test_rows(named):
    name, content = named
    found = in_file(content, name, read_rows)
    if found is not None:
        assert found.values.dtype == np.float32
        assert np.isfinite(found.values).all()
        assert found.values.ndim >= 2


NET = Network.from_text("A = 3; B = 1; A -> B @ 1")


@fuzz
@given(bytes_like([b"t,A,B\n0,1,2\n1,2,\n2,,4\n", b"time,B\n0,1\n1e1,2\n"], [b"A", b"\n\n", b"inf"]))
def test_tables_to_fit(content):
    found = in_file(content, "data.csv", read_observations, NET)
    if found is not None:
        times, observed = found
        assert (np.diff(times) > 0).all()
        assert observed.shape == (len(times), 2)


numbers = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
configs = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=9,
)
LEXICON = Lexicon.fit(["ab"], [["b", "e"]], scheme="bmes", min_count=1).to_config()


@fuzz
@given(
    st.one_of(
        configs,
        st.tuples(st.sampled_from([*LEXICON]), configs).map(lambda pair: {**LEXICON, pair[0]: pair[1]}),
    )
)
def test_lexicons(config):
    lexicon = or_refused(Lexicon.from_config, config)
    if lexicon is not None:
        assert lexicon.to_config() == config


@pytest.mark.parametrize("parse", [Network.from_text, lambda text: [*read_segmented(text.splitlines())]])
def test_what_is_said_at_length_is_refused_or_read(parse):
    for text in (
        "A" * 10**6,
        "(" * 10**5,
        "A -> B @ " + "1+" * 10**4 + "1",
        "A" + " + A" * 10**4 + " -> @ 1",
    ):
        or_refused(parse, text)
