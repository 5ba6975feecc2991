"""Types of settings. They are strict: neither a boolean nor a string is accepted as a number."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, Strict, ValidationError

STRICT = ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)

PositiveInt = Annotated[int, Strict(), Field(gt=0)]
NonNegativeInt = Annotated[int, Strict(), Field(ge=0)]
PositiveFloat = Annotated[float, Strict(), Field(gt=0)]
Share = Annotated[float, Strict(), Field(gt=0, lt=1)]
ShareOrZero = Annotated[float, Strict(), Field(ge=0, lt=1)]
OutputMode = Literal["auto", "live", "plain", "quiet", "json"]  # what is printed during a run


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name):
        rule = "at most 100 letters, digits, dots, dashes and underscores, and begin with a letter or a digit"
        raise ValueError(f"must have {rule}, but is {name!r}")
    return name


def _run(name: str) -> str:
    return name if re.fullmatch(r"last~[0-9]+", name) else _plain_name(name)


RunName = Annotated[str, AfterValidator(_run)]  # an id of a run, last, or last~1
Name = Annotated[str, AfterValidator(_plain_name)]  # valid as the name of a folder, an experiment and a model


def first_error(error: ValidationError, path: str = "") -> str:
    """Describe the first invalid setting in one line: its dotted name below `path`, its value, the rule."""
    errors = error.errors(include_url=False)
    first, name = errors[0], _dotted(path, errors[0]["loc"])
    rules = [
        entry["msg"] for entry in errors if _dotted(path, entry["loc"]) == name
    ]  # several, if there are alternatives
    if first["type"] == "unexpected_keyword_argument":
        return f"{name} is not a setting; --cfg job prints all settings"
    if first["type"] in ("missing", "missing_argument"):
        return f"{name} must be given"
    if first["type"] == "dataclass_type":
        return f"{name} must be a mapping of settings, but is {first['input']!r}"
    if first["type"] == "value_error":
        return ": ".join(filter(None, [name, str(first["ctx"]["error"])]))
    return f"{name} = {first['input']!r}: {', or '.join(rules)}".replace("Input", "it")


def _dotted(path: str, location: tuple[int | str, ...]) -> str:
    """The setting's dotted name, without the names that pydantic gives to the alternatives of a union."""
    parts = [str(part) for part in location if not str(part).startswith(("constrained-", "literal["))]
    return ".".join(filter(None, [path, *parts]))
