"""Loading a library without another that it can do without: to load pandas alone takes a quarter of a second."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(library: str) -> Iterator[None]:
    """Inside, the library is not there for those who can do without it, unless it has been loaded already."""
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment]  # what Python itself takes as "not there"
    try:
        yield
    finally:
        del sys.modules[library]
