"""Texts from data and files, for a terminal: escape sequences in them must not be carried out."""

import re

UNPRINTABLE = re.compile(r"[^\n\x20-\x7e]")


def printable(text: str) -> str:
    r"""The text with every character that a terminal may act on, or cannot show, as an escape.

    Examples
    --------
    >>> print(printable("\x1b[31mred"))
    \x1b[31mred
    """
    return UNPRINTABLE.sub(lambda match: _escaped(match[0]), text)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
