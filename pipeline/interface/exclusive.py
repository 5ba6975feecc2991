"""What belongs to the process and not to a sweep: one sweep uses it at a time, and leaves it as it was.

During a task linear algebra runs on one thread, as more threads round otherwise; a process starts Ray once; packages
are allowed by an environment variable, which workers inherit. Hydra has a lock of its own, see
`pipeline.config.compose`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nncore.components import allow, allowed

_SWEEP = threading.RLock()  # the same thread may sweep within a sweep


@contextmanager
def exclusive() -> Iterator[None]:
    """Wait until no other thread sweeps; restore the allowed packages after the block."""
    with _SWEEP:
        packages = allowed()
        try:
            yield
        finally:
            allow(packages)
