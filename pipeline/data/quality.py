"""What about a table should make a person look twice: identifiers, leaks, duplicates, dates, other test rows.

Nothing here changes what is trained. The targets of test rows are not looked at. Where a sample of the rows is enough,
one is drawn, always the same: 100,000 rows with 50 columns take about half a second.
"""

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nncore.inference.table import CODED, Column, Table
from nncore.kernels.backend import Array
from nncore.random_streams import generator
from pipeline.components.overrides import entry, override
from pipeline.components.types import Dataset, DataWarning, Development, RawRows, Task

MIN_ROWS = 20  # in smaller tables everything may be a coincidence
MIN_DUPLICATES, DUPLICATE_SHARE = 3, 0.01
LEAK_SCORE = 0.98  # accuracy or R2 of a tree on one column
MISSING_CODE = re.compile("-?(9+|8+|7+|9+[678])")
MIN_CODE_ROWS = 3
MAX_NAMED = 10  # columns in one warning
FAR, MIN_GAP = 3, 0.05  # the next column's error is so many times larger, and by this share of a guess's error
MIN_LEAVES, LEAVES_PER_CLASS, MIN_LEAF_ROWS = 64, 4, 5
LEAK_ROWS = 10_000  # that are sorted by each column
TREE_ROWS, MAX_TREES = 3000, 12
N_FOLDS = 5
SHIFT_ROWS, SHIFT_AUC = 1000, 0.8
IDENTIFIER = re.compile(r"(^|[ _.-])(id|ids|uuid|guid|key|index|idx|rownum|row number|serial)$|[a-z]ID$|Id$", re.ASCII)
CODE = re.compile(
    r"(^|[ _.-])(zip|zip ?code|plz|postleitzahl|postcode|post(al)?[ _]?code|postal|phone|code|fips|isbn|ean|sku)$", re.I
)


def data_warnings(
    dataset: Dataset, development: Development, test: RawRows, is_random_split: bool, dropped: Sequence[str] = ()
) -> tuple[DataWarning, ...]:
    """Describe what should make a person look twice.

    Parameters
    ----------
    dataset : Dataset
    development : Development
        Its rows for training and validation.
    test : RawRows
        Its test rows, of which only the inputs are looked at.
    is_random_split : bool
        Whether the parts are drawn at random.
    dropped : sequence of str
        The columns that data.drop leaves out already, which an override must repeat.

    Returns
    -------
    tuple of DataWarning
    """
    is_official = dataset.test is not None
    y = development.rows.y
    return (
        *identifiers(dataset.rows.x, dropped),
        *missing_codes(dataset.rows.x),
        *leaks(development.task, development.rows.x, y.reshape(len(y), -1), dropped),
        *duplicates(development.rows.x, y),
        *duplicates_across(development.rows.x, test.x),
        *(dates(dataset) if is_random_split and not is_official else ()),
        *(shift(development.rows.x, test.x, dropped) if is_official else ()),
    )


def identifiers(table: Table, dropped: Sequence[str] = ()) -> Iterator[DataWarning]:
    """Columns that are unique per row, texts and whole numbers, and columns whose name says that they are a code."""
    if len(table) < MIN_ROWS:
        return
    unique_numbers = []
    for column, values in table.column_values:
        if column.kind not in ("categorical", "numeric") or not _is_whole(column, values):
            continue
        n_different, drop = len(np.unique(values)), override("data.drop", [*dropped, column.name])
        is_number = column.kind == "numeric"
        if is_number and n_different > 2 and CODE.search(column.name):
            as_text = entry("data.kinds", column.name, "categorical")
            yield DataWarning(
                "code",
                (column.name,),
                f"column {column.name!r} looks like a code, but its {n_different:,} different numbers are read as "
                f"amounts; declare it with {as_text}, or leave it out with {drop}",
            )
        elif n_different == len(values) and is_number:
            unique_numbers += [column.name] if values.min() >= 0 else []
        elif n_different == len(values):
            yield DataWarning(
                "identifier",
                (column.name,),
                f"column {column.name!r} has a different text in each of {len(values):,} rows, as an identifier has; a "
                f"model cannot learn from one: leave it out with {drop}",
            )
        elif is_number and n_different > 2 and IDENTIFIER.search(column.name):
            yield DataWarning(
                "identifier",
                (column.name,),
                f"column {column.name!r} looks like an identifier, with {n_different:,} different numbers; leave it "
                f"out with {drop}, or keep its rows together with {override('data.group', column.name)} split=grouped",
            )
    if unique_numbers:
        several, drop = len(unique_numbers) > 1, override("data.drop", [*dropped, *unique_numbers])
        yield DataWarning(
            "identifier",
            tuple(unique_numbers),
            f"{'columns' if several else 'column'} {_named(unique_numbers)} {'have' if several else 'has'} a different "
            f"whole number in each of {len(table):,} rows, as identifiers have, and amounts may have; a model cannot "
            f"learn from identifiers: leave them out with {drop}",
        )


