"""The scores of networks, and how much each row moves them: what all that is said about uncertainty is computed from.

    T trials;  F folds, S seeds per fold;  R scored rows: of one fold, or of all folds one after the other
    G groups of rows, G <= R: single rows where a score is a mean over rows

A score s of n rows changes by about u_g when group g is drawn once more or once less, where sum over g of u_g = 0. Then
sum over g of u_g^2 estimates the variance of s over samples of n rows (the infinitesimal jackknife; for a mean, the
square of its standard error), and sums of products the covariance of two scores of the same rows.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nncore.kernels.backend import Array
from nncore.metrics import Metric, identity
from nncore.random_streams import generator

FEWEST_ROWS = 50  # of all folds together: with fewer, nothing is said
FEWEST_OF_CLASS = 5  # rows of each class or label
PERTURBATIONS = 64  # of the weights of the rows, of all folds together, for a score that is no mean over rows
FEWEST_PERTURBATIONS = 16  # of the rows of one fold
PERTURBATION = 0.5  # weights become 0.5 and 1.5
NUMBERS_AT_ONCE = 1 << 23  # of an array that is computed block by block

Estimand = Literal["networks", "setting"]


@dataclass(frozen=True)
class Scores:
    """The scores of T trials by one metric.

    Parameters
    ----------
    means : float64 array (T, F, S)
        The score of each network; for a metric with `finish`, before it: the mean over the rows.
    influence : float array (T, S, G)
        How much each group of rows moves the mean of the network of its fold.
    folds : int array (G,)
        The fold of each group.
    groups : int array (G,)
        Equal numbers, from 0, for the same rows: with repeated folds a row is scored several times.
    metric : Metric
    n_rows : int
        Different rows.
    """

    means: Array
    influence: Array
    folds: Array
    groups: Array
    metric: Metric
    n_rows: int

    @property
    def estimand(self) -> Estimand:
        """What the scores estimate.

        With one fold and one seed, "networks": the scores of these networks on new rows. Otherwise "setting": the mean
        score of networks that are trained anew, on the same training rows (one fold) or also on others (several).
        """
        return "networks" if self.means[0].size == 1 else "setting"

    @property
    def values(self) -> Array:
        """The score of each trial (T,): the mean over its networks."""
        return self.metric.finish(self.means).mean(axis=(1, 2))

    def finished(self) -> "Scores":
        """Return the same scores after `finish`, to first order in the influence."""
        if self.metric.finish is identity:
            return self
        finish = self.metric.finish
        step = 1e-6 * np.maximum(np.abs(self.means), 1e-300)
        slopes = (finish(self.means + step) - finish(self.means)) / step  # (T, F, S)
        influence = self.influence * np.swapaxes(slopes, 1, 2)[:, :, self.folds]
        return replace(
            self, means=finish(self.means), influence=influence, metric=self.metric._replace(finish=identity)
        )

    def take(self, trials: Array) -> "Scores":
        """Return the scores of these trials."""
        return replace(self, means=self.means[trials], influence=self.influence[trials])

    def of_trials(self) -> Array:
        """How much each group of different rows moves the mean of a trial's networks: (T, groups)."""
        influence: Array = self.influence.mean(axis=1, dtype=np.float64) / self.means.shape[1]
        n_groups = int(self.groups.max()) + 1
        if n_groups == len(self.groups):
            return influence
        total = np.zeros((n_groups, len(influence)))
        np.add.at(total, self.groups, influence.T)
        return total.T


