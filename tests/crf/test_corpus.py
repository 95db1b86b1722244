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
TOKEN = st.text(st.characters(exclude_characters=" \t\r\n\ufeff", exclude_categories=["Cs"]) | st.sampled_from(ODD), min_size=1, max_size=4)
WORD = TOKEN.filter(lambda word: word.split() == [word])


@given(
    st.lists(st.lists(WORD), min_size=1).filter(any), st.sampled_from(["\n", "\r\n"]), st.sampled_from([" ", "  ", "\u3000", "\t \u2003"])
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
        sources = [path, str(path), "-", io.BytesIO(data), io.StringIO(content), file, data.splitlines(keepends=True)]
        assert [list(read_segmented(source)) for source in sources] == [[["一", "二"], [], ["三"]]] * len(sources)


def test_blank_lines_part_sentences_however_many():
    assert list(read_columns(["", "a A", " \t", "", "b B", "c C", ""])) == [[("a", "A")], [("b", "B"), ("c", "C")]]


def test_reading_does_not_wait_for_the_end():
    assert next(read_segmented(repeat(b"a b\n"))) == ["a", "b"]
    columns = read_columns(line for _ in repeat(None) for line in (b"a A\n", b"\n"))
    assert [next(columns) for _ in range(3)] == [[("a", "A")]] * 3


CHECK_BIO = partial(split_tag, scheme="bio")


@pytest.mark.parametrize(
    ("reader", "content", "message"),
    [
        (read_columns, b"a A B\nb B\n", r"2: want 3 columns, got 2: b B"),
        (read_columns, b"a A\n\n\nb B C\n", r"4: want 2 columns, got 3"),
        (partial(read_columns, min_columns=2), b"a\n", r"1: want 2 columns, got 1"),
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


def test_real_corpora_hold_what_is_known_of_them(data_folder):
    chunks = list(read_columns(data_folder / "conll2000" / "test.txt.gz", min_columns=3, check=CHECK_BIO))
    assert (len(chunks), sum(map(len, chunks))) == (2012, 47377)
    words = list(read_segmented(data_folder / "pku" / "pku_test_gold.utf8"))
    assert (sum(map(bool, words)), sum(map(len, words))) == (1944, 104372)
