"""Values and their arrays as one file, which is read at the speed of the disk.

    8 bytes     MAGIC
    8 bytes     the length of the header, little-endian
    header      JSON: {"value": ..., "arrays": [{"dtype", "shape", "offset"}, ...]}, the value as codec.py spells it
    arrays      in C order, each at a multiple of 64 bytes from the beginning of the file
    32 bytes    SHA-256 of all before

The checksum stands at the end, so that one pass over the content gives it and that of the whole file.
"""

import json
import os
from collections.abc import Iterable, Iterator
from hashlib import sha256 as new_sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nncore.kernels.backend import Array
from nncore.serialization.codec import DAMAGES, Encoder, by_name, decode

MAGIC = b"NNCORE\x00\x01"
ALIGNMENT = 64  # of a processor's cache lines
CHECKSUM_BYTES = 32


def write(path: Path, value: Any, kinds: Iterable[type]) -> str:
    """Write the value, made of `kinds` and what codec.py names, in place of what is there; return the file's SHA-256.

    The file appears as a whole or not at all.

    Raises   ValueError naming what the file cannot hold
    """
    pieces = _pieces(value, kinds)
    beside = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    checksum = new_sha256()
    try:
        with beside.open("xb") as file:
            for piece in pieces:
                file.write(piece)
                checksum.update(piece)
            file.write(checksum.digest())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    checksum.update(checksum.digest())
    return checksum.hexdigest()


def read(path: Path, kinds: Iterable[type], sha256: str | None = None) -> Any:
    """The value that `write` has written. Its arrays are read-only views of one buffer, 64-byte aligned.

    sha256   of the whole file, if it is known from elsewhere

    Raises   ValueError naming the path and the cause if the file is damaged, not of this format, not the one that
             `sha256` is of, or made of other classes than `kinds`; OSError if it cannot be opened
    """
    named, buffer = by_name(kinds), _buffer(path)
    try:
        return _value(buffer, named, sha256)
    except DAMAGES as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from None


def _pieces(value: Any, kinds: Iterable[type]) -> Iterator[bytes | memoryview]:
    """What the file consists of, but for the checksum."""
    encoder = Encoder(by_name(kinds))
    content = encoder.encode(value)
    arrays, described, offset = [np.asarray(array, order="C") for array in encoder.arrays], [], 0
    for array in arrays:  # offsets count from the end of the header, whose length they are not to change
        described.append({"dtype": array.dtype.str, "shape": array.shape, "offset": offset})
        offset += array.nbytes + -array.nbytes % ALIGNMENT
    header = json.dumps({"value": content, "arrays": described}).encode()
    header += b" " * (-(len(MAGIC) + 8 + len(header)) % ALIGNMENT)
    return _chain(MAGIC + len(header).to_bytes(8, "little") + header, arrays)


def _chain(head: bytes, arrays: Iterable[Array]) -> Iterator[bytes | memoryview]:
    yield head
    for array in arrays:
        yield array.reshape(-1).view(np.uint8).data
        yield bytes(-array.nbytes % ALIGNMENT)


def _buffer(path: Path) -> Array:
    """The file's bytes, read-only."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        room = np.empty(size + ALIGNMENT, np.uint8)
        first = -room.ctypes.data % ALIGNMENT
        buffer = room[first : first + size]
        buffer = buffer[: file.readinto(buffer.data)]
    buffer.flags.writeable = False
    return buffer


def _value(buffer: Array, kinds: dict[str, type], sha256: str | None) -> Any:
    body, start = buffer[:-CHECKSUM_BYTES], len(MAGIC) + 8
    if body[: len(MAGIC)].tobytes() != MAGIC:
        raise ValueError("it is no file of this format")
    checksum = new_sha256(body.data)
    if checksum.digest() != buffer[-CHECKSUM_BYTES:].tobytes():
        raise ValueError("it was changed or cut short after it was written")
    checksum.update(buffer[-CHECKSUM_BYTES:].data)
    if sha256 not in (None, checksum.hexdigest()):
        raise ValueError(f"it is another file than the one that was meant: its SHA-256 is {checksum.hexdigest()}")
    stop = start + int.from_bytes(body[len(MAGIC) : start].tobytes(), "little")
    if stop > len(body):
        raise ValueError("its header is longer than the file")
    header = json.loads(body[start:stop].tobytes())
    arrays = [_array(body[stop:], **described) for described in header["arrays"]]
    return decode(header["value"], arrays, kinds)


def _array(content: Array, dtype: str, shape: list[int], offset: int) -> Array:
    """A view of the content, in which the array begins at this offset."""
    kind = np.dtype(dtype)
    stop = offset + prod(shape) * kind.itemsize
    if kind.kind not in "biufcUSMm" or min(shape, default=0) < 0 or not 0 <= offset <= stop <= len(content):
        raise ValueError(f"it has no {dtype} array of shape {shape} at {offset}")
    return content[offset:stop].view(kind).reshape(shape)
