"""The content of a run in MLflow, changed where MLflow would refuse it or change it silently.

- Names keep letters, digits and "_ - . : / space"; other characters become "_", and so does a part between slashes that
  is empty, "." or "..". A name of more than 250 characters is shortened and ends with 8 digits of its SHA-256.
- An infinite number becomes NaN, and the tag "not_finite" names its metric.
- Texts of more than 6,000 characters in a parameter, 8,000 in a tag, or 5,000 in the description of a version are
  shortened and end with " ...".
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

LONGEST_NAME, LONGEST_PARAMETER, LONGEST_TAG, LONGEST_DESCRIPTION = 250, 6000, 8000, 5000


class Point(NamedTuple):
    """A metric's value, its time in milliseconds since 1970, and its epoch, or 0 for a final value."""

    name: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class RunContent:
    """A finished run. Times are in milliseconds since 1970."""

    name: str
    tags: dict[str, str]
    parameters: dict[str, str]
    metrics: list[Point]
    status: str
    started: int
    ended: int


def run_content(
    name: str, tags: Mapping[str, str], parameters: Mapping[str, Any], metrics: list[Point], *ending: Any
) -> RunContent:
    """A run whose names, numbers and texts MLflow accepts unchanged; `ending` is status, start and end."""
    points, not_finite = fitting_points(metrics)
    told = {"not_finite": ", ".join(not_finite)} if not_finite else {}
    return RunContent(name, fitting_tags({**tags, **told}), fitting_parameters(parameters), points, *ending)


def for_reading(value: float) -> float:
    """Round a score to five digits, since MLflow shows all that a number has; files of the run hold it exactly.

    Examples
    --------
    >>> for_reading(0.10139918327331543)
    0.1014
    """
    return float(f"{value:.5g}")


def fitting_name(name: str) -> str:
    """Return the name that replaces this one in MLflow."""
    parts = re.sub(r"[^\w./: -]", "_", name).split("/")
    whole = "/".join("_" if part in ("", ".", "..") else part for part in parts)
    if len(whole) <= LONGEST_NAME:
        return whole
    return f"{whole[: LONGEST_NAME - 9]}_{sha256(name.encode()).hexdigest()[:8]}"


def fitting_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags as MLflow accepts them."""
    return {fitting_name(name): _cut(value, LONGEST_TAG) for name, value in tags.items()}


def fitting_parameters(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as MLflow accepts them."""
    return {fitting_name(name): _cut(str(value), LONGEST_PARAMETER) for name, value in parameters.items()}


def fitting_description(text: str) -> str:
    """A description of a model's version as MLflow accepts it."""
    return _cut(text, LONGEST_DESCRIPTION)


def fitting_points(metrics: list[Point]) -> tuple[list[Point], list[str]]:
    """Metrics as MLflow accepts them, and the names of those with an infinite value."""
    points = [point._replace(name=fitting_name(point.name)) for point in metrics]
    infinite = dict.fromkeys(point.name for point in points if math.isinf(point.value))
    return [point._replace(value=math.nan) if math.isinf(point.value) else point for point in points], [*infinite]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 4] + " ..."
