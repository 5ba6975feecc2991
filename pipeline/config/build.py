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
        build_setting(name, plain.get(name))
    allow(plain["allow"])
    for package in plain["allow"]:
        package_folder(package)
    try:
        objects = {
            name: build_settings_object(node, name) if isinstance(node, dict) and "_target_" in node else node
            for name, node in plain.items()
        }
        settings: Settings = TypeAdapter(Settings).validate_python(objects)
        settings.check()
    except ValidationError as error:
        raise SettingError(first_error(error, "")) from None
    except ValueError as error:
        raise SettingError(str(error)) from None
    return settings


def build_setting(name: str, node: Any) -> Any:
    """Build one top-level setting from its node. Raises SettingError naming what is invalid."""
    annotation, config = get_type_hints(Settings, include_extras=True)[name], None
    try:
        if isinstance(node, dict) and "_target_" in node:
            node, config = build_settings_object(node, name), ConfigDict(arbitrary_types_allowed=True)
        return TypeAdapter(annotation, config=config).validate_python(node)
    except ValidationError as error:
        raise SettingError(first_error(error, name)) from None
    except ValueError as error:
        raise SettingError(str(error)) from None
