"""Lines of JSON, each with the CRC-32 of its content: a line that was changed after it was written is noticed."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

MARK = b', "crc32": "'
SEAL_BYTES = len(MARK) + 8 + len(b'"}')


def sealed(record: Mapping[str, Any]) -> bytes:
    r"""Return a record as a line that ends with its checksum, as the last field.

    Parameters
    ----------
    record : mapping of str to plain values
        At least one; none of them is named crc32.

    Returns
    -------
    bytes
        With the end of the line.

    Examples
    --------
    >>> sealed({"event": "end"})
    b'{"event": "end", "crc32": "2995fac0"}\n'
    """
    content = json.dumps(record).encode()[:-1]
    return content + MARK + b'%08x"}\n' % zlib.crc32(content)


def is_intact(line: bytes) -> bool:
    """Whether a line, without its end, is as `sealed` made it."""
    content, seal = line[:-SEAL_BYTES], line[-SEAL_BYTES:]
    return seal == MARK + b'%08x"}' % zlib.crc32(content)


def unsealed(line: bytes) -> dict[str, Any]:
    """Return the record that a line holds.

    Parameters
    ----------
    line : bytes
        Without its end.

    Raises
    ------
    ValueError
        If it is not as `sealed` made it.
    """
    if not is_intact(line):
        raise ValueError("its checksum does not match its content")
    record: dict[str, Any] = json.loads(line)
    del record["crc32"]
    return record
