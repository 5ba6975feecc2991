"""What there is to predict: the task that the targets' values ask for, and the targets in the form that it needs."""

from collections.abc import Iterable

import numpy as np

from nncore.inference.table import LARGEST, is_missing, number, text
from nncore.kernels.backend import Array
from pipeline.components.errors import SettingError
from pipeline.components.types import Task, TaskSetting

FEWEST_ROWS = 3  # of a class: one for each part
FEW_CLASSES = 20  # whole numbers with at most so many different values are classes


def task_of(targets: dict[str, Array], setting: TaskSetting) -> Task:
    """The task: the setting, or for auto what the targets (N,) by name look like.

    One target: classification if it holds texts, true and false, or at most FEW_CLASSES different whole numbers; else
    regression. Several: multilabel if they all hold nothing but 0 and 1 or true and false; else regression.
    """
    if setting != "auto":
        return setting
    if len(targets) > 1:
        return "multilabel" if all(_is_binary(values) for values in targets.values()) else "regression"
    (values,) = targets.values()
    if values.dtype.kind not in "iuf":
        return "classification"
    few = len(np.unique(values)) <= FEW_CLASSES and bool((values == np.round(values)).all())
    return "classification" if few else "regression"


def encoded_targets(where: str, targets: dict[str, Array], task: Task, row_numbers: Array | None = None) -> Array:
    """Targets (N,) by name as `RawRows.y` holds them.

    where         the setting and the file that they come from, for errors
    row_numbers   (N,) for errors; None: from 1

    Raises   SettingError naming the target, its row and value, the rule and the cure
    """
    if task == "classification" and len(targets) > 1:
        raise SettingError(
            f"{where}: data.target must name one column for classification, but names {', '.join(targets)}; "
            "choose one, or data.task=multilabel for columns of 0 and 1"
        )
    encoded = []
    for name, values in targets.items():
        said = f"{where}: the target {name!r}"
        numbers = np.arange(1, len(values) + 1) if row_numbers is None else row_numbers
        _check_values(said, values, numbers)
        encoded.append(_labels(values) if task == "classification" else _numbers(said, values, task, numbers))
    return encoded[0] if task == "classification" else np.stack(encoded, axis=1)


def check_learnable(where: str, targets: Iterable[str], y: Array, task: Task, max_classes: int) -> None:
    """Raise SettingError unless there is something to learn from these targets: classes, and values that differ."""
    if task == "classification":
        (name,) = targets
        _check_classes(f"{where}: the target {name!r}", y, max_classes)
        return
    for name, values in zip(targets, y.T, strict=True):
        if len(values) and np.ptp(values) == 0:
            said = f"{where}: the target {name!r} is {values[0]:g} in every row"
            raise SettingError(f"{said}, so there is nothing to learn; choose another target")


def _labels(values: Array) -> Array:
    """Classes: whole numbers and truth values as they are, all else as texts."""
    if values.dtype.kind in "iub":
        return values
    if values.dtype.kind == "f" and bool((values == np.round(values)).all()):
        return values.astype(np.int64)
    return np.array([value if isinstance(value, str) else text(value) for value in values.tolist()])


def _check_classes(said: str, y: Array, max_classes: int) -> None:
    labels, counts = np.unique(y, return_counts=True)
    if len(labels) < 2:
        found = f"has one class, {labels[0]}, in all {len(y)} rows" if len(labels) else "has no rows"
        raise SettingError(f"{said} {found}, so there is nothing to learn; choose another target")
    if len(labels) > max_classes:
        raise SettingError(
            f"{said} has {len(labels)} classes, but data.max_classes={max_classes}; if it is a number to predict, set "
            "data.task=regression, else raise data.max_classes"
        )
    rare = labels[counts < FEWEST_ROWS]
    if len(rare):
        raise SettingError(
            f"{said} has fewer than {FEWEST_ROWS} rows of class {rare[0]}, too few for training, validation and test; "
            "leave such rows out of the file, or join rare classes"
        )


def _check_values(said: str, values: Array, row_numbers: Array) -> None:
    """Refuse what is missing or no measurement, by its row."""
    if values.dtype.kind in "iub":
        return
    if values.dtype.kind == "f":
        bad = ~(np.abs(values) <= LARGEST)
    else:
        bad = np.array([is_missing(value) for value in values.tolist()], bool)
    rows = np.flatnonzero(bad)
    if len(rows):
        what = "has no value" if is_missing(values[rows[0]]) else f"is {values[rows[0]]}"
        raise SettingError(
            f"{said} {what} in row {row_numbers[rows[0]]} ({len(rows)} such rows); leave out rows without one"
        )


def _numbers(said: str, values: Array, task: Task, row_numbers: Array) -> Array:
    if task == "multilabel" and not _is_binary(values):
        raise SettingError(f"{said} must hold 0 and 1 for data.task=multilabel; else set data.task=regression")
    if values.dtype.kind in "iufb":
        return values.astype(np.float64)
    numbers = np.empty(len(values))
    for row, value in enumerate(values.tolist()):
        try:
            numbers[row] = number(value)
        except (ValueError, TypeError):
            raise SettingError(
                f"{said} must hold numbers for data.task=regression, but row {row_numbers[row]} has {value!r}; mend "
                "it, or set data.task=classification"
            ) from None
    _check_values(said, numbers, row_numbers)
    return numbers


def _is_binary(values: Array) -> bool:
    return values.dtype.kind == "b" or (values.dtype.kind in "iuf" and bool(np.isin(values, (0, 1)).all()))