def leaks(task: Task, table: Table, y: Array, dropped: Sequence[str] = ()) -> Iterator[DataWarning]:
    """Columns that alone predict a target almost perfectly, and far better than every other column.

    A tree of at least 64 leaves, 4 for each class, with at least 5 rows each, is cross-validated on each column. Only
    columns that can reach the score are tried: sorted by such a column, neighbours have equal or similar targets.
    """
    if len(table) < MIN_ROWS or len(table.columns) < 2:
        return
    rows = _sample(len(table), LEAK_ROWS)
    x, is_classes = _matrix(table[rows]), task != "regression"
    suspects: dict[int, float] = {}
    for target in y.T[:MAX_TREES]:
        t = np.unique(target[rows], return_inverse=True)[1] if is_classes else target[rows].astype(np.float64)
        suspects |= _outstanding_scores(x, t, is_classes)
        if not is_classes:  # leaves of 5 rows are too wide for the tails of a few hundred values
            suspects = _outstanding_scores(x, _ranks(t), is_classes) | suspects
    measure = "accuracy" if is_classes else "R2"
    for number, score in suspects.items():
        name = table.columns[number].name
        yield DataWarning(
            "leak",
            (name,),
            f"column {name!r} alone predicts the target almost perfectly ({measure} {score:.3f}), far better than the "
            f"other columns; if its value is not known before the target is, leave it out with "
            f"{override('data.drop', [*dropped, name])}",
        )


