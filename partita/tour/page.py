"""A page of words, tables and pictures that is whole in itself: no script, nothing fetched.

study → blocks → HTML,   every text escaped on the way
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKUP = re.compile(r"`(?P<code>[^`]+)`|_\{(?P<sub>[^}]+)\}|\^\{(?P<sup>[^}]+)\}")
_INK = "#010203"  # stands for the text's color while Matplotlib draws
_DRAWING: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "partita",  # the same picture, the same bytes
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"], _INK),
}

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #5c6670; --paper: #fdfdfb; --panel: #f1f2ee; --line: #d5d8d2; --link: #1f5fa8;
  --glow: 240 150 20; --wrong: #c62828; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6e3; --soft: #a0a8ae; --paper: #15181b; --panel: #1f2428; --line: #3a4147;
  --link: #7fb4ee; --glow: 215 130 20; --wrong: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 46rem; padding: 1.5rem 1.1rem 3rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.4rem; line-height: 1.25; margin: 2.5rem 0 .2rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 2rem 0 .3rem; }
p { margin: .6rem 0; }
sub, sup { font-size: .75em; line-height: 0; }
a { color: var(--link); }
code, .mono { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .92em; }
.seconds, figcaption, caption, footer, .legend { color: var(--soft); font-size: .9rem; }
.formula { font-family: Georgia, "DejaVu Serif", serif; font-size: 1.08rem; padding: .5rem .9rem; background: var(--panel);
  border-left: 3px solid var(--line); overflow-x: auto; }
.wide { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .3rem .9rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line); font-weight: normal; line-height: 1.35; }
thead th { font-weight: 600; vertical-align: bottom; }
th:first-child { text-align: left; }
figure { margin: 1.4rem 0; }
figure svg { display: block; max-width: 100%; height: auto; }
figure svg text { font-family: inherit !important; }
.lines { margin: 1.2rem 0; padding: .5rem .9rem; background: var(--panel); overflow-x: auto; }
.lines p { margin: .55rem 0; }
.lines.mono p { margin: 0; white-space: pre; line-height: 1.45; }
.lines.mono p.apart { margin-top: .9rem; }
.piece { background: rgb(var(--glow) / var(--shade)); border-radius: 3px; }
.piece small { font-size: .68em; padding: 0 .15em; vertical-align: .1em; font-variant-numeric: tabular-nums; }
.lines:not(.mono) .piece, .legend .piece { padding: .1em .05em; }
.extra, .missing { border: 2px solid var(--wrong); margin: 0 1px; }
.missing { border-style: dotted; }
.mono .extra { border: 0; border-radius: 0; margin: 0; background: var(--wrong); color: var(--paper); }
.legend .piece { display: inline-block; min-width: 1.6em; text-align: center; margin-right: .35em; color: var(--ink); }
.legend span { white-space: nowrap; margin-right: 1.1em; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .8rem; }
"""


class Block(ABC):
    """A piece of a study, from top to bottom."""

    @abstractmethod
    def html(self, name: str) -> str:
        """The block as HTML; all ids in it begin with `name`, which no other block has."""


@dataclass(frozen=True)
class Words(Block):
    """Paragraphs, parted by blank lines, under a heading if there is one; `code`, x_{i} and x^{2} are set as such.

    Example:
        >>> Words("a < b, by `sort`").html("crf-1")
        '<p>a &lt; b, by <code>sort</code></p>'
    """

    text: str
    heading: str = ""

    def html(self, name: str) -> str:
        heading = f"<h3>{_inline(self.heading)}</h3>" if self.heading else ""
        return heading + "".join(
            f"<p>{_inline(paragraph)}</p>" for paragraph in re.split(r"\n\s*\n", self.text.strip())
        )


@dataclass(frozen=True)
class Formula(Block):
    """An equation on a line of its own.

    Example:
        >>> Formula("log p_{i} = G_{i} − log Z").html("crf-1")
        '<p class="formula">log p<sub>i</sub> = G<sub>i</sub> − log Z</p>'
    """

    text: str

    def html(self, name: str) -> str:
        return f'<p class="formula">{_inline(self.text)}</p>'


