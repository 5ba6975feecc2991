"""A trial: one setting of the hyperparameters, and how it is shown."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from nncore.components import Component

# The main hyperparameter of a component: labels show its value without its name.
UNNAMED = ("learning_rate", "strength", "rate", "patience", "limit", "alpha", "decay", "deviation")


@dataclass(frozen=True)
class Trial:
    """One setting of the hyperparameters.

    Parameters
    ----------
    number : int, >= 0
    optimizer_name, regularizer_name : str
        Names in the space.
    optimizer, regularizer : Component
    overrides : tuple of (str, value), default ()
        Further settings that are swept: the dotted name in the configuration, and the plain value, or the mapping with
        a _target_, that replaces what is there.
    other_parameters : tuple of (str, value), default ()
        The same, flat: ("reduce", "pca"), ("reduce.n_components", 16). Lists are shown as strings.
    """

    number: int
    optimizer_name: str
    optimizer: Component
    regularizer_name: str
    regularizer: Component
    overrides: tuple[tuple[str, Any], ...] = field(default=(), hash=False)
    other_parameters: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """Its name in journals and reports: "0007"."""
        return f"{self.number:04d}"

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for trials with equal settings, whatever their numbers: they would have equal results."""
        return self.optimizer_name, self.optimizer, self.regularizer_name, self.regularizer, repr(self.overrides)

    @property
    def parameters(self) -> dict[str, Any]:
        """Flat, with dotted names: {"optimizer": "adam", "optimizer.learning_rate": 0.001, ...}."""
        return (
            _flat("optimizer", self.optimizer_name, self.optimizer)
            | _flat("regularizer", self.regularizer_name, self.regularizer)
            | dict(self.other_parameters)
        )

    @property
    def optimizer_label(self) -> str:
        """Such as "adam 0.001"."""
        return _label(self.optimizer_name, self.optimizer)

    @property
    def regularizer_label(self) -> str:
        """Such as "elastic_net 0.001 l1_ratio=0.5"."""
        return _label(self.regularizer_name, self.regularizer)

    @property
    def other_label(self) -> str:
        """Such as "n_components 16, hidden [128, 64]"; names are shortened where that leaves them unique."""
        short = {name: name.rpartition(".")[2] for name, _ in self.other_parameters}
        counts = Counter(short.values())
        return ", ".join(
            f"{short[name] if counts[short[name]] == 1 else name} {_rounded(value)}"
            for name, value in self.other_parameters
        )

    @property
    def labels(self) -> tuple[str, str, str]:
        """For people: the optimizer, the regularizer, and the other settings; "" for none."""
        return self.optimizer_label, self.regularizer_label, self.other_label

    @property
    def label(self) -> str:
        """Such as "adam 0.001, l2 0.0001"."""
        return ", ".join(filter(None, self.labels))


def _label(name: str, component: Component) -> str:
    """A component on a line: name, main hyperparameter, others with their names, nested components in parentheses.

    It is short, as all is in the parameters. Of a schedule only the name is shown, of a component around another at
    most two numbers, and if it has the other's name the last word of its own: "adam 0.04 beta2=0.95 (factors)".
    """
    nested = {argument: value for argument, value in component.arguments if isinstance(value, Component)}
    schedules = [value.short_name for argument, value in nested.items() if argument == "schedule"]
    wrapped = [value for argument, value in nested.items() if argument != "schedule"]
    for inner in wrapped:
        if inner.short_name == name != component.short_name:
            return f"{_label(name, inner)} ({component.short_name.rpartition('_')[2]})"
    numbers = [
        _rounded(value) if argument in UNNAMED else f"{argument}={_rounded(value)}"
        for argument, value in component.arguments
        if argument not in nested
    ]
    if wrapped and len(numbers) > 2:
        numbers = ["..."]
    return " ".join([name, *(f"({_label(inner.short_name, inner)})" for inner in wrapped), *numbers, *schedules])


def _rounded(value: Any) -> str:
    """A value as text; of a number, four digits."""
    return str(float(f"{value:.4g}")) if isinstance(value, float) else str(value)


def _flat(path: str, name: str, component: Component) -> dict[str, Any]:
    """A component's name and hyperparameters, with dotted names below `path`."""
    flat: dict[str, Any] = {path: name}
    for argument, value in component.arguments:
        inner = f"{path}.{argument}"
        flat |= _flat(inner, value.short_name, value) if isinstance(value, Component) else {inner: value}
    return flat
