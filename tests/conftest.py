"""What all tests share: strict float arithmetic, small data, and ways to run the pipeline for real."""

from collections.abc import Iterator

import numpy as np
import pytest
from main_job import MainJob


@pytest.fixture(autouse=True)
def float_errors_raise() -> Iterator[None]:
    """An overflow, a division by zero or a NaN out of nothing fails the test. exp may round to zero."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


@pytest.fixture(scope="session")
def main_job(tmp_path_factory: pytest.TempPathFactory) -> MainJob:
    """`python -m pipeline` with no argument, once for all tests that look at what it leaves behind."""
    return MainJob(tmp_path_factory.mktemp("main_job"))
