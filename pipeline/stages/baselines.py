"""Baselines: what simple models of scikit-learn score on the same split, to compare the networks with.

The scores are cached. The fitted models are not, as files hold no objects of scikit-learn: from the task that fits one
to the task that scores it on the test rows it passes by reference.
"""

import time
import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pydantic.dataclasses

from nncore.components import Component
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, Model, TargetDecoder, ValueDecoder
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.table import Column, Table
from nncore.kernels.backend import Array
from pipeline.components.fields import STRICT, PositiveFloat, PositiveInt
from pipeline.components.scores import LOSS, SUMMED_LOG_LOSS, comparable, scores_by_name
from pipeline.components.types import DataCard, Development, PreparedView, RawRows, Task
from pipeline.engine.uncertainty.intervals import score_intervals
from pipeline.engine.uncertainty.scores import measured
from pipeline.stages.evaluate import compared

BaselineName = Literal["constant", "linear", "gradient_boosting"]
LABELS: dict[BaselineName, dict[Task, str]] = {  # for people
    "constant": {"classification": "class frequencies", "multilabel": "label frequencies", "regression": "mean"},
    "linear": {
        "classification": "logistic regression",
        "multilabel": "logistic regression",
        "regression": "ridge regression",
    },
    "gradient_boosting": dict.fromkeys(("classification", "multilabel", "regression"), "gradient boosting"),
}
MAX_CATEGORIES = 254  # that the trees of scikit-learn distinguish
MAX_STEPS = 200  # of the solver of a logistic regression


@runtime_checkable
class Baselines(Protocol):
    """Settings that choose the baselines of a run."""

    def names(self, card: DataCard) -> tuple[BaselineName, ...]:
        """Choose the baselines for the data of this card."""

    def note(self, card: DataCard) -> str:
        """What a person should know about the choice, or ""."""

    def estimator(self, name: BaselineName, is_classifier: bool, categorical: Array) -> Any:
        """Build an estimator of scikit-learn that is not fitted; `categorical` (C,): which of its columns are."""


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class NoBaselines:
    """Compare the networks with nothing."""

    def names(self, card: DataCard) -> tuple[BaselineName, ...]:
        """Return none."""
        return ()

    def note(self, card: DataCard) -> str:
        """Return ""."""
        return ""

    def estimator(self, name: BaselineName, is_classifier: bool, categorical: Array) -> Any:
        """Never called, as there are no names."""
        raise NotImplementedError


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class QuickBaselines:
    """A constant, a linear model and gradient boosting; of large data only the constant.

    Parameters
    ----------
    iterations : int, > 0
        Trees of gradient boosting, for each class or target.
    learning_rate : float, > 0
        Of gradient boosting.
    max_numbers : int, > 0
        Rows times columns times outputs for which all three are fitted; outputs are classes (1 for two classes), labels
        or values.
    """

    iterations: PositiveInt
    learning_rate: PositiveFloat
    max_numbers: PositiveInt

    def names(self, card: DataCard) -> tuple[BaselineName, ...]:
        """See Baselines."""
        return ("constant",) if _n_numbers(card) > self.max_numbers else ("constant", "linear", "gradient_boosting")

    def note(self, card: DataCard) -> str:
        """See Baselines."""
        if _n_numbers(card) <= self.max_numbers:
            return ""
        return (
            "the only baseline is a constant, as these data are large; linear model and gradient boosting too: "
            f"baselines.max_numbers={_n_numbers(card)}"
        )

    def estimator(self, name: BaselineName, is_classifier: bool, categorical: Array) -> Any:
        """See Baselines."""
        # imported here: the driver only needs the settings, and each import takes a while
        if name == "constant":
            from sklearn.dummy import DummyClassifier, DummyRegressor

            return DummyClassifier(strategy="prior") if is_classifier else DummyRegressor()
        if name == "linear":
            from sklearn.linear_model import LogisticRegression, Ridge

            return LogisticRegression(max_iter=MAX_STEPS) if is_classifier else Ridge()
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        boosting = HistGradientBoostingClassifier if is_classifier else HistGradientBoostingRegressor
        return boosting(
            max_iter=self.iterations,
            learning_rate=self.learning_rate,
            early_stopping=False,
            categorical_features=categorical if categorical.any() else None,
            random_state=0,
        )


def _n_numbers(card: DataCard) -> int:
    n_classes = len(card["classes"] or ())
    n_outputs = n_classes if card["task"] == "classification" and n_classes > 2 else len(card["targets"])
    return int(card["n_rows"] * len(card["columns"]) * n_outputs)


