"""Golden values of other libraries, and the tolerance within which nncore must agree with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "reference"
FLOOR = 1e-12  # absolute: below this, a value counts as zero


def read_reference(name: str) -> dict[str, Any]:
    """Read a file of tests/reference."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def assert_close_to_reference(ours: Any, theirs: Any, tolerance: float = 1e-9, floor: float = FLOOR) -> None:
    """Assert that values agree with the reference within a relative tolerance."""
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=tolerance, atol=floor)
