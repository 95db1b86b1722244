"""A page of words, tables and pictures that is whole in itself: no script, nothing fetched.

study → blocks → HTML,   every text escaped on the way
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup
    from matplotlib.figure import Figure

_MARKUP = re.compile(r"`(?P<code>[^`]+)`|_\{(?P<sub>[^}]+)\}|\^\{(?P<sup>[^}]+)\}")
BLUE, ORANGE, GREY = "#3b86d1", "#e0812b", "#8a8f94"  # of pictures, on light and on dark
_INK = "#010203"  # stands for the text's color while Matplotlib draws
_DRAWING: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "partita",  # the same picture, the same bytes
    "font.size": 11,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"], _INK),
}


@cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, PackageLoader

    found = Environment(loader=PackageLoader("partita.tour"), autoescape=True)
    found.filters["markup"] = _markup
    return found.get_template(name)


def _filled(macro: str, *given: Any) -> str:
    """Return the HTML of one macro of blocks.html."""
    return str(getattr(_template("blocks.html").module, macro)(*given))


def _markup(text: str) -> "Markup":
    from markupsafe import Markup, escape

    def element(found: re.Match) -> str:
        return f"<{found.lastgroup}>{found[found.lastindex or 0]}</{found.lastgroup}>"

    return Markup(_MARKUP.sub(element, escape(text)))


class Block:
    """A piece of a study, from top to bottom. A subclass has a macro of its name in blocks.html."""

    def html(self, name: str) -> str:
        """The block as HTML; all ids in it begin with `name`, which no other block has."""
        return _filled(type(self).__name__.lower(), self, name)


@dataclass(frozen=True)
class Words(Block):
    """Paragraphs, parted by blank lines, under a heading if there is one.

    In every text of a page `code`, x_{i} and x^{2} are set as such.

    Example:
        >>> Words("a < b, by `sort`").html("crf-1")
        '<p>a &lt; b, by <code>sort</code></p>'
    """

    text: str
    heading: str = ""

    @property
    def paragraphs(self) -> list[str]:
        """The text, cut at blank lines."""
        return re.split(r"\n\s*\n", self.text.strip())


@dataclass(frozen=True)
class Formula(Block):
    """An equation on a line of its own.

    Example:
        >>> Formula("log p_{i} = G_{i} − log Z").html("crf-1")
        '<p class="formula">log p<sub>i</sub> = G<sub>i</sub> − log Z</p>'
    """

    text: str


@dataclass(frozen=True)
class Table(Block):
    """Rows of cells, each as long as `head`; the first cell of a row says what the others are.

    Example:
        >>> Table(["", "CRF"], [["F1", "0.93"]], "Words").html("crf-1")[:49]
        '<div class="wide"><table><caption>Words</caption>'
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


@dataclass(frozen=True)
class Picture(Block):
    """A drawing; `label` says in words what it shows, for those who cannot see it.

    Args:
        svg: One `<svg>` element.
        label: What a screen reader reads.
        caption: Printed below.

    Example:
        >>> Picture('<svg><use href="#a"/><path id="a"/></svg>', "A path", "").html("crf-1")
        '<figure><svg role="img" aria-label="A path"><use href="#crf-1-a"/><path id="crf-1-a"/></svg>...'
    """

    svg: str
    label: str
    caption: str

    def drawing(self, name: str) -> str:
        """The content of the `<svg>` element, with ids that begin with `name`."""
        return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", self.svg).removeprefix("<svg")


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
        return _filled("piece", self)


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


@dataclass(frozen=True)
class Study:
    """The result of a study: a title, blocks from top to bottom, and the numbers it measured, fit for JSON.

    Example:
        >>> Study("Sums", [Words("2 + 2")], {"sum": 4}).numbers["sum"]
        4
    """

    title: str
    blocks: Sequence[Block]
    numbers: Mapping[str, Any]


def picture(draw: Callable[["Figure"], None], size: tuple[float, float], label: str, caption: str) -> Picture:
    """Let `draw` fill a Matplotlib figure of `size` inches, whose text takes the color of the page's.

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
    _, start, rest = file.getvalue().partition("<svg")
    svg = re.sub(r'<metadata>.*?</metadata>| xmlns(:\w+)?="[^"]*"', "", start + rest, flags=re.DOTALL)
    return Picture(svg.replace(_INK, "currentColor").strip(), label, caption)


def page(title: str, introduction: str, studies: Mapping[str, tuple[Study, float]], footer: str) -> str:
    """Return the whole page: title, introduction, contents, and a section for each study and its seconds.

    Example:
        >>> html = page(
        ...     "Tour", "Two sums.", {"sums": (Study("Sums", [Words("2 + 2")], {}), 0.1)}, "Made today."
        ... )
        >>> '<section id="sums">' in html
        True
    """
    return _template("page.html").render(
        title=title, introduction=introduction, studies=studies, footer=footer
    )
