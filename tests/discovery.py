"""Finds the members of nncore by walking it, so that no list has to be kept by hand."""

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any, get_type_hints

import nncore
from nncore.activations import Activation
from nncore.losses import Loss
from nncore.members import Member
from nncore.optimizers.base import Optimizer
from nncore.regularizers import Regularizer

# A value for each hyperparameter that has no default.
SAMPLE = {"learning_rate": 0.03, "strength": 0.01}


def modules(package: ModuleType) -> list[ModuleType]:
    """A package and everything below it, but not what starts a program or defines an MLflow model."""
    names = [info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [package, *(import_module(name) for name in names if not name.endswith((".__main__", ".model_code")))]


def members(kind: Any) -> list[Member]:
    """Every public function of nncore that returns this kind, with a value for each required argument."""
    found = []
    for module in modules(nncore):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or name.startswith("_"):
                continue
            if get_type_hints(function).get("return") == kind:
                required = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
                found.append(Member(f"{module.__name__}.{name}", tuple((name, SAMPLE[name]) for name in required)))
    return found


def short(member: Member) -> str:
    """The last part of a member's name, for test ids."""
    return member.name.rpartition(".")[2]


ACTIVATIONS = members(Activation)
LOSSES = members(Loss)
OPTIMIZERS = members(Optimizer)
REGULARIZERS = members(Regularizer)
