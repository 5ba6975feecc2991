"""When Python looks for garbage that nothing else would free: objects that refer to each other in a circle."""

import gc

OBJECTS = 1_000_000  # that are new since the last look; with Python's own 700 a large import takes a quarter longer


def look_seldom() -> None:
    """From here on look when there may be something to find."""
    gc.set_threshold(OBJECTS)


def look_no_more() -> None:
    """Leave all that there is to the end of the process, which takes it at once.

    Python would go through a million objects of the libraries, and free them one by one: half a second.
    """
    gc.freeze()
