"""Calibrate: what the validation rows say about a finished model: probabilities, the threshold, and intervals.

Everything here is fitted to rows that the model's network was not trained on: the validation rows, or with folds the
rows of all of them, each predicted by the network of its fold. The test rows are not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from nncore.architecture import Architecture
from nncore.calibration import (
    Calibration,
    CalibrationChoice,
    choose_calibration,
    cross_fitting_parts,
    debiased_calibration_error,
    error_if_perfect,
    expected_calibration_error,
    log_losses,
    reliability,
)
from nncore.components import Component
from nncore.conformal import conformal_half_width
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, ConformalInterval, Model, ValueDecoder
from nncore.inference.target_transforms import TargetTransform
from nncore.kernels.backend import Array
from nncore.metrics import Metric
from nncore.thresholds import choose_threshold, depends_on_threshold
from pipeline.components.types import Development, PreparedView
from pipeline.engine.selection import SelectionSettings
from pipeline.stages.answers import Answers
from pipeline.stages.ensemble import Counts, OutOfFold, values_and_deviation

N_BINS = 15
N_BINS_SHOWN = 10  # in a picture


class HeldOut(NamedTuple):
    """What networks predict for the validation rows of a fold.

    Parameters
    ----------
    y : float64 array (n, N, O)
        Of classes the logits, otherwise the values in the targets' units.
    deviation : float64 array (n, N, T) or None
        In the same unit, if the loss predicts one.
    transform : Logarithm, YeoJohnson or None
        Of the targets that the networks learned.
    """

    y: Array
    deviation: Array | None
    transform: TargetTransform | None = None


@dataclass(frozen=True)
class Adjustment:
    """What is added to a model after its training, and what it is worth.

    Parameters
    ----------
    calibration : Calibration or None
    threshold : float
        Of two classes.
    interval : ConformalInterval or None
        Of values.
    summary : dict
        "calibration", "threshold" and "intervals", as in summary.json; None where there is nothing to say.
    reliability : dict or None
        Reliability "before" and "after", and the "method", as in diagnosis.json.
    """

    calibration: Calibration | None
    threshold: float
    interval: ConformalInterval | None
    summary: dict[str, Any]
    reliability: dict[str, Any] | None


def held_out(out_of_fold: OutOfFold, mean: Array) -> HeldOut:
    """Return what a mean over networks (R, .) predicts for out-of-fold rows, with n = 1.

    Outputs that are no logits cannot be calibrated as such; they are NaN.
    """
    if isinstance(out_of_fold.decoder, ValueDecoder):
        y, deviation = values_and_deviation(out_of_fold.loss, mean)
        return HeldOut(y[None], None if deviation is None else deviation[None], out_of_fold.decoder.transform)
    z = out_of_fold.outputs(mean[None])
    if not isinstance(out_of_fold.decoder, ClassDecoder):
        return HeldOut(z, None)
    with np.errstate(all="ignore"):
        p = np.exp(-log_losses(z[0], np.eye(z.shape[2])[np.zeros(z.shape[1], int)]))
    are_logits = np.allclose(out_of_fold.loss.predict(z)[0, :, 0], p, atol=1e-6)
    return HeldOut(z if are_logits else np.full_like(z, np.nan), None)


def fit_to_answers(
    answers: Answers,
    view: PreparedView,
    architecture: Architecture,
    development: Development,
    select: SelectionSettings,
    approximations: list[str],
    counts: Counts,
) -> Adjustment:
    """Fit what the settings ask for to the out-of-fold rows.

    Parameters
    ----------
    answers : Answers
    view : PreparedView
        Of the champion; its decoder gives the scale.
    architecture : Architecture
        Of a network of the champion; its loss is that of all.
    development : Development
    select : SelectionSettings
    approximations : list of str
        Why intervals may not cover exactly the stated share of new rows.
    counts : dict of Candidate to int
        The networks that predict together.
    """
    out_of_fold = OutOfFold(answers, architecture.functions.loss, view.target_decoder)
    (y, deviation, transform), folds = held_out(out_of_fold, out_of_fold.mean(counts)), [*np.unique(answers.folds)]
    rows = [answers.folds == fold for fold in folds]
    parts = [HeldOut(y[:, part], None if deviation is None else deviation[:, part], transform) for part in rows]
    return fit_adjustment(development, select, approximations, folds, *parts)


def fit_adjustment(
    development: Development, select: SelectionSettings, approximations: list[str], folds: list[int], *parts: HeldOut
) -> Adjustment:
    """Fit what the settings ask for to the validation rows.

    Parameters
    ----------
    development : Development
    select : SelectionSettings
    approximations : list of str
        Why intervals may not cover exactly the stated share of new rows.
    folds : list of int
        Of each part, the fold (from 0) whose validation rows it predicts.
    *parts : HeldOut
        Of one network each.
    """
    everywhere = np.concatenate([development.folds[fold].validation for fold in folds])
    _, first = np.unique(everywhere, return_index=True)  # with repeats, a row is in several validation parts
    raw = development.rows
    first = first if raw.weights is None else first[raw.weights[everywhere[first]] > 0]
    rows = everywhere[first]
    weights = None if raw.weights is None else raw.weights[rows] / raw.weights[rows].mean()
    y = np.concatenate([part.y[0] for part in parts])[first]
    if development.task == "regression":
        deviations = [part.deviation[0] for part in parts if part.deviation is not None]
        deviation = np.concatenate(deviations)[first] if deviations else None
        transform = parts[folds.index(min(folds))].transform  # that of the model
        known = (y, raw.y[rows], deviation, weights)
        return _fit_interval(development.targets, select, approximations, known, transform)
    if development.labels is None or not np.isfinite(y).all():
        return Adjustment(None, 0.5, None, _nothing(), None)
    fold_of_row = np.repeat(folds, [part.y.shape[1] for part in parts])[first]
    t = ClassDecoder(development.labels).targets(raw.y[rows])
    return _fit_probabilities(select, y, t, cross_fitting_parts(len(rows), fold_of_row), weights)


def adjusted(model: Model | Ensemble, adjustment: Adjustment) -> Model | Ensemble:
    """Return the model with its calibration, its threshold and its interval."""
    decoder = model.target_decoder
    if isinstance(decoder, ClassDecoder):
        decoder = replace(decoder, threshold=adjustment.threshold)
    elif isinstance(decoder, ValueDecoder):
        decoder = replace(decoder, interval=adjustment.interval)
    if isinstance(model, Ensemble):
        return replace(model, decoder=decoder, calibration=adjustment.calibration)
    return replace(model, target_decoder=decoder, calibration=adjustment.calibration)


def _nothing() -> dict[str, Any]:
    return dict.fromkeys(("calibration", "threshold", "intervals"))


def _fit_probabilities(
    select: SelectionSettings, z: Array, t: Array, parts: Array, weights: Array | None
) -> Adjustment:
    """Calibration and threshold for classes, with the scores of rows that they were not fitted to."""
    choice = CalibrationChoice("none", None, z)
    if select.calibrate != "never":
        choice = choose_calibration(z, t, parts, weights, always=select.calibrate == "always")
    before, after = _probabilities(z), _probabilities(choice.logits)
    summary, one = _nothing(), None if weights is None else weights[None]
    calibration = choice.calibration or Calibration(1.0)
    summary["calibration"] = {
        "setting": select.calibrate,
        "method": choice.method,
        "slope": calibration.slope,
        "intercept": calibration.intercept,
        "applied": choice.calibration is not None,
        "log_loss_before": float(np.average(log_losses(z, t), weights=weights)),
        "log_loss_after": float(np.average(log_losses(choice.logits, t), weights=weights)),
        "calibration_error_before": float(expected_calibration_error(before[None], t[None], N_BINS, one)[0]),
        "calibration_error_after": float(expected_calibration_error(after[None], t[None], N_BINS, one)[0]),
        "calibration_error_debiased_before": debiased_calibration_error(before, t, N_BINS, weights),
        "calibration_error_debiased_after": debiased_calibration_error(after, t, N_BINS, weights),
        "expected_if_perfect": error_if_perfect(after, N_BINS, weights),
    }
    threshold, selected = 0.5, select.metric
    if select.threshold == "auto" and isinstance(selected, Component) and t.shape[1] == 1:
        metric: Metric = selected.build()
        p, truth = after[:, 0], t[:, 0]
        if depends_on_threshold(metric.value):
            tuned = choose_threshold(p, truth, parts, metric.value, metric.greater_is_better, weights)
            threshold = tuned.value
            if np.isfinite(tuned.score_before):  # the score is defined for these rows
                summary["threshold"] = {"metric": selected.short_name, **tuned._asdict()}
    shown = {name: _reliability(p, t) for name, p in (("before", before), ("after", after))}
    return Adjustment(choice.calibration, threshold, None, summary, {**shown, "method": choice.method})


def _probabilities(z: Array) -> Array:
    """The softmax of logits (N, O), or with O = 1 their sigmoid; at least a tiny number, as rounding gives 0."""
    with np.errstate(under="ignore"):
        if z.shape[1] == 1:
            return np.asarray(np.exp(-np.logaddexp(0, -z)))
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(p / p.sum(axis=1, keepdims=True))


def _reliability(p: Array, t: Array) -> dict[str, list[float | None]]:
    bins = reliability(p[None], t[None].astype(np.float64), N_BINS_SHOWN)
    return {
        name: [None if value != value else float(value) for value in values[0]]
        for name, values in bins._asdict().items()
    }


def _fit_interval(
    targets: Sequence[str],
    select: SelectionSettings,
    approximations: list[str],
    rows: tuple[Array, Array, Array | None, Array | None],
    transform: TargetTransform | None,
) -> Adjustment:
    """Conformal intervals for values; rows are y, t, the predicted deviation and the weights of the rows.

    Errors of transformed values give intervals whose ends are at the same distance from the prediction only there.
    """
    y, t, deviation, weights = rows
    summary = _nothing()
    if select.coverage is None:
        return Adjustment(None, 0.5, None, summary, None)
    errors = np.abs(t - y) if transform is None else np.abs(transform(t) - transform(y))  # (N, T)
    errors = errors if deviation is None else errors / deviation
    half_width = conformal_half_width(errors, select.coverage, weights)
    clash = {f"{end}_{name}" for end in ("lower", "upper") for name in targets} & set(targets)
    too_few = not np.isfinite(half_width).all()
    is_known = not (too_few or (clash and len(targets) > 1))
    typical = half_width if deviation is None else half_width * np.median(deviation, axis=0)
    if transform is not None and is_known:
        ends = [transform.undo(transform(y) + side * half_width) for side in (-1, 1)]
        typical = np.median(ends[1] - ends[0], axis=0) / 2
    summary["intervals"] = {
        "coverage": select.coverage,
        "half_width": None,
        "n_rows": len(errors),
        "exact": is_known and not approximations,
        "relative_to_deviation": deviation is not None,
        "transformed": transform is not None,
        "notes": approximations,
    }
    if not is_known:
        cause = (
            f"{len(errors)} validation rows are too few for intervals of {100 * select.coverage:.4g} %"
            if too_few
            else f"the columns of the intervals would have the name of the target {min(clash)}"
        )
        summary["intervals"]["notes"] = [cause]
        return Adjustment(None, 0.5, None, summary, None)
    widths = dict(zip(targets, typical.tolist(), strict=True))
    summary["intervals"]["half_width"] = widths if len(targets) > 1 else typical.tolist()[0]
    return Adjustment(None, 0.5, ConformalInterval(half_width, select.coverage), summary, None)
