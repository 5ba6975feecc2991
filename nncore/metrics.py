"""Metrics: scores of predictions y (K, N, O) against targets t (K or 1, N, O), one number per network.

Each public function returns a `Metric`. Its function `value(y, t, weights)` takes

    y         probabilities, as `Loss.predict` returns them (O = 1 for two classes: that of the second), or values in
              the target's own unit
    t         one-hot classes (O = 1: 1 for the second class), 0 or 1 for each label, or values in the target's own unit
    weights   of the rows, (K or 1, N), with any positive mean, or None

and returns float64 numbers (K,). Sums are computed in float64 whatever the dtype of y, and network by network, so that
a score does not depend on the other networks. A score that is not defined for the rows, such as the area under a ROC
curve of rows of one class, is NaN. Where scikit-learn has a function of the same meaning, the score equals its result.

With several classes, a metric of one class against the rest is a mean over the classes; with several labels or several
values, it is a mean over these.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nncore.calibration import expected_calibration_error
from nncore.information import both_classes
from nncore.kernels.backend import Array, as_array_like
from nncore.kernels.hyperparameters import checked

SORTED_AT_ONCE = 1 << 21  # numbers of which as many copies exist as a metric that sorts them needs


def identity(score: Array) -> Array:
    """Return the score."""
    return score


class Metric(NamedTuple):
    """A score of predictions, and what must be known to use it; see the module's docstring.

    Parameters
    ----------
    value : callable
        value(y, t, weights) returns the scores (K,).
    targets : tuple of {"classes", "labels", "values"}
        The tasks that it fits: classification, multilabel, regression.
    greater_is_better : bool
    label : str, default ""
        Its name for people, such as "ROC AUC"; "": the name of the function.
    unit : {"", "target", "share"}, default ""
        "target": the unit of the target; "share": a share of the rows, from 0 to 1.
    every_epoch : bool, default False
        Whether it is cheap enough to be computed after every epoch, for a whole stack and on a GPU too. Otherwise it is
        computed on the host, when training pauses and at its end.
    rows : callable, optional
        rows(y, t) returns a score of each row (K, N), if the metric is finish(their weighted mean). With several values
        per row this is so only where `finish` is `identity`, as the metric is the mean over the values.
    finish : callable, default identity
        Such as the root of a mean square.
    bounds : (float, float), default (-inf, inf)
        The range of its scores.
    has_interval : bool, default True
        False for a score that depends so much on the number of rows that a confidence interval would lie beside it.
    """

    value: Callable[[Array, Array, Array | None], Array]
    targets: tuple[str, ...]
    greater_is_better: bool
    label: str = ""
    unit: Literal["", "target", "share"] = ""
    every_epoch: bool = False
    rows: Callable[[Array, Array], Array] | None = None
    finish: Callable[[Array], Array] = identity
    bounds: tuple[float, float] = (-np.inf, np.inf)
    has_interval: bool = True


CLASSES, LABELS, VALUES = ("classes",), ("labels",), ("values",)
SHARE, NOT_NEGATIVE = (0.0, 1.0), (0.0, np.inf)  # bounds


def log_loss() -> Metric:
    """Mean negative logarithm of the probability of the row's class, in nats; 0 is best.

    Notes
    -----
    mean of -sum_o t_o log p_o, with p between e and 1 - e, where e is the resolution of p's dtype.

    References
    ----------
    Good (1952), "Rational decisions"; `sklearn.metrics.log_loss`.
    """

    def each(y: Array, t: Array) -> Array:
        resolution = np.finfo(y.dtype).eps
        p = np.clip(both_classes(y.astype(np.float64)), resolution, 1 - resolution)
        surprisal: Array = -(both_classes(t.astype(np.float64)) * np.log(p)).sum(axis=2)
        return surprisal[:, :, None]

    return Metric(_mean_of(each), CLASSES, False, "log loss", "", True, _rows_of(each), bounds=NOT_NEGATIVE)


def accuracy(threshold: ArrayLike = 0.5) -> Metric:
    """Share of rows whose predicted class is the target's, from 0 to 1.

    Parameters
    ----------
    threshold : float, from 0 to 1, default 0.5
        Two classes: the second one is predicted where its probability is greater. With more classes, the most probable
        one is predicted.

    References
    ----------
    `sklearn.metrics.accuracy_score`.
    """
    threshold = _threshold("accuracy", threshold)

    def each(y: Array, t: Array) -> Array:
        is_correct: Array = _class_index(y, threshold) == _class_index(t)
        return is_correct[:, :, None]

    return Metric(_mean_of(each), CLASSES, True, "accuracy", "share", True, _rows_of(each), bounds=SHARE)


def balanced_accuracy(threshold: ArrayLike = 0.5) -> Metric:
    """Mean over the classes of the share of its rows that are predicted correctly, from 0 to 1.

    Parameters
    ----------
    threshold : float, from 0 to 1, default 0.5
        See `accuracy`.

    Notes
    -----
    Classes without a row do not count.

    References
    ----------
    Brodersen et al. (2010), "The balanced accuracy and its posterior distribution";
    `sklearn.metrics.balanced_accuracy_score`.
    """
    threshold = _threshold("balanced_accuracy", threshold)

    def value(y: Array, t: Array, weights: Array | None) -> Array:
        counts = _confusion(y, t, weights, threshold)
        n_true = counts.sum(axis=2)  # (K, classes)
        recall = _correct(counts) / np.where(n_true > 0, n_true, 1)
        return _ratio(recall.sum(axis=1), (n_true > 0).sum(axis=1))

    return Metric(value, CLASSES, True, "balanced accuracy", "share", True, bounds=SHARE)


def f1(threshold: ArrayLike = 0.5) -> Metric:
    """F1 of the second of two classes, from 0 to 1; with more classes, the same as `f1_macro`.

    Parameters
    ----------
    threshold : float, from 0 to 1, default 0.5
        See `accuracy`.

    Notes
    -----
    The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN), and 0 where this is 0 / 0.

    References
    ----------
    van Rijsbergen (1979), "Information retrieval", chapter 7; `sklearn.metrics.f1_score` with average="binary".
    """
    threshold = _threshold("f1", threshold)

    def value(y: Array, t: Array, weights: Array | None) -> Array:
        counts = _confusion(y, t, weights, threshold)
        return _f1_of_classes(counts)[:, 1] if y.shape[2] == 1 else _mean_f1(counts, y, t, weights)

    return Metric(value, CLASSES, True, "F1", "", True, bounds=SHARE)


def f1_macro(threshold: ArrayLike = 0.5) -> Metric:
    """Mean of the F1 of all classes, from 0 to 1.

    Parameters
    ----------
    threshold : float, from 0 to 1, default 0.5
        See `accuracy`.

    Notes
    -----
    See `f1`. A class that no row has and that is never predicted does not count.

    References
    ----------
    `sklearn.metrics.f1_score` with average="macro".
    """
    threshold = _threshold("f1_macro", threshold)

    def value(y: Array, t: Array, weights: Array | None) -> Array:
        return _mean_f1(_confusion(y, t, weights, threshold), y, t, weights, threshold)

    return Metric(value, CLASSES, True, "macro F1", "", True, bounds=SHARE)


def f1_weighted(threshold: ArrayLike = 0.5) -> Metric:
    """Mean of the F1 of all classes, weighted by the classes' shares of the rows, from 0 to 1.

    Parameters
    ----------
    threshold : float, from 0 to 1, default 0.5
        See `accuracy`.

    References
    ----------
    `sklearn.metrics.f1_score` with average="weighted".
    """
    threshold = _threshold("f1_weighted", threshold)

    def value(y: Array, t: Array, weights: Array | None) -> Array:
        counts = _confusion(y, t, weights, threshold)
        n_true = counts.sum(axis=2)
        return _ratio((_f1_of_classes(counts) * n_true).sum(axis=1), n_true.sum(axis=1))

    return Metric(value, CLASSES, True, "weighted F1", "", True, bounds=SHARE)


def roc_auc() -> Metric:
    """Area under the ROC curve, from 0 to 1; chance gives 0.5.

    Notes
    -----
    The probability that a row of the class is predicted a greater probability of it than another row is, ties counting
    one half. With several classes or labels: the mean over those that some rows have and others do not, each against
    the rest.

    References
    ----------
    Fawcett (2006), "An introduction to ROC analysis"; `sklearn.metrics.roc_auc_score` with multi_class="ovr".
    """

    def area(y: Array, positive: Array, negative: Array) -> Array:
        """Of y (K, N), by the rows' weights as members and as others."""
        order = np.argsort(y, axis=1, kind="stable")
        first, last = _equal_neighbours(np.take_along_axis(y, order, axis=1))
        cumulated = np.cumsum(np.take_along_axis(negative, order, axis=1), axis=1)
        cumulated = np.concatenate([np.zeros((len(y), 1)), cumulated], axis=1)  # others below a row, (K, N + 1)
        below = np.take_along_axis(cumulated, first, axis=1) + np.take_along_axis(cumulated, last + 1, axis=1)
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return _ratio((np.take_along_axis(positive, order, axis=1) * below).sum(axis=1) / 2, pairs)

    return Metric(_mean_over_columns(area), CLASSES + LABELS, True, "ROC AUC", bounds=SHARE)


