"""References such as ${name} in settings, which OmegaConf resolves anew wherever they are met and without a limit."""

import re
from typing import Any

from pipeline.components.errors import SettingError

MOST_CHARACTERS = 4_000_000
REFERENCE = re.compile(r"\$\{(?:[\w.]+:)?\s*['\"]?(\.*)([\w.\[\]-]*)")  # ${name}, ${..name} or ${resolver:name}
Path = tuple[str, ...]


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
    sizes: dict[Path, int] = {}

    def size(path: Path, value: Any) -> int:
        """The characters of a setting, with its references replaced by what they stand for."""
        if path not in sizes:
            sizes[path] = 0  # for a reference to itself, which OmegaConf refuses
            if isinstance(value, dict | list):
                sizes[path] = sum(len(key) + size((*path, key), part) for key, part in _parts(value).items())
            else:
                text = str(value)
                targets = (_target(settings, path[:-1], *match.groups()) for match in REFERENCE.finditer(text))
                sizes[path] = len(text) + sum(size(*target) for target in targets)
            if sizes[path] > MOST_CHARACTERS:
                raise SettingError(
                    f"{'.'.join(path) or 'the settings'}: what references (${{name}}) stand for must have at most "
                    f"{MOST_CHARACTERS:,} characters, counted wherever it is used, but has more; use fewer"
                )
        return sizes[path]

    size((), settings)


def _target(root: Any, container: Path, dots: str, name: str) -> tuple[Path, Any]:
    """The path and the value that a reference in a container names, or the part of the path that exists."""
    above = container[: len(container) - len(dots) + 1] if dots else ()
    keys = [*above, *filter(None, re.split(r"[.\[\]]", name))]
    path: Path = ()
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
