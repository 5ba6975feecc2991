"""The command `nnsweep`, which is also `python -m pipeline`."""

import sys
import time


def main() -> None:
    """Run the command; a Ctrl-C ends it in one line, even while Python still loads it."""
    began = time.monotonic()
    try:
        from pipeline.cli.dispatch import dispatch

        dispatch(sys.argv[1:], began)
    except KeyboardInterrupt:
        sys.stderr.write("nnsweep: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
