"""What a `_target_` in the configuration may name, and how it is built.

It names either a function that returns a component of nncore, or a settings class (a pydantic dataclass); both have
to be public and defined inside nncore, pipeline, or a package that the setting `allow` lists. Names are looked up by
`nncore.components.resolve`, and nowhere else.
"""

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, cast, get_type_hints

from pydantic import BeforeValidator, TypeAdapter, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass

from nncore.components import Component, allowed, component_function, component_kind, kind_of_type, resolve
from pipeline.components.fields import first_error

PACKAGES = ("nncore", "pipeline")


def resolve_target(name: str) -> Any:
    """The function or the settings class that a `_target_` names.

    Raises
    ------
    ValueError
        If it may not be named, or is neither.
    """
    target = resolve(name, [*PACKAGES, *allowed()])
    if component_kind(target) is None and not _is_settings_class(target):
        raise ValueError(f"{name} is neither a function that returns a component nor a settings class")
    return target


def settings_class(name: str) -> type:
    """The settings class that a `_target_` names. Raises ValueError if it names none."""
    target = resolve_target(name)
    if not _is_settings_class(target):
        raise ValueError(f"{name} is not a settings class")
    return cast(type, target)


def build_settings_object(node: dict[str, Any], path: str = "") -> Any:
    """Build the object of the settings class that a node names, with the node's other keys as its settings.

    Parameters
    ----------
    node : mapping
        {_target_: full name of the class, setting: value, ...}
    path : str, default ""
        Dotted name of the node, for errors.

    Raises
    ------
    ValueError
        Naming the setting, its value and the rule.
    """
    try:
        target = settings_class(str(node["_target_"]))
    except ValueError as error:
        raise ValueError(f"{path}._target_: {error}".removeprefix(".")) from None
    try:
        return TypeAdapter(target).validate_python({key: value for key, value in node.items() if key != "_target_"})
    except ValidationError as error:
        raise ValueError(first_error(error, path)) from None


def component(kind: str | None, node: Any) -> Component:
    """The component that a node {_target_: ..., hyperparameter: value} describes.

    The function's annotated return type must be of this kind; only then is it called, to check the ranges of the
    hyperparameters.

    Parameters
    ----------
    kind : str or None
        One of `nncore.components.KINDS`, or None for any of them.
    node : mapping or Component
        A component is returned as it is.

    Raises
    ------
    ValueError
        Naming the hyperparameter, its value and the rule.
    """
    if isinstance(node, Component):
        return node
    if not isinstance(node, dict) or "_target_" not in node:
        raise ValueError(f"must be a mapping with a _target_, as the files in conf/{kind} hold, but is {node!r}")
    name = str(node["_target_"])
    function = component_function(name)
    if kind is not None and component_kind(function) != kind:
        raise ValueError(f"{name} does not return {'an' if kind[0] in 'aeio' else 'a'} {kind}")
    hints = get_type_hints(function)
    arguments = {
        key: component(nested_kind, value) if (nested_kind := kind_of_type(hints.get(key))) else value
        for key, value in node.items()
        if key != "_target_"
    }
    _check_names(function, list(arguments))
    described = Component(name, tuple(arguments.items()))
    described.build()
    return described


def _check_names(function: Any, names: Sequence[str]) -> None:
    """Refuse unknown and missing hyperparameters."""
    parameters = inspect.signature(function).parameters
    for name in names:
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(f"{name} is not a setting of {function.__name__}; it has {known}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in names:
            raise ValueError(f"{name} must be given for {function.__name__}")


def _is_settings_class(target: Any) -> bool:
    return isinstance(target, type) and is_pydantic_dataclass(target)


ActivationSetting = Annotated[Component, BeforeValidator(partial(component, "activation"))]
EmbeddingSetting = Annotated[Component, BeforeValidator(partial(component, "embedding"))]
InitializerSetting = Annotated[Component, BeforeValidator(partial(component, "initializer"))]
NormalisationSetting = Annotated[Component, BeforeValidator(partial(component, "normalisation"))]
ScheduleSetting = Annotated[Component, BeforeValidator(partial(component, "schedule"))]
RegularizerSetting = Annotated[Component, BeforeValidator(partial(component, "regularizer"))]
LossSetting = Annotated[Component, BeforeValidator(partial(component, "loss"))]
