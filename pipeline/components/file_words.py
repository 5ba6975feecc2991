"""Words of a command line that name files, and the endings that tell a file's format."""

import re
from pathlib import Path, PurePosixPath

PATTERN = re.compile(r"[*?\[]")
SETTING = re.compile(r"(\+{0,2}|~)[A-Za-z_$][\w$/.@:-]*")
COMPRESSIONS = (".gz", ".bz2", ".zst", ".xz", ".zip", ".lz4", ".snappy")
FORMATS = {  # the endings of the names of files, by the choice of data=... that reads them
    "csv": (".csv", ".tsv", ".tab", ".txt"),
    "parquet": (".parquet", ".parq", ".pq"),
    "arrow": (".arrow", ".feather", ".ipc", ".arrows"),
    "excel": (".xlsx", ".xlsm"),
    "npz": (".npz",),
}
OTHER_FORMATS = (".xls", ".ods", ".json", ".jsonl", ".dta", ".sav", ".sas7bdat", ".h5", ".orc", ".avro", ".pkl")


def ending_of(path: str) -> str:
    """The ending of a file's name, in lower case, without that of its compression: ".csv" for data/A.CSV.gz."""
    name = PurePosixPath((re.split(r"[?#]", path)[0] if "://" in path else path).lower())
    return PurePosixPath(name.stem).suffix if name.suffix in COMPRESSIONS else name.suffix


def format_of(path: str) -> str | None:
    """The choice of data=... for a file of this name."""
    return next((choice for choice, endings in FORMATS.items() if ending_of(path) in endings), None)


def names_file(word: str) -> bool:
    """Whether a word of the command line names a file, and is neither a setting nor an option.

    Examples
    --------
    >>> names_file("wage.csv"), names_file("sales/*.parquet"), names_file("target=wage"), names_file("--cfg")
    (True, True, False, False)
    """
    if not word or word[0] in "-+" or (word[0] == "~" and not word.startswith("~/")):
        return False
    exists = _exists(word)
    if SETTING.fullmatch(word.partition("=")[0]) and "=" in word:
        return exists and "/" in word  # such as sales/year=2020/part.parquet
    return (
        exists
        or "/" in word
        or bool(PATTERN.search(word))
        or format_of(word) is not None
        or ending_of(word) in OTHER_FORMATS
    )


def _exists(word: str) -> bool:
    try:
        return Path(word).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or of a user who does not exist
        return False
