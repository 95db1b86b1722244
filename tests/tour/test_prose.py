import pytest

from partita.tour import prose


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A standard library of one's own: a function that writes a module of it."""
    monkeypatch.setattr(prose.sysconfig, "get_path", {"stdlib": str(tmp_path)}.__getitem__)

    def write(path, content):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def found(**kwargs):
    return {
        name: [" ".join(words) for words in sentences]
        for name, sentences in prose.gather(1000, **kwargs).items()
    }


def test_docstrings_of_modules_classes_and_functions(library):
    library(
        "alpha/beta.py",
        """'''This is the docstring of a module.'''
class A:
    '''This is the docstring of a class.'''
    async def f(self):
        '''This is the docstring of a method.'''
        'This string is no docstring at all.'
""",
    )
    assert found() == {
        "alpha.beta": [f"This is the docstring of a {thing}." for thing in ("module", "class", "method")]
    }


def test_what_cannot_be_read_or_is_not_prose_is_left_out(library):
    library("fine.py", "'Only this sentence is of any use.'")
    library("broken.py", "'Only this sentence is of any use to us.' +")
    library("null.py", b"'This sentence stands before a null.'\x00")
    library("latin.py", b"'This sentence is not \xe9 utf eight.'")
    library("test/test_fine.py", "'This sentence is in a test folder.'")
    library("site-packages/other.py", "'This sentence is of another package.'")
    assert found() == {"fine": ["Only this sentence is of any use."]}


def test_old_escapes_warn_nobody(library):
    library("old.py", "'This sentence is followed by an escape.'\nx = '\\d'\n")
    assert list(found()) == ["old"]


def test_no_sentence_is_found_twice(library):
    for name in ("one", "two"):
        library(f"{name}.py", "'Return the same sentence for both. Return the same sentence for both.'")
    assert list(found().values()) == [["Return the same sentence for both."]]


def test_the_order_of_modules_is_drawn_by_the_seed(library):
    for number in range(20):
        library(f"m{number}.py", f"'This sentence comes from module {chr(65 + number)}.'")
    assert list(found(seed=1)) == list(found(seed=1))
    assert list(found(seed=1)) != list(found(seed=2))
    assert set(found(seed=1)) == set(found(seed=2))


@pytest.mark.parametrize(
    "text",
    [
        "return the lower-case sentence to me.",
        "This sentence has no end in it",
        "Too short a one.",
        "This sentence goes on and on" + " and on" * 20 + ".",
        "This sentence has x == 1 within it.",
        ">>> This looks like a prompt to us.",
        "- This looks like an item of a list.",
        "    This is an indented block of code.",
        "This paragraph is no prose at all::\n\n    This is an indented block of code.",
    ],
)
def test_what_is_not_a_sentence(text):
    assert list(prose.sentences(text)) == []


def test_sentences_run_over_lines_but_not_over_paragraphs():
    text = (
        "The first sentence runs\nover two lines. The second (and last)\none does too.\n\nThe third stands "
        "for itself."
    )
    assert list(prose.sentences(text)) == [
        "The first sentence runs over two lines.",
        "The second (and last) one does too.",
        "The third stands for itself.",
    ]
