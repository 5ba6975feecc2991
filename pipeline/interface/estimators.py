"""Sweeps as scikit-learn estimators: `fit` sweeps over folds of its rows, and the published model predicts.

A fit has no test rows (split.test=0): who calls it holds them, as `cross_val_score` does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import Tags, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted, validate_data

from nncore.inference import model_file
from nncore.kernels.backend import Array
from pipeline.console.output import QuietOutput
from pipeline.interface.errors import InvalidSettingError
from pipeline.interface.model import SweepModel
from pipeline.interface.result import SweepResult
from pipeline.interface.sweeps import swept
from pipeline.runs.replay import RunHistory, replayed

TARGET, FOLD, WEIGHT = "target", "fold", "weight"  # columns beside those of X, with as many underscores as it takes
LARGEST_SEED = 2**31 - 1


class SilentOutput(QuietOutput):
    """Warnings only."""

    def end(self, summary: dict[str, Any], view_command: str | None) -> None:
        """See Output."""


class SweepEstimator(BaseEstimator):  # type: ignore[misc]
    """What SweepClassifier and SweepRegressor have in common; see there."""

    _task = ""

    def __init__(
        self,
        space: str | Mapping[str, Any] | None = None,
        *,
        search: str | None = None,
        preset: str | None = None,
        cv: Any = 5,
        n_jobs: int | None = None,
        seconds: float | None = None,
        metric: str | None = None,
        random_state: Any = 0,
        overrides: Sequence[str] = (),
        runs: str | Path | None = None,
    ) -> None:
        self.space = space
        self.search = search
        self.preset = preset
        self.cv = cv
        self.n_jobs = n_jobs
        self.seconds = seconds
        self.metric = metric
        self.random_state = random_state
        self.overrides = overrides
        self.runs = runs

    def _fit(self, X: Any, y: Array, sample_weight: Any) -> Self:
        """Sweep over the rows, whose targets are texts of classes or numbers."""
        frame = self._frame(X, reset=True)
        check_consistent_length(frame, y)
        target, fold = _free(TARGET, frame), _free(FOLD, frame)
        folds = _folds(check_cv(self.cv, y, classifier=is_classifier(self)), frame, y)
        frame, self.n_splits_ = frame.assign(**{fold: folds}), int(folds.max()) + 1
        overrides = [f"data.task={self._task}", "data.rare_classes=refuse", "split=predefined", "split.test=0"]
        overrides += [f"data.group={fold}", f"split.folds={self.n_splits_}", f"seed={self._seed()}"]
        overrides += [f"search={self.search}"] if self.search else []
        overrides += [f"select.metric={self.metric}"] if self.metric else []
        if sample_weight is not None:
            weight = _free(WEIGHT, frame)
            frame = frame.assign(**{weight: _check_sample_weight(sample_weight, frame, ensure_non_negative=True)})
            frame, y = frame[frame[weight] > 0], y[frame[weight] > 0]
            overrides.append(f"data.weight={weight}")
        with TemporaryDirectory(prefix="nnsweep-") as temporary:
            result = swept(
                output=SilentOutput(),
                data=frame.assign(**{target: y}),
                y=None,
                target=[target],
                runs=self.runs or temporary,
                preset=self.preset,
                space=self.space,
                seconds=self.seconds,
                cpus=self.n_jobs,
                name=None,
                overrides=[*overrides, *self.overrides],
            )
            self._keep(result)
        return self

    def _keep(self, result: SweepResult) -> None:
        """Read what is asked for later; the run's folder may be deleted afterwards."""
        self.best_estimator_ = result.model
        self.summary_, self.leaderboard_, history = result.summary, result.leaderboard, replayed(result.folder)
        self.cv_results_ = cv_results(history, self.summary_)
        keys = [*history.trials]
        self.best_index_ = keys.index(self.summary_["best"]["trial"])
        self.best_params_ = self.cv_results_["params"][self.best_index_]
        self.best_score_ = float(self.cv_results_["mean_test_score"][self.best_index_])

    def _frame(self, X: Any, reset: bool) -> pd.DataFrame:
        """The rows as a data frame with names of columns; X is checked as scikit-learn does."""
        if hasattr(X, "__dataframe__") or hasattr(X, "__arrow_c_stream__"):
            if not isinstance(X, pd.DataFrame):
                X = X.to_pandas()
            validate_data(self, X, skip_check_array=True, reset=reset)
            return X.set_axis(X.columns.astype(str), axis=1).reset_index(drop=True)
        array = validate_data(self, X, reset=reset, ensure_all_finite="allow-nan", ensure_min_samples=2 if reset else 1)
        names = getattr(self, "feature_names_in_", [f"x{number}" for number in range(array.shape[1])])
        return pd.DataFrame(array, columns=names)

    def _seed(self) -> int:
        state = self.random_state
        return int(state) if isinstance(state, int | np.integer) else check_random_state(state).randint(LARGEST_SEED)

    def _rows(self, X: Any) -> pd.DataFrame:
        """The rows to predict, of a fitted estimator."""
        check_is_fitted(self)
        return self._frame(X, reset=False)

    def __getstate__(self) -> dict[str, Any]:
        """The model as the bytes of its files, of which none is code."""
        state = dict(super().__getstate__())
        if "best_estimator_" in state:
            with TemporaryDirectory(prefix="nnsweep-") as temporary:
                model_file.save(state.pop("best_estimator_").network, Path(temporary) / "model")
                files = (Path(temporary) / "model").iterdir()
                state["_model_files"] = {path.name: path.read_bytes() for path in files}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        files = state.pop("_model_files", None)
        super().__setstate__(state)
        if files is not None:
            with TemporaryDirectory(prefix="nnsweep-") as temporary:
                for name, content in files.items():
                    (Path(temporary) / name).write_bytes(content)
                self.best_estimator_ = SweepModel(Path(temporary))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "best_estimator_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.non_deterministic = self.seconds is not None
        return tags