def average_precision() -> Metric:
    """Average precision, the area under the precision-recall curve, from 0 to 1; chance gives the share of the class.

    Notes
    -----
    sum_n (R_n - R_n-1) P_n, with precision P_n and recall R_n of the rows whose probability is at least the n-th
    largest. With several classes or labels: the mean over those that some rows have, each against the rest.

    References
    ----------
    Zhu (2004), "Recall, precision and average precision"; `sklearn.metrics.average_precision_score`.
    """

    def area(y: Array, positive: Array, negative: Array) -> Array:
        """Of y (K, N), by the rows' weights as members and as others."""
        order = np.argsort(-y, axis=1, kind="stable")
        _, last = _equal_neighbours(np.take_along_axis(y, order, axis=1))
        positive, negative = (np.take_along_axis(weights, order, axis=1) for weights in (positive, negative))
        n_true, n_false = (
            np.take_along_axis(np.cumsum(weights, axis=1), last, axis=1) for weights in (positive, negative)
        )
        precision = n_true / np.where(n_true > 0, n_true + n_false, 1)
        return _ratio((positive * precision).sum(axis=1), positive.sum(axis=1))

    return Metric(_mean_over_columns(area), CLASSES + LABELS, True, "average precision", bounds=SHARE)


def matthews_correlation(threshold: ArrayLike = 0.5) -> Metric:
    """Matthews correlation coefficient of true and predicted classes, from -1 to 1; chance gives 0.

    Parameters
    ----------
    threshold : float, from 0 to 1, default 0.5
        See `accuracy`.

    Notes
    -----
    cov(t, p) / sqrt(cov(t, t) cov(p, p)) of the one-hot classes; 0 where all rows have one class or one prediction.

    References
    ----------
    Gorodkin (2004), "Comparing two K-category assignments by a K-category correlation coefficient";
    `sklearn.metrics.matthews_corrcoef`.
    """
    threshold = _threshold("matthews_correlation", threshold)

    def value(y: Array, t: Array, weights: Array | None) -> Array:
        counts = _confusion(y, t, weights, threshold)
        n_true, n_predicted, n = counts.sum(axis=2), counts.sum(axis=1), counts.sum(axis=(1, 2))
        covariance = _correct(counts).sum(axis=1) * n - (n_true * n_predicted).sum(axis=1)
        variances = (n**2 - (n_true**2).sum(axis=1)) * (n**2 - (n_predicted**2).sum(axis=1))
        score: Array = covariance / np.sqrt(np.where(variances > 0, variances, np.inf))
        return score

    return Metric(value, CLASSES, True, "MCC", "", True, bounds=(-1.0, 1.0))


