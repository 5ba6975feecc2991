"""How settings are checked: strictly, so that neither a bool nor a text passes for a number."""

import re
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, Strict

STRICT = ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)

PositiveInt = Annotated[int, Strict(), Field(gt=0)]
NonNegativeInt = Annotated[int, Strict(), Field(ge=0)]
PositiveFloat = Annotated[float, Strict(), Field(gt=0)]
Share = Annotated[float, Strict(), Field(gt=0, lt=1)]


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name):
        rule = "up to 100 letters, digits, dots, dashes and underscores, and begin with a letter or a digit"
        raise ValueError(f"must be {rule}, but is {name!r}")
    return name


Name = Annotated[str, AfterValidator(_plain_name)]  # fit for a folder, an experiment and a model
