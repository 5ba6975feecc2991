"""The command `nnsweep`, which is also `python -m pipeline`."""

import gc
import sys
import time

NEW_OBJECTS = 100_000  # between two garbage collections; importing libraries makes many objects and little garbage


def main() -> None:
    """Run the command; a Ctrl-C ends it in one line, even while Python still loads it."""
    began = time.monotonic()
    gc.set_threshold(NEW_OBJECTS)
    try:
        from pipeline.cli.dispatch import dispatch

        dispatch(sys.argv[1:], began)
    except KeyboardInterrupt:
        sys.stderr.write("nnsweep: interrupted\n")
        sys.exit(130)
    finally:
        gc.freeze()  # the process ends: collecting garbage among the modules of its libraries would take half a second


if __name__ == "__main__":
    main()
