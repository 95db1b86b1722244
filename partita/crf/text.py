"""Text from files as an error shows it."""


def shown(text: str, longest: int = 60) -> str:
    r"""Return text fit for a terminal: control characters escaped, and no longer than `longest` characters and a mark.

    Example:
        >>> shown("red \x1b[31m"), shown("a" * 9, longest=4)
        ('red \\x1b[31m', 'aaaa…')
    """
    cut = text[:longest]
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in cut) + ("…" if len(text) > longest else "")
