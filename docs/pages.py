"""Hooks of MkDocs: pages of the site that are files of the project, and a reference page for each part.

README.md → index.md, README.zh.md → zh.md, …
examples/*.py → examples.md
partita/PART/__init__.py → api/PART.md
"""

import ast
import re
from pathlib import Path
from textwrap import indent

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "README.zh.md": "zh.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "CITATION.cff": "CITATION.cff",
}
PARTS = ("crf", "flows", "contrast", "variational", "reactions", "ode", "training")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file of `docs/` holds."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=moved((ROOT / source).read_text(encoding="utf-8"))))
    files.append(File.generated(config, "examples.md", content=examples()))
    for part in PARTS:
        files.append(File.generated(config, f"api/{part}.md", content=reference(part)))
    return files


def moved(text: str) -> str:
    """The text with its links as they are from within `docs/`."""
    text = re.sub(r"\]\(docs/", "](", text)
    for source, page in PAGES.items():
        text = re.sub(rf"\]\({re.escape(source)}(?=[)#])", f"]({page}", text)
    return text.replace("](examples)", "](examples.md)")


def examples() -> str:
    """A page of all examples: what each is for and what it found, its picture, its lines."""
    page = (
        "# Parts together\n\nEach is one script of `examples/`: `python examples/NAME.py` prints what it "
        "finds, and draws it.\n"
    )
    for path in sorted((ROOT / "examples").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        said = ast.get_docstring(ast.parse(text)) or ""
        title = re.split("[,:]", said)[0]
        page += f"\n## {title}\n\n{said}\n\n![{title}](pictures/{path.stem}.png)\n\n"
        page += f'??? note "{path.relative_to(ROOT)}"\n\n' + indent(f"```python\n{text}```\n", "    ")
    return page


def reference(part: str) -> str:
    """A page of all that a part offers, by the order of its `__all__`."""
    tree = ast.parse((ROOT / "partita" / part / "__init__.py").read_text(encoding="utf-8"))
    sources = {
        alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lists = (
        node
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    )
    names = ast.literal_eval(next(lists).value)
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    return f"# partita.{part}\n\n{summary}\n\n" + "\n".join(f"::: {sources[name]}\n" for name in names)
