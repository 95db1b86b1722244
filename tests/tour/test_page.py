import json
import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from partita import tour
from partita.tour.page import Block, Formula, Lines, Piece, Study, Table, Words, page, picture

NASTY = "<script>alert('a' & \"b\")</script>"


class Reader(HTMLParser):
    """Parser that collects what a browser would: elements, their attributes and the text.

    It checks that every element is closed.
    """

    EMPTY = frozenset({"meta", "use", "path", "stop"})

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, name):
        return [value for key, value in self.attributes if key == name]


def line(figure):
    figure.add_subplot(title="a < b & c").plot([0, 1, 4])


def study(seed=0):
    drawn = picture(line, (3, 2), f"Line {NASTY}", f"Caption {NASTY}")
    blocks = [
        Words(f"One {NASTY}\n\nTwo `{NASTY}`", heading=NASTY),
        Formula(NASTY),
        Table([NASTY, "value"], [[NASTY, NASTY]], NASTY),
        drawn,
        drawn,
        Lines(
            [[Piece(NASTY), Piece(NASTY, 0.5, NASTY, "extra")]], [(Piece(NASTY, 1.0), NASTY)], aligned=True
        ),
    ]
    return Study(f"Study {NASTY}", blocks, {"seed": seed})


@pytest.fixture(scope="module")
def html():
    return page(f"Tour {NASTY}", NASTY, {"one": (study(), 1.2), "two": (study(), 3.4)}, NASTY)


def test_every_text_is_escaped(html):
    read = Reader(html)
    assert "script" not in read.tags
    assert NASTY in read.text
    assert "<script" not in html
    assert {f"Line {NASTY}"} == set(read.all("aria-label")) - {"Contents"}


def test_every_block_escapes_alone():
    for block in study().blocks:
        assert "script" not in Reader(block.html("a")).tags


def test_nothing_is_fetched(html):
    read = Reader(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "image"} & set(read.tags)
    assert read.all("src") == []
    assert all(target.startswith("#") for name in ("href", "xlink:href") for target in read.all(name))
    assert not re.search(r"https?:|@import|url\((?!#)", html)
    assert any("default-src 'none'" in content for content in read.all("content"))


def test_ids_are_unique_and_all_references_lead_somewhere(html):
    read = Reader(html)
    ids = read.all("id")
    assert len(ids) > 40
    assert len(set(ids)) == len(ids)
    references = [target[1:] for name in ("href", "xlink:href") for target in read.all(name)] + re.findall(
        r"url\(#([^)]+)\)", html
    )
    assert set(references) <= set(ids)
    assert any(reference.startswith("two-5-") for reference in references)


def test_contents_and_sections(html):
    read = Reader(html)
    assert {"#one", "#two"} <= set(read.all("href"))
    assert {"one", "two"} <= set(read.all("id"))
    assert "measured in 3 s" in read.text


def test_a_picture_takes_the_color_of_the_page_and_is_drawn_alike_twice():
    first, second = picture(line, (3, 2), "", ""), picture(line, (3, 2), "", "")
    assert first == second
    assert "currentColor" in first.svg
    assert "a &lt; b &amp; c" in first.svg  # as text, not as outlines
    assert Reader(first.html("a")).tags.count("svg") == 1


def test_plain_pieces_are_plain_text():
    assert Piece("a < b").html() == "a &lt; b"
    assert Piece("", mark="missing").html() == '<span class="piece missing" style="--shade:0.00"></span>'


def test_markup_of_words():
    expected = "<p>x<sub>t</sub> is 4<sup>T</sup>, <code>a_{b}</code> &lt;i&gt; `</p>"
    assert Words("x_{t} is 4^{T}, `a_{b}` <i> `").html("a") == expected


def test_new_kinds_of_blocks_find_a_place():
    @dataclass(frozen=True)
    class Rule(Block):
        def html(self, name):
            return f'<hr id="{name}">'

    assert '<hr id="a-1">' in page("", "", {"a": (Study("", [Rule()], {}), 0.0)}, "")


@pytest.fixture
def small_studies(monkeypatch):
    monkeypatch.setattr(tour, "STUDIES", ("sums", "trees"))
    modules = {f"partita.tour.{name}": SimpleNamespace(study=study) for name in tour.STUDIES}
    monkeypatch.setattr(tour, "import_module", modules.__getitem__)


def test_run_writes_the_page_and_the_numbers(small_studies, tmp_path):
    lines = []
    out = tour.run(out=tmp_path / "a" / "b", seed=7, report=lines.append)
    assert out == tmp_path / "a" / "b" / "index.html"
    assert {path.name for path in out.parent.iterdir()} == {"index.html", "numbers.json"}
    numbers = json.loads((out.parent / "numbers.json").read_text())
    assert numbers["seed"] == 7
    assert list(numbers["studies"]) == ["sums", "trees"]
    assert numbers["studies"]["trees"]["seed"] == 7
    assert numbers["studies"]["trees"]["seconds"] >= 0
    assert {"sums", "trees"} <= set(Reader(out.read_text("utf-8")).all("id"))
    assert any("trees" in text for text in lines)


def test_run_only_some(small_studies, tmp_path):
    html = tour.run(["trees"], tmp_path, report=str).read_text("utf-8")
    assert 'id="trees"' in html
    assert 'id="sums"' not in html


def test_an_unknown_study_is_named_before_anything_is_done(small_studies, tmp_path):
    with pytest.raises(ValueError, match="only must name studies out of sums, trees; got fields, rivers"):
        tour.run(["fields", "trees", "rivers"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_says_what_to_install(package, small_studies, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'partita\[cli\]'"):
        tour.run(out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failing_study_leaves_no_page(small_studies, tmp_path, monkeypatch):
    def fail(seed):
        raise RuntimeError("no")

    monkeypatch.setattr(tour, "import_module", lambda name: SimpleNamespace(study=fail))
    with pytest.raises(RuntimeError):
        tour.run(out=tmp_path, report=str)
    assert [*tmp_path.iterdir()] == []