def _outstanding_scores(x: Array, t: Array, is_classes: bool) -> dict[int, float]:
    """By column, the cross-validated scores of the trees that predict almost perfectly and stand out."""
    n_classes = len(np.unique(t)) if is_classes else 0
    n_leaves = max(MIN_LEAVES, LEAVES_PER_CLASS * n_classes)
    roughness = _roughness(x, t, is_classes)
    allowed = 0.1 + n_leaves / len(t)  # a column with a score above 0.98 has less: 2 x 0.02, and one step per leaf
    candidates = np.argsort(roughness, kind="stable")[:MAX_TREES]
    if roughness[candidates[0]] > allowed:
        return {}
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score  # slow to import, and rarely needed
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    rows = _sample(len(t), max(TREE_ROWS, 2 * MIN_LEAF_ROWS * n_leaves))
    sizes = {"max_leaf_nodes": n_leaves, "min_samples_leaf": MIN_LEAF_ROWS, "random_state": 0}
    tree = DecisionTreeClassifier(**sizes) if is_classes else DecisionTreeRegressor(**sizes)
    can_stratify = is_classes and np.unique(t[rows], return_counts=True)[1].min() >= N_FOLDS
    folds = (StratifiedKFold if can_stratify else KFold)(N_FOLDS, shuffle=True, random_state=0)
    scores = {
        int(number): float(cross_val_score(tree, x[rows][:, [number]], t[rows], cv=folds).mean())
        for number in candidates
    }
    order = sorted(scores, key=lambda number: -scores[number])
    largest_error = 1 - float(np.bincount(t).max() / len(t)) if is_classes else 1.0  # that of guessing
    for n_suspects in range(min(len(order) - 1, x.shape[1] // 2), 0, -1):
        error, next_error = 1 - scores[order[n_suspects - 1]], min(1 - scores[order[n_suspects]], largest_error)
        if 1 - error > LEAK_SCORE and error <= next_error / FAR and next_error - error >= MIN_GAP * largest_error:
            return {number: scores[number] for number in order[:n_suspects]}
    return {}


def _ranks(values: Array) -> Array:
    """The rank of each value (N,), equal values with equal ranks."""
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[position]


def _roughness(x: Array, t: Array, is_classes: bool) -> Array:
    """How often, or how much, targets differ between neighbours in the order of each column (I,)."""
    steps = np.diff(t[np.argsort(x, axis=0, kind="stable")], axis=0)  # (N - 1, I)
    return (steps != 0).mean(axis=0) if is_classes else (steps**2).mean(axis=0) / max(2 * t.var(), 1e-300)


def duplicates(table: Table, y: Array) -> Iterator[DataWarning]:
    """Rows that repeat an earlier one, targets included, if they are more than the columns make likely by chance."""
    hashes = _row_hashes(table)
    for target in y.reshape(len(y), -1).T:
        hashes = _mixed(hashes + np.unique(target, return_inverse=True)[1].astype(np.uint64))
    n = len(hashes) - len(np.unique(hashes))
    if _is_many(n, len(table), lambda: len(table) ** 2 / 2 * _chance_of_equal_rows(table, hashes)):
        yield DataWarning(
            "duplicates",
            (),
            f"{n:,} of {len(table):,} development rows ({n / len(table):.1%}) repeat an earlier row, target included; "
            "scores count them several times: leave them out of the file unless they are separate observations",
        )


def duplicates_across(development: Table, test: Table) -> Iterator[DataWarning]:
    """Test rows whose columns all equal those of a development row, if they are more than is likely by chance."""
    hashes = _row_hashes(development)
    n = int(np.isin(_row_hashes(test), hashes).sum())
    if _is_many(n, len(test), lambda: len(test) * len(development) * _chance_of_equal_rows(development, hashes)):
        yield DataWarning(
            "duplicates",
            (),
            f"{n:,} of {len(test):,} test rows ({n / len(test):.1%}) have the same columns as a development row, so "
            "the test scores are too good; leave duplicates out of the file, or name the column whose rows belong "
            "together with data.group=... split=grouped",
        )


def dates(dataset: Dataset) -> Iterator[DataWarning]:
    """Columns of dates, or data.time, with a split that does not respect them."""
    names = [column.name for column in dataset.rows.x.columns if column.kind == "date"]
    if dataset.times is not None:
        yield DataWarning(
            "dates",
            (),
            "data.time is given, but the split is random, so later rows help to predict earlier ones; split=time "
            "trains on the earliest rows and tests on the last",
        )
    elif names:
        listed = ", ".join(map(repr, names[:3]))
        yield DataWarning(
            "dates",
            tuple(names),
            f"column {listed} holds dates, but the split is random, so later rows help to predict earlier ones; if the "
            f"model will predict rows that come later, set {override('data.time', names[0])} split=time",
        )


def shift(development: Table, test: Table, dropped: Sequence[str] = ()) -> Iterator[DataWarning]:
    """An official test part with another distribution: a classifier tells its rows from the development rows."""
    if min(len(development), len(test)) < MIN_ROWS:
        return
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    parts = [_matrix(part[_sample(len(part), SHIFT_ROWS)]) for part in (development, test)]
    x, is_test = np.concatenate(parts), np.repeat([0, 1], [len(part) for part in parts])
    x = np.where(np.isnan(x), np.nanmin(np.where(np.isinf(x), 0, x), axis=0, initial=0.0) - 1, x).astype(np.float32)
    trees = ExtraTreesClassifier(50, min_samples_leaf=MIN_LEAF_ROWS, class_weight="balanced", random_state=0)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    chances = cross_val_predict(trees, x, is_test, cv=folds, method="predict_proba")[:, 1]
    auc = float(roc_auc_score(is_test, chances))
    if auc <= SHIFT_AUC:
        return
    alone = np.array([abs(roc_auc_score(is_test, values) - 0.5) for values in x.T])
    name = development.columns[int(alone.argmax())].name
    yield DataWarning(
        "shift",
        (name,),
        f"the test file differs from the training file: a classifier tells their rows apart (AUC {auc:.2f}), most "
        f"clearly by column {name!r}; the test scores may not be those of new rows like the training rows: see whether "
        f"both files were made in the same way, or leave the column out with {override('data.drop', [*dropped, name])}",
    )


def missing_codes(table: Table) -> Iterator[DataWarning]:
    """Columns in which a number such as 999 or -99 stands far from all others, as codes for missing values do."""
    for column, values in table.column_values:
        if column.kind != "numeric" or column.spelling.units:
            continue
        different, counts = np.unique(values[~np.isnan(values)], return_counts=True)
        for place, inner in ((-1, different[:-1]), (0, different[1:])):
            if len(inner) < 2 or counts[place] < MIN_CODE_ROWS or not MISSING_CODE.fullmatch(f"{different[place]:.0f}"):
                continue
            code, others = float(different[place]), inner.astype(np.float64)
            if code.is_integer() and np.abs(others - code).min() > np.ptp(others):
                cure = override("data.missing", ["", "NA", f"{code:.0f}"])
                yield DataWarning(
                    "missing_code",
                    (column.name,),
                    f"column {column.name!r} has {code:.0f} in {counts[place]:,} rows, and else numbers from "
                    f"{others.min():g} to {others.max():g}; if it stands for missing values, leave such cells empty, "
                    f"or, for a CSV file, set {cure}",
                )


def _named(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:MAX_NAMED])) + (", ..." if len(names) > MAX_NAMED else "")


