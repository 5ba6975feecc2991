"""Discover the components of nncore by walking the package, so that no list has to be maintained."""

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType, UnionType
from typing import Any, get_args, get_type_hints

import nncore
from nncore.activations import Activation
from nncore.components import Component
from nncore.embeddings import Embedding
from nncore.initializers import Initializer
from nncore.losses import Loss
from nncore.normalisations import Normalisation
from nncore.optimizers.base import Optimizer
from nncore.regularizers.base import Regularizer
from nncore.schedules import Schedule

# A value for each hyperparameter that has no default.
SAMPLE = {
    "learning_rate": 0.03,
    "strength": 0.01,
    "limit": 0.5,
    "deviation": 0.1,
    "alpha": 0.3,
    "epochs": 3,
    "every": 2,
    "value": 0.1,
    "optimizer": Component("nncore.optimizers.adam.adam", (("learning_rate", 0.03),)),
    "then": Component("nncore.schedules.cosine", (("epochs", 3),)),
    "activation": Component("nncore.activations.selu"),
}


def modules(package: ModuleType) -> list[ModuleType]:
    """Import a package and all its modules except those that start a program or define an MLflow model."""
    names = [info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [package, *(import_module(name) for name in names if not name.endswith((".__main__", ".model_code")))]


def components_of(kind: Any) -> list[Component]:
    """Every public function of nncore that returns this kind, with a value for each required argument."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    components = []
    for module in modules(nncore):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or name.startswith("_"):
                continue
            if get_type_hints(function).get("return") in kinds:
                required = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
                components.append(
                    Component(f"{module.__name__}.{name}", tuple((name, SAMPLE[name]) for name in required))
                )
    return components


def short_name(component: Component) -> str:
    """The short name of a component, for test ids."""
    return component.short_name


def with_arguments(component: Component, **arguments: Any) -> Component:
    """The component with other hyperparameters; those that it does not have are passed to the component inside it."""
    parameters = inspect.signature(function_of(component)).parameters
    inner = {name: value for name, value in arguments.items() if name not in parameters}
    kept_arguments = {n: with_arguments(v, **inner) if isinstance(v, Component) else v for n, v in component.arguments}
    return Component(
        component.name, tuple((kept_arguments | {n: v for n, v in arguments.items() if n in parameters}).items())
    )


def function_of(component: Component) -> Any:
    """The function that a component names."""
    module, _, name = component.name.rpartition(".")
    return getattr(import_module(module), name)


def numbers_of(component: Component) -> dict[str, float]:
    """Every numeric hyperparameter of the component by name, required or not, with its value."""
    numbers = {}
    for name, parameter in inspect.signature(function_of(component)).parameters.items():
        value = dict(component.arguments).get(name, parameter.default)
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers[name] = value
    return numbers


ACTIVATIONS = components_of(Activation)
EMBEDDINGS = components_of(Embedding)
INITIALIZERS = components_of(Initializer)
LOSSES = components_of(Loss)
NORMALISATIONS = components_of(Normalisation)
OPTIMIZERS = components_of(Optimizer)
REGULARIZERS = components_of(Regularizer)
SCHEDULES = components_of(Schedule)
SCHEDULED = [  # regularizers that follow a schedule, which is 0 at the beginning
    with_arguments(component, schedule=Component("nncore.schedules.coslog4", (("epochs", 3),)))
    for component in REGULARIZERS
    if "schedule" in inspect.signature(function_of(component)).parameters
]
