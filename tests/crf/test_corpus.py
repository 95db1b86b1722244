import gzip
import io
import sys
from functools import partial
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.crf.corpus import CorpusError, read_columns, read_segmented
from partita.crf.tags import split_tag

# Line and paragraph separators of Unicode are characters like any other: only LF and CRLF end a line.
ODD = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
PACKED = gzip.compress(b"a b\n" * 99, mtime=0)
TOKEN = st.text(
    st.characters(exclude_characters=" \t\r\n\ufeff", exclude_categories=["Cs"]) | st.sampled_from(ODD),
    min_size=1,
    max_size=4,
)
WORD = TOKEN.filter(lambda word: word.split() == [word])


@given(
    st.lists(st.lists(WORD), min_size=1).filter(any),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([" ", "  ", "\u3000", "\t \u2003"]),
)
def test_segmented_text_is_read_as_written(sentences, line_end, space):
    text = "".join(space.join(words) + line_end for words in sentences)
    assert list(read_segmented(io.BytesIO(text.encode()))) == sentences


@given(st.data(), st.sampled_from(["\n", "\r\n"]), st.sampled_from([" ", "\t", " \t "]))
def test_columns_are_read_as_written(data, line_end, space):
    row = st.tuples(*[TOKEN] * data.draw(st.integers(1, 3)))
    sentences = data.draw(st.lists(st.lists(row, min_size=1), min_size=1))
    text = (2 * line_end).join(line_end.join(map(space.join, rows)) for rows in sentences)
    assert list(read_columns(io.BytesIO(text.encode()))) == sentences


@pytest.mark.parametrize("content", ["一 二\n\n三", "\ufeff一\u3000二\r\n \r\n三\r\n"])
@pytest.mark.parametrize("name", ["text.txt", "text.txt.gz"])
def test_a_text_is_the_same_from_everywhere(tmp_path, monkeypatch, content, name):
    path, data = tmp_path / name, content.encode()
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))
    with path.open("rb") as raw, gzip.open(path) if name.endswith("gz") else raw as file:
        sources = [
            path,
            str(path),
            "-",
            io.BytesIO(data),
            io.StringIO(content),
            file,
            data.splitlines(keepends=True),
        ]
        assert [list(read_segmented(source)) for source in sources] == [[["一", "二"], [], ["三"]]] * len(
            sources
        )


def test_blank_lines_part_sentences_however_many():
    assert list(read_columns(["", "a A", " \t", "", "b B", "c C", ""])) == [
        [("a", "A")],
        [("b", "B"), ("c", "C")],
    ]


def test_reading_does_not_wait_for_the_end():
    assert next(read_segmented(repeat(b"a b\n"))) == ["a", "b"]
    columns = read_columns(line for _ in repeat(None) for line in (b"a A\n", b"\n"))
    assert [next(columns) for _ in range(3)] == [[("a", "A")]] * 3


CHECK_BIO = partial(split_tag, scheme="bio")


@pytest.mark.parametrize(
    ("reader", "content", "message"),
    [
        (read_columns, b"a A B\nb B\n", r"2: expected 3 columns, got 2: b B"),
        (read_columns, b"a A\n\n\nb B C\n", r"4: expected 2 columns, got 3"),
        (partial(read_columns, min_columns=2), b"a\n", r"1: expected 2 columns, got 1"),
        (partial(read_columns, check=CHECK_BIO), b"a B-X\nb E-X\n", r"2: tag 'E-X' is not of scheme 'bio'"),
        (read_columns, b"a A\n\xff\xfe B\n", r"2: want utf-8, got byte 0xff after 0 bytes"),
        (read_segmented, "一\n".encode() + "二".encode("gb18030"), r"2: want utf-8, got byte 0xb6"),
        (read_segmented, "一".encode()[:2], r"1: want utf-8"),
        (read_columns, b"", r"1: no line holds text"),
        (read_columns, b" \n\t\n\n", r"3: no line holds text"),
        (read_segmented, b"\r\n\r\n", r"2: no line holds text"),
        (read_segmented, b"\xef\xbb\xbf", r"1: no line holds text"),
    ],
)
def test_broken_text_is_named_with_file_and_line(tmp_path, reader, content, message):
    path = tmp_path / "broken.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=rf"broken\.txt:{message}"):
        list(reader(path))