def brier_score() -> Metric:
    """Mean squared error of the probabilities; 0 is best.

    Notes
    -----
    Two classes: mean of (p - t)^2 with the probability p of the second, at most 1; more: mean of sum_o (p_o - t_o)^2,
    at most 2.

    References
    ----------
    Brier (1950), "Verification of forecasts expressed in terms of probability"; `sklearn.metrics.brier_score_loss`.
    """

    def each(y: Array, t: Array) -> Array:
        squared: Array = ((y.astype(np.float64) - t) ** 2).sum(axis=2, keepdims=True)
        return squared

    return Metric(_mean_of(each), CLASSES, False, "Brier score", "", True, _rows_of(each), bounds=(0.0, 2.0))


def calibration_error(bins: int = 15) -> Metric:
    """Expected calibration error (ECE), from 0 to 1; above 0 even for perfect probabilities, the more the fewer rows.

    Parameters
    ----------
    bins : int, >= 1, default 15

    References
    ----------
    See `nncore.calibration.expected_calibration_error`.
    """
    checked("calibration_error", "bins", bins, at_least=1, integer=True)

    def value(y: Array, t: Array, weights: Array | None) -> Array:
        return expected_calibration_error(y.astype(np.float64), t, bins, weights)

    return Metric(value, CLASSES, False, "calibration error", "share", True, bounds=SHARE, has_interval=False)