def _is_whole(column: Column, values: Array) -> bool:
    """Whether all values are there, and are texts or whole numbers; amounts with a unit or thousands signs are not."""
    if column.spelling.units or column.spelling.thousands:
        return False
    return bool((values >= 0).all() if column.kind in CODED else (values % 1 == 0).all())


def _is_many(n: int, n_rows: int, expected: Callable[[], float]) -> bool:
    """Whether so many rows are duplicates for another reason than chance."""
    return n >= max(MIN_DUPLICATES, DUPLICATE_SHARE * n_rows) and n > 3 * expected() + 2


def _sample(n_rows: int, n: int) -> Array:
    """The positions of at most n rows, ascending."""
    if n_rows <= n:
        return np.arange(n_rows)
    return np.sort(generator(0, "quality").choice(n_rows, n, replace=False))


def _matrix(table: Table) -> Array:
    """All columns as numbers (N, I): codes of texts, NaN where numbers are missing."""
    return np.stack([values.astype(np.float64) for _, values in table.column_values], axis=1)


def _chance_of_equal_rows(table: Table, hashes: Array) -> float:
    """How likely two rows are equal, if the columns were independent of each other; duplicates do not count."""
    distinct, chance = np.unique(hashes, return_index=True)[1], 1.0
    rows = table[distinct[_sample(len(distinct), TREE_ROWS)]]
    for _, values in rows.column_values:
        counts = np.unique(values, return_counts=True)[1].astype(np.float64)
        chance *= (counts * (counts - 1)).sum() / max(len(rows) * (len(rows) - 1), 1)
    return chance


def _row_hashes(table: Table) -> Array:
    """A number (N,) for each row; equal rows have equal numbers."""
    hashes = np.zeros(len(table), np.uint64)
    for _, values in table.column_values:
        numbers = values.astype(np.float64) + 0.0  # -0.0 becomes 0.0
        numbers[np.isnan(numbers)] = np.nan
        hashes = _mixed(hashes ^ numbers.view(np.uint64))
    return hashes


def _mixed(hashes: Array) -> Array:
    """A bijection of 64-bit numbers that spreads every bit (SplitMix64's finalizer)."""
    hashes = hashes + np.uint64(0x9E3779B97F4A7C15)
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