class SweepClassifier(ClassifierMixin, SweepEstimator):  # type: ignore[misc]
    """A sweep that predicts the class of a row: optimizers and regularization are chosen by cross-validation.

    Parameters
    ----------
    space : str or mapping, optional
        What to search, as of `sweep`.
    search : str, optional
        How, such as "random", "tpe" or "grid".
    preset : {"quick", "good", "best", "none"}, optional
        As of `sweep`: "quick", unless space or search is given.
    cv : int, splitter or iterable of (train, validation), default 5
        The folds, as of GridSearchCV. Each row must be for validation in one fold, and for training in the others.
    n_jobs : int, > 0, optional
        Tasks at the same time: more than one starts Ray on this machine for the fit. None: one, in this process.
    seconds : float, > 0, optional
        About when a fit ends; which trials finish then depends on the machine.
    metric : str, optional
        Ranks the trials, such as "accuracy" or "roc_auc"; by default the loss.
    random_state : int, RandomState or None, default 0
        Of folds and networks; None draws a new one for each fit.
    overrides : sequence of str
        Any other settings as on the command line: ["training.epochs=100", "search.trials=50"].
    runs : str or Path, optional
        A folder in which the runs are kept; by default a fit leaves no file.

    Attributes
    ----------
    classes_ : array (C,)
        The sorted labels.
    best_estimator_ : SweepModel
        The published model: the best trial, its networks of all folds, or the ensemble.
    best_params_, best_score_, best_index_ : dict, float, int
        Of the best trial.
    cv_results_ : dict of str to array
        As of GridSearchCV, a row for each trial. Scores are greater for better trials: a loss has a minus sign.
    leaderboard_ : DataFrame
    summary_ : dict
        The content of summary.json.
    n_splits_ : int
    n_features_in_, feature_names_in_ : int, array of str
        The names only if X has names of columns that are texts.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from nnsweep import SweepClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> space = {"optimizer": {"adam": {"learning_rate": [0.01, 0.03]}}}
    >>> sweep = SweepClassifier(space, cv=3, overrides=["training.epochs=20"]).fit(X, y)
    >>> bool(sweep.score(X, y) > 0.9)
    True
    """

    _task = "classification"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Sweep over the rows.

        Parameters
        ----------
        X : data frame or array (N, I)
            Columns of a data frame may hold texts. Missing values are allowed.
        y : array (N,)
            Labels.
        sample_weight : array (N,), >= 0, optional
            Rows of weight 0 are left out.

        Returns
        -------
        SweepClassifier
            Itself.

        Raises
        ------
        ValueError
            If rows, targets or settings are invalid, or a class has fewer rows than there are folds.
        """
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        digits = len(str(len(self.classes_)))
        return self._fit(X, np.array([f"{code:0{digits}d}" for code in codes], dtype=object), sample_weight)

    def predict(self, X: Any) -> Array:
        """Predict the label of each row (N,)."""
        rows = self._rows(X)
        return self.classes_[self.best_estimator_.predict(rows).astype(int)]

    def predict_proba(self, X: Any) -> Array:
        """Predict the probability of each class (N, C), in the order of `classes_`."""
        rows = self._rows(X)
        return self.best_estimator_.predict_proba(rows)


class SweepRegressor(RegressorMixin, SweepEstimator):  # type: ignore[misc]
    """A sweep that predicts a value for each row: optimizers and regularization are chosen by cross-validation.

    Parameters
    ----------
    space, search, preset, cv, n_jobs, seconds, metric, random_state, overrides, runs
        As of `SweepClassifier`; `metric` is by default the root mean squared error, another is such as "mae".

    Attributes
    ----------
    best_estimator_, best_params_, best_score_, best_index_, cv_results_, leaderboard_, summary_, n_splits_
        As of `SweepClassifier`.
    n_features_in_, feature_names_in_ : int, array of str
        The names only if X has names of columns that are texts.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from nnsweep import SweepRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> space = {"optimizer": {"adam": {"learning_rate": [0.01, 0.03]}}}
    >>> sweep = SweepRegressor(space, cv=3, overrides=["training.epochs=20"]).fit(X, y)
    >>> bool(sweep.score(X, y) > 0.4)
    True
    """

    _task = "regression"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Sweep over the rows.

        Parameters
        ----------
        X : data frame or array (N, I)
            Columns of a data frame may hold texts. Missing values are allowed.
        y : array (N,)
            Finite values.
        sample_weight : array (N,), >= 0, optional
            Rows of weight 0 are left out.

        Returns
        -------
        SweepRegressor
            Itself.

        Raises
        ------
        ValueError
            If rows, targets or settings are invalid.
        """
        return self._fit(X, column_or_1d(y, dtype=np.float64, warn=True), sample_weight)

    def predict(self, X: Any) -> Array:
        """Predict the value of each row (N,)."""
        rows = self._rows(X)
        return self.best_estimator_.predict(rows)