def label_accuracy(threshold: ArrayLike = 0.5) -> Metric:
    """Share of the labels of all rows that are correct, from 0 to 1; it is 1 minus the Hamming loss.

    Parameters
    ----------
    threshold : float, from 0 to 1, default 0.5
        A label is predicted where its probability is greater.

    References
    ----------
    `sklearn.metrics.hamming_loss`.
    """
    threshold = _threshold("label_accuracy", threshold)

    def each(y: Array, t: Array) -> Array:
        share: Array = ((y > threshold) == (t > 0.5)).mean(axis=2, keepdims=True)
        return share

    return Metric(_mean_of(each), LABELS, True, "label accuracy", "share", True, _rows_of(each), bounds=SHARE)


def subset_accuracy(threshold: ArrayLike = 0.5) -> Metric:
    """Share of rows whose labels are all correct, from 0 to 1.

    Parameters
    ----------
    threshold : float, from 0 to 1, default 0.5
        A label is predicted where its probability is greater.

    References
    ----------
    `sklearn.metrics.accuracy_score` of labels.
    """
    threshold = _threshold("subset_accuracy", threshold)

    def each(y: Array, t: Array) -> Array:
        is_correct: Array = ((y > threshold) == (t > 0.5)).all(axis=2, keepdims=True)
        return is_correct

    return Metric(_mean_of(each), LABELS, True, "subset accuracy", "share", True, _rows_of(each), bounds=SHARE)


def label_f1(threshold: ArrayLike = 0.5) -> Metric:
    """Mean of the F1 of all labels, from 0 to 1.

    Parameters
    ----------
    threshold : float, from 0 to 1, default 0.5
        A label is predicted where its probability is greater.

    Notes
    -----
    See `f1`; a label that no row has counts.

    References
    ----------
    `sklearn.metrics.f1_score` of labels with average="macro".
    """
    threshold = _threshold("label_f1", threshold)

    def value(y: Array, t: Array, weights: Array | None) -> Array:
        is_predicted, is_true = y > threshold, t > 0.5
        both = _weighted_mean(is_predicted & is_true, weights)
        either = _weighted_mean(is_predicted, weights) + _weighted_mean(is_true, weights)
        scores: Array = 2 * both / np.where(either > 0, either, 1)
        return scores.mean(axis=1)

    return Metric(value, LABELS, True, "label F1", "", True, bounds=SHARE)


def root_mean_squared_error() -> Metric:
    """Root of the mean squared error (RMSE), in the target's unit; 0 is best.

    References
    ----------
    `sklearn.metrics.root_mean_squared_error`.
    """

    def each(y: Array, t: Array) -> Array:
        return _errors(y, t) ** 2

    return Metric(
        _mean_of(each, np.sqrt), VALUES, False, "RMSE", "target", True, _rows_of(each), np.sqrt, bounds=NOT_NEGATIVE
    )


def mean_absolute_error() -> Metric:
    """Mean of the absolute errors (MAE), in the target's unit; 0 is best.

    References
    ----------
    `sklearn.metrics.mean_absolute_error`.
    """

    def each(y: Array, t: Array) -> Array:
        return np.abs(_errors(y, t))

    return Metric(_mean_of(each), VALUES, False, "MAE", "target", True, _rows_of(each), bounds=NOT_NEGATIVE)


def median_absolute_error() -> Metric:
    """Median of the absolute errors, in the target's unit; 0 is best.

    References
    ----------
    `sklearn.metrics.median_absolute_error`.
    """

    def value(y: Array, t: Array, weights: Array | None) -> Array:
        errors = np.swapaxes(np.abs(_errors(y, t)), 1, 2).copy()  # (K, O, N)
        if weights is None:
            return np.median(errors, axis=2).mean(axis=1)
        order = np.argsort(errors, axis=2, kind="stable")
        ordered = np.take_along_axis(errors, order, axis=2)
        spread = np.broadcast_to(weights.astype(np.float64)[:, None], errors.shape)
        cumulated = np.cumsum(np.take_along_axis(spread, order, axis=2), axis=2)
        half = cumulated[:, :, -1:] / 2
        at_least, above = (cumulated < half).sum(axis=2), (cumulated <= half).sum(axis=2)  # (K, O)
        middles = (
            np.take_along_axis(ordered, np.minimum(index, errors.shape[2] - 1)[:, :, None], axis=2)
            for index in (at_least, above)
        )
        median: Array = sum(middles)[:, :, 0] / 2  # type: ignore[index]
        return np.where(np.isnan(errors).any(axis=2), np.nan, median).mean(axis=1)

    return Metric(value, VALUES, False, "median absolute error", "target", bounds=NOT_NEGATIVE)


