"""Files, local or at any address that fsspec knows, and clear errors for those that cannot be opened."""

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import AfterValidator

from pipeline.components.errors import SettingError


def absolute(path: str) -> str:
    """Make local paths absolute: they are relative to the user's current directory, not to a worker's."""
    return path if "://" in path or "::" in path or not path else str(Path(path).expanduser().absolute())


CHUNK_BYTES = 1 << 20
# names under which the file systems of fsspec report a checksum, where the server gives one
CHECKSUMS = ("ETag", "etag", "Content-MD5", "Digest", "md5Hash", "crc32c")
FileAddress = Annotated[str, AfterValidator(absolute)]  # of a file or folder, local or anywhere that fsspec knows


@contextmanager
def opened(setting: str, path: str, compression: str | None = None, was_checked: bool = False) -> Iterator[IO[bytes]]:
    """Open a file for reading, for the `with` block.

    Parameters
    ----------
    setting : str
        Its name, such as "data.path", for error messages.
    path : str
        Local, or any address that fsspec knows.
    compression : {"infer"} or None
        "infer": from the extension (.gz, .bz2, .zst, ...).
    was_checked : bool, default False
        Whether the file has been opened before, so that a server need not be asked again whether it is one.

    Raises
    ------
    SettingError
        Naming the setting, the path, what is wrong and the cure; also for read errors within the block.
    """
    import fsspec  # not at the top: the driver only needs the settings

    label = f"{setting}={path}"
    try:
        system, place = fsspec.core.url_to_fs(path)
        if not was_checked:
            _check(label, setting, path, system, place)
        file = fsspec.core.OpenFile(system, place, "rb", _compression(place, compression)).open()
    except ImportError as error:
        raise SettingError(f"{label}: {one_line(error)}, to read from such an address") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise SettingError(f"{label} cannot be read: {one_line(error)}") from None
    try:
        with file:
            yield file
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        why = f"its compressed data are damaged or cut short ({one_line(error)})"
        raise SettingError(f"{label}: {why}; copy it again") from None
    except OSError as error:
        raise SettingError(f"{label} cannot be read: {one_line(error)}") from None


def content_of(setting: str, *paths: str) -> str | None:
    """SHA-256 of the content of files, or None if it cannot be known without fetching them.

    Parameters
    ----------
    setting : str
        Its name, for error messages.
    *paths : str

    Raises
    ------
    SettingError
        As `opened` does.
    """
    content = sha256()
    for path in paths:
        known = _content(setting, path)
        if known is None:
            return None
        content.update(known)
    return content.hexdigest()


def one_line(error: BaseException) -> str:
    """An exception's text without line breaks, at most 300 characters of it."""
    text = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
    return text if len(text) <= 300 else text[:297] + "..."


def _content(setting: str, path: str) -> bytes | None:
    """Checksum of one file: computed for a local file, taken from the server for others."""
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    with opened(setting, path) as file:
        system, place = url_to_fs(path)
        if isinstance(system, LocalFileSystem):
            content = sha256()
            for part in iter(lambda: file.read(CHUNK_BYTES), b""):
                content.update(part)
            return content.digest()
        info = system.info(place)
    checksums = {name: info[name] for name in CHECKSUMS if info.get(name)}
    return sha256(repr((info.get("size"), checksums)).encode()).digest() if checksums else None


def _check(label: str, setting: str, path: str, system: Any, place: str) -> None:
    if not path:
        raise SettingError(f"{setting} must be the path of a file, but is empty")
    if not system.exists(place):
        raise SettingError(f"{label}: there is no such file (a relative path is relative to the current directory)")
    if system.isdir(place):
        raise SettingError(f"{label} is a folder; name the file in it")
    if not system.isfile(place):
        raise SettingError(f"{label} is not a regular file; name a regular file")
    if system.size(place) == 0:
        raise SettingError(f"{label} is empty; it has 0 bytes")


def _compression(place: str, compression: str | None) -> str | None:
    from fsspec.utils import infer_compression

    return infer_compression(place) if compression == "infer" else compression
