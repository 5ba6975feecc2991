"""Members of nncore in the configuration: a `_target_` and its hyperparameters, checked on the way in."""

import inspect
from collections.abc import Callable
from itertools import product
from types import UnionType
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import BeforeValidator

from nncore.activations import Activation
from nncore.initializers import Initializer
from nncore.losses import Loss
from nncore.members import Member, find
from nncore.normalisations import Normalisation
from nncore.optimizers.base import Optimizer
from nncore.regularizers.base import Regularizer
from nncore.schedules import Schedule


def choices(kind: Any, node: Any) -> tuple[Member, ...]:
    """Every member that a node {_target_: ..., hyperparameter: value} describes.

    A list of values stands for each of them in turn. The function must say that it returns `kind`; only then
    is it called, to check the hyperparameters' ranges.

    Raises   ValueError naming the hyperparameter, its value and the rule
    """
    if not isinstance(node, dict) or "_target_" not in node:
        raise ValueError(f"must be a mapping with a _target_, as the files in conf/optimizer hold, but is {node!r}")
    name = str(node["_target_"])
    function = find(name)
    hints = get_type_hints(function) if inspect.isfunction(function) else {}
    if hints.get("return") not in (get_args(kind) if isinstance(kind, UnionType) else (kind,)):
        raise ValueError(f"{name} does not make {_article(kind)}")
    arguments = {key: _alternatives(hints.get(key), value) for key, value in node.items() if key != "_target_"}
    _check_arguments(function, arguments)
    members = tuple(Member(name, tuple(zip(arguments, values, strict=True))) for values in product(*arguments.values()))
    for one in members:
        one.build()
    return members


def _alternatives(hint: Any, value: Any) -> list[Any]:
    """The values that one hyperparameter is to take: a list's, a member's settings, or the value alone."""
    if hint in (Optimizer, Schedule):
        return list(choices(hint, value))
    return value if isinstance(value, list) else [value]


def _check_arguments(function: Any, arguments: dict[str, list[Any]]) -> None:
    """Refuse unknown and missing hyperparameters, and what is not a plain value."""
    parameters = inspect.signature(function).parameters
    for name, values in arguments.items():
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(f"{name} is not a setting of {function.__name__}; it has {known}")
        if not values:
            raise ValueError(f"{name} must list at least one value, but is []")
        for value in values:
            if not isinstance(value, int | float | str | Member):
                raise ValueError(f"{name} must be a value or a list of values, but holds {value!r}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise ValueError(f"{name} must be given for {function.__name__}, as a value or a list of values")


def _article(kind: Any) -> str:
    name = {Initializer: "Initializer", Regularizer: "Regularizer"}.get(kind) or kind.__name__
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name.lower()}"


def _one(kind: Any) -> Callable[[Any], Member]:
    """What makes the one member of this kind that a node describes."""

    def member(node: Any) -> Member:
        if isinstance(node, Member):
            return node
        members = choices(kind, node)
        if len(members) != 1:
            raise ValueError(f"must be one setting, but lists {len(members)}")
        return members[0]

    return member


ActivationSetting = Annotated[Member, BeforeValidator(_one(Activation))]
InitializerSetting = Annotated[Member, BeforeValidator(_one(Initializer))]
NormalisationSetting = Annotated[Member, BeforeValidator(_one(Normalisation))]
ScheduleSetting = Annotated[Member, BeforeValidator(_one(Schedule))]
RegularizerSetting = Annotated[Member, BeforeValidator(_one(Regularizer))]
LossSetting = Annotated[Member, BeforeValidator(_one(Loss))]
OptimizerChoices = Annotated[tuple[Member, ...], BeforeValidator(lambda node: choices(Optimizer, node))]
RegularizerChoices = Annotated[tuple[Member, ...], BeforeValidator(lambda node: choices(Regularizer, node))]
