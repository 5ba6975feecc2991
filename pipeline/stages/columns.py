"""Which columns matter to a model: permutation importance, and how its predictions depend on the most important ones.

The importance of a column is by how much a score of the validation rows becomes worse when the column's values are
exchanged among the rows, so that they say nothing about their row any more (Breiman 2001, "Random forests"). Prepared
columns that depend on the raw column, such as its one-hot columns, are exchanged together.

Values are exchanged within blocks of rows, each with the value of another row of its block. So the blocks are
independent of each other, and leaving out one block at a time (the jackknife) shows how much the importance varies with
the rows and with the exchange: an interval of what this model has for new rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nncore.components import Component
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, Model, TargetDecoder, ValueDecoder
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.table import CODED, Column, Table
from nncore.kernels.backend import Array
from nncore.metrics import Metric, identity
from nncore.random_streams import generator
from pipeline.components.scores import comparable
from pipeline.components.types import Development, Task

PURPOSE = "column importance"
MAX_ROWS = 2000
MIN_ROWS = 20  # below, nothing is said
REPEATS = 10
MAX_COLUMNS = 100  # of more columns, only those are permuted that change the predictions most
MOST_PERMUTED = 64
SCREENING_ROWS = 50
SCREENING_NUMBERS = 200_000_000  # prepared numbers in all rows of the first pass
FEWEST_AFFORDABLE = 60  # rows, if the columns are so many that more would take too long
MAX_NUMBERS = 100_000_000  # prepared numbers in all permuted rows together
NUMBERS_AT_ONCE = 4_000_000  # in the rows of one prediction
ALIKE = 0.95  # rank correlation, above which columns are permuted as one
T_QUANTILES = {20: 2.093, 10: 2.262}  # of 97.5 %, by the number of blocks
N_DEPENDENCE = 6
N_GRID, MAX_CATEGORIES = 15, 12
DEPENDENCE_ROWS = 300
N_NAMED = 3  # columns in the name of a group


def describe_columns(
    model: Model | Ensemble, development: Development, fold: int, task: Task, selected: Component | None
) -> dict[str, Any]:
    """Describe which columns matter to a model, in plain values.

    Parameters
    ----------
    model : Model or Ensemble
    development : Development
    fold : int
        The model was trained on the training rows of this fold; its validation rows are used here.
    task : Task
    selected : Component or None
        The metric by which trials are ranked; None for the loss.

    Returns
    -------
    dict
        - metric: name of the score whose worsening is the importance
        - n_rows: how many rows were used
        - n_columns, n_permuted: how many columns there are, and how many were permuted
        - importance: of each column or group of columns, the most important first: column (its name), columns (names
          of the members), mean, low and high (95 % interval), repeats
        - dependence: for the most important ones: column, kind (numeric or category), x (values, or texts), y (by
          output, the mean prediction if every row had this value), counts (rows near this value)

        Nothing is listed if there are fewer than 20 validation rows, nor a column for which the score is not defined.
    """
    decoder, raw = model.target_decoder, development.rows
    name, by = comparable(selected, task, decoder.threshold if isinstance(decoder, ClassDecoder) else 0.5)
    rows = generator(0, PURPOSE).permutation(development.folds[fold].validation)
    n_columns = len(raw.x.columns)
    n_permuted = n_columns if n_columns <= MAX_COLUMNS else MOST_PERMUTED
    n_affordable = MAX_NUMBERS // (REPEATS * n_permuted * max(1, n_prepared(model)))
    rows = rows[: min(MAX_ROWS, max(n_affordable, FEWEST_AFFORDABLE))]
    described: dict[str, Any] = {
        "metric": name,
        "n_rows": len(rows),
        "n_columns": n_columns,
        "n_permuted": n_permuted,
        "importance": [],
        "dependence": [],
    }
    if len(rows) < MIN_ROWS:
        return described
    table = raw.x[rows]
    t = raw.y[rows] if task == "regression" else decoder.targets(raw.y[rows])
    weights = np.ones(len(rows)) if raw.weights is None else raw.weights[rows]
    scorer = ColumnScorer(model, table, t, weights, by)
    groups = alike(table, scorer.screened(n_columns, n_permuted))
    importance = [scorer.importance(group) for group in groups]
    defined = [number for number in range(len(groups)) if np.isfinite(importance[number]).all()]
    order = sorted(defined, key=lambda number: -importance[number][0])
    for number in order:
        mean, low, high = importance[number]
        names = [table.columns[position].name for position in groups[number]]
        described["importance"].append(
            {"column": _group_name(names), "columns": names, "mean": mean, "low": low, "high": high, "repeats": REPEATS}
        )
    described["dependence"] = [
        scorer.dependence(groups[number], described["importance"][rank]["column"])
        for rank, number in enumerate(order[:N_DEPENDENCE])
    ]
    return described


@dataclass(frozen=True)
class ColumnScorer:
    """Scores a model on rows of which some columns are exchanged.

    Parameters
    ----------
    model : Model or Ensemble
    table : Table
        The rows, N of them. They are prepared once for each distinct preprocessing of the model.
    t : array (N, O)
        Their targets, as a metric wants them.
    weights : array (N,)
    metric : Metric
    """

    model: Model | Ensemble
    table: Table
    t: Array
    weights: Array
    metric: Metric

    def importance(self, group: Sequence[int]) -> tuple[float, float, float]:
        """The importance of raw columns that are permuted together: its mean, and the ends of its interval."""
        n = len(self.table)
        block = np.arange(n) * self._n_blocks // n  # the rows are in random order
        donors = [exchange(block, generator(0, PURPOSE, group[0], repeat)) for repeat in range(REPEATS)]
        y = self._predictions(group, np.array([np.arange(n), *donors]))  # (REPEATS + 1, N, O)
        left_out = _scores_without_blocks(self.metric, y, self.t, self.weights, block)  # (REPEATS + 1, 1 + blocks)
        sign = -1 if self.metric.greater_is_better else 1
        worse = sign * (left_out[1:] - left_out[0]).mean(axis=0)  # exactly 0 for a column that is ignored
        mean, others = worse[0], worse[1:]
        blocks = len(others)
        error = np.sqrt((blocks - 1) / blocks * ((others - others.mean()) ** 2).sum())
        half = T_QUANTILES[blocks] * error
        return float(mean), float(mean - half), float(mean + half)

    def screened(self, n_columns: int, n_permuted: int) -> list[int]:
        """The raw columns that change the predictions most, by a first pass over a few rows; all, if few.

        The columns are permuted in groups, and the groups that change the predictions most are halved again and again.
        """
        if n_columns == n_permuted:
            return list(range(n_columns))
        groups = np.array_split(np.arange(n_columns), min(n_columns, 2 * n_permuted))
        n_passes = len(groups) * (1 + int(np.log2(n_columns / len(groups))))
        n_rows = SCREENING_NUMBERS // (2 * n_prepared(self.model) * n_passes)
        few = np.arange(min(SCREENING_ROWS, max(MIN_ROWS, n_rows), len(self.table)))
        neighbours = np.stack([few, np.roll(few, 1)])
        while True:
            predictions = (self._predictions(group.tolist(), neighbours) for group in groups)
            effects = [((y[1] - y[0]) ** 2).mean() for y in predictions]
            groups = [groups[number] for number in np.argsort(-np.array(effects), kind="stable")[:n_permuted]]
            if all(len(group) == 1 for group in groups):
                return sorted(int(group[0]) for group in groups)
            groups = [half for group in groups for half in np.array_split(group, 2) if len(half)]

    def dependence(self, group: Sequence[int], name: str) -> dict[str, Any]:
        """The mean predictions if every row had the values that some row has in these columns."""
        position = group[0]
        column, values = self.table.column_values[position]
        shown, donors, counts = _grid(column, values)
        n_rows = min(DEPENDENCE_ROWS, len(self.table))
        y = self._predictions(group, np.repeat(donors[:, None], n_rows, axis=1)).mean(axis=1)  # (G, O)
        return {
            "column": name,
            "kind": "numeric" if column.kind == "numeric" else "category",
            "x": shown,
            "y": {output: y[:, number].tolist() for number, output in _outputs(self.model.target_decoder)},
            "counts": counts,
        }

    @property
    def _n_blocks(self) -> int:
        return max(n_blocks for n_blocks in T_QUANTILES if 2 * n_blocks <= len(self.table))

    @cached_property
    def _prepared(self) -> dict[int, Array]:
        """The rows (N, P) by the id of the preprocessing, as far as they are known."""
        return {}

    def _predictions(self, group: Sequence[int], donors: Array) -> Array:
        """Predict the first n rows with the columns of a group taken from others.

        Parameters
        ----------
        group : sequence of int
            Raw columns.
        donors : int array (K, n)
            For each of K predictions and each of the rows, the row whose values it gets.

        Returns
        -------
        array (K, n, O)
        """
        model, decoder = self.model, self.model.target_decoder
        rows, donor = np.tile(np.arange(donors.shape[1]), len(donors)), donors.ravel()
        n_at_once, parts = max(1, NUMBERS_AT_ONCE // max(1, n_prepared(model))), []
        for first in range(0, len(rows), n_at_once):
            part = slice(first, first + n_at_once)

            def exchanged(preprocessing: Preprocessing, part: slice = part) -> Array:
                if id(preprocessing) not in self._prepared:
                    self._prepared[id(preprocessing)] = preprocessing(self.table)
                known, own = self._prepared[id(preprocessing)], np.flatnonzero(np.isin(preprocessing.origins, group))
                x = known[rows[part]]
                x[:, own] = known[np.ix_(donor[part], own)]
                return x

            parts.append(model.logits_from_prepared(exchanged))
        y = model.loss.predict(np.concatenate(parts)[None])[0] if parts else np.empty((0, 1))
        y = decoder.predicted(y) if isinstance(decoder, ValueDecoder) else y
        return y.reshape(*donors.shape, -1)


def n_prepared(model: Model | Ensemble) -> int:
    """Return how many prepared columns a model has; of an ensemble, the most that one of its models has."""
    models = model.models if isinstance(model, Ensemble) else (model,)
    return max(single.preprocessing.n_outputs for single in models)


def exchange(block: Array, random: np.random.Generator) -> Array:
    """For each row another row of its block, drawn at random; each row is drawn once.

    Parameters
    ----------
    block : int array (N,)
        Number of each row's block, ascending. Each block has at least two rows.
    random : Generator
    """
    order = np.lexsort((random.random(len(block)), block))  # blocks one after the other, in each a random order
    starts = np.searchsorted(block, block, side="left")
    ends = np.searchsorted(block, block, side="right")
    following = np.arange(1, len(block) + 1)
    following = np.where(following == ends, starts, following)
    donor = np.empty(len(block), np.intp)
    donor[order] = order[following]
    return donor


def _scores_without_blocks(metric: Metric, y: Array, t: Array, weights: Array, block: Array) -> Array:
    """Scores of y (K, N, O) on all rows, and on all but those of each block: (K, 1 + blocks)."""
    n_blocks = block[-1] + 1
    if metric.rows is not None and (y.shape[2] == 1 or metric.finish is identity):
        weighted = metric.rows(y, t[None]) * weights  # (K, N)
        starts = np.searchsorted(block, np.arange(n_blocks))
        sums, totals = np.add.reduceat(weighted, starts, axis=1), np.add.reduceat(weights, starts)
        sums = np.concatenate([np.zeros_like(sums[:, :1]), sums], axis=1)
        totals = np.concatenate([[0.0], totals])
        with np.errstate(all="ignore"):  # if the rows of one block have all the weight
            return metric.finish((weighted.sum(axis=1, keepdims=True) - sums) / (weights.sum() - totals))
    parts = [np.ones(len(block), bool), *(block != number for number in range(n_blocks))]
    with np.errstate(all="ignore"):
        return np.stack([metric.value(y[:, part], t[None, part], weights[None, part]) for part in parts], axis=1)


def alike(table: Table, positions: Sequence[int]) -> list[list[int]]:
    """Group the columns whose values have a rank correlation above 0.95 or below -0.95; categories stay alone.

    Returns
    -------
    list of list of int
        Each position once, in their order.
    """
    ranked = [at for at in positions if table.columns[at].kind != "categorical"]
    ranks = np.array([_ranks(table.columns[at], table.column_values[at][1]) for at in ranked]).reshape(-1, len(table))
    norms = np.linalg.norm(ranks, axis=1, keepdims=True)
    ranks = ranks / np.where(norms > 0, norms, 1)
    is_alike = np.abs(ranks @ ranks.T) > ALIKE
    group_of = {at: [at] for at in positions}
    for first, second in zip(*np.nonzero(np.triu(is_alike, 1)), strict=True):
        one, other = group_of[ranked[first]], group_of[ranked[second]]
        if one is not other:
            one += other
            group_of |= dict.fromkeys(other, one)
    return [sorted(group) for at, group in group_of.items() if min(group) == at]


def _ranks(column: Column, values: Array) -> Array:
    """Ranks of numbers or codes, equal for equal values, with mean 0; missing values have rank 0."""
    missing = values < 0 if column.kind in CODED else np.isnan(values)
    ranks = np.zeros(len(values))
    if not missing.all():
        _, number, counts = np.unique(values[~missing], return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - (counts - 1) / 2
        ranks[~missing] = middle[number] - np.average(middle, weights=counts)
    return ranks


def _grid(column: Column, values: Array) -> tuple[list[Any], Array, list[int]]:
    """Values of a column: how they are shown, a row that has each, and how many rows are nearest to it."""
    present = np.flatnonzero(values >= 0 if column.kind in CODED else ~np.isnan(values))
    if not len(present):
        return [], present, []
    distinct, first, counts = np.unique(values[present], return_index=True, return_counts=True)
    if column.kind in ("categorical", "boolean", "ordinal") or len(distinct) <= N_GRID:
        chosen = np.arange(len(distinct))
        if len(distinct) > MAX_CATEGORIES and column.kind in CODED:
            chosen = np.sort(np.argsort(-counts, kind="stable")[:MAX_CATEGORIES])
    else:
        at = np.linspace(0.02, 0.98, N_GRID) * (len(present) - 1)
        quantiles = np.sort(values[present])[np.round(at).astype(int)]
        chosen = np.unique(np.searchsorted(distinct, quantiles))
        edges = (distinct[chosen][1:] + distinct[chosen][:-1]) / 2
        counts = np.bincount(np.searchsorted(edges, values[present]), minlength=len(chosen))
        first, distinct, chosen = first[chosen], distinct[chosen], np.arange(len(chosen))
    if column.kind == "numeric" and column.type == "string":  # a number that was written as text, such as $71,400
        return distinct[chosen].tolist(), present[first[chosen]], counts[chosen].tolist()
    texts = [value if column.kind == "numeric" else str(value) for value in column.show(distinct[chosen])]
    return texts, present[first[chosen]], counts[chosen].tolist()


def _outputs(decoder: TargetDecoder) -> list[tuple[int, str]]:
    """The outputs of a model, by number and name; with two classes there is one, that of the second."""
    if isinstance(decoder, ClassDecoder):
        labels = [str(label) for label in decoder.labels.tolist()]
        return list(enumerate(labels if len(labels) != 2 else labels[1:]))
    return list(enumerate(decoder.names))


def _group_name(names: Sequence[str]) -> str:
    more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return " + ".join(names[:N_NAMED]) + more
