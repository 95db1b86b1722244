"""Every Python block of the documents runs: those of one file in order, in one namespace, in an empty folder."""

import re
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^( *)```(py[^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
DOCUMENTS = [path for path in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))) if path.exists()]


@pytest.mark.parametrize("document", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in DOCUMENTS])
def test_python_blocks_run(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = document.read_text(encoding="utf-8")
    namespace = {"__name__": "__main__"}
    for block in FENCE.finditer(text):
        assert block[2].strip() == "python", "a block is Python that runs, or it is marked as something else"
        lines_above = "\n" * text.count("\n", 0, block.start(3))  # so that a traceback shows the document's own lines
        exec(compile(lines_above + dedent(block[3]), document, "exec"), namespace)
