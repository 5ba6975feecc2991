"""Overrides that Hydra's grammar cannot read: values with other characters, and mappings with any keys.

The grammar knows quotes for values, but not for keys, and outside of quotes only some ASCII characters. Here a value
that it refuses is a text as it stands, such as data.target=größe, or a list or mapping in YAML, such as
data.kinds={"size (m)": numeric}.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import yaml

from pipeline.components.errors import SettingError
from pipeline.components.overrides import entry, override, quoted, shell_quoted

NAME = re.compile(r"(\+{0,2}|~)[A-Za-z_$][\w$/.@-]*", re.ASCII)  # of a setting, a choice or an entry


class Assignment(NamedTuple):
    """A list or mapping that is put into the composed configuration.

    Attributes
    ----------
    name : str
        The setting's dotted name.
    value : list or dict
    adds : bool
        Whether it may be a new setting.
    """

    name: str
    value: Any
    adds: bool


def readable(overrides: Sequence[str], can_read: Callable[[str], bool]) -> tuple[list[str], list[Assignment]]:
    """Separate overrides that Hydra's grammar can read from those that it cannot.

    Parameters
    ----------
    overrides : sequence of str
        As they were given.
    can_read : callable
        Whether Hydra's grammar can read an override.

    Returns
    -------
    overrides : list of str
        The former, and the texts among the latter in quotes.
    assignments : list of Assignment
        The lists and mappings among the latter.

    Raises
    ------
    SettingError
        Naming the override, and how it is written.
    """
    kept, assignments = [], []
    for text in overrides:
        name, equals, value = text.partition("=")
        if can_read(text):
            kept.append(text)
            continue
        _check_name(text, name, equals, value)
        if value[:1] in ("[", "{"):
            assignments.append(Assignment(name.lstrip("+"), _container(name, value), name.startswith("+")))
        else:
            _check_text(name, value)
            kept.append(f"{name}={quoted(value)}")
    return kept, assignments


PLAIN_VALUES = (  # tag, pattern, and the characters that a value of it begins with
    ("null", re.compile("(?i)null$"), "nN"),
    ("bool", re.compile("(?i)(true|false)$"), "tTfF"),
    ("int", re.compile(r"[+-]?(0|[1-9][0-9]*)$"), "+-0123456789"),
    ("float", re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?$"), "+-.0123456789"),
)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML with the plain values of Hydra's grammar: yes, no, 010 and 2020-01-31 are texts."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(f"tag:yaml.org,2002:{tag}", pattern) for tag, pattern, firsts in PLAIN_VALUES if first in firsts]
        for first in "nNtTfF+-.0123456789"
    }


def _check_name(text: str, name: str, equals: str, value: str) -> None:
    if not equals:
        raise SettingError(f"{text} is not name=value; settings are given as name=value, ~name removes one")
    if NAME.fullmatch(name):
        return
    for mapping in ("data.kinds", "data.where"):
        key = name.lstrip("+").removeprefix(f"{mapping}.")
        if name.lstrip("+") != key:
            raise SettingError(
                f"{name}: a name with other characters than letters, digits and _ stands in quotes: "
                f"{entry(mapping, key, value)}"
            )
    raise SettingError(
        f"{name}=...: a setting's name has only letters, digits, _ and dots; --cfg job prints all settings"
    )


def _check_text(name: str, value: str) -> None:
    """Raise SettingError for a text that may be meant as several values, or whose quotes do not match."""
    if value[:1] in ("'", '"') or "," in value:
        several = ""
        if "," in value and value[:1] not in ("'", '"'):
            several = f", and as several values {override(name, [part.strip() for part in value.split(',')])}"
        raise SettingError(
            f"{shell_quoted(f'{name}={value}')} cannot be read: a value with commas or quotes in it stands in quotes. "
            f"As one text it is {override(name, value)}{several}"
        )


def _container(name: str, value: str) -> Any:
    """The list or mapping that a text in YAML's flow style spells."""
    loader = _Loader(value)
    try:
        container = loader.get_single_data()
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or "it is no YAML"
        raise SettingError(
            f"{name}={value} cannot be read as a list or mapping ({reason}); see its brackets and quotes. As one text "
            f"it is {override(name, value)}"
        ) from None
    finally:
        loader.dispose()
    if isinstance(container, dict):
        return {str(key): inner for key, inner in container.items()}
    return container
