"""Files, local or at any address that fsspec knows, and what is wrong with those that cannot be opened."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import AfterValidator

from pipeline.components.errors import SettingError


def _from_here(path: str) -> str:
    """Relative paths start where the user stands, and not where a worker does."""
    return path if "://" in path or "::" in path or not path else str(Path(path).expanduser().absolute())


PART = 1 << 20  # bytes that are read at a time
# by which the file systems of fsspec tell a file's content, where its server says it
CHECKSUMS = ("ETag", "etag", "Content-MD5", "Digest", "md5Hash", "crc32c")
FileAddress = Annotated[str, AfterValidator(_from_here)]  # of a file or folder, local or anywhere that fsspec knows


@contextmanager
def opened(setting: str, path: str, compression: str | None = None) -> Iterator[IO[bytes]]:
    """The file to read from, inside the `with` block.

    setting       its name, for errors, such as "data.path"
    compression   None, or "infer" from the name's ending: .gz, .bz2, .zst, ...

    Raises   SettingError naming the setting, the path, what is wrong and the cure; also for what goes wrong with the
             file within the block
    """
    import fsspec  # not at the top: the driver only needs the settings

    said = f"{setting}={path}"
    try:
        system, place = fsspec.core.url_to_fs(path)
        _check(said, setting, path, system, place)
        file = fsspec.core.OpenFile(system, place, "rb", _compression(place, compression)).open()
    except ImportError as error:
        raise SettingError(f"{said}: {one_line(error)}, to read from such an address") from None
    except (OSError, ValueError) as error:
        raise SettingError(f"{said} cannot be read: {one_line(error)}") from None
    try:
        with file:
            yield file
    except (EOFError, zlib.error) as error:
        why = f"its compressed data are damaged or cut short ({one_line(error)})"
        raise SettingError(f"{said}: {why}; copy it again") from None
    except OSError as error:
        raise SettingError(f"{said} cannot be read: {one_line(error)}") from None


def content_of(setting: str, *paths: str) -> str | None:
    """SHA-256 of what lies at these addresses, or None if that cannot be known without fetching it all.

    setting   its name, for errors

    Raises   SettingError as `opened` does
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
    """A checksum of one file: of a local one we compute it, of others we take what their server says of the content."""
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    with opened(setting, path) as file:
        system, place = url_to_fs(path)
        if isinstance(system, LocalFileSystem):
            content = sha256()
            for part in iter(lambda: file.read(PART), b""):
                content.update(part)
            return content.digest()
        said = system.info(place)
    known = {name: said[name] for name in CHECKSUMS if said.get(name)}
    return sha256(repr((said.get("size"), known)).encode()).digest() if known else None


def _check(said: str, setting: str, path: str, system: Any, place: str) -> None:
    if not path:
        raise SettingError(f"{setting} must be the path of a file, but is empty")
    if not system.exists(place):
        raise SettingError(f"{said}: there is no such file (a relative path starts where you stand)")
    if system.isdir(place):
        raise SettingError(f"{said} is a folder; name the file in it")
    if not system.isfile(place):
        raise SettingError(f"{said} is no file that can be read; name a plain file")
    if system.size(place) == 0:
        raise SettingError(f"{said} is empty; it has 0 bytes")


def _compression(place: str, compression: str | None) -> str | None:
    from fsspec.utils import infer_compression

    return infer_compression(place) if compression == "infer" else compression
