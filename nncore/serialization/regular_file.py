"""Opening files that others may have made: only regular files, because a device or a pipe may never end."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, or a symbolic link to one, to read its bytes.

    Parameters
    ----------
    path : Path

    Returns
    -------
    binary file

    Raises
    ------
    ValueError
        If there is something else at the path; it is neither opened nor read.
    OSError
        If there is nothing, or the file cannot be opened.
    """
    _check(path, path.stat().st_mode)  # before it is opened: to open a device may have effects
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # does not wait for a pipe's writer
    try:
        _check(path, os.fstat(descriptor).st_mode)  # again: it may have been exchanged
    except ValueError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "something else")
        raise ValueError(f"{path.name} must be a regular file, but is {kind}")