def r2() -> Metric:
    """Coefficient of determination: at most 1, and 0 for the mean of t.

    Notes
    -----
    1 - (sum of squared errors) / (the same for the mean of t); NaN if t is constant.

    References
    ----------
    `sklearn.metrics.r2_score`.
    """

    def value(y: Array, t: Array, weights: Array | None) -> Array:
        t = t.astype(np.float64)
        centre = _weighted_mean(t, weights)[:, None]  # (K or 1, 1, O)
        spread = _weighted_mean((t - centre) ** 2, weights)
        differs = t.max(axis=1) > t.min(axis=1)
        return (1 - _ratio(_weighted_mean(_errors(y, t) ** 2, weights), np.where(differs, spread, 0))).mean(axis=1)

    return Metric(value, VALUES, True, "R2", "", True, bounds=(-np.inf, 1.0))


def mean_absolute_percentage_error() -> Metric:
    """Mean of the absolute errors as shares of the true values (MAPE): 0.1 is ten percent; 0 is best.

    Notes
    -----
    mean of |y - t| / max(|t|, e), where e is the resolution of float64: huge where t is 0.

    References
    ----------
    `sklearn.metrics.mean_absolute_percentage_error`.
    """

    def each(y: Array, t: Array) -> Array:
        return np.abs(_errors(y, t)) / np.maximum(np.abs(t.astype(np.float64)), np.finfo(np.float64).eps)

    return Metric(_mean_of(each), VALUES, False, "MAPE", "share", True, _rows_of(each), bounds=NOT_NEGATIVE)


def mean_poisson_deviance() -> Metric:
    """Mean deviance of a Poisson distribution with the predicted means, for counts; 0 is best.

    Notes
    -----
    mean of 2 (t log(t / y) - t + y), with 0 log 0 = 0; NaN if any y <= 0 or t < 0.

    References
    ----------
    McCullagh & Nelder (1989), "Generalized linear models", section 2.3; `sklearn.metrics.mean_poisson_deviance`.
    """

    def each(y: Array, t: Array) -> Array:
        y, t = y.astype(np.float64), t.astype(np.float64)
        y, t = np.where(y > 0, y, np.nan), np.where(t >= 0, t, np.nan)
        logarithm: Array = np.log(np.where(t > 0, t / y, 1))
        return 2 * (t * logarithm - t + y)

    return Metric(_mean_of(each), VALUES, False, "Poisson deviance", "", True, _rows_of(each), bounds=NOT_NEGATIVE)


def mean_pinball_loss(quantile: ArrayLike) -> Metric:
    """Mean pinball loss of predictions of a quantile, in the target's unit; 0 is best.

    Parameters
    ----------
    quantile : float, from 0 to 1
        The quantile that is predicted; for 0.5 it is half the mean absolute error.

    Notes
    -----
    mean of max(q e, (q - 1) e) with e = t - y.

    References
    ----------
    Koenker & Bassett (1978), "Regression quantiles"; `sklearn.metrics.mean_pinball_loss`.
    """
    share = float(checked("mean_pinball_loss", "quantile", quantile, at_least=0, at_most=1)[0])

    def each(y: Array, t: Array) -> Array:
        errors = -_errors(y, t)
        return np.maximum(share * errors, (share - 1) * errors)

    return Metric(_mean_of(each), VALUES, False, "pinball loss", "target", True, _rows_of(each), bounds=NOT_NEGATIVE)


def _threshold(metric: str, threshold: ArrayLike) -> float:
    """A probability above which a class is predicted, checked."""
    return float(checked(metric, "threshold", threshold, at_least=0, at_most=1)[0])


def _mean_of(
    each: Callable[[Array, Array], Array], finish: Callable[[Array], Array] = identity
) -> Callable[[Array, Array, Array | None], Array]:
    """The metric whose value is finish(mean over the rows) of each column of each(y, t), (K, N, columns)."""

    def value(y: Array, t: Array, weights: Array | None) -> Array:
        score: Array = finish(_weighted_mean(each(y, t), weights)).mean(axis=1)
        return score

    return value


