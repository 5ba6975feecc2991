"""The signals that end a command: Ctrl-C, SIGTERM, and SIGHUP, which a terminal sends when it is closed."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ANNOUNCED = threading.Event()


def handle_signals() -> None:
    """Let these signals raise KeyboardInterrupt, announced by a line at once; ignored ones (nohup) stay ignored."""
    _ANNOUNCED.clear()
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def announce() -> None:
    """Print that the command is interrupted, once."""
    if not _ANNOUNCED.is_set():
        _ANNOUNCED.set()
        with suppress(OSError, RuntimeError, ValueError, AttributeError):  # the terminal is gone, or being written to
            sys.stderr.write("nnsweep: interrupted; what is finished is kept\n")
            sys.stderr.flush()


def is_announced() -> bool:
    """Whether this command ends because of a signal."""
    return _ANNOUNCED.is_set()


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Defer these signals to the end of the block, and raise KeyboardInterrupt there.

    In other threads than the main one, where Python allows no handlers, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        received.append(number)
        if handlers[number] is _interrupt:
            announce()

    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in NUMBERS}
    handlers = {number: handler for number, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}
    for number in handlers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt


@contextmanager
def hangup_blocked() -> Iterator[None]:
    """Block SIGHUP: processes that start in the block never receive it, and this one does after the block.

    A closed terminal sends it to all processes; then only this one ends the others, in order. It is announced at once.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    end = threading.Event()
    waiting = threading.Thread(target=_announce_hangup, args=(end,), daemon=True)
    waiting.start()
    try:
        yield
    finally:
        end.set()
        waiting.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _announce_hangup(end: threading.Event) -> None:
    """Announce a SIGHUP that is blocked, until the event; afterwards the process receives it."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    while not end.wait(0.1):
        if signal.SIGHUP in signal.sigpending():
            announce()
            return


def _interrupt(number: int, frame: Any) -> None:
    announce()
    raise KeyboardInterrupt
