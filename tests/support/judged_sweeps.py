"""What the uncertainty of simulated sweeps says, against their truth: law 9 in numbers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from simulated_sweeps import SCORES, Plan, Sweep, row_losses, simulate

from nncore import metrics
from pipeline.engine.uncertainty.comparison import compare
from pipeline.engine.uncertainty.correction import corrected
from pipeline.engine.uncertainty.intervals import score_intervals
from pipeline.engine.uncertainty.scores import measured

NAMED = 2  # trials whose intervals are judged; of any sweep, they are named beforehand
FURTHER = 6  # trials whose networks stand for all that could be trained on the rows of one fold
SIZES = (2, 20, 112)  # of the sweeps in which equal settings are compared

Record = dict[str, Any]


def trials_of_truth(plan: Plan, y: np.ndarray, t: np.ndarray, folds: np.ndarray) -> list[int]:
    """The trials whose truth `judge` asks for."""
    if plan.n_folds * plan.n_seeds == 1:
        return list(range(len(y)))
    score = SCORES[plan.task][0]
    losses = row_losses(plan.task, score, y, t)
    by_fold = np.stack([losses[..., folds == fold].mean(axis=2) for fold in range(plan.n_folds)])
    values = (np.sqrt(by_fold) if score.startswith("root") else by_fold).mean(axis=(0, 2))
    champions = {int(values[:size].argmin()) for size in SIZES if size <= plan.n_trials}
    return sorted(champions | set(range(FURTHER if plan.n_folds == 1 else NAMED)))


def judge(plan: Plan, sweep: Sweep, all_scores: bool = True) -> Record:
    """Intervals, comparisons and the corrected champion of one replication, beside the truth.

    Returns
    -------
    dict
        "intervals": by score, [[value, low, high, true score of the networks, true score of the setting or None]] of
        the named trials. "ties": by score and size of the sweep, whether any equal setting was called worse wrongly,
        and the named one. "power": by score and size, for each worse setting [difference, told apart]. "champion": by
        size, [raw, corrected, true score, chance, low, high]: chance is the deviation of a named trial from its truth,
        which has the mean 0; low and high are the corrected score's interval.
    """
    record: Record = {"intervals": {}, "ties": {}, "power": {}, "champion": {}}
    t = sweep.t[:, None]
    for index, name in enumerate(SCORES[plan.task] if all_scores else SCORES[plan.task][:2]):
        metric = getattr(metrics, name)()
        is_mean = metric.rows is not None
        scores = measured(metric, sweep.y[: None if is_mean else NAMED, ..., None], t, sweep.folds)
        if scores is None:
            continue
        true = {trial: float(values[index].mean()) for trial, values in sweep.true.items()}
        named = scores.take(np.arange(min(20, plan.n_trials, len(scores.means))))
        of_setting = None
        if plan.n_folds == 1 and plan.n_seeds > 1:
            of_setting = float(np.mean([true[trial] for trial in range(FURTHER)]))
        intervals = score_intervals(named)
        if np.isfinite(intervals[:NAMED]).all():
            record["intervals"][name] = [
                [float(named.values[trial]), *intervals[trial].tolist(), true[trial], of_setting]
                for trial in range(NAMED)
            ]
        if not is_mean or index > 1:
            continue
        record["ties"][name], record["power"][name] = {}, {}
        for size in (size for size in SIZES if size <= plan.n_trials):
            equal = np.arange(size)
            record["ties"][name][size] = _false_claims(
                scores, equal, true if plan.n_folds * plan.n_seeds == 1 else None
            )
            record["power"][name][size] = [_found(scores, equal, plan.n_trials + j) for j in range(len(plan.worse))]
            if index == 0 and size > 2:
                best = corrected(scores.take(equal))
                truth = sweep.true[0][0]
                chance = scores.means[0].mean() - (truth**2 if name.startswith("root") else truth).mean()
                chance = chance / (2 * truth.mean()) if name.startswith("root") else chance
                record["champion"][size] = [best.raw, best.value, true[best.best], float(chance), best.low, best.high]
    return record


def _false_claims(scores: Any, trials: np.ndarray, true: dict[int, float] | None) -> list[bool]:
    """Whether any of the trials, and the first, is called worse wrongly; with true scores, without being worse."""
    some = scores.take(trials)
    worse = ~compare(some).tied
    if true is not None:
        sign = -1 if some.metric.greater_is_better else 1
        best = int((sign * some.values).argmin())
        risks = sign * np.array([true[trial] for trial in trials.tolist()])
        worse &= risks <= risks[best]
    return [bool(worse.any()), bool(worse[0])]


def _found(scores: Any, equal: np.ndarray, worse: int) -> list[Any]:
    """The score of a worse setting less that of the named one, and whether it is told apart."""
    some = scores.take(np.append(equal, worse))
    return [float(some.values[-1] - some.values[0]), bool(not compare(some).tied[-1])]


@dataclass
class Line:
    """One row of the table: a score of a plan.

    Parameters
    ----------
    n : int
        Replications.
    coverage, of_networks : float
        How often the intervals cover the true score of what they estimate, and of the networks themselves.
    width : float
        Mean width of the intervals, by the oracle's: 2 x 1.96 standard deviations of the estimate about the truth.
    false : dict of int to float
        By size, how often any equal setting is called worse wrongly.
    power : dict of int to float
        By size, how often a setting is told apart that is 4 standard errors worse, or `errors`.
    errors : float
        By how many standard errors the worst setting is worse, but at most 4.
    raw, corrected : dict of int to float
        By size, the mean bias of the champion's score.
    of_champion : dict of int to float
        By size, how often the interval around the corrected score covers the true score of the champion's networks.
    """

    n: int
    coverage: float
    of_networks: float
    width: float
    false: dict[int, float] = field(default_factory=dict)
    power: dict[int, float] = field(default_factory=dict)
    errors: float = 4.0
    raw: dict[int, float] = field(default_factory=dict)
    corrected: dict[int, float] = field(default_factory=dict)
    of_champion: dict[int, float] = field(default_factory=dict)


def lines(plan: Plan, records: Iterable[Record]) -> dict[str, Line]:
    """The table of a plan, by score."""
    records = list(records)
    table = {}
    for name in SCORES[plan.task]:
        rows = [record["intervals"][name] for record in records if name in record["intervals"]]
        if not rows:
            continue
        values = np.array([[[np.nan if x is None else x for x in trial] for trial in row] for row in rows], float)
        value, low, high, networks, setting = np.moveaxis(values, 2, 0)  # each (replications, trials)
        if plan.n_folds > 1:
            setting = np.full_like(networks, networks.mean())
        target = networks if plan.n_folds * plan.n_seeds == 1 else setting
        oracle = 2 * 1.96 * np.sqrt((value - target).var(axis=0).mean())
        line = table[name] = Line(
            len(rows),
            float(((low <= target) & (target <= high)).mean()),
            float(((low <= networks) & (networks <= high)).mean()),
            float((high - low).mean() / oracle),
        )
        for size in SIZES:
            key = size if records and size in records[0]["ties"].get(name, {}) else str(size)
            if records and key in records[0]["ties"].get(name, {}):
                line.false[size] = float(np.mean([record["ties"][name][key][0] for record in records]))
                line.power[size], line.errors = _power([record["power"][name][key] for record in records])
            if name == SCORES[plan.task][0] and key in records[0]["champion"]:
                raw, value_, true, chance, low_, high_ = np.array([r["champion"][key] for r in records]).T
                line.raw[size] = float((raw - true - chance).mean())
                line.corrected[size] = float((value_ - true - chance).mean())
                line.of_champion[size] = float(((low_ <= true) & (true <= high_)).mean())
    return table


def _power(found: list[list[list[Any]]]) -> tuple[float, float]:
    """How often a setting is told apart that is 4 standard errors worse, linear in between; or the worst there is.

    The standard error is the standard deviation of the difference over replications.
    """
    differences = np.array([[row[0] for row in rows] for rows in found])  # (replications, settings)
    told_apart = np.array([[row[1] for row in rows] for rows in found])
    z = np.abs(differences.mean(axis=0) / differences.std(axis=0))
    order = np.argsort(z)
    return float(np.interp(4, z[order], told_apart.mean(axis=0)[order])), min(4.0, float(z.max()))


def judged(plan: Plan, replication: int, all_scores: bool = True) -> Record:
    """Simulate and judge one replication."""
    sweep = simulate(plan, replication, lambda y, t, folds: trials_of_truth(plan, y, t, folds), all_scores)
    return judge(plan, sweep, all_scores)