def _rows_of(each: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """The score of each row, (K, N), from those of its columns."""

    def rows(y: Array, t: Array) -> Array:
        return each(y, t).mean(axis=2)

    return rows


def _weighted_mean(values: Array, weights: Array | None) -> Array:
    """The mean over the rows of booleans or float64 numbers (K, N, O), in float64: (K, O)."""
    columns = np.swapaxes(values, 1, 2).copy()  # (K, O, N): each sum is over adjacent numbers
    if weights is None:
        return columns.mean(axis=2)
    weights = weights.astype(np.float64)[:, None]  # (K or 1, 1, N)
    mean: Array = (columns * weights).sum(axis=2) / weights.sum(axis=2)
    return mean


def _errors(y: Array, t: Array) -> Array:
    return y.astype(np.float64) - t


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Their quotient, NaN where the denominator is 0."""
    quotient: Array = numerator / np.where(denominator > 0, denominator, np.nan)
    return quotient


def _class_index(y: Array, threshold: float = 0.5) -> Array:
    """The class of each row, (K, N): the most probable one; of two, the second if it is above the threshold."""
    return (y[:, :, 0] > threshold).astype(np.int64) if y.shape[2] == 1 else y.argmax(axis=2)


def _confusion(y: Array, t: Array, weights: Array | None, threshold: float) -> Array:
    """The weight of the rows of each class that are predicted as each class, (K, true, predicted)."""
    n_networks, n_classes = len(y), max(2, y.shape[2])
    network = as_array_like(np.arange(n_networks), y)[:, None]
    cell = (network * n_classes + _class_index(t)) * n_classes + _class_index(y, threshold)  # (K, N)
    spread = None if weights is None else np.broadcast_to(weights.astype(np.float64), cell.shape).ravel()
    counts = np.bincount(cell.ravel(), spread, minlength=n_networks * n_classes**2)
    return counts.reshape(n_networks, n_classes, n_classes).astype(np.float64)


def _correct(counts: Array) -> Array:
    """The correct rows of each class, (K, classes)."""
    return np.diagonal(counts, axis1=1, axis2=2)


def _f1_of_classes(counts: Array) -> Array:
    """(K, classes), 0 where it is 0 / 0."""
    either = counts.sum(axis=1) + counts.sum(axis=2)
    scores: Array = 2 * _correct(counts) / np.where(either > 0, either, 1)
    return scores


def _mean_f1(counts: Array, y: Array, t: Array, weights: Array | None, threshold: float = 0.5) -> Array:
    """The mean over the classes that occur, be it with weight 0."""
    occurring = counts if weights is None else _confusion(y, t, None, threshold)
    occurs = occurring.sum(axis=1) + occurring.sum(axis=2) > 0
    return _ratio((_f1_of_classes(counts) * occurs).sum(axis=1), occurs.sum(axis=1))


def _mean_over_columns(
    area: Callable[[Array, Array, Array], Array],
) -> Callable[[Array, Array, Array | None], Array]:
    """The metric whose value is the mean over the columns of y where area(column, positive, negative) is defined."""

    def of_column(y: Array, is_positive: Array, weights: Array | None) -> Array:
        """Of y (K, N) and t > 1/2 (K or 1, N): some networks at a time, as sorting takes memory."""
        n_at_once, scores = max(1, SORTED_AT_ONCE // y.shape[1]), []
        is_positive = np.broadcast_to(is_positive, y.shape)
        weights = np.broadcast_to(np.ones(1) if weights is None else weights.astype(np.float64), y.shape)
        for first in range(0, len(y), n_at_once):
            part = slice(first, first + n_at_once)
            ones, w = is_positive[part], weights[part]
            scores.append(area(y[part], np.where(ones, w, 0), np.where(ones, 0, w)))
        return np.concatenate(scores)

    def value(y: Array, t: Array, weights: Array | None) -> Array:
        scores = np.stack(
            [of_column(y[:, :, column], t[:, :, column] > 0.5, weights) for column in range(y.shape[2])], axis=1
        )  # (K, O)
        is_defined = ~np.isnan(scores)
        mean = _ratio(np.where(is_defined, scores, 0).sum(axis=1), is_defined.sum(axis=1))
        return np.where(np.isnan(y).any(axis=(1, 2)), np.nan, mean)

    return value


def _equal_neighbours(ordered: Array) -> tuple[Array, Array]:
    """For each number in ordered rows (K, N), the positions of the first and of the last that equal it."""
    n = ordered.shape[1]
    differs = ordered[:, 1:] != ordered[:, :-1]
    end = np.ones((len(ordered), 1), bool)
    position = np.arange(n)
    first = np.maximum.accumulate(np.where(np.concatenate([end, differs], axis=1), position, 0), axis=1)
    last = np.where(np.concatenate([differs, end], axis=1), position, n)
    return first, np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