@dataclass(frozen=True)
class RawNumbers:
    """Raw columns as numbers for trees: NaN where missing, the order of an ordinal column, categories by number.

    Parameters
    ----------
    tables : tuple of array (L + 2,)
        For each column of texts: by code, its number; the last entry but one is for unknown texts and the last one
        for missing texts.
    categorical : bool array (C,)
        Which of the numbers stand for categories.
    """

    tables: tuple[Array, ...]
    categorical: Array

    def __call__(self, table: Table) -> Array:
        """Return the columns of a table (N, C), float64: numbers first, then texts."""
        texts = [numbers[codes] for numbers, codes in zip(self.tables, table.codes.T, strict=True)]
        return np.column_stack([table.numbers.astype(np.float64), *texts])


def raw_numbers(table: Table) -> RawNumbers:
    """Number the categories of training rows, the most frequent first; those beyond the 254th count as missing."""
    tables, is_category = [], [False] * table.numbers.shape[1]
    for column, codes in table.column_values:
        if column.kind in ("categorical", "ordinal"):
            is_category.append(column.kind == "categorical")
            tables.append(_numbers_by_code(column, codes))
    return RawNumbers(tuple(tables), np.array(is_category, bool))


def _numbers_by_code(column: Column, codes: Array) -> Array:
    n_levels = len(column.levels)
    numbers = np.append(np.arange(n_levels, dtype=np.float64), [np.nan, np.nan])
    if column.kind == "categorical":
        counts = np.bincount(codes[(codes >= 0) & (codes < n_levels)], minlength=n_levels)
        frequent = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
        frequent = frequent[counts[frequent] > 0]
        numbers[:] = np.nan
        numbers[frequent] = np.arange(len(frequent))
    return numbers


@dataclass(frozen=True)
class NoInputs:
    """What a constant is fitted to: nothing, a column of zeros."""

    def __call__(self, table: Table) -> Array:
        """Return zeros (N, 1)."""
        return np.zeros((len(table), 1))


@dataclass(frozen=True)
class FittedBaseline:
    """Estimators that together predict all outputs; it passes by reference and is never stored.

    Parameters
    ----------
    inputs : NoInputs, Preprocessing or RawNumbers
        From raw rows to what the estimators were fitted to.
    estimators : tuple of estimator
        One for classes; else one for each label or value.
    target_decoder : TargetDecoder
    """

    inputs: NoInputs | Preprocessing | RawNumbers
    estimators: tuple[Any, ...]
    target_decoder: TargetDecoder

    def predict(self, x: Array) -> Array:
        """Predict for inputs (N, columns): y (N, O), probabilities or values in the target's unit."""
        if isinstance(self.target_decoder, ValueDecoder):
            return np.stack([estimator.predict(x) for estimator in self.estimators], axis=1)
        if isinstance(self.target_decoder, ClassDecoder):
            y: Array = self.estimators[0].predict_proba(x)
            return y[:, 1:] if len(self.target_decoder.labels) == 2 else y
        of_labels = [
            estimator.predict_proba(x)[:, estimator.classes_ == 1].sum(axis=1) for estimator in self.estimators
        ]
        return np.stack(of_labels, axis=1)


def fit_baseline(
    settings: Baselines, name: BaselineName, development: Development, *views: PreparedView
) -> tuple[dict[str, Any], FittedBaseline]:
    """Fit a baseline to the training rows of each fold, and score it on the fold's validation rows.

    Parameters
    ----------
    settings : Baselines
    name : BaselineName
    development : Development
    *views : PreparedView
        The rows of each fold, prepared and not reduced.

    Returns
    -------
    scores : dict
        "validation": by metric, the mean over the folds; "seconds".
    model : FittedBaseline
        Of the first fold, as the network that becomes the model.
    """
    start, models, scores = time.perf_counter(), [], []
    bare, table = replace(development, rows=development.rows.bare()), development.rows.x
    for fold, view in enumerate(views):
        (train, validation), rows = bare.part(fold), development.folds[fold]
        inputs: NoInputs | Preprocessing | RawNumbers = NoInputs()
        if name == "linear":
            inputs, x, x_validation = view.preprocessing, view.data.train.x, view.data.validation.x
        elif name == "gradient_boosting":
            inputs = raw_numbers(table[rows.train])
            x, x_validation = inputs(table[rows.train]), inputs(table[rows.validation])
        else:
            x, x_validation = inputs(train.x), inputs(validation.x)
        models.append(_fit(settings, name, inputs, x, train, view))
        scores.append(_scores(models[-1].predict(x_validation), validation, view.target_decoder, development.task))
    names = [name for name in scores[0] if all(name in of_fold for of_fold in scores)]  # else it is not defined
    means = {name: float(np.mean([of_fold[name] for of_fold in scores])) for name in names}
    return {"validation": means, "seconds": round(time.perf_counter() - start, 3)}, models[0]


