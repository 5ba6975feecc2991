"""SweepClassifier and SweepRegressor: a sweep as an estimator of scikit-learn."""

import pickle
import pickletools

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, ShuffleSplit, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from nnsweep import InvalidSettingError, SweepClassifier, SweepRegressor, load_run

SPACE = {"optimizer": {"adam": {"learning_rate": [0.01, 0.03]}}}
SMALL = {"cv": 3, "overrides": ["training.epochs=10", "baselines=none", "network.hidden=[16]"]}
TINY = {"cv": 2, "overrides": ["training.epochs=30", "baselines=none", "network.hidden=[16]", "select.ensemble=0"]}
ONE = {"optimizer": {"adam": {"learning_rate": [0.03]}}}
NOT_EQUIVALENT = {
    "check_sample_weight_equivalence_on_dense_data": "batches are drawn from the rows: a row of weight 2 is in one of "
    "them, two equal rows may be in two"
}


def frame(n_rows=90):
    generator = np.random.default_rng(0)
    size, colour = generator.normal(size=n_rows), generator.choice(["red", "blue"], n_rows)
    X = pd.DataFrame({"size": size, "colour": colour})
    X.loc[3, "size"] = np.nan
    return X, np.where(size + (colour == "red") > 0.5, "yes", "no")


@pytest.fixture(scope="module")
def fitted():
    X, y = load_iris(return_X_y=True)
    return SweepClassifier(SPACE, **SMALL).fit(X, y), X, y


@pytest.mark.nightly
@parametrize_with_checks(
    [kind(ONE, **TINY) for kind in (SweepClassifier, SweepRegressor)], expected_failed_checks=lambda _: NOT_EQUIVALENT
)
def test_all_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


def test_the_results_have_the_columns_of_grid_search(fitted):
    ours, X, y = fitted
    theirs = GridSearchCV(MLPClassifier(tol=1e3, n_iter_no_change=1), {"learning_rate_init": [0.01, 0.03]}, cv=3).fit(
        X, y
    )

    def columns(results):
        return {name for name in results if not name.startswith("param_")}

    assert columns(ours.cv_results_) == columns(theirs.cv_results_)
    for name in columns(theirs.cv_results_) - {"params"}:
        assert ours.cv_results_[name].dtype == theirs.cv_results_[name].dtype
        assert ours.cv_results_[name].shape == theirs.cv_results_[name].shape
    assert list(ours.cv_results_["param_optimizer.learning_rate"]) == [0.01, 0.03]
    folds = np.array([ours.cv_results_[f"split{fold}_test_score"] for fold in range(3)])
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], folds.mean(axis=0))
    np.testing.assert_allclose(ours.cv_results_["std_test_score"], folds.std(axis=0))
    assert ours.best_index_ == np.argmin(ours.cv_results_["rank_test_score"]) == np.argmax(folds.mean(axis=0))
    assert ours.best_params_ == ours.cv_results_["params"][ours.best_index_]
    assert ours.best_score_ == ours.cv_results_["mean_test_score"][ours.best_index_]
    assert ours.score(X, y) > 0.9
    np.testing.assert_array_equal(ours.predict(X), ours.classes_[ours.predict_proba(X).argmax(axis=1)])


def test_folds_are_those_of_the_splitter_and_rows_of_weight_0_are_left_out():
    X, y = frame()
    groups = np.arange(len(X)) // 30
    weights = np.where(groups == 2, 0.0, 1.0)
    cv = list(GroupKFold(3).split(X, y, groups))
    with pytest.raises(InvalidSettingError, match=r"split\.folds=2"):
        SweepClassifier(ONE, cv=cv, overrides=SMALL["overrides"]).fit(X, y, sample_weight=weights)
    cv = list(KFold(3).split(X))
    X, y = pd.concat([X, X]), np.concatenate([y, np.where(y == "yes", "no", "yes")])
    doubled = [(np.setdiff1d(np.arange(180), part), part) for _, rest in cv for part in [np.r_[rest, rest + 90]]]
    weights = np.repeat([1.0, 0.0], 90)
    ours = SweepClassifier(ONE, cv=doubled, overrides=SMALL["overrides"]).fit(X, y, sample_weight=weights)
    alone = SweepClassifier(ONE, cv=cv, overrides=SMALL["overrides"]).fit(X[:90], y[:90])
    np.testing.assert_array_equal(ours.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize("cv", [ShuffleSplit(3), [([0, 1], [2])]])
def test_folds_that_are_no_partition_are_refused(cv):
    X, y = frame()
    with pytest.raises(InvalidSettingError, match="each row must be for validation in one fold"):
        SweepClassifier(ONE, cv=cv).fit(X, y)


def test_texts_missing_values_and_a_pipeline():
    X, y = frame()
    sweep = SweepClassifier(ONE, **SMALL).fit(X, y)
    assert [*sweep.feature_names_in_] == ["size", "colour"]
    assert sweep.score(X, y) > 0.8
    with pytest.raises(ValueError, match="feature names should match"):
        sweep.predict(X.rename(columns={"size": "weight"}))
    numbers, target = X[["size"]].fillna(0).to_numpy(), (y == "yes").astype(float)
    scores = cross_val_score(make_pipeline(StandardScaler(), SweepRegressor(ONE, **SMALL)), numbers, target, cv=2)
    assert scores.min() > 0.2
    again = clone(sweep).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), sweep.predict_proba(X))


def test_a_fitted_estimator_is_pickled_by_the_files_of_its_model(fitted):
    ours, X, _ = fitted
    content = pickle.dumps(ours)
    names = {argument for opcode, argument, _ in pickletools.genops(content) if isinstance(argument, str)}
    assert not any(name.startswith("nncore") for name in names)
    np.testing.assert_array_equal(pickle.loads(content).predict_proba(X), ours.predict_proba(X))


def test_a_fit_leaves_no_file_unless_a_folder_is_given(tmp_path, monkeypatch, capsys):
    X, y = frame()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    SweepClassifier(ONE, **SMALL).fit(X, y)
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]
    assert capsys.readouterr().out == ""
    sweep = SweepClassifier(ONE, **SMALL, runs=tmp_path / "kept").fit(X, y)
    run = load_run("last", tmp_path / "kept")
    assert run.summary["digest"] == sweep.summary_["digest"]
    assert run.best["n_test_rows"] == 0


def test_int_cv_is_that_of_grid_search():
    X, y = frame()
    as_int = SweepClassifier(ONE, **SMALL).fit(X, y)
    as_splitter = SweepClassifier(ONE, **SMALL | {"cv": StratifiedKFold(3)}).fit(X, y)
    np.testing.assert_array_equal(as_int.predict_proba(X), as_splitter.predict_proba(X))
