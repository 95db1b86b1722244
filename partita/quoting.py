"""Text of users and files as errors quote it: printable, and no longer than a screen."""

from typing import Any

MESSAGE_LIMIT = 800


def printable(text: str) -> str:
    r"""Return the text with what cannot be printed escaped.

    Example:
        >>> printable("a\x1b[31mb")
        'a\\x1b[31mb'
    """
    return "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in text)


def shown(text: str, limit: int = 60) -> str:
    r"""Return the text with what cannot be printed escaped, cut to a length.

    Args:
        text: Any text.
        limit: Characters that are kept at most.

    Example:
        >>> shown("a\x1b[31mb\nc", 8)
        'a\\x1b[3…'
    """
    escaped = printable(text[: limit + 1])
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"


def got(value: Any) -> str:
    """Return the `repr` of a value for an error, at most 80 characters of it.

    Example:
        >>> got([10] * 100)[-5:]
        ', 10…'
        >>> got(10**5000)
        'an int of 16610 bits'
    """
    if isinstance(value, int) and abs(value) >= 10**80:
        return f"an int of {value.bit_length()} bits"
    return shown(repr(value), 80)
