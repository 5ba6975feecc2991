"""Passwords and tokens in addresses: they are used, and never written down."""

import re
from typing import Any

HIDDEN = "..."
IN_ADDRESS = re.compile(r"(://[^:/@\s]*):\S*@")
IN_QUERY = re.compile(r"(?i)([?&](?:\w*password|passwd|pwd|\w*token|\w*secret|\w*key)=)[^&\s'\"]+")


def masked(value: Any) -> Any:
    """The same text, or list or mapping of texts, with dots in the place of every password and token."""
    if isinstance(value, str):
        return IN_QUERY.sub(rf"\1{HIDDEN}", IN_ADDRESS.sub(rf"\1:{HIDDEN}@", value))
    if isinstance(value, dict):
        return {key: masked(one) for key, one in value.items()}
    return [masked(one) for one in value] if isinstance(value, list | tuple) else value


def is_masked(address: str) -> bool:
    """Whether something is missing in this address."""
    return f":{HIDDEN}@" in address or f"={HIDDEN}" in address
