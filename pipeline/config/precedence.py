"""A setting that is given holds for all trials: it is taken out of the space, which would vary it."""

import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from pipeline.config.variants import PARTS

PLAIN_SPACE = re.compile(r"space\b(?!\.(recipes|blocks)\b)")  # the name of a setting of a space without recipes


def remove_from_recipes(config: Mapping[str, Any], names: Sequence[str]) -> None:
    """Take given settings out of all recipes of the configuration's space, if it has recipes.

    Parameters
    ----------
    config : mapping
        The whole configuration, which is changed.
    names : sequence of str
        The dotted names of the given settings.
    """
    recipes = (config.get("space") or {}).get("recipes")
    for recipe in recipes.values() if isinstance(recipes, Mapping) else []:
        for name in names:
            part, *path = name.split(".")
            if part in PARTS:
                _remove(recipe, [part, *path])


def remove_from_space(config: Mapping[str, Any], names: Sequence[str], beside: Sequence[str]) -> None:
    """Take choices and ranges of given settings out of the configuration's space.

    Parameters
    ----------
    config : mapping
        The whole configuration, which is changed.
    names : sequence of str
        The dotted names of the given settings.
    beside : sequence of str
        The names of all that is given. What is named as part of the space as well, such as space.network.hidden, stays.
    """
    in_space = [f"{name}." for name in beside if name.startswith("space.")]
    for name in names:
        path, varied = f"space.{name}.", config.get("space") or {}
        for part in name.split("."):
            varied = varied[part] if isinstance(varied, Mapping) and part in varied else None
        if any(other.startswith(path) or path.startswith(other) for other in in_space):
            continue
        is_list = isinstance(varied, Sequence) and not isinstance(varied, str)
        if is_list or (isinstance(varied, Mapping) and "low" in varied):
            _remove(config["space"], name.split("."))


def clash_with_recipes(recipes: Any, names: Sequence[str], overrides: Sequence[str]) -> str:
    """What is wrong if a setting of a plain space is given beside a space of recipes; else "".

    Parameters
    ----------
    recipes : mapping or None
        Those of the space.
    names : sequence of str
        The dotted names of the given settings.
    overrides : sequence of str
        As they were given, for the cure.
    """
    own = next((name for name in names if name != "space" and PLAIN_SPACE.match(name)), None)
    if own is None or not isinstance(recipes, Mapping) or not recipes:
        return ""
    chosen = [override for override in overrides if re.match("(preset|space|search)=", override)]
    return (
        f"{own} is not a setting of this space: it has recipes, each with optimizers and regularizers of its own, such "
        f"as space.recipes.{next(iter(recipes))!s}; for a space without recipes give preset=none in place of "
        f"{' '.join(chosen) or 'the preset'}"
    )


def names_of_settings(node: Mapping[Any, Any], above: str = "") -> Iterator[str]:
    """The dotted names of all settings in a mapping that are no mappings themselves."""
    for key, inner in node.items():
        if isinstance(inner, Mapping):
            yield from names_of_settings(inner, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def _remove(node: Any, path: Sequence[str]) -> None:
    """Remove what is at a path, and mappings that are empty then."""
    if isinstance(node, MutableMapping) and path[0] in node:
        if path[1:]:
            _remove(node[path[0]], path[1:])
        if not path[1:] or node[path[0]] == {}:
            del node[path[0]]
