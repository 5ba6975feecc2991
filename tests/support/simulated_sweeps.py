"""Sweeps whose truth is known: real networks on data of a known distribution, scored on 100,000 fresh rows.

The data follow no assumption of the intervals: the noise is heavy-tailed, depends on the inputs and has outliers, the
targets depend on the inputs in a nonlinear way, the classes are imbalanced and some of their labels are wrong.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from nncore.architecture import Architecture, Layer, layer_views
from nncore.components import Component
from nncore.kernels.workspace import Workspace
from nncore.random_streams import generator
from nncore.stack.data import Data, Rows
from nncore.stack.passes import infer
from nncore.stack.state import Network, start
from nncore.stack.training import train

N_INPUTS, N_FRESH = 10, 100_000
SCORES = {
    "classification": (
        "log_loss", "accuracy", "brier_score", "balanced_accuracy", "f1", "matthews_correlation", "roc_auc",
        "average_precision",
    ),
    "regression": ("root_mean_squared_error", "mean_absolute_error", "median_absolute_error", "r2"),
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """One configuration of the simulation.

    Parameters
    ----------
    task : {"classification", "regression"}
    n_folds, n_seeds : int
    n_trials : int
        Equal settings: their networks differ in the seed alone.
    worse : tuple of float
        Further trials, which learn at these multiples of the rate and are worse.
    n_rows : int
        Scored rows: of the validation part with one fold, of all folds otherwise; a multiple of n_folds.
    n_train : int
        Training rows with one fold.
    epochs : int
    """

    task: str
    n_folds: int
    n_seeds: int
    n_trials: int = 112
    worse: tuple[float, ...] = (0.05, 0.025, 0.008)
    n_rows: int = 240
    n_train: int = 300
    epochs: int = 10

    @property
    def name(self) -> str:
        """Such as "regression 5x3, 240 rows"."""
        return f"{self.task} {self.n_folds}x{self.n_seeds}, {self.n_rows} rows"


PLANS = [
    Plan(task, n_folds, n_seeds)
    for task in ("classification", "regression")
    for n_folds in (1, 3, 5)
    for n_seeds in (1, 3)
] + [
    Plan(task, n_folds, 1, n_trials=20, n_rows=60 if n_folds == 1 else 80, n_train=150)
    for task in ("classification", "regression")
    for n_folds in (1, 5)
]


@dataclass
class Sweep:
    """One replication.

    Parameters
    ----------
    y : float32 array (T, S, R)
        Predictions for rows that a network was not trained on.
    t : float32 array (R,)
    folds : int array (R,)
    true : dict of int to array (M, F, S)
        By trial, the scores of its networks on the fresh rows, in the order of `SCORES`.
    """

    y: np.ndarray
    t: np.ndarray
    folds: np.ndarray
    true: dict[int, np.ndarray]


def draw(task, n, random):
    """Inputs (n, I) and targets (n,): labels 0 and 1, about 25 % of them 1, or values."""
    x = random.normal(size=(n, N_INPUTS))
    x[:, 1] = random.standard_t(4, n) * 0.7
    x[:, 2] = random.random(n) < 0.3
    x[:, 3] = np.exp(0.5 * x[:, 3]) - 1.1
    f = np.sin(1.5 * x[:, 0]) + 0.6 * x[:, 1] * (2 * x[:, 2] - 0.6) + 0.5 * x[:, 3] - 0.3 * np.abs(x[:, 4])
    if task == "classification":
        t = random.random(n) < 1 / (1 + np.exp(-(2 * f - 1.2)))
        t = np.where(random.random(n) < 0.03, ~t, t)
    else:
        scale = 0.3 + 0.3 * np.abs(x[:, 5]) + 0.3 * x[:, 2]
        noise = random.standard_t(6, n) + np.where(random.random(n) < 0.02, 2 * random.normal(size=n), 0)
        t = f + scale * noise
    return np.clip(x, -6, 6).astype(np.float32), t.astype(np.float32)


@cache
def fresh(task):
    """The rows that say the truth."""
    return draw(task, N_FRESH, generator(1, f"fresh rows of {task}"))


def architecture(task):
    """Networks of 8 hidden units."""
    loss = {"classification": "sigmoid_cross_entropy", "regression": "squared_error"}[task]
    tanh = Component("nncore.activations.tanh")
    return Architecture(N_INPUTS, (Layer(8, tanh), Layer(1)), Component(f"nncore.losses.{loss}"), batch_size=32)


def predictions(stack, positions, x):
    """Probabilities or values (n, N) of the networks at these positions of a stack."""
    views = layer_views(stack.parameters[positions], stack.architecture)
    blocks = np.array_split(x, max(1, len(x) // 4000))
    z = [infer(views, stack.architecture, block[None], Workspace())[..., 0].copy() for block in blocks]
    y: np.ndarray = stack.architecture.functions.loss.predict(np.concatenate(z, axis=1)[..., None])[..., 0]
    return y


def row_losses(task, name, y, t):
    """The loss of each row, of a score that is a mean of them, or its root: y (..., R), t (R,)."""
    if name == "log_loss":
        y = np.clip(y.astype(np.float64), 1e-12, 1 - 1e-12)
        return -np.where(t > 0.5, np.log(y), np.log1p(-y))
    error = (y - t).astype(np.float64)
    return {
        "accuracy": lambda: ((y > 0.5) == (t > 0.5)).astype(np.float64),
        "brier_score": lambda: error**2,
        "root_mean_squared_error": lambda: error**2,
        "mean_absolute_error": lambda: np.abs(error),
    }[name]()


def true_scores(task, y, t, all_scores=True):
    """The scores (M, n) of predictions y (n, N), by formulas of their own; all, or the first two."""
    scores = []
    for name in SCORES[task][: 3 if all_scores and task == "classification" else 2]:
        mean = row_losses(task, name, y, t).mean(axis=-1)
        scores.append(np.sqrt(mean) if name == "root_mean_squared_error" else mean)
    if not all_scores:
        return np.stack(scores)
    if task == "regression":
        median = np.median(np.abs(y - t), axis=-1)
        return np.stack([*scores, median, 1 - scores[0] ** 2 / t.astype(np.float64).var()])
    is_positive = t > 0.5
    n, n_positive = len(t), is_positive.sum()
    true_positives, predicted = ((y > 0.5) & is_positive).sum(axis=-1), (y > 0.5).sum(axis=-1)
    recall, specificity = true_positives / n_positive, 1 - (predicted - true_positives) / (n - n_positive)
    f1 = 2 * true_positives / (predicted + n_positive)
    covariance = true_positives / n - predicted / n * n_positive / n
    product = predicted / n * (1 - predicted / n) * n_positive / n * (1 - n_positive / n)
    area, precision = np.stack([_areas(row, is_positive) for row in y], axis=1)
    mcc = covariance / np.sqrt(np.maximum(product, 1e-300))
    return np.stack([*scores, (recall + specificity) / 2, f1, mcc, area, precision])


def _areas(y, is_positive):
    """Area under the ROC curve, and average precision, of probabilities rounded to 1 / 65535."""
    bins = (y * 65535 + 0.5).astype(np.int64)
    positives, negatives = (np.bincount(bins[mask], minlength=65536)[::-1] for mask in (is_positive, ~is_positive))
    found, wrong = np.cumsum(positives), np.cumsum(negatives)
    area = (negatives * (found - positives / 2)).sum() / (found[-1] * wrong[-1])
    return area, (positives * found / np.maximum(found + wrong, 1)).sum() / found[-1]


def simulate(plan, replication, trials_of_truth, all_scores=True):
    """Train the sweep of a plan.

    Parameters
    ----------
    plan : Plan
    replication : int
        Seeds the rows and the networks.
    trials_of_truth : callable
        From y, t and folds, the trials whose true scores are wanted.
    all_scores : bool, default True
        Whether all of them are wanted, or the first two.

    Returns
    -------
    Sweep
    """
    n_rows, n_folds = plan.n_rows, plan.n_folds
    purpose = f"rows of {plan.task}, {n_folds} folds, {n_rows}, {plan.n_train}"
    x, t = draw(plan.task, n_rows + (plan.n_train if n_folds == 1 else 0), generator(replication, purpose))
    parts = np.split(np.arange(n_rows), n_folds)
    centre, scale = (np.float32(0), np.float32(1)) if plan.task == "classification" else (t.mean(), t.std())
    targets = ((t - centre) / scale)[:, None]
    rest = [np.setdiff1d(np.arange(len(x)), part) for part in parts]
    views = tuple(
        Data(Rows(x[train_rows], targets[train_rows]), Rows(x[part], targets[part]))
        for train_rows, part in zip(rest, parts, strict=True)
    )
    rates = np.concatenate([np.ones(plan.n_trials), plan.worse]) * 0.02
    shape = (n_folds, len(rates), plan.n_seeds)
    networks = [
        Network(
            f"{trial}/{fold}/{seed}",
            replication * 10_000 + trial * plan.n_seeds + seed + fold * 10_000_000,
            Component("nncore.optimizers.adam.adam", (("learning_rate", float(rates[trial])),)),
            view=fold,
        )
        for fold, trial, seed in np.ndindex(shape)
    ]
    stack, _ = train(start(architecture(plan.task), networks), views, plan.epochs, {}, loss_limit=1e12)
    place = {network.key: position for position, network in enumerate(stack.networks)}
    positions = np.array([place[network.key] for network in networks]).reshape(shape)
    y = np.concatenate(
        [
            predictions(stack, positions[fold].ravel(), view.validation.x).reshape(*shape[1:], -1)
            for fold, view in enumerate(views)
        ],
        axis=2,
    )
    y = y * scale + centre
    folds, (fresh_x, fresh_t), true = np.repeat(np.arange(n_folds), n_rows // n_folds), fresh(plan.task), {}
    for trial in trials_of_truth(y, t[:n_rows], folds):
        answers = predictions(stack, positions[:, trial].ravel(), fresh_x) * scale + centre
        true[trial] = true_scores(plan.task, answers, fresh_t, all_scores).reshape(-1, n_folds, plan.n_seeds)
    return Sweep(y, t[:n_rows], folds, true)
