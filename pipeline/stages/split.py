"""Split: which rows are for learning, for choosing and for the final judgement.

A source with an official test part keeps it; the others give a share of their rows. All draws come from
generator(seed, "split"), so the parts are the same on every machine.
"""

import math
import warnings
from collections.abc import Iterator

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.backend import Array
from nncore.randomness import generator
from pipeline.artefacts import Dataset, Development, Fold, RawRows
from pipeline.errors import SettingError
from pipeline.settings.strict import STRICT, NonNegativeInt, PositiveInt, Share

TARGET_BINS = 10  # strata of a regression: so many parts of equal size, from the lowest target to the highest


@dataclass(frozen=True, config=STRICT)
class Split:
    """What all splits have in common.

    test   share of the rows for the final judgement; of no effect where the source has an official test part
    seed   the draws come from generator(seed, "split")
    """

    test: Share
    seed: NonNegativeInt

    def __call__(self, dataset: Dataset) -> tuple[Development, RawRows]:
        """The development rows with their folds, and apart from them the test rows.

        Raises   SettingError naming the setting and what the data cannot give
        """
        draws = generator(self.seed, "split").integers(2**32, size=100).tolist()
        rows = np.arange(len(dataset.rows))
        try:
            if dataset.test is None:
                rows, held = self._cut(dataset, rows, self.test, draws[0])
                test = dataset.rows.take(np.sort(held))
            else:
                test = dataset.test
            rows = np.sort(rows)
            folds = tuple(Fold(*map(np.sort, fold)) for fold in self._folds(dataset, rows, draws[1:]))
        except ValueError as error:
            raise SettingError(f"{self._said} does not fit the data: {error}") from None
        development = dataset.rows.take(rows)
        labels = np.unique(development.y) if dataset.task == "classification" else None
        found = Development(dataset.task, dataset.targets, labels, development, folds)
        self._check_parts(found, test)
        return found, test

    def _cut(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        """The rows that stay, and those that are held out: a share of all rows of the source, taken from `rows`."""
        raise NotImplementedError

    def _folds(self, dataset: Dataset, rows: Array, seeds: list[int]) -> Iterator[tuple[Array, Array]]:
        """Positions within `rows` to learn from and to choose by."""
        raise NotImplementedError

    @property
    def _said(self) -> str:
        return f"split.test={self.test:g}"

    def _check_parts(self, development: Development, test: RawRows) -> None:
        """Every part says something: a class to be learnt is there to learn from, and values differ."""
        parts = {"the test part": test}
        for number in range(len(development.folds)):
            name = f" of fold {number + 1}" if len(development.folds) > 1 else ""
            train, validation = development.part(number)
            parts |= {f"the training part{name}": train, f"the validation part{name}": validation}
        for name, part in parts.items():
            if not len(part):
                raise SettingError(f"{self._said} leaves {name} without rows: choose other shares")
            if development.task == "regression" and (np.ptp(part.y, axis=0) == 0).any():
                raise SettingError(f"{self._said} leaves {name} with targets that are all equal: choose larger shares")
            if part.weights is not None and not part.weights.sum() > 0:
                raise SettingError(
                    f"{self._said} leaves {name} with no row whose weight is above 0: choose other shares"
                )
            if development.labels is not None:
                self._check_classes(development.labels, name, part)

    def _check_classes(self, labels: Array, name: str, part: RawRows) -> None:
        if name.startswith("the training part"):
            lacking = np.setdiff1d(labels, part.y)
            if len(lacking):
                cure = "choose split=stratified or fewer folds, or leave rare classes out"
                raise SettingError(f"{self._said} leaves {name} without class {lacking[0]}: {cure}")
        unknown = np.setdiff1d(part.y, labels)
        if len(unknown):
            raise SettingError(
                f"{name} has class {unknown[0]}, which the rows to learn from lack: leave its rows out, or choose "
                "split=stratified if they are from one file"
            )


@dataclass(frozen=True, config=STRICT)
class Holdout(Split):
    """One validation and one test part, drawn at random.

    validation   share of the rows; of all of them, without those of an official test part
    """

    validation: Share

    def __post_init__(self) -> None:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test must be below 1 to leave training rows, but is {self.validation + self.test:g}"
            )

    @property
    def _said(self) -> str:
        return f"split.validation={self.validation:g} with split.test={self.test:g}"

    def _folds(self, dataset: Dataset, rows: Array, seeds: list[int]) -> Iterator[tuple[Array, Array]]:
        train, validation = self._cut(dataset, rows, self.validation, seeds[0])
        yield np.searchsorted(rows, train), np.searchsorted(rows, validation)

    def _cut(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        _refuse_groups(dataset)
        return _drawn(rows, _n_held(share, len(dataset.rows), len(rows)), seed, None)


@dataclass(frozen=True, config=STRICT)
class Stratified(Holdout):
    """A holdout with every class in proportion; in a regression, low and high targets in proportion."""

    def _cut(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        _refuse_groups(dataset)
        n_held = _n_held(share, len(dataset.rows), len(rows))
        return _drawn(rows, n_held, seed, _layers(dataset, rows, self._smallest(dataset)))

    def _smallest(self, dataset: Dataset) -> float:
        return min(self.validation, self.test) if dataset.test is None else self.validation


@dataclass(frozen=True, config=STRICT)
class Grouped(Holdout):
    """A holdout that never divides a group, such as the rows of one patient; shares are those of the groups."""

    def _cut(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        if dataset.groups is None:
            raise ValueError("split=grouped needs data.group, the column that names a row's group")
        return _drawn_groups(dataset.groups, rows, share, seed)


@dataclass(frozen=True, config=STRICT)
class ByTime(Holdout):
    """Learn from the past, choose by what came after it, judge by what came last.

    The order is that of data.time, or of the rows in the source. Rows of one moment are never divided.
    """

    def _cut(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        _refuse_groups(dataset)
        times = np.arange(len(dataset.rows)) if dataset.times is None else dataset.times
        times = times[rows]
        n_held = _n_held(share, len(dataset.rows), len(rows))
        border = np.sort(times)[-n_held]
        if times.min() == border:
            raise ValueError(
                f"none of {len(rows)} rows is earlier than the last {n_held}, and rows of one moment stay together"
            )
        return rows[times < border], rows[times >= border]


@dataclass(frozen=True, config=STRICT)
class KFold(Split):
    """Every row but the test's is once, in each repeat, in the part to choose by; classes in proportion.

    Groups, if the data have some, are never divided.
    """

    folds: PositiveInt
    repeats: PositiveInt

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2, but is {self.folds}; split=stratified has one validation part")
        if self.repeats > 50:
            raise ValueError(f"repeats must be at most 50, but is {self.repeats}")

    @property
    def _said(self) -> str:
        return f"split.folds={self.folds} with split.test={self.test:g}"

    def _smallest(self, dataset: Dataset) -> float:
        return min(self.test, (1 - self.test) / self.folds) if dataset.test is None else 1 / self.folds

    def _cut(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        if dataset.groups is not None:
            return _drawn_groups(dataset.groups, rows, share, seed)
        n_held = _n_held(share, len(dataset.rows), len(rows))
        return _drawn(rows, n_held, seed, _layers(dataset, rows, self._smallest(dataset)))

    def _folds(self, dataset: Dataset, rows: Array, seeds: list[int]) -> Iterator[tuple[Array, Array]]:
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

        layers = strata(dataset, self._smallest(dataset))[rows]
        groups = None if dataset.groups is None else dataset.groups[rows]
        fewest = np.unique(layers, return_counts=True)[1].min() if groups is None else len(np.unique(groups))
        if fewest < self.folds:
            few = f"a class with {fewest} rows" if dataset.task == "classification" else f"{fewest} rows of a kind"
            what = few if groups is None else f"{fewest} groups"
            raise ValueError(f"{what} cannot be divided among {self.folds} folds; choose fewer")
        divided = StratifiedKFold if groups is None else StratifiedGroupKFold
        for seed in seeds[: self.repeats]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of groups with a rare class; a fold that lacks it is refused later
                found = list(divided(self.folds, shuffle=True, random_state=seed).split(rows, layers, groups))
            yield from found


def strata(dataset: Dataset, smallest: float) -> Array:
    """(N,) whole numbers: the class; the set of labels, rare ones together; or in which tenth the target lies.

    Apart from classes, a stratum has so many rows that even the smallest share gets about two of them.
    """
    y = dataset.rows.y
    if dataset.task == "classification":
        return np.unique(y, return_inverse=True)[1]
    fewest = max(TARGET_BINS, math.ceil(2 / smallest))
    return _label_sets(y, fewest) if dataset.task == "multilabel" else _target_bins(y[:, 0], fewest)


def _label_sets(y: Array, fewest: int) -> Array:
    _, number, counts = np.unique(y, axis=0, return_inverse=True, return_counts=True)
    number = number.reshape(-1)
    rare = counts[number] < 2 * fewest
    return np.where(rare, number[counts[number].argmax()] if rare.sum() < fewest else -1, number)


def _target_bins(y: Array, fewest: int) -> Array:
    """Bins between quantiles; where many targets are equal, a border that leaves too few rows is left out."""
    n_bins = max(1, min(TARGET_BINS, len(y) // fewest))
    borders, last = [], 0
    for border in np.quantile(y, np.linspace(0, 1, n_bins + 1)[1:-1]):
        n_below = (y <= border).sum()
        if min(n_below - last, len(y) - n_below) >= fewest // 2:
            borders.append(border)
            last = n_below
    return np.searchsorted(borders, y)


def _layers(dataset: Dataset, rows: Array, smallest: float) -> Array:
    """The strata of some rows, each class with two rows or more."""
    layers = strata(dataset, smallest)[rows]
    numbers, counts = np.unique(layers, return_counts=True)
    if dataset.task == "classification" and counts.min() < 2:
        single = rows[layers == numbers[counts.argmin()]][0]
        raise ValueError(f"class {dataset.rows.y[single]} has only 1 row to divide; leave it out, or add rows")
    return layers


def _n_held(share: float, n_all: int, n_left: int, what: str = "rows") -> int:
    n_held = max(1, round(share * n_all))
    if n_held >= n_left:
        raise ValueError(f"of {n_left} {what}, {n_held} cannot be held out; choose smaller shares, or add rows")
    return n_held


def _drawn(rows: Array, n_held: int, seed: int, layers: Array | None) -> tuple[Array, Array]:
    from sklearn.model_selection import train_test_split  # not at the top: the driver only needs the settings

    stay, held = train_test_split(rows, test_size=n_held, stratify=layers, random_state=seed)
    return stay, held


def _drawn_groups(groups: Array, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
    from sklearn.model_selection import GroupShuffleSplit

    n_held = _n_held(share, len(np.unique(groups)), len(np.unique(groups[rows])), "groups")
    ((stay, held),) = GroupShuffleSplit(1, test_size=n_held, random_state=seed).split(rows, groups=groups[rows])
    return rows[stay], rows[held]


def _refuse_groups(dataset: Dataset) -> None:
    if dataset.groups is not None:
        raise ValueError(
            "data.group is given, but this split would divide groups; choose split=grouped or split=k_fold"
        )