@pytest.mark.parametrize("content", [b"plain text", PACKED[:-9], PACKED[:-12] + bytes(12)])
def test_broken_gzip_is_named(tmp_path, content):
    path = tmp_path / "broken.gz"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"broken\.gz:\d+: broken gzip data"):
        list(read_segmented(path))


COLUMNS = ["Ann B-PER", "sings O", "", "Bob B-PER", "Lee I-PER"]
PLAIN = (
    "in IN\nthe DT\ncat NN\nsat VBD\n\nthe DT\ndog NN\nsat VBD\nin IN\nthe DT\ncar NN\nsat VBD\n".splitlines()
)


@pytest.mark.parametrize(
    "lines",
    [
        COLUMNS,
        [line.replace(" ", "\t") for line in COLUMNS],
        [line.replace(" ", " X X ") for line in COLUMNS],
        ["共 b", "同 e", "", "新 s"],
        ["Ann U-PER", "Lee L-PER"],
        ["Ann O", "sings O"],
        PLAIN,
    ],
)
def test_columns_are_not_read_as_segmented_text(lines):
    with pytest.raises(
        CorpusError, match=r"<stream>:1: this looks like a file of columns, a token a line .* got '"
    ):
        list(read_segmented(lines))
    assert len(list(read_columns(lines))) > 0


@pytest.mark.parametrize(
    "lines",
    [
        ["共同 创造"] * 50,
        ["共同 创造", "", "共同 创造", "新 世纪"] * 9,
        ["the cat", "a dog"] * 9,
        ["共同 b"] * 50,
        ["a"] * 50,
        ["I O", "I am"],
        ["共同创造"] * 3,
    ],
)
def test_segmented_text_is_not_taken_for_columns(lines):
    assert list(read_segmented(lines)) == [line.split() for line in lines]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["共同 创造 美好", "新 世纪"],
            r"2: expected 3 columns, got 2: 新 世纪; a line of columns is one token; .* scheme bmes",
        ),
        (
            ["Ann,B-PER", "sings,O"],
            r"1: this looks like columns of a CSV file: expected columns parted by spaces or tabs, got 'Ann "
            r"B-PER'",
        ),
        (["Ann;B-PER", "sings;O"], r"1: this looks like columns of a CSV file"),
        (["a A", "\x1b[31mred \x07 B"], r"2: expected 2 columns, got 3: \\x1b\[31mred \\x07 B"),
        (["a A", "x" * 10_000], r"2: expected 2 columns, got 1: x{59}…"),
    ],
)
def test_lines_of_another_kind_are_named_and_shown_safely(lines, message):
    with pytest.raises(CorpusError, match=message) as error:
        list(read_columns(lines))
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


def test_a_csv_file_is_named_where_columns_are_wanted():
    with pytest.raises(
        CorpusError,
        match=r"expected 2 columns, got 1: Ann,B-PER; columns are parted by spaces or tabs, not by commas",
    ):
        list(read_columns(["Ann,B-PER"], min_columns=2))
    assert list(read_columns(["1,000", "2,000"])) == [[("1,000",), ("2,000",)]]


def test_real_corpora_hold_what_is_known_of_them(data_folder):
    chunks = list(read_columns(data_folder / "conll2000" / "test.txt.gz", min_columns=3, check=CHECK_BIO))
    assert (len(chunks), sum(map(len, chunks))) == (2012, 47377)
    with pytest.raises(CorpusError, match="this looks like a file of columns"):
        list(read_segmented(data_folder / "conll2000" / "test.txt.gz"))
    characters = data_folder / "weibo-ner" / "weibo2c.dev.gz"
    with pytest.raises(CorpusError, match="this looks like a file of columns"):
        list(read_segmented(characters))
    assert len(list(read_columns(characters, min_columns=2))) == 270
    words = list(read_segmented(data_folder / "pku" / "pku_test_gold.utf8"))
    assert (sum(map(bool, words)), sum(map(len, words))) == (1944, 104372)
