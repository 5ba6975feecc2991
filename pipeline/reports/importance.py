"""Hyperparameter importances by PED-ANOVA, over the trials that have a result.

For each hyperparameter, compare how the best trials are distributed over its values with how all trials are: if both
distributions are the same, its value does not matter. Their distance is Pearson's divergence,

    sum over v of p(v) (q(v) / p(v) - 1)^2,

with the distribution p of all trials and q of the best tenth. Both are kernel density estimates on a grid.

References
----------
Watanabe, Bansal, Hutter (2023), "PED-ANOVA: efficiently quantifying hyperparameter importance". The constants are
Optuna's. Its own function is not used, as importing it imports scikit-learn and takes longer than drawing the page.
"""

import math
from collections.abc import Callable

import numpy as np

from nncore.kernels.backend import Array
from pipeline.reports.contents import RunContents

FEWEST_TRIALS = 8
BEST_SHARE = 0.1  # of the trials
N_STEPS = 50  # of a numeric hyperparameter's grid
SMALLEST_BANDWIDTH = 0.5 / 1.64  # grid steps: 90 % of the kernel then lie within one step


def shares(contents: RunContents) -> dict[str, float]:
    """Compute the importance of each hyperparameter that all trials have and that differs among them.

    Returns
    -------
    dict
        Shares of the total importance by name, largest first; their sum is 1. Empty for fewer than 8 trials, or fewer
        than 2 such hyperparameters.

    Notes
    -----
    Hyperparameters that only some trials have, such as the rho of one optimizer, cannot be compared and are left out.
    Learning rates and strengths are compared on a logarithmic scale.
    """
    columns = _columns(contents)
    if len(contents.ranked_rows) < FEWEST_TRIALS or len(columns) < 2:
        return {}
    scores = np.array(list(contents.scores().values()))
    losses = scores if contents.smaller_is_better else -scores
    cutoff = np.sort(losses)[math.ceil(BEST_SHARE * len(losses)) - 1]
    importances = {name: _importance(name, values, losses <= cutoff) for name, values in columns.items()}
    total = sum(importances.values())
    if not total:
        return {name: 1 / len(importances) for name in importances}
    return {name: importances[name] / total for name in sorted(importances, key=importances.__getitem__, reverse=True)}


def _columns(contents: RunContents) -> dict[str, list[str]]:
    """By setting, its values in the rows, best first; of those that every trial has, and that differ."""
    rows = contents.ranked_rows
    names = contents.trials[rows[0]["trial"]].parameters if rows else {}
    columns = {name: [row.get(name, "") for row in rows] for name in names}
    return {name: values for name, values in columns.items() if all(values) and len(set(values)) > 1}


def _importance(name: str, values: list[str], is_best: Array) -> float:
    """Pearson's divergence between the distributions of a hyperparameter among the best and among all trials."""
    density: Callable[[Array], Array]
    try:
        numbers = np.array([float(value) for value in values])
    except ValueError:
        numbers = np.array([])
    if len(set(numbers.tolist())) > 1:
        if name.endswith(("learning_rate", "strength")) and numbers.min() > 0:
            numbers = np.log(numbers)
        step = np.ptp(numbers) / (N_STEPS - 1)
        positions = np.clip(np.ceil((numbers - numbers.min()) / step - 0.5), 0, N_STEPS - 1).astype(int)
        n_values, density = N_STEPS, _numeric_density
    else:
        choices, positions = np.unique(values, return_inverse=True)
        n_values, density = len(choices), _categorical_density
    p, q = (density(np.bincount(chosen, minlength=n_values)) + 1e-12 for chosen in (positions, positions[is_best]))
    return float(p @ (q / p - 1) ** 2)


def _categorical_density(counts: Array) -> Array:
    """Probability of each choice, from how often it was chosen: (V,) to (V,).

    A mixture with one kernel for each choice that occurs, weighted by its count, and one uniform kernel of weight 1.
    """
    occurs = counts > 0
    n_kernels = occurs.sum() + 1
    kernels = np.eye(len(counts))[occurs] + 1 / n_kernels
    kernels /= kernels.sum(axis=1, keepdims=True)
    mixture: Array = (counts[occurs] @ kernels + 1 / len(counts)) / (counts.sum() + 1)
    return mixture


def _numeric_density(counts: Array) -> Array:
    """Probability of each step of a grid, from how often it was chosen: (V,) to (V,).

    A mixture of normal kernels, each truncated to the grid: one for each step that occurs, weighted by its count, its
    bandwidth by Scott's rule; and one of weight 1 that covers the whole grid.
    """
    steps = np.flatnonzero(counts)
    weights = counts[steps]
    n = int(weights.sum())
    spread = math.sqrt(weights @ (steps - steps @ weights / n) ** 2 / max(1, n - 1))
    cumulative = np.cumsum(weights)
    first = np.searchsorted(cumulative, n // 4, side="left")
    third = min(len(steps) - 1, int(np.searchsorted(cumulative, n * 3 // 4, side="right")))
    bandwidth = 1.059 * min((steps[third] - steps[first]) / 1.34, spread) * n**-0.2
    largest = len(counts) - 1
    centres = np.append(steps, largest / 2)[:, None]
    bandwidths = np.append(np.full(len(steps), max(bandwidth, SMALLEST_BANDWIDTH)), largest + 1)[:, None]
    edges = (np.arange(len(counts) + 1) - 0.5 - centres) / bandwidths  # (kernels, V + 1), in bandwidths
    below = np.vectorize(math.erf)(edges / math.sqrt(2))  # the normal distribution function, up to scale and shift
    kernels = np.diff(below, axis=1) / (below[:, -1:] - below[:, :1])
    mixture: Array = np.append(weights, 1) @ kernels / (n + 1)
    return mixture
