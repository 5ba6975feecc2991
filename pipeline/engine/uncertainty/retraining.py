"""How much scores vary because networks are trained anew, beyond what the choice of the scored rows explains."""

from typing import NamedTuple

import numpy as np

from nncore.kernels.backend import Array
from pipeline.engine.uncertainty.scores import Scores

PRIOR_FREEDOM = 4.0
PRIOR_SHARE = 0.005  # variance of the networks' mean losses, by that of a single row's loss over the networks
POOLED = 20  # trials whose variances are averaged, next to each other in the ranking


class Retraining(NamedTuple):
    """The variance of a trial's mean score over retraining, by trial, and its degrees of freedom.

    Parameters
    ----------
    own : array (T,)
        Of what is a trial's own: what it does not share with the trials that were trained with the same seeds and rows.
    own_freedom : array (T,)
    total : array (T,)
        With what they share.
    total_freedom : array (T,)
    """

    own: Array
    own_freedom: Array
    total: Array
    total_freedom: Array


def retraining(scores: Scores) -> Retraining:
    """Estimate the variance over retraining, from the differences between the seeds (one fold) or the folds.

    Parameters
    ----------
    scores : Scores
        Of networks whose scores are finite.

    Returns
    -------
    Retraining
        All 0 with a single network per trial: then nothing is known of it.

    Notes
    -----
    With C columns (the seeds of one fold, or the folds, each the mean of its seeds) the scores are

        m_tc = trial t + column c + e_tc,

    and the variance of e within a trial, less the part that the rows explain, is pooled over 20 trials that are next to
    each other in the ranking: with 3 seeds, a single trial has 2 degrees of freedom. What the columns share among the
    trials (the same random start, or rows that are hard for all) has C - 1, however many trials there are.

    The own variance is moderated: with a weight of 4 degrees of freedom, it is what networks usually show, 0.005 times
    the variance of a single row's loss over networks of one setting (simulated: 0.0005 for accuracy, 0.003 for the log
    loss, 0.008 for absolute errors). Among 20 trials that hardly matters; between two trials with 3 seeds it decides
    whether anything can be told apart.

    References
    ----------
    Smyth (2004), "Linear models and empirical Bayes methods for assessing differential expression", for moderated
    variances.
    """
    n_trials, n_folds, n_seeds = scores.means.shape
    zeros, infinite = np.zeros(n_trials), np.full(n_trials, np.inf)
    if n_folds * n_seeds == 1:
        return Retraining(zeros, infinite, zeros, infinite)
    result = Retraining(*(np.empty(n_trials) for _ in Retraining._fields))
    order = np.argsort(scores.values, kind="stable")
    for block in np.array_split(order, max(1, n_trials // POOLED)):
        for all_trials, of_block in zip(result, _of_block(scores.take(block)), strict=True):
            all_trials[block] = of_block
    return result


def _of_block(scores: Scores) -> tuple[float, float, float, float]:
    """The four numbers of `Retraining` for trials that are pooled."""
    n_trials, n_folds, n_seeds = scores.means.shape
    if n_folds == 1:
        means, influence = scores.means[:, 0], scores.influence  # (T, C), (T, C, G)
        centred = influence - influence.mean(axis=1, keepdims=True)
        n_columns = n_seeds
    else:
        means, influence = scores.means.mean(axis=2), scores.influence.mean(axis=1, keepdims=True)
        n_columns = n_folds
        centred = influence * np.sqrt((n_folds - 1) / n_folds)  # a row belongs to one column only
    freedom = n_columns - 1
    means = means - means.mean(axis=1, keepdims=True)
    shared, shared_rows = means.mean(axis=0), centred.mean(axis=0)  # (C,), (C, G)
    shared_variance = float((shared**2).sum()) / freedom
    shared_noise = float((shared_rows**2).sum()) / freedom
    total = float((means**2).sum()) / (n_trials * freedom)
    noise = float((centred**2).sum()) / (n_trials * freedom)
    own = own_freedom = 0.0
    if n_trials > 1:
        observed = freedom * (n_trials - 1)
        of_rows = (noise - shared_noise) * n_trials / (n_trials - 1)
        own = (total - shared_variance) * n_trials / (n_trials - 1) - of_rows
        expected = PRIOR_SHARE * of_rows * scores.n_rows / n_folds
        own_freedom = observed + PRIOR_FREEDOM
        own = (observed * own + PRIOR_FREEDOM * expected) / own_freedom
    rest = total - shared_variance
    spread = shared_variance**2 / freedom + rest**2 / max(1, own_freedom)
    total_freedom = total**2 / spread if spread > 0 else np.inf
    excess = max(0.0, total - noise * (1 + np.sqrt(0.5 / total_freedom)))  # more than about half a standard error
    return max(0.0, own) / n_columns, own_freedom, excess / n_columns, total_freedom
