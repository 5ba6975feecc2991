"""Overrides as a person pastes them into a shell: the cures in error messages."""

import json
import re
import shlex
from typing import Any

PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WORD = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
KEYWORDS = ("true", "false", "null", "nan", "inf")  # which Hydra's grammar reads as other values than texts


def override(name: str, value: Any) -> str:
    r"""An override that gives a setting a value, quoted for bash and zsh.

    Parameters
    ----------
    name : str
        Of the setting, possibly with + before it.
    value : str, number, bool, None, list or dict
        With keys that are strings.

    Returns
    -------
    str
        To be pasted. The braces and brackets of lists and mappings are quoted, as they have meanings in the shells.

    Examples
    --------
    >>> print(override("data.target", "price"))
    data.target=price
    >>> print(override("data.drop", ["living area", "it's"]))
    'data.drop=["living area","it'"'"'s"]'
    """
    return shell_quoted(f"{name}={expression(value)}")


def entry(name: str, key: str, value: Any) -> str:
    """The override that adds an entry to a mapping, whatever characters its key has.

    Examples
    --------
    >>> print(entry("data.kinds", "zip", "categorical"))
    +data.kinds.zip=categorical
    >>> print(entry("data.kinds", "größe (m)", "numeric"))
    '+data.kinds={"größe (m)": "numeric"}'
    """
    return override(f"+{name}.{key}", value) if PLAIN_NAME.fullmatch(key) else override(f"+{name}", {key: value})


def shell_quoted(text: str) -> str:
    """A text as one word of a command line of bash or zsh, in printable characters."""
    if text.isprintable():
        return shlex.quote(text)
    escaped = "".join(
        f"\\{character}" if character in "\\'"
        else character if character.isprintable()
        else "".join(f"\\x{byte:02x}" for byte in character.encode())
        for character in text
    )  # fmt: skip
    return f"$'{escaped}'"


def quoted(text: str) -> str:
    """A text in the quotes of Hydra's grammar, which reads it as it is; but `${...}` is a reference."""
    return '"' + re.sub(r'(\\*)("|\Z)', lambda match: 2 * match[1] + ('\\"' if match[2] else ""), text) + '"'


def expression(value: Any) -> str:
    """Return a value in Hydra's grammar; a mapping in JSON, as that grammar has no quotes for keys.

    Parameters
    ----------
    value : str, number, bool, None, list or dict
        With keys that are strings.

    Returns
    -------
    str
    """
    if isinstance(value, dict):
        text = json.dumps(_without_references(value), ensure_ascii=False)
        return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(expression, value)) + "]"
    if isinstance(value, str):
        is_word = WORD.fullmatch(value) and value.lower() not in KEYWORDS
        return value if is_word else quoted(_without_references(value))
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _without_references(value: Any) -> Any:
    """The value with `${` escaped in its texts, so that it stays a text where OmegaConf resolves references."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, dict):
        return {key: _without_references(inner) for key, inner in value.items()}
    return [_without_references(inner) for inner in value] if isinstance(value, list | tuple) else value
