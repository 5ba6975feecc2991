"""From the composed configuration, as plain mappings, to `Settings`."""

from importlib import import_module
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from nncore.components import allow, allowed
from pipeline.components.errors import SettingError
from pipeline.components.fingerprints import package_folder
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
    """The object of the class that a node's `_target_` names, with the node's other keys as its settings."""
    target = str(node["_target_"])
    packages = ["nncore", "pipeline", *allowed()]
    if target.partition(".")[0] not in packages:
        raise SettingError(
            f"{path}._target_ must begin with {'. or '.join(packages)}., but is {target}; "
            "a package of your own has to be named in the setting allow"
        )
    module, _, name = target.rpartition(".")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        raise SettingError(f"{path}._target_ must name a class of the pipeline, but there is no {target}") from None
    if not isinstance(cls, type) or not hasattr(cls, "__pydantic_config__"):
        raise SettingError(f"{path}._target_ must name a class of settings, but {target} is none")
    return _checked(cls, {key: value for key, value in node.items() if key != "_target_"}, path)


def _checked(kind: Any, value: Any, path: str, config: ConfigDict | None = None) -> Any:
    try:
        return TypeAdapter(kind, config=config).validate_python(value)
    except ValidationError as error:
        raise SettingError(_describe(error, path)) from None


def _describe(error: ValidationError, path: str) -> str:
    """One line for the first setting that is wrong: its name, its value, the rule."""
    found = error.errors(include_url=False)
    first, name = found[0], _name(path, found[0]["loc"])
    rules = [wrong["msg"] for wrong in found if _name(path, wrong["loc"]) == name]  # several, if there is a choice
    if first["type"] == "unexpected_keyword_argument":
        return f"{name} is not a setting; see the files in conf, or --cfg job, for the settings there are"
    if first["type"] in ("missing", "missing_argument"):
        return f"{name} must be given"
    if first["type"] == "value_error":
        return f"{name}: {first['ctx']['error']}"
    return f"{name} = {first['input']!r}: {', or '.join(rules)}".replace("Input", "it")


def _name(path: str, location: tuple[int | str, ...]) -> str:
    """The setting's dotted name; pydantic's own names for the members of a union are left out."""
    parts = [str(part) for part in location if not str(part).startswith(("constrained-", "literal["))]
    return ".".join(filter(None, [path, *parts]))
