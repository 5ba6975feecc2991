"""The score of the trial that was chosen as the best, corrected for the choice."""

from typing import NamedTuple

import numpy as np

from nncore.random_streams import generator
from pipeline.engine.uncertainty.intervals import score_intervals
from pipeline.engine.uncertainty.scores import Scores

MOST_DRAWS, FEWEST_DRAWS = 500, 100
MOST_WORK = 4e10  # multiplications
PARTS = 5
METHOD = "bias-corrected cross-validation (Tsamardinos, Greasidou & Borboudakis 2018), leaving out fifths of the rows"


class Corrected(NamedTuple):
    """The best trial's score.

    Parameters
    ----------
    best : int
        The trial with the best score.
    raw : float
        Its score, too good on the average: of many trials, the best is also the luckiest.
    value : float
        The score to expect on new rows.
    low, high : float
        95 % confidence interval: that of the score (`score_intervals`), shifted by the correction.
    n_draws : int
    """

    best: int
    raw: float
    value: float
    low: float
    high: float
    n_draws: int


def corrected(scores: Scores) -> Corrected | None:
    """Correct the best trial's score for having been chosen by it.

    Parameters
    ----------
    scores : Scores
        Of all trials among which the choice was made.

    Returns
    -------
    Corrected or None
        None if there are fewer than two trials with a finite score, or so many trials and rows that it would take more
        than some seconds.

    Notes
    -----
    The rows are divided at random into fifths, again and again. The best trial is chosen by four of them and scored on
    the fifth; the mean of these scores is the corrected one (of a root, the root of the mean). A score that is no mean
    over rows is taken to first order in its influence. The paper draws bootstrap samples instead. They choose by 63 %
    of the rows, and so a worse trial than all rows do: simulated, the corrected score of single networks is then too
    bad by up to 0.3 times what the raw one is too good, with fifths by up to 0.2.

    It corrects for the choice of one of the given trials by these rows. It cannot correct what these rows decided
    before: which trials an adaptive search suggested or halving kept, and the epoch that early stopping chose for each
    network. The corrected score then is still too good. Only rows that decided nothing (the test rows) are free of it.

    References
    ----------
    Tsamardinos, Greasidou, Borboudakis (2018), "Bootstrapping the out-of-sample predictions for efficient and accurate
    cross-validation".
    """
    finite = np.flatnonzero(np.isfinite(scores.means).all(axis=(1, 2)))
    if len(finite) < 2:
        return None
    known = scores.take(finite)
    u, values = known.of_trials(), known.means.mean(axis=(1, 2))
    sign = -1 if known.metric.greater_is_better else 1
    n_groups = u.shape[1]
    n_draws = int(min(MOST_DRAWS, MOST_WORK / u.size)) // PARTS * PARTS
    if n_draws < FEWEST_DRAWS:
        return None
    random = generator(0, "correction for selection")
    total = 0.0
    at_once = max(1, min(10, 5_000_000 // n_groups))  # divisions into parts, B parts in all
    for start in range(0, n_draws // PARTS, at_once):
        divisions = [random.permutation(n_groups) % PARTS for _ in range(start, min(start + at_once, n_draws // PARTS))]
        left_out = np.concatenate([np.arange(PARTS)[:, None] == part for part in divisions]).astype(
            np.float64
        )  # (B, G)
        sizes, moved = left_out.sum(axis=1), u @ left_out.T  # (B,), (T, B)
        chosen = (sign * (values[:, None] - moved * n_groups / (n_groups - sizes))).argmin(axis=0)
        total += float((values[chosen] + moved[chosen, range(len(chosen))] * n_groups / sizes).sum())
    best = int((sign * known.values).argmin())
    value = float(known.metric.finish(np.array(total / n_draws)))
    raw = float(known.values[best])
    low, high = (score_intervals(known)[best] + value - raw).tolist()
    return Corrected(int(finite[best]), raw, value, low, high, n_draws)