def _fit(
    settings: Baselines,
    name: BaselineName,
    inputs: NoInputs | Preprocessing | RawNumbers,
    x: Array,
    train: RawRows,
    view: PreparedView,
) -> FittedBaseline:
    """Fit with the weights of the networks, but a constant with those of the rows: balanced classes say nothing."""
    decoder = view.target_decoder
    is_classifier = not isinstance(decoder, ValueDecoder)
    weights = train.weights if name == "constant" else view.data.train.weights
    categorical = inputs.categorical if isinstance(inputs, RawNumbers) else np.zeros(0, bool)
    columns = [train.y] if isinstance(decoder, ClassDecoder) else list(train.y.T)
    estimators = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a solver has not converged: it is a baseline
        for y in columns:
            constant = is_classifier and (y == y[0]).all()  # a label that no training row has, or every one
            estimator = settings.estimator("constant" if constant else name, is_classifier, categorical)
            estimators.append(estimator.fit(x, y, sample_weight=weights))
    return FittedBaseline(inputs, tuple(estimators), decoder)


def score_baseline(model: FittedBaseline, rows: RawRows, task: Task) -> tuple[dict[str, float], Array]:
    """Predict rows, and score the predictions; see `pipeline.stages.evaluate.evaluate`.

    Returns
    -------
    scores : dict of str to float
        Without a loss for values, as that is a network's.
    y : array (N, O)
        Probabilities, or values in the target's unit.
    """
    y = model.predict(model.inputs(rows.x))
    return _scores(y, rows, model.target_decoder, task), y


def _scores(y: Array, rows: RawRows, decoder: TargetDecoder, task: Task) -> dict[str, float]:
    t = rows.y if task == "regression" else decoder.targets(rows.y).astype(np.float64)
    weights = None if rows.weights is None else (rows.weights / rows.weights.mean())[None]
    scores = scores_by_name(y[None], t[None], weights, task, decoder.names)
    if task == "classification":
        scores[LOSS] = scores["log_loss"]
    elif task == "multilabel":
        scores[LOSS] = SUMMED_LOG_LOSS.value(y[None], t[None], weights)
    return {name: float(value[0]) for name, value in scores.items() if not np.isnan(value[0])}


def compare_with_model(
    model: Model | Ensemble, test: RawRows, task: Task, selected: Component | None, y: Array
) -> dict[str, Any]:
    """Compare a baseline's predictions of the test rows with those of a model, row by row.

    Parameters
    ----------
    model : Model or Ensemble
    test : RawRows
    task : Task
    selected : Component or None
        The metric by which trials are ranked; None for the loss.
    y : array (N, O)
        The baseline's predictions.

    Returns
    -------
    dict
        metric (its name), model and baseline (their scores), low and high (95 % interval of the baseline's score minus
        the model's on new rows; None where there are too few rows for one), n_rows.
    """
    own, t, threshold = compared(model, model.logits(test.x), test)
    name, metric = comparable(selected, task, threshold)
    both, low, high = np.stack([own, y])[:, None], None, None  # (2, 1, N, O)
    with np.errstate(all="ignore"):
        values = metric.value(both[:, 0], t[None], None if test.weights is None else test.weights[None])
        scores = measured(metric, both, t, weights=test.weights)
    if scores is not None:
        scores = scores.finished()
        without_bounds = scores.metric._replace(bounds=(-np.inf, np.inf), rows=None)
        difference = replace(
            scores,
            means=scores.means[1:] - scores.means[:1],
            influence=scores.influence[1:] - scores.influence[:1],
            metric=without_bounds,
        )
        ends = score_intervals(difference)[0].tolist()
        low, high = ends if np.isfinite(ends).all() else (None, None)
    shown = [float(value) if np.isfinite(value) else None for value in values]
    return {"metric": name, "model": shown[0], "baseline": shown[1], "low": low, "high": high, "n_rows": len(test)}
