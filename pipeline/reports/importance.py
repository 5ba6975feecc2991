"""Hyperparameter importances by PED-ANOVA, over the trials that have a result, beside what shuffled scores give.

For each hyperparameter, compare how the best trials are distributed over its values with how all trials are: if both
distributions are the same, its value does not matter. Their distance is Pearson's divergence,

    sum over v of p(v) (q(v) / p(v) - 1)^2,

with the distribution p of all trials and q of the best tenth. Both are kernel density estimates on a grid.

Few trials differ from all of them by chance as well, so that the largest share of hyperparameters that do not matter is
often a half. The same computation with the scores shuffled among the trials says how large chance makes it.

References
----------
Watanabe, Bansal, Hutter (2023), "PED-ANOVA: efficiently quantifying hyperparameter importance". The constants are
Optuna's. Its own function is not used, as importing it imports scikit-learn and takes longer than drawing the page.
"""

import math
from typing import NamedTuple

import numpy as np

from nncore.kernels.backend import Array
from nncore.random_streams import generator
from pipeline.reports.contents import RunContents

FEWEST_TRIALS = 8
BEST_SHARE = 0.1  # of the trials
N_STEPS = 50  # of a numeric hyperparameter's grid
SMALLEST_BANDWIDTH = 0.5 / 1.64  # grid steps: 90 % of the kernel then lie within one step
N_SHUFFLES = 200
LEVEL = 0.95
ERF_GRID = np.linspace(-4, 4, 4001)  # erf is interpolated for shuffled scores
ERF = np.array([math.erf(x) for x in ERF_GRID.tolist()])


class Importance(NamedTuple):
    """How much a hyperparameter matters.

    Parameters
    ----------
    share : float
        Of the total importance; that of all hyperparameters is 1.
    shuffled : float
        The share that is exceeded in one of 20 cases if the scores are shuffled among the trials.
    stands_out : bool
        Whether its divergence is larger than chance explains: if no hyperparameter matters, at least one of them stands
        out in one of 20 sweeps.
    """

    share: float
    shuffled: float
    stands_out: bool


def importances(contents: RunContents) -> dict[str, Importance]:
    """Compute the importance of each hyperparameter that all trials have and that differs among them.

    Returns
    -------
    dict
        By name, the largest share first. Empty for fewer than 8 trials, or fewer than 2 such hyperparameters. If none
        stands out, the shares say nothing.

    Notes
    -----
    Hyperparameters that only some trials have, such as the rho of one optimizer, cannot be compared and are left out.
    Learning rates and strengths are compared on a logarithmic scale.

    Divergences are divided by the 95 % quantile of the shuffled ones, by hyperparameter; one stands out if this ratio
    is larger than the largest of all hyperparameters is in 95 % of the shuffles.
    """
    columns = _columns(contents)
    if len(contents.ranked_rows) < FEWEST_TRIALS or len(columns) < 2:
        return {}
    scores = np.array(list(contents.scores().values()))
    losses = scores if contents.smaller_is_better else -scores
    is_best = losses <= np.sort(losses)[math.ceil(BEST_SHARE * len(losses)) - 1]
    random = generator(0, "shuffled scores")
    masks = np.stack([is_best, *(random.permutation(is_best) for _ in range(N_SHUFFLES))])  # (1 + B, T)
    divergences = np.stack([_divergences(name, values, masks) for name, values in columns.items()], axis=1)
    totals = divergences.sum(axis=1, keepdims=True)
    shares = np.divide(divergences, totals, out=np.full_like(divergences, 1 / len(columns)), where=totals > 0)
    scaled = divergences / (np.quantile(divergences, LEVEL, axis=0) + 1e-12)
    p_values = (scaled.max(axis=1)[1:, None] >= scaled[0]).sum(axis=0) + 1
    stands_out = p_values <= (1 - LEVEL) * (N_SHUFFLES + 1)
    by_chance = np.quantile(shares[1:], LEVEL, axis=0)
    found = {
        name: Importance(float(shares[0, c]), float(by_chance[c]), bool(stands_out[c]))
        for c, name in enumerate(columns)
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].share))


