"""Passwords and tokens in URLs are used, and never written to a file or printed."""

import re
from typing import Any

HIDDEN = "..."
WORD = re.compile(r"\S+")
USER = re.compile(r"://[^:/@\s]*:")
IN_QUERY = re.compile(r"(?i)([?&](?:\w*password|passwd|pwd|\w*token|\w*secret|\w*key)=)[^&\s'\"]+")


def masked(value: Any) -> Any:
    """Replace every password and token by dots, in a string and in the strings of nested lists and mappings."""
    if isinstance(value, str):
        return IN_QUERY.sub(rf"\1{HIDDEN}", WORD.sub(_without_password, value) if "://" in value else value)
    if isinstance(value, dict):
        return {key: masked(inner) for key, inner in value.items()}
    return [masked(inner) for inner in value] if isinstance(value, list | tuple) else value


def _without_password(match: re.Match[str]) -> str:
    """A word; what stands between a user's name and the last @ is hidden, in time proportional to its length."""
    word = match[0]
    user = USER.search(word)
    at = word.rfind("@")
    return f"{word[: user.end()]}{HIDDEN}{word[at:]}" if user and at >= user.end() else word


def is_masked(url: str) -> bool:
    """Whether a password or token of this URL has been replaced."""
    return f":{HIDDEN}@" in url or f"={HIDDEN}" in url
