"""Split: which rows are for learning, for choosing and for the final judgement.

A source with an official test part keeps it; the others give a share of their rows. All draws come from
generator(seed, "split"), so the parts are the same on every machine.
"""

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.kernels.backend import Array
from nncore.random_streams import generator
from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveInt, Share
from pipeline.components.types import Dataset, Development, Fold, RawRows
from pipeline.components.without import without
from pipeline.stages.strata import layers_to_divide, strata

MOST_REPEATS = 50


@dataclass(frozen=True, config=STRICT)
class Split:
    """What all splits have in common.

    test         share of the rows for the final judgement; of no effect where the source has an official test part
    validation   share of the rows to choose by; of all rows, without those of an official test part
    folds        1: one validation part of that share; more: so many, of sizes as equal as can be, and `validation` has
                 no effect
    seed         the draws come from generator(seed, "split")
    """

    test: Share
    validation: Share
    folds: PositiveInt
    seed: NonNegativeInt

    def __post_init__(self) -> None:
        if self.folds == 1 and self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test must be below 1 to leave training rows, but is {self.validation + self.test:g}"
            )

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
        self._check_parts(replace(found, rows=development.bare()), test.bare())
        return found, test

    def _cut(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        """The rows that stay, and those that are held out: a share of all rows of the source, taken from `rows`."""
        raise NotImplementedError

    def _folds(self, dataset: Dataset, rows: Array, seeds: list[int]) -> Iterator[tuple[Array, Array]]:
        """Positions within `rows` to learn from and to choose by, of every fold."""
        yield from self._once(dataset, rows, seeds[0])

    def _once(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        if self.folds > 1:
            yield from self._divided(dataset, rows, seed)
        else:
            train, validation = self._cut(dataset, rows, self.validation, seed)
            yield np.searchsorted(rows, train), np.searchsorted(rows, validation)

    def _divided(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        """The same of several folds."""
        raise NotImplementedError

    @property
    def _said(self) -> str:
        setting = f"folds={self.folds}" if self.folds > 1 else f"validation={self.validation:g}"
        return f"split.{setting} with split.test={self.test:g}"

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
    """Parts drawn at random. With several folds every row but the test's is in one validation part, in each repeat.

    repeats   how often the development rows are divided, each time anew
    """

    repeats: PositiveInt

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.repeats > MOST_REPEATS:
            raise ValueError(f"repeats must be at most {MOST_REPEATS}, but is {self.repeats}")

    def _folds(self, dataset: Dataset, rows: Array, seeds: list[int]) -> Iterator[tuple[Array, Array]]:
        for seed in seeds[: self.repeats]:
            yield from self._once(dataset, rows, seed)

    def _cut(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        _refuse_groups(dataset)
        return _drawn(rows, _n_held(share, len(dataset.rows), len(rows)), seed, None)

    def _divided(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        from sklearn.model_selection import KFold

        _refuse_groups(dataset)
        self._check_enough(len(rows), f"{len(rows)} rows")
        yield from KFold(self.folds, shuffle=True, random_state=seed).split(rows)

    def _check_enough(self, n: int, what: str) -> None:
        if n < self.folds:
            raise ValueError(f"{what} cannot be divided among {self.folds} folds; choose fewer")

    def _smallest(self, dataset: Dataset) -> float:
        """The smallest share of the rows that becomes a part."""
        test = 0 if dataset.test is not None else self.test
        validation = (1 - test) / self.folds if self.folds > 1 else self.validation
        return min(validation, test or validation)


@dataclass(frozen=True, config=STRICT)
class Stratified(Holdout):
    """Every class in proportion in all parts; in a regression, low and high targets in proportion."""

    def _cut(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        _refuse_groups(dataset)
        n_held = _n_held(share, len(dataset.rows), len(rows))
        return _drawn(rows, n_held, seed, layers_to_divide(dataset, rows, self._smallest(dataset)))

    def _divided(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        from sklearn.model_selection import StratifiedKFold

        _refuse_groups(dataset)
        layers = strata(dataset, self._smallest(dataset))[rows]
        fewest = np.unique(layers, return_counts=True)[1].min()
        what = f"a class with {fewest} rows" if dataset.task == "classification" else f"{fewest} rows of a kind"
        self._check_enough(fewest, what)
        yield from StratifiedKFold(self.folds, shuffle=True, random_state=seed).split(rows, layers)


@dataclass(frozen=True, config=STRICT)
class Grouped(Holdout):
    """Never divides a group, such as the rows of one patient; shares are those of the groups.

    Folds have about as many rows, and classes in proportion, as far as the groups allow.
    """

    def _cut(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        return _drawn_groups(_groups(dataset), rows, share, seed)

    def _divided(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        from sklearn.model_selection import StratifiedGroupKFold

        groups = _groups(dataset)[rows]
        n_groups = len(np.unique(groups))
        self._check_enough(n_groups, f"{n_groups} groups")
        layers = strata(dataset, self._smallest(dataset))[rows]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a rare class; a fold that lacks it is refused later
            found = list(StratifiedGroupKFold(self.folds, shuffle=True, random_state=seed).split(rows, layers, groups))
        yield from found


@dataclass(frozen=True, config=STRICT)
class TimeSplit(Split):
    """Learn from the past, choose by what came after it, judge by what came last.

    The order is that of data.time, or of the rows in the source. Rows of one moment are never divided. With several
    folds, each has the next part to choose by, and learns from all that was before it.
    """

    def _cut(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        _refuse_groups(dataset)
        times = _times(dataset)[rows]
        n_held = _n_held(share, len(dataset.rows), len(rows))
        border = np.sort(times)[-n_held]
        if times.min() == border:
            raise ValueError(
                f"none of {len(rows)} rows is earlier than the last {n_held}, and rows of one moment stay together"
            )
        return rows[times < border], rows[times >= border]

    def _divided(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        _refuse_groups(dataset)
        times = _times(dataset)[rows]
        n_each = len(rows) // (self.folds + 1)
        first = len(rows) - n_each * np.arange(self.folds, 0, -1)  # of each validation part, in the order of time
        borders = np.sort(times)[first[first < len(rows)]]
        if len(np.unique(borders)) < self.folds or times.min() == borders[0]:
            raise ValueError(
                f"{len(rows)} rows of {len(np.unique(times))} moments cannot be divided among {self.folds} folds and "
                "what comes before them; choose fewer"
            )
        for at, border in enumerate(borders):
            later = times >= borders[at + 1] if at + 1 < self.folds else np.zeros(len(rows), bool)
            yield np.flatnonzero(times < border), np.flatnonzero((times >= border) & ~later)


def _n_held(share: float, n_all: int, n_left: int, what: str = "rows") -> int:
    n_held = max(1, round(share * n_all))
    if n_held >= n_left:
        raise ValueError(f"of {n_left} {what}, {n_held} cannot be held out; choose smaller shares, or add rows")
    return n_held


def _drawn(rows: Array, n_held: int, seed: int, layers: Array | None) -> tuple[Array, Array]:
    with without("pandas"):  # and not at the top: the driver only needs the settings
        from sklearn.model_selection import train_test_split

    stay, held = train_test_split(rows, test_size=n_held, stratify=layers, random_state=seed)
    return stay, held


def _drawn_groups(groups: Array, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
    with without("pandas"):
        from sklearn.model_selection import GroupShuffleSplit

    n_held = _n_held(share, len(np.unique(groups)), len(np.unique(groups[rows])), "groups")
    ((stay, held),) = GroupShuffleSplit(1, test_size=n_held, random_state=seed).split(rows, groups=groups[rows])
    return rows[stay], rows[held]


def _refuse_groups(dataset: Dataset) -> None:
    if dataset.groups is not None:
        raise ValueError(
            "data.group is given, but this split would divide groups; choose split=grouped, which can have split.folds"
        )


def _groups(dataset: Dataset) -> Array:
    if dataset.groups is None:
        raise ValueError("split=grouped needs data.group, the column that names a row's group")
    return dataset.groups


def _times(dataset: Dataset) -> Array:
    return np.arange(len(dataset.rows)) if dataset.times is None else dataset.times
