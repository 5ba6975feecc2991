"""What there is to predict: the task that the targets' values ask for, and the targets in the form that it needs."""

from typing import Literal

import numpy as np

from nncore.backend import Array
from nncore.table import is_missing, text
from pipeline.artefacts import Task
from pipeline.errors import SettingError

TaskSetting = Task | Literal["auto"]
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


def encoded_targets(
    where: str, targets: dict[str, Array], task: Task, max_classes: int, row_numbers: Array | None = None
) -> Array:
    """Targets (N,) by name as `RawRows.y` holds them.

    where         the setting and the file that they come from, for errors
    row_numbers   (N,) for errors; None: from 1

    Raises   SettingError naming the target, its row and value, the rule and the cure
    """
    for name, values in targets.items():
        numbers = np.arange(1, len(values) + 1) if row_numbers is None else row_numbers
        _check_values(f"{where}: the target {name!r}", values, numbers)
    if task == "classification":
        return _classes(where, targets, max_classes)
    columns = [_numbers(f"{where}: the target {name!r}", values, task) for name, values in targets.items()]
    for name, values in zip(targets, columns, strict=True):
        if len(values) and np.ptp(values) == 0:
            said = f"{where}: the target {name!r} is {values[0]:g} in every row"
            raise SettingError(f"{said}, so there is nothing to learn; choose another target")
    return np.stack(columns, axis=1)


def _classes(where: str, targets: dict[str, Array], max_classes: int) -> Array:
    if len(targets) > 1:
        raise SettingError(
            f"{where}: data.target must name one column for classification, but names {', '.join(targets)}; "
            "choose one, or data.task=multilabel for columns of 0 and 1"
        )
    ((name, values),) = targets.items()
    y = values if values.dtype.kind in "iu" else np.array([text(value) for value in values.tolist()])
    if values.dtype.kind == "f" and bool((values == np.round(values)).all()):
        y = values.astype(np.int64)
    labels, counts = np.unique(y, return_counts=True)
    said = f"{where}: the target {name!r}"
    if len(labels) < 2:
        found = f"has one class, {labels[0]}, in all {len(y)} rows" if len(labels) else "has no rows"
        raise SettingError(f"{said} {found}, so there is nothing to learn; choose another target")
    if len(labels) > max_classes:
        raise SettingError(
            f"{said} has {len(labels)} classes, but data.max_classes={max_classes}; if it is a number to predict, set "
            "data.task=regression, else raise data.max_classes"
        )
    single = labels[counts < 3]
    if len(single):
        raise SettingError(
            f"{said} has fewer than 3 rows of class {single[0]}, too few for training, validation and test; "
            "leave such rows out of the file, or join rare classes"
        )
    return y


def _check_values(said: str, values: Array, row_numbers: Array) -> None:
    """Refuse what is missing or not finite, by its row."""
    if values.dtype.kind in "iub":
        return
    bad = ~np.isfinite(values) if values.dtype.kind == "f" else np.array([is_missing(v) for v in values.tolist()], bool)
    rows = np.flatnonzero(bad)
    if len(rows):
        what = "has no value" if is_missing(values[rows[0]]) else f"is {values[rows[0]]}"
        raise SettingError(
            f"{said} {what} in row {row_numbers[rows[0]]} ({len(rows)} such rows); leave out rows without one"
        )


def _numbers(said: str, values: Array, task: Task) -> Array:
    if task == "multilabel" and not _is_binary(values):
        raise SettingError(
            f"{said} must hold 0 and 1 for data.task=multilabel; choose data.task=regression for numbers"
        )
    if values.dtype.kind not in "iufb":
        for row, value in enumerate(values.tolist()):
            try:
                float(value)
            except (ValueError, TypeError):
                raise SettingError(
                    f"{said} must hold numbers for data.task=regression, but row {row + 1} has {value!r}; mend it, or "
                    "set data.task=classification"
                ) from None
    return values.astype(np.float64)


def _is_binary(values: Array) -> bool:
    return values.dtype.kind == "b" or (values.dtype.kind in "iuf" and bool(np.isin(values, (0, 1)).all()))
