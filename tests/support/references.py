"""Golden values of other libraries, and how closely nncore meets them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "reference"
FLOOR = 1e-12  # absolute: below this, a value counts as zero


def read_reference(name: str) -> dict[str, Any]:
    """The content of a file in tests/reference."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def assert_close_to_reference(ours: Any, theirs: Any, tolerance: float = 1e-9, floor: float = FLOOR) -> None:
    """Equal up to this relative difference."""
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=tolerance, atol=floor)
