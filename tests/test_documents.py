"""Tests that every Python block of the documents runs, in an empty folder.

Those of README run each by itself, those of a guide one after another.
"""

import inspect
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent
from xml.etree.ElementTree import fromstring, tostring

import keras
import pytest

import partita
from partita.tour.page import picture

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = (
    DOCUMENTS if keras.backend.backend() == "jax" else DOCUMENTS[:1]
)  # what the guides use has tests on every backend


@pytest.mark.parametrize("document", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in RUN])
def test_python_blocks_run(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = document.read_text(encoding="utf-8")
    namespace = {}
    for block in FENCE.finditer(text):
        assert block[2] in ("", "console", "python", "sh", "text"), (
            "a block is Python that runs, or it is marked as something else"
        )
        if block[2] == "python":
            if not namespace or document.name == "README.md":
                namespace = {"__name__": "__main__"}
            lines_above = "\n" * text.count(
                "\n", 0, block.start(3)
            )  # so that a traceback shows the document's own lines
            exec(compile(lines_above + dedent(block[3]), document, "exec"), namespace)


@pytest.mark.parametrize(
    "document", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in DOCUMENTS]
)
def test_partita_is_imported_before_keras(document):
    """Keras by itself asks for TensorFlow: where that is missing, blocks would fail that import it first."""
    blocks = [
        block[3] for block in FENCE.finditer(document.read_text(encoding="utf-8")) if block[2] == "python"
    ]
    for text in blocks if document.name == "README.md" else ["\n".join(blocks)]:
        imported = re.findall(r"^ *(?:from|import) (partita|keras)\b", text, re.MULTILINE)
        assert imported[:1] != ["keras"]


def test_both_readmes_have_the_same_blocks_links_and_tables():
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
    english, chinese = (
        english.partition("\n## Measured\n")[0],
        chinese.partition("\n## 实测\n")[0],
    )  # figures stand in one of them
    assert [block[0] for block in FENCE.finditer(chinese)] == [block[0] for block in FENCE.finditer(english)]
    assert re.findall(r"\]\((?!README)([^)]*)\)", chinese) == re.findall(r"\]\((?!README)([^)]*)\)", english)
    assert re.findall(r"^#+ ", chinese, re.MULTILINE) == re.findall(r"^#+ ", english, re.MULTILINE)
    assert chinese.count("\n|") == english.count("\n|")


def test_every_contract_is_on_the_page_of_extending():
    """A public class with abstract methods is a place where something of one's own fits in."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    contracts = [
        name
        for part in partita.PARTS
        for name, thing in vars(getattr(partita, part)).items()
        if name in getattr(partita, part).__all__ and isinstance(thing, type) and inspect.isabstract(thing)
    ]
    assert len(contracts) >= 4
    assert not [name for name in contracts if name not in text]


def test_pictures_stand_alone():
    spec = spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    pictures = module_from_spec(spec)
    spec.loader.exec_module(pictures)
    there = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    of_the_tour = {f"{study}-{place}.svg" for study, places in pictures.CHOSEN.items() for place in places}
    assert there == of_the_tour | {f"{name}.png" for name in pictures.EXAMPLES} | {
        "scaling.svg"
    }  # that one by `benchmarks scaling`
    written = picture(lambda figure: figure.add_subplot().plot([0, 1 / 3]), (2, 1), "a < b", "")
    root = fromstring(pictures.standing_alone(written))
    assert root.find("{http://www.w3.org/2000/svg}title").text == "a < b"
    assert "currentColor" not in tostring(root, "unicode")
