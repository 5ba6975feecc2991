"""Which files a path names: one file, a folder, a pattern or a list; and what the names of Hive's folders say."""

import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa

from pipeline.components.errors import SettingError
from pipeline.components.file_words import PATTERN, ending_of
from pipeline.data.files import one_line

HIVE_FOLDER = re.compile(r"([^=/]+)=([^/]*)")
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
Paths = str | tuple[str, ...]


class DataFile(NamedTuple):
    """One of the files that hold a table.

    Attributes
    ----------
    path : str
        Local, or any address that fsspec knows.
    partitions : dict of str to str or None
        What its folders say, such as {"year": "2020"} for year=2020/part.parquet; None for Hive's missing value.
    """

    path: str
    partitions: dict[str, str | None]


def data_files(setting: str, paths: Paths, endings: Sequence[str]) -> list[DataFile]:
    """The files that a path names, in the order of their names.

    Parameters
    ----------
    setting : str
        Its name, such as "data.path", for error messages.
    paths : str or tuple of str
        A file, a folder with all that is below it, a pattern such as data/*.csv, or several of these.
    endings : sequence of str
        Of the names of such files. Other files in a folder are left out if there are any of these.

    Returns
    -------
    list of DataFile
        A single file need not exist. Files and folders whose names begin with "." or "_" are left out, as Spark does.

    Raises
    ------
    SettingError
        If the folder has no file, the pattern matches none, or the address is unknown.
    """
    if isinstance(paths, tuple):
        if not paths:
            raise SettingError(f"{setting} must name at least one file, but is []")
        return [file for path in paths for file in data_files(setting, path, endings)]
    from fsspec.core import url_to_fs  # not at the top: the driver only needs the settings

    if not paths or "::" in paths:  # a chain of addresses names a single file
        return [DataFile(paths, {})]
    try:
        system, place = url_to_fs(paths)
        root, found = _search(system, place)
    except ImportError as error:
        raise SettingError(f"{setting}={paths}: {one_line(error)}, to read from such an address") from None
    except (OSError, ValueError) as error:
        raise SettingError(f"{setting}={paths} cannot be read: {one_line(error)}") from None
    if found is None:
        return [DataFile(paths, {})]
    visible = [name for name in sorted(found) if not _is_hidden(name[len(root) :])]
    suitable = [name for name in visible if ending_of(name) in endings] or visible
    if not suitable:
        what = "matches no file" if PATTERN.search(paths) else "is a folder without files"
        raise SettingError(f"{setting}={paths} {what}; name another")
    has_scheme = "://" in paths
    return [
        DataFile(system.unstrip_protocol(name) if has_scheme else name, _partitions(name[len(root) :]))
        for name in suitable
    ]


def partition_columns(files: Sequence[DataFile]) -> dict[str, pa.Array]:
    """The values (one per file) of each column that the folders' names give: whole numbers, dates, or else texts."""
    columns = {}
    for name in dict.fromkeys(name for file in files for name in file.partitions):
        texts = [file.partitions.get(name) for file in files]
        known = [text for text in texts if text is not None]
        convert: Callable[[str], Any] = str
        if all(map(WHOLE_NUMBER.fullmatch, known)):
            convert = int
        elif all(map(_is_date, known)):
            convert = datetime.date.fromisoformat
        columns[name] = pa.array([None if text is None else convert(text) for text in texts])
    return columns


def _search(system: Any, place: str) -> tuple[str, list[str] | None]:
    """The folder that is searched, and the files found; None for a path that names one file, or nothing."""
    is_web = "http" in (system.protocol if isinstance(system.protocol, tuple) else (system.protocol,))
    if is_web or system.isfile(place):
        return place, None
    if system.isdir(place):
        return place.rstrip("/") + "/", system.find(place)
    if not PATTERN.search(place):
        return place, None
    root = place[: PATTERN.search(place).start()].rpartition("/")[0] + "/"  # type: ignore[union-attr]
    matches = system.glob(place)
    files = [name for name in matches if system.isfile(name)]
    return root, files + [name for folder in matches if system.isdir(folder) for name in system.find(folder)]


def _is_hidden(relative: str) -> bool:
    """Whether a part of the path marks it as no data: .crc, _SUCCESS, _temporary; but _year=2020 is a partition."""
    return any(part[:1] == "." or (part[:1] == "_" and "=" not in part) for part in relative.split("/"))


def _partitions(relative: str) -> dict[str, str | None]:
    folders = (HIVE_FOLDER.fullmatch(part) for part in relative.split("/")[:-1])
    pairs = [match.groups() for match in folders if match]
    return {unquote(name): None if value == HIVE_NULL else unquote(value) for name, value in pairs}


def _is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == len("2020-01-31")
