"""What there is to predict: the task that the targets' values suggest, and the targets in the form that it needs."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from nncore.inference.spelling import PLAIN, is_missing
from nncore.inference.table import LARGEST, as_text
from nncore.kernels.backend import Array
from pipeline.components.errors import SettingError
from pipeline.components.types import Task, TaskSetting

MIN_ROWS_PER_CLASS = 3  # one for training, one for validation, one for testing
MAX_AUTO_CLASSES = 20  # integers with at most this many different values are classes, unless they are counts
MIN_COUNTS = 5  # different values of counts
RARE_COUNT = 5  # a value with fewer rows is rare if it also has less than a quarter of the rows of the most frequent
JOINED_CLASS = "other"


def task_of(targets: dict[str, Array], setting: TaskSetting) -> Task:
    """Decide on the task.

    Parameters
    ----------
    targets : dict of array (N,)
        The targets by name.
    setting : {"classification", "regression", "multilabel", "auto"}

    Returns
    -------
    str
        The setting, unless it is "auto". Then one target is a classification if it holds texts, true and false, or at
        most MAX_AUTO_CLASSES different integers that are no counts (see `are_counts`), else a regression; several
        targets are a multilabel task if they all hold nothing but 0 and 1, or true and false, else a regression.
    """
    if setting != "auto":
        return setting
    if len(targets) > 1:
        return "multilabel" if all(_is_binary(values) for values in targets.values()) else "regression"
    (values,) = targets.values()
    if values.dtype.kind not in "iuf":
        return "classification"
    return "classification" if _are_few_integers(values) and not are_counts(values) else "regression"


def are_counts(values: Array) -> bool:
    """Whether up to MAX_AUTO_CLASSES different integers look like counts rather than like classes.

    Parameters
    ----------
    values : array (N,)

    Returns
    -------
    bool
        True for at least MIN_COUNTS different integers that have fewer than RARE_COUNT rows each on average, or of
        which at least two and more than a quarter are rare, or of which the largest is rare and neither it nor the
        second largest has more rows than the third largest.
    """
    if values.dtype.kind not in "iuf" or not _are_few_integers(values):
        return False
    n_rows = np.unique(values, return_counts=True)[1]
    if len(n_rows) < MIN_COUNTS:
        return False
    rare = (n_rows < RARE_COUNT) & (4 * n_rows < n_rows.max())
    many_are_rare = rare.sum() >= 2 and 4 * rare.sum() > len(rare)
    end_falls = rare[-1] and n_rows[-2:].max() <= n_rows[-3]
    return bool(many_are_rare or end_falls or n_rows.mean() < RARE_COUNT)


def missing_rows(targets: Iterable[Array]) -> Array:
    """(N,) whether a row has no value of a target."""
    missing = [
        np.isnan(values) if values.dtype.kind == "f"
        else np.array([is_missing(value) for value in values.tolist()], bool) if values.dtype.kind == "O"
        else np.zeros(len(values), bool)
        for values in targets
    ]  # fmt: skip
    return np.logical_or.reduce(missing)


def min_class_rows(official_test: Any, test: float, folds: int) -> int:
    """The number of rows that a class needs so that each part of a split can have one.

    Parameters
    ----------
    official_test : str, list or None
        The table of the official test part; with one, no test rows are taken from the others.
    test : float, in [0, 1)
        Share of the rows for the test part.
    folds : int, >= 1

    Returns
    -------
    int
        At least MIN_ROWS_PER_CLASS.
    """
    if not (isinstance(folds, int) and folds > 1 and isinstance(test, int | float) and 0 <= test < 1):
        return MIN_ROWS_PER_CLASS  # what is no share or number of folds is refused elsewhere
    if official_test is not None or not test:
        return max(folds, MIN_ROWS_PER_CLASS)
    n_rows = math.floor(folds / (1 - test))
    while n_rows - math.floor(test * n_rows) - 1 < folds:  # the test part may take one row more than its share
        n_rows += 1
    return max(n_rows, MIN_ROWS_PER_CLASS)


def encoded_targets(label: str, targets: dict[str, Array], task: Task, row_numbers: Array | None = None) -> Array:
    """Bring targets into the form of `RawRows.y`.

    Parameters
    ----------
    label : str
        The setting and the file that they come from, for error messages.
    targets : dict of array (N,)
        The targets by name.
    task : {"classification", "regression", "multilabel"}
    row_numbers : array (N,) or None
        For error messages; None: counted from 1.

    Returns
    -------
    array
        Class labels (N,), or values (N, T) in float64.

    Raises
    ------
    SettingError
        Naming the target, its row and value, the rule and the cure.
    """
    if task == "classification" and len(targets) > 1:
        raise SettingError(
            f"{label}: data.target must name one column for classification, but names {', '.join(targets)}; "
            "choose one, or data.task=multilabel for columns of 0 and 1"
        )
    encoded = []
    for name, values in targets.items():
        target = f"{label}: the target {name!r}"
        numbers = np.arange(1, len(values) + 1) if row_numbers is None else row_numbers
        _check_values(target, values, numbers)
        encoded.append(_labels(values) if task == "classification" else _numbers(target, values, task, numbers))
    return encoded[0] if task == "classification" else np.stack(encoded, axis=1)


def check_learnable(
    label: str, targets: Iterable[str], y: Array, task: Task, max_classes: int, min_rows: int = MIN_ROWS_PER_CLASS
) -> None:
    """Raise SettingError unless the targets show something to learn: several classes, or values that differ."""
    if task == "classification":
        (name,) = targets
        _check_classes(f"{label}: the target {name!r}", y, max_classes, min_rows)
        return
    for name, values in zip(targets, y.T, strict=True):
        if len(values) and np.ptp(values) == 0:
            target = f"{label}: the target {name!r} is {values[0]:g} in every row"
            raise SettingError(f"{target}, so there is nothing to learn; choose another target")


def _labels(values: Array) -> Array:
    """Classes: integers and truth values as they are, everything else as texts."""
    if values.dtype.kind in "iub":
        return values
    if values.dtype.kind == "f" and bool((values == np.round(values)).all()):
        return values.astype(np.int64)
    return np.array([value.strip() if isinstance(value, str) else as_text(value) for value in values.tolist()])


def _are_few_integers(values: Array) -> bool:
    return len(np.unique(values)) <= MAX_AUTO_CLASSES and bool((values == np.round(values)).all())


def _check_classes(target: str, y: Array, max_classes: int, min_rows: int) -> None:
    labels, counts = np.unique(y, return_counts=True)
    if len(labels) < 2:
        classes = f"has one class, {labels[0]}, in all {len(y)} rows" if len(labels) else "has no rows"
        raise SettingError(f"{target} {classes}, so there is nothing to learn; choose another target")
    if len(labels) > max_classes:
        raise SettingError(
            f"{target} has {len(labels)} classes, but data.max_classes is {max_classes}; if it is a number to predict, "
            f"set data.task=regression, else data.max_classes={len(labels)}"
        )
    rare = labels[counts < min_rows]
    if len(rare):
        raise SettingError(
            f"{target} has fewer than {min_rows} rows of class {rare[0]}, too few for training, validation and test; "
            "leave such rows out with data.rare_classes=drop or join them with data.rare_classes=join, or set "
            "data.task=regression if it is a number to predict"
        )


def _check_values(target: str, values: Array, row_numbers: Array) -> None:
    """Refuse values that are missing or too large, naming the first row."""
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
            f"{target} {what} in row {row_numbers[rows[0]]} ({len(rows)} such rows); "
            + ("set data.missing_target=drop" if is_missing(values[rows[0]]) else "correct it")
        )


def _numbers(target: str, values: Array, task: Task, row_numbers: Array) -> Array:
    if task == "multilabel" and not _is_binary(values):
        raise SettingError(f"{target} must hold 0 and 1 for data.task=multilabel; else set data.task=regression")
    if values.dtype.kind in "iufb":
        return values.astype(np.float64)
    numbers = np.empty(len(values))
    for row, value in enumerate(values.tolist()):
        try:
            numbers[row] = PLAIN.number(value)
        except (ValueError, TypeError):
            raise SettingError(
                f"{target} must hold numbers for data.task=regression, but row {row_numbers[row]} has {value!r}; "
                "correct it, or set data.task=classification"
            ) from None
    _check_values(target, numbers, row_numbers)
    return numbers


def _is_binary(values: Array) -> bool:
    return values.dtype.kind == "b" or (values.dtype.kind in "iuf" and bool(np.isin(values, (0, 1)).all()))