def shares(contents: RunContents) -> dict[str, float]:
    """Return the shares of `importances`, by name, the largest first."""
    return {name: importance.share for name, importance in importances(contents).items()}


def _columns(contents: RunContents) -> dict[str, list[str]]:
    """By setting, its values in the rows, best first; of those that every trial has, and that differ."""
    rows = contents.ranked_rows
    names = contents.trials[rows[0]["trial"]].parameters if rows else {}
    columns = {name: [row.get(name, "") for row in rows] for name in names}
    return {name: values for name, values in columns.items() if all(values) and len(set(values)) > 1}


def _divergences(name: str, values: list[str], masks: Array) -> Array:
    """Pearson's divergences between the distributions of a hyperparameter among the masked (B, T) and all trials."""
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
    p = density(np.bincount(positions, minlength=n_values)[None]) + 1e-12  # (1, V)
    counts = masks.astype(np.float64) @ np.eye(n_values)[positions]  # (B, V)
    q = np.concatenate([density(counts[:1]), density(counts[1:])]) + 1e-12
    divergences: Array = (p * (q / p - 1) ** 2).sum(axis=1)
    return divergences


def _categorical_density(counts: Array) -> Array:
    """Probability of each choice, from how often it was chosen: (B, V) to (B, V).

    A mixture with one kernel for each choice that occurs, weighted by its count, and one uniform kernel of weight 1.
    """
    n, n_values = counts.sum(axis=1, keepdims=True), counts.shape[1]
    n_kernels = (counts > 0).sum(axis=1, keepdims=True) + 1
    of_kernels = (counts + n / n_kernels) / (1 + n_values / n_kernels)
    mixture: Array = (of_kernels + 1 / n_values) / (n + 1)
    return mixture


def _numeric_density(counts: Array) -> Array:
    """Probability of each step of a grid, from how often it was chosen: (B, V) to (B, V).

    A mixture of normal kernels, each truncated to the grid: one for each step that occurs, weighted by its count, its
    bandwidth by Scott's rule; and one of weight 1 that covers the whole grid.
    """
    n_values, n = counts.shape[1], counts.sum(axis=1)  # every row has the same n
    steps = np.arange(n_values)
    means = counts @ steps / n
    spread = np.sqrt((counts * (steps - means[:, None]) ** 2).sum(axis=1) / np.maximum(1, n - 1))
    cumulative = np.cumsum(counts, axis=1)
    first = (cumulative < np.maximum(n // 4, 1)[:, None]).sum(axis=1)
    third = (cumulative <= (n * 3 // 4)[:, None]).sum(axis=1)
    scale = 1.059 * np.minimum((third - first) / 1.34, spread) * n**-0.2
    bandwidths = np.maximum(scale, SMALLEST_BANDWIDTH)[:, None, None]  # (B, 1, 1)
    edges = np.arange(n_values + 1) - 0.5
    n_kernels = int((counts > 0).sum(axis=1).max())
    centres = np.argsort(counts == 0, axis=1, kind="stable")[:, :n_kernels]  # (B, kernels): the steps that occur
    kernels = _kernels((edges - centres[..., None]) / bandwidths)  # (B, kernels, V)
    wide = _kernels((edges - (n_values - 1) / 2)[None, None] / n_values)[0]  # (1, V)
    weights = np.take_along_axis(counts, centres, axis=1)[:, None]
    mixture: Array = ((weights @ kernels)[:, 0] + wide) / (n[:, None] + 1)
    return mixture


def _kernels(edges: Array) -> Array:
    """Normal probabilities between edges (..., V + 1), in bandwidths, that sum to 1 over the V intervals."""
    x = edges / math.sqrt(2)
    below = np.vectorize(math.erf)(x) if len(x) == 1 else np.interp(x, ERF_GRID, ERF)
    kernels: Array = np.diff(below, axis=-1) / (below[..., -1:] - below[..., :1])
    return kernels