@dataclass(frozen=True)
class Table(Block):
    """Rows of cells, each as long as `head`; the first cell of a row says what the others are.

    Example:
        >>> Table(["", "CRF"], [["F1", "0.93"]], "Words").html("crf-1")[:63]
        '<div class="wide"><table><caption>Words</caption><thead><tr><th'
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str

    def html(self, name: str) -> str:
        head = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in self.head)
        rows = "".join(
            f"<tr><th "
            f'scope="row">{_inline(first)}</th>{"".join(f"<td>{_inline(cell)}</td>" for cell in rest)}</tr>'
            for first, *rest in self.rows
        )
        caption = f"<caption>{_inline(self.caption)}</caption>"
        return (
            f"<div "
            f'class="wide"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        )


@dataclass(frozen=True)
class Picture(Block):
    """A drawing; `label` says in words what it shows, for those who cannot see it.

    Args:
        svg: One `<svg>` element.
        label: What a screen reader reads.
        caption: Printed below.

    Example:
        >>> Picture('<svg><use href="#a"/><path id="a"/></svg>', "A path", "").html("crf-1")
        '<figure><svg role="img" aria-label="A path"><use href="#crf-1-a"/><path id="crf-1-a"/></svg><figcaption></figcaption></figure>'
    """

    svg: str
    label: str
    caption: str

    def html(self, name: str) -> str:
        svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", self.svg)
        svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(self.label)}"', 1)
        return f"<figure>{svg}<figcaption>{_inline(self.caption)}</figcaption></figure>"


class Piece(NamedTuple):
    """A piece of a line.

    Args:
        text: What it says.
        shade: How strongly it is colored, 0 to 1.
        note: A few small characters after the text.
        mark: `"extra"` frames what should not be there, `"missing"` a place where something should.

    Example:
        >>> Piece("word", shade=0.5).mark
        ''
    """

    text: str
    shade: float = 0.0
    note: str = ""
    mark: Literal["", "extra", "missing"] = ""

    def html(self) -> str:
        """The piece as HTML: plain text where nothing sets it off."""
        text = escape(self.text)
        if not (self.shade or self.note or self.mark):
            return text
        note = f"<small>{escape(self.note)}</small>" if self.note else ""
        return (
            f'<span class="{f"piece {self.mark}".rstrip()}" '
            f'style="--shade:{self.shade:.2f}">{text}{note}</span>'
        )


@dataclass(frozen=True)
class Lines(Block):
    """Lines of text made of pieces, with a legend.

    Args:
        lines: Pieces of each line.
        legend: Pieces and what they mean.
        aligned: Whether the characters of the lines stand below one another; they then do not wrap.

    Example:
        >>> Lines([[Piece("to"), Piece(" ", 0.5)]]).html("crf-1")
        '<div class="lines"><p>to<span class="piece" style="--shade:0.50"> </span></p></div>'
    """

    lines: Sequence[Sequence[Piece]]
    legend: Sequence[tuple[Piece, str]] = ()
    aligned: bool = False

    def html(self, name: str) -> str:
        lines = "".join(f"<p>{''.join(piece.html() for piece in line)}</p>" for line in self.lines)
        meanings = " ".join(
            f"<span>{piece.html()}{_inline(meaning)}</span>" for piece, meaning in self.legend
        )
        legend = f'<p class="legend">{meanings}</p>' if self.legend else ""
        return f'<div class="{"lines mono" if self.aligned else "lines"}">{lines}</div>{legend}'


@dataclass(frozen=True)
class Study:
    """What a study has to show: a title, blocks from top to bottom, and the numbers it measured, fit for JSON.

    Example:
        >>> Study("Sums", [Words("2 + 2")], {"sum": 4}).numbers["sum"]
        4
    """

    title: str
    blocks: Sequence[Block]
    numbers: Mapping[str, Any]


def picture(draw: Callable[["Figure"], None], size: tuple[float, float], label: str, caption: str) -> Picture:
    """Let `draw` fill a Matplotlib figure of `size` inches; its text takes the color of the page's, light or dark.

    Example:
        >>> drawn = picture(lambda figure: figure.add_subplot().plot([1, 2]), (4, 3), "A line", "Rising.")
        >>> drawn.svg[:4], "xmlns" in drawn.svg
        ('<svg', False)
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_DRAWING):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        file = StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = re.sub(
        r"<metadata>.*?</metadata>| xmlns(:\w+)?=\"[^\"]*\"", "", svg[svg.index("<svg") :], flags=re.DOTALL
    )
    return Picture(svg.replace(_INK, "currentColor").strip(), label, caption)


def page(title: str, introduction: str, studies: Mapping[str, tuple[Study, float]], footer: str) -> str:
    """The whole page: a title, an introduction, a list of contents, and a section for each study and the seconds it took.

    Example:
        >>> html = page(
        ...     "Tour", "Two sums.", {"sums": (Study("Sums", [Words("2 + 2")], {}), 0.1)}, "Made today."
        ... )
        >>> '<section id="sums">' in html
        True
    """
    contents = "".join(
        f'<li><a href="#{escape(name)}">{_inline(study.title)}</a></li>'
        for name, (study, _) in studies.items()
    )
    sections = "\n".join(_section(escape(name), study, seconds) for name, (study, seconds) in studies.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{escape(title)}</h1><p>{_inline(introduction)}</p></header>
<nav aria-label="Contents"><ol>{contents}</ol></nav>
<main>
{sections}
</main>
<footer>{_inline(footer)}</footer>
</body>
</html>
"""


def _section(name: str, study: Study, seconds: float) -> str:
    blocks = "\n".join(block.html(f"{name}-{number}") for number, block in enumerate(study.blocks, 1))
    taken = f'<p class="seconds"><code>{name}</code>, measured in {seconds:.0f} s</p>'
    return f'<section id="{name}"><h2>{_inline(study.title)}</h2>{taken}\n{blocks}\n</section>'


def _inline(text: str) -> str:
    return _MARKUP.sub(
        lambda found: f"<{found.lastgroup}>{found[found.lastindex or 0]}</{found.lastgroup}>", escape(text)
    )
