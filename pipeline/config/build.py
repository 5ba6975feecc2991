"""From a configuration as plain values to `Settings`."""

from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from nncore.components import allow
from pipeline.components.code_version import package_folder
from pipeline.components.errors import SettingError
from pipeline.components.fields import first_error
from pipeline.components.resolver import build_settings_object
from pipeline.config.schema import Settings


def build_settings(plain: dict[str, Any]) -> Settings:
    """Build and check the settings of a run.

    Parameters
    ----------
    plain : dict
        The composed configuration, with all references resolved.

    Raises
    ------
    SettingError
        Naming the first setting that is invalid, its value and the rule.
    """
    for name in ("name", "seed", "allow"):  # first, because other settings refer to them
        _checked(Settings.__annotations__[name], plain.get(name), name)
    allow(plain["allow"])
    for package in plain["allow"]:
        package_folder(package)
    objects = {name: _build(node, name) if _names_class(node) else node for name, node in plain.items()}
    settings: Settings = _checked(Settings, objects, "")
    try:
        settings.check()
    except ValueError as error:
        raise SettingError(str(error)) from None
    return settings


def build_setting(name: str, node: Any) -> Any:
    """Build one top-level setting from its node. Raises SettingError naming what is invalid."""
    annotation = get_type_hints(Settings, include_extras=True)[name]
    if not _names_class(node):
        return _checked(annotation, node, name)
    return _checked(annotation, _build(node, name), name, ConfigDict(arbitrary_types_allowed=True))


def _names_class(node: Any) -> bool:
    return isinstance(node, dict) and "_target_" in node


def _build(node: dict[str, Any], path: str) -> Any:
    try:
        return build_settings_object(node, path)
    except ValueError as error:
        raise SettingError(str(error)) from None


def _checked(annotation: Any, value: Any, path: str, config: ConfigDict | None = None) -> Any:
    try:
        return TypeAdapter(annotation, config=config).validate_python(value)
    except ValidationError as error:
        raise SettingError(first_error(error, path)) from None
