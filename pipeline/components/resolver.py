"""Members of nncore in the configuration: a `_target_` and its hyperparameters, checked on the way in."""

import inspect
from functools import partial
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import BeforeValidator

from nncore.activations import Activation
from nncore.components import Component, resolve
from nncore.initializers import Initializer
from nncore.losses import Loss
from nncore.normalisations import Normalisation
from nncore.optimizers.base import Optimizer
from nncore.regularizers.base import Regularizer
from nncore.schedules import Schedule

KINDS: dict[str, tuple[Any, ...]] = {  # what the functions of each folder of conf return
    "activation": (Activation,),
    "initializer": (Initializer,),
    "loss": (Loss,),
    "normalisation": (Normalisation,),
    "optimizer": (Optimizer,),
    "regularizer": get_args(Regularizer),
    "schedule": (Schedule,),
}
MADE = KINDS | {"member": tuple(made for types in KINDS.values() for made in types)}  # "member": of any kind


def member(kind: str, node: Any) -> Component:
    """The member that a node {_target_: ..., hyperparameter: value} describes.

    The function must say that it returns this kind, one of MADE; only then is it called, to check the
    hyperparameters' ranges.

    Raises   ValueError naming the hyperparameter, its value and the rule
    """
    if isinstance(node, Component):
        return node
    one = _described(kind, node)
    one.build()
    return one


def _described(kind: str, node: Any) -> Component:
    """The member, and those inside it, not yet called."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise ValueError(f"must be a mapping with a _target_, as the files in conf/{kind} hold, but is {node!r}")
    name = str(node["_target_"])
    function = resolve(name)
    hints = get_type_hints(function)
    if hints.get("return") not in MADE[kind]:
        raise ValueError(f"{name} does not make {'an' if kind[0] in 'aeio' else 'a'} {kind}")
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    for key, inner in {Optimizer: "optimizer", Schedule: "schedule"}.items():
        arguments |= {n: _described(inner, value) for n, value in arguments.items() if hints.get(n) is key}
    _check_arguments(function, arguments)
    return Component(name, tuple(arguments.items()))


def _check_arguments(function: Any, arguments: dict[str, Any]) -> None:
    """Refuse unknown and missing hyperparameters, and what is not a plain value."""
    parameters = inspect.signature(function).parameters
    for name, value in arguments.items():
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(f"{name} is not a setting of {function.__name__}; it has {known}")
        if not isinstance(value, int | float | str | Component):
            raise ValueError(f"{name} must be one value, but is {value!r} ({function.__name__})")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise ValueError(f"{name} must be given for {function.__name__}")


ActivationSetting = Annotated[Component, BeforeValidator(partial(member, "activation"))]
InitializerSetting = Annotated[Component, BeforeValidator(partial(member, "initializer"))]
NormalisationSetting = Annotated[Component, BeforeValidator(partial(member, "normalisation"))]
ScheduleSetting = Annotated[Component, BeforeValidator(partial(member, "schedule"))]
RegularizerSetting = Annotated[Component, BeforeValidator(partial(member, "regularizer"))]
LossSetting = Annotated[Component, BeforeValidator(partial(member, "loss"))]
