"""Values and their arrays in one file, which is read at the speed of the disk.

    8 bytes     MAGIC, with the version of the format
    8 bytes     length of the header, little-endian
    header      JSON: {"value": ..., "arrays": [{"dtype", "shape", "offset"}, ...]}, the value as codec.py encodes it
    arrays      in C order, each at a multiple of 64 bytes from the beginning of the file
    32 bytes    SHA-256 of everything before

The checksum is at the end, so that one pass over the content gives both this checksum and that of the whole file.
"""

import json
import os
from collections.abc import Iterable, Iterator
from hashlib import sha256 as new_sha256
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nncore.kernels.backend import Array
from nncore.serialization.codec import ARRAY_KINDS, DECODING_ERRORS, Encoder, by_name, decode
from nncore.serialization.regular_file import open_regular

MAGIC = b"NNCORE\x00\x02"
ALIGNMENT = 64  # bytes of a cache line
CHECKSUM_BYTES = 32
LONGEST_HEADER = 1 << 30  # bytes
CHANGED = "it was changed or truncated after it was written"


def write(path: Path, value: Any, classes: Iterable[type]) -> str:
    """Write a value to a file, which appears complete or not at all and replaces an existing one.

    Parameters
    ----------
    path : Path
    value : object
        Made of `classes` and what codec.py lists.
    classes : iterable of type
        Dataclasses and NamedTuples that may occur.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    ValueError
        Naming the value that cannot be stored.
    """
    pieces = _pieces(value, classes)
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    checksum = new_sha256()
    try:
        with temporary.open("xb") as file:
            for piece in pieces:
                file.write(piece)
                checksum.update(piece)
            file.write(checksum.digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    checksum.update(checksum.digest())
    return checksum.hexdigest()


def read(path: Path, classes: Iterable[type], sha256: str | None = None) -> Any:
    """Read the value that `write` has written.

    Parameters
    ----------
    path : Path
    classes : iterable of type
        The classes that may occur.
    sha256 : str, optional
        Expected SHA-256 of the file.

    Returns
    -------
    object
        Its arrays are read-only views of one buffer, aligned to 64 bytes.

    Raises
    ------
    ValueError
        Naming the path and the cause, if the file is damaged, of another format, not the expected one, made of other
        classes, not a regular file, or larger than the memory.
    OSError
        If the file cannot be opened.
    """
    class_of = by_name(classes)
    try:
        header, content = _read_checked(path, sha256)
        arrays = [_array(content, **described) for described in header["arrays"]]
        return decode(header["value"], arrays, class_of)
    except DECODING_ERRORS as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from None


def _pieces(value: Any, classes: Iterable[type]) -> Iterator[bytes | memoryview]:
    """The content of the file without the checksum. Encodes the value at once, so that errors precede writing."""
    encoder = Encoder(by_name(classes))
    content = encoder.encode(value)
    arrays, described, offset = [np.asarray(array, order="C") for array in encoder.arrays], [], 0
    for array in arrays:  # offsets count from the end of the header, so that they do not change its length
        described.append({"dtype": array.dtype.str, "shape": array.shape, "offset": offset})
        offset += array.nbytes + _padding(array.nbytes)
    header = json.dumps({"value": content, "arrays": described}).encode()
    header += b" " * _padding(len(MAGIC) + 8 + len(header))

    def pieces() -> Iterator[bytes | memoryview]:
        yield MAGIC + len(header).to_bytes(8, "little") + header
        for array in arrays:
            yield array.reshape(-1).view(np.uint8).data
            yield bytes(_padding(array.nbytes))

    return pieces()


def _padding(n_bytes: int) -> int:
    """Number of bytes up to the next multiple of ALIGNMENT."""
    return -n_bytes % ALIGNMENT


def _read_checked(path: Path, sha256: str | None) -> tuple[Any, Array]:
    """The header and the bytes of the arrays, aligned and read-only, after format and checksums have been verified.

    All sizes are compared with the file's before memory is allocated for its content.
    """
    with open_regular(path) as file:
        size, start = os.fstat(file.fileno()).st_size, len(MAGIC) + 8
        prefix = file.read(start)
        _check_magic(prefix[: len(MAGIC)])
        stop = start + int.from_bytes(prefix[len(MAGIC) :], "little")
        if stop + CHECKSUM_BYTES > size:
            raise ValueError("its header is longer than the file")
        header = _decoded_header(file.read(min(stop - start, LONGEST_HEADER)))
        if size > stop + _content_bytes(header) + ALIGNMENT + CHECKSUM_BYTES:
            raise ValueError("it is longer than its header announces: it was changed after it was written")
        file.seek(0)
        buffer = _read_aligned(file, size)
    checksum = new_sha256(buffer[:-CHECKSUM_BYTES].data)
    if checksum.digest() != buffer[-CHECKSUM_BYTES:].tobytes():
        raise ValueError(CHANGED)
    checksum.update(buffer[-CHECKSUM_BYTES:].data)
    if sha256 not in (None, checksum.hexdigest()):
        raise ValueError(f"it is not the expected file: its SHA-256 is {checksum.hexdigest()}")
    return header, buffer[stop:-CHECKSUM_BYTES]


def _check_magic(magic: bytes) -> None:
    if magic[:-1] == MAGIC[:-1] and magic != MAGIC:
        raise ValueError(
            f"it has version {magic[-1]} of the format and this program reads version {MAGIC[-1]}; start a new run"
        )
    if magic != MAGIC:
        raise ValueError("it is not a file of this format")


def _decoded_header(text: bytes) -> Any:
    try:
        return json.loads(text)
    except DECODING_ERRORS:
        raise ValueError(CHANGED) from None


def _content_bytes(header: Any) -> int:
    """The bytes up to the end of the last array, as the header announces them."""
    try:
        ends = [item["offset"] + prod(item["shape"]) * np.dtype(item["dtype"]).itemsize for item in header["arrays"]]
        return int(max(ends, default=0))
    except DECODING_ERRORS:
        raise ValueError(CHANGED) from None


def _read_aligned(file: BinaryIO, size: int) -> Array:
    """The bytes of the file, read-only and aligned."""
    try:
        memory = np.empty(size + ALIGNMENT, np.uint8)
    except MemoryError:
        raise ValueError(f"its {size:,} bytes do not fit into memory") from None
    first = _padding(memory.ctypes.data)
    buffer = memory[first : first + size]
    buffer = buffer[: file.readinto(buffer.data)]  # type: ignore[attr-defined]
    buffer.flags.writeable = False
    return buffer


def _array(content: Array, dtype: str, shape: list[int], offset: int) -> Array:
    """The array that begins at this offset, as a view."""
    array_dtype = np.dtype(dtype)
    stop = offset + prod(shape) * array_dtype.itemsize
    if array_dtype.kind not in ARRAY_KINDS or min(shape, default=0) < 0 or not 0 <= offset <= stop <= len(content):
        raise ValueError(f"it has no {dtype} array of shape {shape} at offset {offset}")
    return content[offset:stop].view(array_dtype).reshape(shape)
