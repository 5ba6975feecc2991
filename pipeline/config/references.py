"""References such as ${name} in settings, which OmegaConf resolves anew wherever they are met and without a limit."""

import re
from typing import Any

from pipeline.components.errors import SettingError

MOST_CHARACTERS = 4_000_000
REFERENCE = re.compile(r"\$\{(?:[\w.]+:)?\s*['\"]?(\.*)([\w.\[\]-]*)")  # ${name}, ${..name} or ${resolver:name}
NAME_IN_NAME = re.compile(r"(?<=[\w.\[])\$\{(\.*)([\w.\[\]-]+)\}(?=[\w.\[\]-]*\})")  # ${inner} in ${outer.${inner}}
DEEPEST_NAME = 10
# what a mapping counts as where a reference inside it names it: as much as 25 of these reach the limit
CHARACTERS_OF_CONTAINER = MOST_CHARACTERS // 25
KeyPath = tuple[str, ...]


def check_references(settings: Any) -> None:
    """Refuse settings whose references stand for too much, as when each of thirty stands for the one before it twice.

    Parameters
    ----------
    settings : dict
        The composed settings as plain values, in which nothing is resolved.

    Raises
    ------
    SettingError
        Naming the setting, if it has more than 4,000,000 characters when its references are replaced.
    """
    sizes: dict[KeyPath, int] = {}

    def size(path: KeyPath, value: Any) -> int:
        """The characters of a setting, with its references replaced by what they stand for."""
        if path not in sizes:
            sizes[path] = CHARACTERS_OF_CONTAINER
            if isinstance(value, dict | list):
                sizes[path] = sum(len(key) + size((*path, key), part) for key, part in _parts(value).items())
            else:
                text = _with_plain_names(settings, path[:-1], str(value))
                targets = (_target(settings, path[:-1], *match.groups()) for match in REFERENCE.finditer(text))
                sizes[path] = len(text) + sum(size(*target) for target in targets)
            if sizes[path] > MOST_CHARACTERS:
                raise SettingError(
                    f"{'.'.join(path) or 'the settings'}: what references (${{name}}) stand for must have at most "
                    f"{MOST_CHARACTERS:,} characters, counted wherever it is used, but has more; use fewer"
                )
        return sizes[path]

    size((), settings)


def _with_plain_names(root: Any, container: KeyPath, text: str) -> str:
    """The text in which names that contain references to plain values contain these values."""

    def replaced(match: re.Match[str]) -> str:
        _, value = _target(root, container, *match.groups())
        return match[0] if isinstance(value, dict | list) or "$" in str(value) else str(value)

    for _ in range(DEEPEST_NAME):
        before, text = text, NAME_IN_NAME.sub(replaced, text)
        if text == before:
            break
    return text


def _target(root: Any, container: KeyPath, dots: str, name: str) -> tuple[KeyPath, Any]:
    """The path and the value that a reference in a container names, or the part of the path that exists."""
    above = container[: len(container) - len(dots) + 1] if dots else ()
    keys = [*above, *filter(None, re.split(r"[.\[\]]", name))]
    path: KeyPath = ()
    value = root
    for key in keys:
        if key not in (parts := _parts(value)):
            break
        path, value = (*path, key), parts[key]
    return path, value


def _parts(value: Any) -> dict[str, Any]:
    """The parts of a mapping or a list, by what references call them; nothing for other values."""
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {str(key): part for key, part in named}