def measured(
    metric: Metric,
    y: Array,
    t: Array,
    folds: Array | None = None,
    weights: Array | None = None,
    rows: Array | None = None,
) -> Scores | None:
    """Score the predictions of all networks.

    Parameters
    ----------
    metric : Metric
    y : array (T, S, R, O)
        Predictions; see `pipeline.stages.answers.Answers`, also for the others.
    t : array (R, O)
    folds : int array (R,), optional
        The fold of each row, from 0. None: a single fold.
    weights : array (R,), optional
    rows : int array (R,), optional
        Which row it is; needed where folds are repeated, so that rows occur several times. None: all differ.

    Returns
    -------
    Scores or None
        None where there are too few rows to say how uncertain a score is: fewer than 50, or fewer than 5 of a class or
        a label (both sides of it) in a metric that is no mean over rows.

    Notes
    -----
    For a mean over rows, u_r = w_r (l_r - mean) sqrt(n / (n - 1)), with weights w_r that sum to 1. For another metric
    the rows are divided at random into G groups. In each of G + 1 perturbations the weights of about half of the groups
    become 1.5 times as large and those of the others half as large, as the rows of a Hadamard matrix h_bg = 1 or -1
    say, and u_g = mean over b of h_bg s_b / 0.5: balanced half-samples by Fay's method. It holds for medians, too, and
    no class vanishes.

    References
    ----------
    Jaeckel (1972), "The infinitesimal jackknife"; Judkins (1990), "Fay's method for variance estimation".
    """
    if metric.finish is not identity and y.shape[3] > 1:  # of several values it is a mean of roots, no root of a mean
        metric = metric._replace(rows=None, finish=identity)
    folds = np.zeros(len(t), np.int64) if folds is None else np.asarray(folds)
    _, ids = np.unique(np.arange(len(t)) if rows is None else rows, return_inverse=True)
    n_rows = int(ids.max(initial=-1)) + 1
    if n_rows < FEWEST_ROWS or (metric.rows is None and _a_class_is_rare(metric, t)):
        return None
    n_folds = int(folds.max()) + 1
    repeated, apart = n_rows < len(t), 1 if n_rows < len(t) else n_folds
    order = 2 ** int(np.log2(min(max(PERTURBATIONS / apart, FEWEST_PERTURBATIONS), n_rows / apart)))
    n_groups = order - 1
    group = generator(0, "groups of rows", n_rows).permutation(n_rows)[ids] % n_groups
    means, influence, of_fold, groups = [], [], [], []
    for fold in range(n_folds):
        part = np.flatnonzero(folds == fold)
        of_part = None if weights is None else np.asarray(weights, np.float64)[part]
        if metric.rows is not None:
            scored, moved = _of_rows(metric, y[:, :, part], t[part], of_part)
            groups.append(ids[part])
        else:
            scored, moved = _of_groups(metric, y[:, :, part], t[part], of_part, group[part], order)
            groups.append(np.arange(n_groups) + (0 if repeated else fold * n_groups))
        means.append(scored)
        influence.append(moved)
        of_fold.append(np.full(moved.shape[2], fold))
    _, distinct = np.unique(np.concatenate(groups), return_inverse=True)
    return Scores(
        np.stack(means, axis=1), np.concatenate(influence, axis=2), np.concatenate(of_fold), distinct, metric, n_rows
    )


def _a_class_is_rare(metric: Metric, t: Array) -> bool:
    if "values" in metric.targets:
        return False
    counts = (t > 0.5).sum(axis=0)
    if t.shape[1] == 1 or counts.sum() != len(t):  # two classes, or labels: the other side counts too
        counts = np.minimum(counts, len(t) - counts)
    present = counts[counts > 0]
    return not len(present) or int(present.min()) < FEWEST_OF_CLASS


def _of_rows(metric: Metric, y: Array, t: Array, weights: Array | None) -> tuple[Array, Array]:
    """Means (T, S) of a fold, and the influence of each row (T, S, N)."""
    assert metric.rows is not None
    n_trials, n_seeds, n = y.shape[:3]
    shares = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    means, influence = np.empty((n_trials, n_seeds)), np.empty((n_trials, n_seeds, n), np.float32)
    at_once = max(1, NUMBERS_AT_ONCE // max(1, y[0].size))
    for start in range(0, n_trials, at_once):
        block = y[start : start + at_once]
        rows = metric.rows(block.reshape(-1, *y.shape[2:]), t[None]).reshape(len(block), n_seeds, n)
        means[start : start + at_once] = rows @ shares
        centred = rows - means[start : start + at_once, :, None]
        influence[start : start + at_once] = centred * (shares * np.sqrt(n / max(1, n - 1)))
    return means, influence


def _of_groups(
    metric: Metric, y: Array, t: Array, weights: Array | None, group: Array, order: int
) -> tuple[Array, Array]:
    """Scores (T, S) of a fold, and the influence of each group (T, S, G)."""
    from scipy.linalg import hadamard

    n_trials, n_seeds, n = y.shape[:3]
    base = np.ones(n) if weights is None else weights
    signs = hadamard(order)[:, 1:]  # (perturbations, G): orthogonal columns
    perturbed = base * (1 + PERTURBATION * signs[:, group])
    networks = y.reshape(-1, *y.shape[2:])
    scores, changed = np.empty(len(networks)), np.empty((len(networks), order))
    for index, network in enumerate(networks):
        scores[index] = metric.value(network[None], t[None], None if weights is None else base[None])[0]
        changed[index] = metric.value(np.broadcast_to(network, (order, *network.shape)), t[None], perturbed)
    influence = changed @ signs / (order * PERTURBATION)
    return scores.reshape(n_trials, n_seeds), influence.reshape(n_trials, n_seeds, -1)
