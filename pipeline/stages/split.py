"""Split: which rows are for training, for validation and for the final test.

A source with an official test part keeps it; of other sources a share of the rows is held out, or none. All draws come
from generator(seed, "split"), so the parts are the same on every machine.
"""

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.kernels.backend import Array
from nncore.random_streams import generator
from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveInt, Share, ShareOrZero
from pipeline.components.types import Dataset, Development, Fold, RawRows
from pipeline.stages.strata import strata

MAX_REPEATS = 50


def with_all_rows(development: Development) -> Development:
    """Return the same rows in one fold whose training part is all of them; its validation part is that of the first."""
    rows = np.arange(len(development.rows))
    return replace(development, folds=(Fold(rows, development.folds[0].validation),))


@dataclass(frozen=True, config=STRICT)
class Split:
    """Settings and checks that all splits have in common.

    Parameters
    ----------
    test : float, in [0, 1)
        Share of the rows for the final test; 0: no test rows, all rows are development rows. Without effect if the
        source has an official test part.
    validation : float, in (0, 1)
        Share of all rows (without those of an official test part) for validation, if folds is 1.
    folds : int, >= 1
        1: a single validation part. More: as many validation parts, of sizes as equal as possible.
    seed : int, >= 0
        All draws come from generator(seed, "split").

    Raises
    ------
    ValueError
        If validation and test leave no training rows.
    """

    test: ShareOrZero
    validation: Share
    folds: PositiveInt
    seed: NonNegativeInt

    def __post_init__(self) -> None:
        if self.folds == 1 and self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test must be below 1 to leave training rows, but is {self.validation + self.test:g}"
            )

    def __call__(self, dataset: Dataset) -> tuple[Development, RawRows]:
        """Split a data set.

        Returns
        -------
        development : Development
            The rows for training and validation, with their folds.
        test : RawRows
            Empty if there are no test rows.

        Raises
        ------
        SettingError
            Naming the setting and what the data do not allow.
        """
        draws = generator(self.seed, "split").integers(2**32, size=100).tolist()
        rows = np.arange(len(dataset.rows))
        try:
            self._check_groups(dataset.groups)
            held_out = rows[:0]
            if dataset.test is None and self.test > 0:
                rows, held_out = map(np.sort, self._hold_out(dataset, rows, self.test, draws[0]))
            test = dataset.rows.take(held_out) if dataset.test is None else dataset.test
            seeds = draws[1 : 1 + self._n_divisions]
            folds = [Fold(*map(np.sort, fold)) for seed in seeds for fold in self._folds(dataset, rows, seed)]
        except ValueError as error:
            raise SettingError(f"{self._setting} does not fit the data: {error}") from None
        taken = dataset.rows.take(rows)
        labels = np.unique(taken.y) if dataset.task == "classification" else None
        development = Development(dataset.task, dataset.targets, labels, taken, tuple(folds), self._by_time)
        self._check_parts(replace(development, rows=taken.bare()), test, is_official=dataset.test is not None)
        return development, test

    def _hold_out(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        """The rows that stay, and those that are held out: a share of all rows of the source, taken from `rows`."""
        raise NotImplementedError

    @property
    def _n_divisions(self) -> int:
        """How often the development rows are divided into folds."""
        return 1

    @property
    def _by_time(self) -> bool:
        """Whether the rows to predict are later than the training rows."""
        return False

    def _folds(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        """For each fold of a division the positions within `rows` for training and for validation."""
        if self.folds > 1:
            yield from self._divide(dataset, rows, seed)
        else:
            train, validation = self._hold_out(dataset, rows, self.validation, seed)
            yield np.searchsorted(rows, train), np.searchsorted(rows, validation)

    def _divide(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        """The same for several folds."""
        raise NotImplementedError

    def _check_groups(self, groups: Array | None) -> None:
        """Raise ValueError unless the split can respect the groups of the rows, or their absence."""
        if groups is not None:
            raise ValueError(
                "data.group is given, but this split would divide groups; choose split=grouped, which can have "
                "split.folds"
            )

    @property
    def _setting(self) -> str:
        setting = f"folds={self.folds}" if self.folds > 1 else f"validation={self.validation:g}"
        return f"split.{setting} with split.test={self.test:g}"

    def _check_parts(self, development: Development, test: RawRows, is_official: bool) -> None:
        """Check that training covers every class, and that no part is empty, constant or without weight."""
        parts = {"the test part": test} if is_official or self.test > 0 else {}
        for number in range(len(development.folds)):
            name = f" of fold {number + 1}" if len(development.folds) > 1 else ""
            train, validation = development.part(number)
            parts |= {f"the training part{name}": train, f"the validation part{name}": validation}
        for name, part in parts.items():
            if not len(part):
                raise SettingError(f"{self._setting} leaves {name} without rows: choose other shares")
            if development.task == "regression" and (np.ptp(part.y, axis=0) == 0).any():
                raise SettingError(
                    f"{self._setting} leaves {name} with targets that are all equal: choose larger shares"
                )
            if part.weights is not None and not part.weights.sum() > 0:
                raise SettingError(
                    f"{self._setting} leaves {name} with no row whose weight is above 0: choose other shares"
                )
            if development.labels is not None:
                self._check_classes(development.labels, name, part.y, is_official)

    def _check_classes(self, labels: Array, name: str, y: Array, is_official: bool) -> None:
        missing = np.setdiff1d(labels, y)
        if name.startswith("the training part") and len(missing):
            raise SettingError(
                f"{self._setting} leaves {name} without class {missing[0]}: choose split=stratified or fewer folds, or "
                "leave rare classes out"
            )
        unknown = np.setdiff1d(y, labels)
        if len(unknown):
            cure = "leave its rows out of the file" if is_official else "choose split=stratified, or leave its rows out"
            raise SettingError(f"{name} has class {unknown[0]}, which no development row has: {cure}")


@dataclass(frozen=True, config=STRICT)
class Holdout(Split):
    """Draw the parts at random.

    With several folds each development row is in one validation part of each repeat.

    Parameters
    ----------
    repeats : int, from 1 to 50
        How often the development rows are divided into folds, with new draws each time.
    """

    repeats: PositiveInt

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.repeats > MAX_REPEATS:
            raise ValueError(f"repeats must be at most {MAX_REPEATS}, but is {self.repeats}")

    @property
    def _n_divisions(self) -> int:
        return self.repeats

    def _hold_out(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        return _draw(rows, _count_held_out(share, len(dataset.rows), len(rows)), seed, None)

    def _divide(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        from sklearn.model_selection import KFold

        self._check_enough(len(rows), f"{len(rows)} rows")
        yield from KFold(self.folds, shuffle=True, random_state=seed).split(rows)

    def _check_enough(self, n: int, what: str) -> None:
        if n < self.folds:
            raise ValueError(f"{what} cannot be divided among {self.folds} folds; give split.folds={n}")

    def _smallest_part(self, official_test: RawRows | None) -> float:
        """The smallest share of the rows that becomes a part."""
        test = self.test if official_test is None else 0
        validation = (1 - test) / self.folds if self.folds > 1 else self.validation
        return min(validation, test or validation)


@dataclass(frozen=True, config=STRICT)
class Stratified(Holdout):
    """Draw the parts so that each has all classes in proportion; in a regression, low and high targets."""

    def _hold_out(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        n_held_out = _count_held_out(share, len(dataset.rows), len(rows))
        y = dataset.rows.y
        row_strata = strata(dataset.task, y, self._smallest_part(dataset.test))[rows]
        numbers, counts = np.unique(row_strata, return_counts=True)
        if dataset.task == "classification" and counts.min() < 2:
            single = rows[row_strata == numbers[counts.argmin()]][0]
            raise ValueError(f"class {y[single]} has only 1 row to divide; leave it out, or add rows")
        return _draw(rows, n_held_out, seed, row_strata)

    def _divide(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        from sklearn.model_selection import StratifiedKFold

        row_strata = strata(dataset.task, dataset.rows.y, self._smallest_part(dataset.test))[rows]
        fewest = np.unique(row_strata, return_counts=True)[1].min()
        what = f"a class with {fewest} rows" if dataset.task == "classification" else f"{fewest} rows of a kind"
        self._check_enough(fewest, what)
        yield from StratifiedKFold(self.folds, shuffle=True, random_state=seed).split(rows, row_strata)


@dataclass(frozen=True, config=STRICT)
class Grouped(Holdout):
    """Keep the rows of a group together, such as those of one patient; shares are shares of the groups.

    As far as the groups allow, folds have equal numbers of rows, and classes in proportion.
    """

    def _hold_out(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        from sklearn.model_selection import GroupShuffleSplit

        assert dataset.groups is not None  # see _check_groups
        groups = dataset.groups[rows]
        n_held_out = _count_held_out(share, len(np.unique(dataset.groups)), len(np.unique(groups)), "groups")
        splitter = GroupShuffleSplit(1, test_size=n_held_out, random_state=seed)
        ((stay, held_out),) = splitter.split(rows, groups=groups)
        return rows[stay], rows[held_out]

    def _divide(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        from sklearn.model_selection import StratifiedGroupKFold

        assert dataset.groups is not None  # see _check_groups
        groups = dataset.groups[rows]
        n_groups = len(np.unique(groups))
        self._check_enough(n_groups, f"{n_groups} groups")
        row_strata = strata(dataset.task, dataset.rows.y, self._smallest_part(dataset.test))[rows]
        splitter = StratifiedGroupKFold(self.folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about rare classes; a fold without one is refused by _check_parts
            folds = list(splitter.split(rows, row_strata, groups))
        yield from folds

    def _check_groups(self, groups: Array | None) -> None:
        if groups is None:
            raise ValueError("split=grouped needs data.group, the column that names a row's group")


@dataclass(frozen=True, config=STRICT)
class Predefined(Holdout):
    """Each value of the column data.group is a fold: the rows that have it are its validation part.

    As scikit-learn's PredefinedSplit. Test rows are drawn at random before, if split.test asks for some.
    """

    def _divide(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        assert dataset.groups is not None  # see _check_groups
        names, numbers = np.unique(dataset.groups[rows], return_inverse=True)
        if len(names) != self.folds:
            raise ValueError(f"data.group has {len(names)} values in these rows; give split.folds={len(names)}")
        for number in range(self.folds):
            yield np.flatnonzero(numbers != number), np.flatnonzero(numbers == number)

    def _check_groups(self, groups: Array | None) -> None:
        if groups is None:
            raise ValueError("split=predefined needs data.group, the column that names a row's fold")
        if self.folds < 2:
            raise ValueError("split=predefined needs split.folds, how many values data.group has")


@dataclass(frozen=True, config=STRICT)
class TimeSplit(Split):
    """Train on the earliest rows, validate on later ones, test on the last.

    The order is that of data.time, or of the rows in the source. Rows with equal times stay together. With several
    folds, each validates on the next part and trains on everything before it (forward chaining).
    """

    @property
    def _by_time(self) -> bool:
        return True

    def _hold_out(self, dataset: Dataset, rows: Array, share: float, seed: int) -> tuple[Array, Array]:
        times = _times(dataset)[rows]
        n_held_out = _count_held_out(share, len(dataset.rows), len(rows))
        border = np.sort(times)[-n_held_out]
        if times.min() == border:
            raise ValueError(
                f"none of {len(rows)} rows is earlier than the last {n_held_out}, and rows with equal times stay "
                "together"
            )
        return rows[times < border], rows[times >= border]

    def _divide(self, dataset: Dataset, rows: Array, seed: int) -> Iterator[tuple[Array, Array]]:
        times = _times(dataset)[rows]
        n_each = len(rows) // (self.folds + 1)
        first = len(rows) - n_each * np.arange(self.folds, 0, -1)  # of each validation part, in the order of time
        borders = np.sort(times)[first[first < len(rows)]]
        if len(np.unique(borders)) < self.folds or times.min() == borders[0]:
            raise ValueError(
                f"{len(rows)} rows with {len(np.unique(times))} different times cannot be divided among {self.folds} "
                "folds and the rows before them; choose fewer"
            )
        for number, border in enumerate(borders):
            later = times >= borders[number + 1] if number + 1 < self.folds else np.zeros(len(rows), bool)
            yield np.flatnonzero(times < border), np.flatnonzero((times >= border) & ~later)


def _count_held_out(share: float, n_all: int, n_rows: int, what: str = "rows") -> int:
    n_held_out = max(1, round(share * n_all))
    if n_held_out >= n_rows:
        raise ValueError(f"of {n_rows} {what}, {n_held_out} cannot be held out; choose smaller shares, or add rows")
    return n_held_out


def _draw(rows: Array, n_held_out: int, seed: int, row_strata: Array | None) -> tuple[Array, Array]:
    from sklearn.model_selection import train_test_split  # not at the top: the driver only needs the settings

    stay, held_out = train_test_split(rows, test_size=n_held_out, stratify=row_strata, random_state=seed)
    return stay, held_out


def _times(dataset: Dataset) -> Array:
    return np.arange(len(dataset.rows)) if dataset.times is None else dataset.times
