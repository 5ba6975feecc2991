"""How much memory this host can still give: of its own, of the control group (a container), and of the process."""

import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")
UNKNOWN = 1 << 60  # bytes: where the system does not say, memory limits nothing


def available_memory(root: Path = ROOT) -> int:
    """Return the bytes that processes on this host can still allocate.

    Parameters
    ----------
    root : Path, default /
        Where proc and sys are.

    Returns
    -------
    int
        The least of what Linux reports as available, what is left of the limits of the control groups, and what is
        left of the address space (ulimit -v).
    """
    return max(0, min(_of_host(root), _of_address_space(root), *_of_control_groups(root)))


def _of_host(root: Path) -> int:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return UNKNOWN


def _of_address_space(root: Path) -> int:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = _lines(root / "proc/self/statm")
    if limit == resource.RLIM_INFINITY or not used:
        return UNKNOWN
    return limit - int(used[0].split()[0]) * resource.getpagesize()


def _of_control_groups(root: Path) -> Iterator[int]:
    """For each control group with a limit, from that of this process up: the limit, less what cannot be reclaimed."""
    yield UNKNOWN
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        v2 = not controllers
        mount = root / ("sys/fs/cgroup" if v2 else "sys/fs/cgroup/memory")
        names = ("memory.max", "memory.current") if v2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        group = Path(path.lstrip("/"))
        for folder in (mount / group, *(mount / parent for parent in group.parents)):
            limit, used = (_number(folder / name) for name in names)
            if limit is not None and used is not None:
                yield limit - used + _file_cache(folder)


def _file_cache(group: Path) -> int:
    """Bytes of the file cache that a control group gives back when memory is short."""
    for line in _lines(group / "memory.stat"):
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    """The number in a file; None if there is no such file, or "max" in it."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def _lines(path: Path) -> list[str]:
    """The lines of a file; none if it cannot be read."""
    with suppress(OSError):
        return path.read_text(encoding="ascii").splitlines()
    return []