def cv_results(history: RunHistory, summary: dict[str, Any]) -> dict[str, Any]:
    """The trials of a run as GridSearchCV gives them.

    Parameters
    ----------
    history : RunHistory
    summary : dict
        The content of summary.json.

    Returns
    -------
    dict of str to array (T,), or list of dict
        `params`, and `param_<name>`, masked where a trial does not have the parameter; `split<fold>_test_score` and
        their mean, standard deviation and rank: nan, and last, where a trial diverged or was not trained on all folds;
        and the seconds of a fold, as its share of those of the sweep by epochs.
    """
    trials, metric = [*history.trials.values()], history.metric
    sign = 1.0 if metric.greater_is_better else -1.0
    n_folds = 1 + max(network.replicate.fold for trial in trials for network in trial.networks)
    scores, epochs = np.full((len(trials), n_folds), np.nan), np.zeros((len(trials), n_folds))
    for row, trial in enumerate(trials):
        for fold in range(n_folds):
            networks = [network for network in trial.networks if network.replicate.fold == fold]
            if networks and not any(network.diverged for network in networks):
                values = [network.final_metrics[f"validation/{metric.name}"] for network in networks]
                scores[row, fold] = sign * np.mean(values)
                epochs[row, fold] = sum(network.epochs_trained for network in networks)
    seconds = epochs * summary["timings"]["sweep_s"] / max(epochs.sum(), 1)
    names = list(dict.fromkeys(name for trial in trials for name in trial.parameters))
    results: dict[str, Any] = {"mean_fit_time": seconds.mean(1), "std_fit_time": seconds.std(1)}
    results |= {"mean_score_time": np.zeros(len(trials)), "std_score_time": np.zeros(len(trials))}
    for name in names:
        column = np.ma.MaskedArray(np.full(len(trials), None, dtype=object), mask=True)
        for row, trial in enumerate(trials):
            if name in trial.parameters:
                column[row] = trial.parameters[name]
        results[f"param_{name}"] = column
    results["params"] = [dict(trial.parameters) for trial in trials]
    results |= {f"split{fold}_test_score": scores[:, fold] for fold in range(n_folds)}
    mean = scores.mean(1)
    order = np.where(np.isnan(mean), np.inf, -mean)
    rank = np.array([1 + (order < value).sum() for value in order], dtype=np.int32)
    return results | {"mean_test_score": mean, "std_test_score": scores.std(1), "rank_test_score": rank}


def _folds(cv: Any, frame: pd.DataFrame, y: Array) -> Array:
    """In which fold each row is for validation (N,)."""
    folds, n_folds = np.full(len(frame), -1), 0
    for n_folds, (train, validation) in enumerate(cv.split(frame, y), start=1):
        rest = np.setdiff1d(np.arange(len(frame)), validation)
        if (folds[validation] >= 0).any() or not np.array_equal(np.sort(train), rest):
            raise InvalidSettingError(
                f"cv={cv}: each row must be for validation in one fold and for training in all others; choose folds "
                "such as KFold or GroupKFold"
            )
        folds[validation] = n_folds - 1
    if n_folds < 2 or (folds < 0).any():
        raise InvalidSettingError(f"cv={cv}: each row must be for validation in one of at least two folds")
    return folds


def _free(name: str, frame: pd.DataFrame) -> str:
    """A name that no column has."""
    while name in frame:
        name += "_"
    return name
