"""From the composed configuration, as plain mappings, to `Settings`."""

from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from nncore.components import allow
from pipeline.components.code_version import package_folder
from pipeline.components.errors import SettingError
from pipeline.components.fields import first_error
from pipeline.components.resolver import build_settings_object
from pipeline.config.schema import Settings


def build_settings(config: dict[str, Any]) -> Settings:
    """Check the whole configuration. Raises SettingError naming the first setting that is wrong."""
    for name in ("name", "seed", "allow"):  # first, because other settings are made of them
        _checked(Settings.__annotations__[name], config.get(name), name)
    allow(config["allow"])
    for package in config["allow"]:
        package_folder(package)
    built = {name: _build(node, name) if _names_class(node) else node for name, node in config.items()}
    settings: Settings = _checked(Settings, built, "")
    try:
        settings.check()
    except ValueError as error:
        raise SettingError(str(error)) from None
    return settings


def built_setting(name: str, node: Any) -> Any:
    """One of the top-level settings, from its node in the configuration. Raises SettingError naming what is wrong."""
    kind = get_type_hints(Settings, include_extras=True)[name]
    if not _names_class(node):
        return _checked(kind, node, name)
    return _checked(kind, _build(node, name), name, ConfigDict(arbitrary_types_allowed=True))


def _names_class(node: Any) -> bool:
    return isinstance(node, dict) and "_target_" in node


def _build(node: dict[str, Any], path: str) -> Any:
    try:
        return build_settings_object(node, path)
    except ValueError as error:
        raise SettingError(str(error)) from None


def _checked(kind: Any, value: Any, path: str, config: ConfigDict | None = None) -> Any:
    try:
        return TypeAdapter(kind, config=config).validate_python(value)
    except ValidationError as error:
        raise SettingError(first_error(error, path)) from None
