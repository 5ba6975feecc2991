"""The scikit-learn estimators: scikit-learn's checks, its MLP and linear models as oracles, and our own features."""

import inspect
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from running import nightly_after_first
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, minmax_scale, scale
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_info, threadpool_limits

from nncore.components import Component
from nncore.sklearn.base import held_out
from nncore.sklearn.estimators import AutoencoderReducer, NetworkClassifier, NetworkRegressor
from nncore.stack.passes import predict
from nncore.stack.training import train

ANSWERS = {NetworkClassifier: "predict_proba", NetworkRegressor: "predict", AutoencoderReducer: "transform"}
KINDS = tuple(ANSWERS)
NADAM = Component("nncore.optimizers.nadam.nadam", (("learning_rate", 0.02),))
LOOKAHEAD = Component("nncore.optimizers.lookahead.lookahead", (("optimizer", NADAM),))
SGD = Component("nncore.optimizers.sgd.sgd", (("learning_rate", 0.02),))
CLIPPING = Component("nncore.regularizers.clipping.clip_norm", (("limit", 1.0),))
EMA = Component("nncore.regularizers.averaging.ema", (("decay", 0.5),))
QUICK = {"hidden_layer_sizes": (10,), "learning_rate_init": 0.02, "max_iter": 60, "random_state": 0}
SETTINGS = (
    {"solver": "muon"},
    {"solver": "lbfgs"},
    {"solver": LOOKAHEAD, "regularizers": (EMA,), "normalisation": "layer_norm", "schedule": "exponential"},
    {"dropout": 0.2, "normalisation": "batch_norm"},
    {"early_stopping": True, "solver": "sgd", "regularizers": (CLIPPING,)},
)
NESTEROV, MOMENTUM = {"solver": "sgd", "momentum": 0.7}, {"solver": "sgd", "nesterovs_momentum": False}
ADAM = {
    "solver": "adam",
    "beta_1": 0.8,
    "beta_2": 0.99,
    "epsilon": 1e-14,
}  # which has another position in scikit-learn's
NO_CONVERGENCE = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
pytestmark = pytest.mark.usefixtures("one_thread")
FLOWERS, SPECIES = scale(load_iris().data), load_iris().target


@pytest.mark.slow
@parametrize_with_checks([kind() for kind in KINDS])
def test_all_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


def expected_failures(estimator):
    """The checks that call partial_fit, which neither scikit-learn's network nor ours has with early stopping."""
    checks = "check_estimators_partial_fit_n_features", "check_fit_score_takes_y", "check_n_features_in_after_fitting"
    return dict.fromkeys(checks, "partial_fit does not support early_stopping=True") if estimator.early_stopping else {}


@pytest.mark.parametrize("network", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("name", expected_failures(NetworkRegressor(early_stopping=True)))
def test_scikit_learns_network_fails_the_same_checks(name, network):
    """With early stopping its partial_fit raises the same error as ours, instead of being absent."""
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        getattr(estimator_checks, name)("network", network(early_stopping=True))


@pytest.mark.nightly
@parametrize_with_checks(
    [kind(**QUICK | setting) for setting in SETTINGS for kind in KINDS], expected_failed_checks=expected_failures
)
def test_all_checks_of_scikit_learn_pass_with_other_settings(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("kind", nightly_after_first(KINDS))
def test_the_array_api_check_that_needs_an_environment_variable_passes(kind):
    code = "from sklearn.utils.estimator_checks import check_array_api_input as check\n"
    code += "import nncore.sklearn.estimators as e\n"
    code += f"check('it', e.{kind.__name__}(max_iter=5), 'numpy', expect_only_array_outputs=False)"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"SCIPY_ARRAY_API": "1"}, check=True)


@pytest.mark.parametrize(("ours", "theirs"), [(NetworkClassifier, MLPClassifier), (NetworkRegressor, MLPRegressor)])
def test_arguments_have_the_names_order_and_defaults_of_scikit_learn(ours, theirs):
    signatures = (inspect.signature(kind).parameters.values() for kind in (ours, theirs))
    mine, its = ({p.name: (p.default, p.kind) for p in signature} for signature in signatures)
    more = {"dropout", "normalisation", "schedule", "regularizers", "initializer", "dtype"}
    assert mine.keys() - its.keys() == more | ({"scale_targets"} if ours is NetworkRegressor else set())
    assert its.keys() - mine.keys() == {"learning_rate", "power_t", "shuffle", "verbose", "max_fun"}
    assert all(mine[name] == its[name] for name in mine.keys() & its.keys())
    assert [*mine][:4] == [*its][:4]
    for name in ("fit", "partial_fit"):
        of_ours, of_theirs = (inspect.signature(getattr(kind, name)).parameters for kind in (ours, theirs))
        assert [*of_ours] == [*of_theirs]


def twin_of(ours, theirs, X, y, weights):
    """scikit-learn's network, trained like ours and from the same weights."""
    shared = {name: value for name, value in ours.get_params().items() if name in theirs().get_params()}
    twin = theirs(**shared | {"max_iter": 1, "warm_start": True}).fit(X, y)
    twin.coefs_ = [W.copy() for W in clone(ours).set_params(learning_rate_init=1e-30, max_iter=1).fit(X, y).coefs_]
    twin.intercepts_ = [np.zeros_like(b) for b in twin.intercepts_]
    return twin.set_params(max_iter=ours.max_iter).fit(X, y, sample_weight=weights)


@NO_CONVERGENCE
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("how", [ADAM, NESTEROV, MOMENTUM])
@pytest.mark.parametrize("task", ["classes", "two classes", "labels", "values", "counts"])
def test_training_equals_scikit_learn_step_by_step(task, how, activation):
    random = np.random.default_rng(0)
    weights, labels = random.uniform(0.1, 5, size=150), random.integers(2, size=(150, 3))
    X, y = FLOWERS, {"two classes": SPECIES == 1, "labels": labels, "values": FLOWERS[:, :2] ** 2}.get(task, SPECIES)
    kinds = (NetworkClassifier, MLPClassifier) if task in ("classes", "two classes", "labels") else ()
    ours, theirs = kinds or (NetworkRegressor, MLPRegressor)
    how = {**how, "activation": activation, "hidden_layer_sizes": (6, 5), "alpha": 20.0, "n_iter_no_change": 99}
    network = ours(**how, learning_rate_init=0.02, max_iter=15, random_state=0)
    network.set_params(**{"counts": {"loss": "poisson"}, "values": {"scale_targets": False}}.get(task, {}))
    twin = twin_of(network, theirs, X, y, weights)
    network.fit(X, y, weights)
    for a, b in zip(network.coefs_ + network.intercepts_, twin.coefs_ + twin.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(getattr(network, ANSWERS[ours])(X), getattr(twin, ANSWERS[ours])(X), rtol=1e-8)
    if kinds:  # losses of values and counts are defined up to a constant or a factor
        assert network.loss_curve_ == pytest.approx(twin.loss_curve_[-15:], rel=1e-8)  # with the penalty
    assert network.predict(X).dtype == twin.predict(X).dtype
    assert network.score(X, y) == pytest.approx(twin.score(X, y), abs=1e-8)


@pytest.mark.parametrize(
    ("network", "oracle", "load"),
    [
        (NetworkClassifier(alpha=2.0), LogisticRegression(C=0.5, tol=1e-10, max_iter=1000), load_breast_cancer),
        (NetworkClassifier(alpha=2.0), LogisticRegression(C=0.5, tol=1e-10, max_iter=1000), load_iris),
        (NetworkRegressor(alpha=30.0), Ridge(alpha=30.0), load_diabetes),
        (NetworkRegressor(alpha=44.2, loss="poisson"), PoissonRegressor(alpha=0.1, tol=1e-10), load_diabetes),
    ],
)
def test_lbfgs_without_a_hidden_layer_finds_the_linear_model(network, oracle, load):
    X, y = scale(load().data), load().target
    weights = None if isinstance(oracle, PoissonRegressor) else np.random.default_rng(0).uniform(0.1, 2, size=len(X))
    network.set_params(hidden_layer_sizes=(), solver="lbfgs", max_iter=500, n_iter_no_change=500).fit(X, y, weights)
    oracle.fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(
        *(getattr(estimator, ANSWERS[type(network)])(X) for estimator in (network, oracle)), 1e-3, 1e-4
    )


def objective(network, X, y):
    """The cross-entropy and the penalty that scikit-learn's documentation defines, of any fitted classifier."""
    coefs = getattr(network, "coefs_", None) or [network.coef_]
    loss = -np.log(network.predict_proba(X)[np.arange(len(y)), y]).mean()
    return loss + network.alpha / 2 / len(y) * sum((W**2).sum() for W in coefs)


@pytest.mark.parametrize(
    ("load", "alpha", "solver"),
    [
        *[(load_iris, alpha, solver) for alpha in (1.0, 10.0, 100.0) for solver in ("lbfgs", "adam")],
        pytest.param(load_digits, 0.001, "lbfgs", marks=pytest.mark.slow),
    ],
)
def test_training_ends_at_the_lowest_loss_with_its_penalty(load, alpha, solver):
    X, y = load(return_X_y=True)
    X = scale(X) if load is load_iris else X / 16
    network = NetworkClassifier((), solver=solver, alpha=alpha, learning_rate_init=0.03, max_iter=600, random_state=0)
    network.fit(X, y)
    best = LogisticRegression(C=1 / alpha, tol=1e-10, max_iter=5000).fit(X, y)
    best.alpha = alpha
    assert objective(network, X, y) == pytest.approx(objective(best, X, y), rel=0.005 if solver == "lbfgs" else 0.03)
    assert network.loss_ == pytest.approx(objective(network, X, y), rel=0.01)


@NO_CONVERGENCE
@pytest.mark.parametrize("alpha", [1.0, 10.0])
def test_lbfgs_with_a_hidden_layer_ends_where_scipy_finds_no_better(alpha):
    network = NetworkClassifier((10,), solver="lbfgs", alpha=alpha, max_iter=1000, random_state=0).fit(FLOWERS, SPECIES)
    twin = MLPClassifier((10,), solver="lbfgs", alpha=alpha, max_iter=1, warm_start=True).fit(FLOWERS, SPECIES)
    twin.coefs_, twin.intercepts_ = network.coefs_, network.intercepts_
    twin.set_params(max_iter=5000, max_fun=100_000, tol=1e-8).fit(FLOWERS, SPECIES)
    assert objective(network, FLOWERS, SPECIES) < 1.005 * objective(twin, FLOWERS, SPECIES)


def test_a_sparsity_penalty_belongs_to_what_is_monitored():
    one_epoch = {"max_iter": 1, "learning_rate_init": 1e-30, "alpha": 0.0, "random_state": 0}
    X = FLOWERS[:100]  # without duplicate rows
    reducer = AutoencoderReducer(2, **one_epoch, sparsity=0.7).fit(X)
    penalty = 0.7 * np.abs(reducer.transform(X)).sum(axis=1).mean()
    assert reducer.loss_ == pytest.approx(penalty - reducer.score(X))


@pytest.mark.slow
@NO_CONVERGENCE
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize(("load", "margin"), [(load_digits, 0.02), (load_breast_cancer, 0.02), (load_diabetes, 0.05)])
def test_scores_are_scikit_learns_or_better(load, margin, solver):
    how = {"hidden_layer_sizes": (30,), "max_iter": 30, "learning_rate_init": 0.01, "random_state": 0, "alpha": 1.0}
    kinds = (NetworkRegressor, MLPRegressor) if load is load_diabetes else (NetworkClassifier, MLPClassifier)
    models = [make_pipeline(StandardScaler(), kind(solver=solver, **how)) for kind in kinds]
    if load is load_diabetes:
        models = [TransformedTargetRegressor(model, transformer=StandardScaler()) for model in models]
    ours, theirs = (cross_val_score(model, *load(return_X_y=True), cv=3).mean() for model in models)
    assert ours > theirs - margin


@pytest.mark.parametrize("how", [SETTINGS[1], *SETTINGS[4:]])
@pytest.mark.parametrize("kind", KINDS)
def test_row_weights_equal_repeated_and_omitted_rows_to_the_last_bit(kind, how):
    X, y = FLOWERS[:140:3], SPECIES[:140:3]
    weights = np.random.default_rng(0).integers(4, size=len(X))
    order = np.random.default_rng(1).permutation(weights.sum())
    weighed = kind(**QUICK | {"max_iter": 15} | how).fit(X, y, sample_weight=weights)
    repeated = clone(weighed).fit(X.repeat(weights, axis=0)[order], y.repeat(weights)[order])
    assert weighed.loss_curve_ == repeated.loss_curve_ != clone(weighed).fit(X, y).loss_curve_
    assert all(np.array_equal(a, b) for a, b in zip(weighed.coefs_, repeated.coefs_, strict=True))
    small, positive = clone(weighed).set_params(batch_size=16), weights > 0  # where equal rows are not merged
    assert small.fit(X[positive], y[positive], weights[positive]).loss_curve_ == small.fit(X, y, weights).loss_curve_


@pytest.mark.parametrize("batch_size", ["auto", 32])
@pytest.mark.parametrize("kind", KINDS)
def test_partial_fit_n_times_is_n_epochs(kind, batch_size):
    network = kind(batch_size=batch_size, dropout=0.1, schedule="exponential", random_state=3)
    fitted_at_once = clone(network).set_params(max_iter=6).fit(FLOWERS, SPECIES)
    for _ in range(6):
        network.partial_fit(FLOWERS, SPECIES, **({"classes": [0, 1, 2]} if kind is NetworkClassifier else {}))
    assert network.loss_curve_ == fitted_at_once.loss_curve_
    assert all(np.array_equal(a, b) for a, b in zip(network.coefs_, fitted_at_once.coefs_, strict=True))
    assert (network.n_iter_, fitted_at_once.n_iter_) == (1, 6)
    assert fitted_at_once.partial_fit(FLOWERS, SPECIES).loss_ < network.loss_  # also after fit
    assert not hasattr(kind(solver="lbfgs"), "partial_fit")


def test_partial_fit_must_know_all_classes_and_no_others():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        NetworkClassifier().partial_fit(FLOWERS, SPECIES)
    network = NetworkClassifier().partial_fit(FLOWERS[:60], SPECIES[:60], classes=[2, 0, 1])
    assert network.partial_fit(FLOWERS[100:], SPECIES[100:]).predict_proba(FLOWERS).shape == (150, 3)
    with pytest.raises(ValueError, match=r"y must be of the classes \[0 1 2\], but has \[1 2 3\]"):
        network.partial_fit(FLOWERS, SPECIES + 1)


@NO_CONVERGENCE
@pytest.mark.parametrize("kind", [NetworkClassifier, MLPClassifier])
def test_what_scikit_learn_refuses_is_refused(kind):
    """The same for its network and for ours."""
    how = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}
    warm = kind(warm_start=True, **how).fit(FLOWERS, SPECIES)
    with pytest.raises(ValueError, match="same classes"):
        warm.fit(FLOWERS[:100], SPECIES[:100])
    with pytest.raises(ValueError, match="same classes"):
        warm.partial_fit(FLOWERS[:100], SPECIES[:100])
    with pytest.raises(ValueError, match="same classes"):
        kind(warm_start=True, **how).partial_fit(FLOWERS[:100], SPECIES[:100], classes=[0, 1, 2])
    stopping = kind(early_stopping=True, **how)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        stopping.partial_fit(FLOWERS, SPECIES, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"least populated class.* in y ha.* only 1 member"):
        stopping.fit(FLOWERS[:51], SPECIES[:51])
    stopping.fit(FLOWERS[:101], SPECIES[:101])  # three classes: the class of one row is no obstacle
    assert stopping.predict_proba(FLOWERS).shape == (150, 3)


@pytest.mark.parametrize("solver", [SGD, Component(LOOKAHEAD.name, (("optimizer", SGD), ("alpha", 0.9)))])
def test_warm_start_begins_at_the_fitted_weights(solver):
    network = NetworkRegressor(solver=solver, max_iter=20, tol=0, random_state=0, warm_start=True)
    first, both = (network.fit(FLOWERS, SPECIES).loss_curve_ for _ in range(2))
    assert (both[:20], len(both), network.n_iter_) == (first, 40, 20)
    fitted_at_once = (
        clone(network).set_params(max_iter=40).fit(FLOWERS, SPECIES)
    )  # these solvers have no state that a restart would lose
    np.testing.assert_allclose(both, fitted_at_once.loss_curve_, rtol=1e-10)
    with pytest.raises(ValueError, match="the layers must stay"):
        network.set_params(hidden_layer_sizes=(11,)).fit(FLOWERS, SPECIES)


def test_early_stopping_holds_out_rows_of_every_class_and_keeps_the_best_weights():
    X, y = load_digits(return_X_y=True)
    network = NetworkClassifier(early_stopping=True, learning_rate_init=0.02, n_iter_no_change=5, random_state=0)
    curve = network.fit(X, y).validation_loss_curve_
    assert len(curve) == network.n_iter_ >= np.argmin(curve) + 6
    held = held_out(np.eye(10)[y], network._loss().build(), 0.1, network._seed)
    assert np.ptp(np.bincount(y[held])) <= 2
    assert -network.predict_log_proba(X[held])[np.arange(180), y[held]].mean() == pytest.approx(min(curve))
    few = held_out(np.eye(3)[[0, 1, 1, 1, 2, 2]], network._loss().build(), 0.9, 0)
    assert np.bincount([0, 1, 1, 1, 2, 2], weights=~few).tolist() == [1, 1, 1]


@pytest.mark.parametrize("y", [SPECIES, FLOWERS > 0, FLOWERS])
def test_validation_scores_are_those_of_score(y):
    kind = NetworkRegressor if y is FLOWERS else NetworkClassifier
    network = kind(early_stopping=True, batch_size=16, max_iter=1, random_state=0).fit(FLOWERS, y)
    held = held_out(np.eye(3)[y] if y is SPECIES else y, network._loss().build(), 0.1, network._seed)
    assert network.validation_scores_ == pytest.approx([network.score(FLOWERS[held], y[held])])


def test_training_ends_when_the_loss_no_longer_falls_or_rises_too_far():
    assert NetworkRegressor(tol=1e9, n_iter_no_change=7).fit(FLOWERS, SPECIES).n_iter_ == 8
    assert NetworkRegressor(tol=0, max_iter=30).fit(FLOWERS, 1e5 * SPECIES).n_iter_ == 30
    with pytest.raises(ValueError, match=r"diverged in epoch \d+: .* learning_rate_init=50"):
        NetworkRegressor(solver="sgd", learning_rate_init=50).fit(FLOWERS, SPECIES)


@pytest.mark.parametrize("how", [{}, {"early_stopping": True}, {"solver": "lbfgs"}, {"loss": "gaussian"}])
def test_targets_are_scaled_by_default_and_predicted_in_their_unit(how):
    X, y = scale(load_diabetes().data), load_diabetes().target
    y = np.column_stack([y, 1e6 + 1e-3 * y, np.full(len(y), 7.3)])
    scaled = NetworkRegressor(**{**QUICK, "batch_size": 64} | how).fit(X, y)
    assert scaled.predict(X).std(axis=0)[:2] == pytest.approx(y.std(axis=0)[:2], rel=0.5)
    assert clone(scaled).fit(X, y[:, 1]).score(X, y[:, 1]) > 0.3  # varies by less than a millionth of its mean
    assert np.abs(scaled.predict(X)[:, 2] - 7.3).max() < 0.5
    by_hand = clone(scaled).set_params(scale_targets=False)
    if "early_stopping" not in how:  # the scale is that of the rows that are not held out
        scaler = StandardScaler().fit(y)
        by_hand.fit(X, scaler.transform(y))
        np.testing.assert_allclose(by_hand.predict(X), scaler.transform(scaled.predict(X)), atol=1e-4)
        np.testing.assert_allclose(scaled.target_scale_[:2], y.std(axis=0)[:2])
        np.testing.assert_allclose(scaled.target_mean_, y.mean(axis=0))
    if "loss" in how:
        deviations = [network.predict(X, return_std=True)[1] for network in (scaled, by_hand)]
        np.testing.assert_allclose(deviations[0][:, :2], deviations[1][:, :2] * y.std(axis=0)[:2], rtol=1e-4)
    assert by_hand.fit(X, y[:, 0]).target_scale_.tolist() == [1]
    counts = NetworkRegressor("poisson", **QUICK).fit(X, y[:, 0])
    assert (counts.target_mean_.tolist(), counts.target_scale_.tolist()) == ([0], [1])


def test_the_scale_of_targets_stays_after_the_first_fit():
    network = NetworkRegressor(**QUICK | {"max_iter": 2}, warm_start=True).fit(FLOWERS, 5 * SPECIES)
    first = network.predict(FLOWERS)
    network.set_params(learning_rate_init=1e-30).fit(FLOWERS[:75], SPECIES[:75]).partial_fit(FLOWERS, 100 * SPECIES)
    np.testing.assert_allclose(network.predict(FLOWERS), first)


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("kind", KINDS)
def test_linear_algebra_runs_on_one_thread_meanwhile(kind, monkeypatch):
    seen = []

    def observed(function):
        return lambda *arguments, **options: seen.append(blas_threads()) or function(*arguments, **options)

    monkeypatch.setattr("nncore.sklearn.base.train", observed(train))
    monkeypatch.setattr("nncore.sklearn.estimators.predict", observed(predict))
    with threadpool_limits(3):
        before = blas_threads()
        network = kind(**QUICK | {"max_iter": 2}).fit(FLOWERS, SPECIES)
        network.score(FLOWERS, SPECIES)
        assert blas_threads() == before
    assert seen == [{1}, {1}]


@pytest.mark.slow
def test_a_search_in_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), AutoencoderReducer(**QUICK), NetworkClassifier(**QUICK))
    solvers = {"networkclassifier__solver": ["adam", "lbfgs", "lion", NADAM]}
    numbers = {"networkclassifier__alpha": [0.001, 1.0], "autoencoderreducer__n_components": [3, 12]}
    search = GridSearchCV(pipeline, [solvers, numbers], cv=2, error_score="raise")
    assert search.fit(*load_breast_cancer(return_X_y=True)).best_score_ > 0.93


def test_tables_in_and_out():
    X, y = load_iris(return_X_y=True, as_frame=True)
    X.index += 7
    code = AutoencoderReducer(2, max_iter=5).set_output(transform="pandas").fit_transform(X)
    assert code.columns.tolist() == ["autoencoderreducer0", "autoencoderreducer1"]
    assert code.index.equals(X.index)
    names = y.map(dict(enumerate(load_iris().target_names)))
    network = NetworkClassifier(**QUICK).fit(X, names)
    assert network.feature_names_in_.tolist() == X.columns.tolist()
    assert network.score(X, names) > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_an_estimator_can_be_pickled_after_predicting(kind):
    network = kind(**QUICK, normalisation="batch_norm", solver=LOOKAHEAD, dtype="float32").fit(FLOWERS, SPECIES)
    before, copy = getattr(network, ANSWERS[kind])(FLOWERS), pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(getattr(copy, ANSWERS[kind])(FLOWERS), before)
    assert {W.dtype for W in copy.coefs_} == {before.dtype} == {np.dtype(np.float32)}


def test_no_bias_walks_before_batch_normalisation():
    network = NetworkRegressor(**QUICK, normalisation="batch_norm", solver="lion").fit(FLOWERS, SPECIES)
    assert [b.tolist() for b in network.intercepts_[:-1]] == [[0] * 10]
    assert network.intercepts_[-1] != 0
    assert network.score(FLOWERS, SPECIES) > 0.8


def test_probabilities_near_0_are_not_0():
    network = NetworkClassifier((), solver="lbfgs", alpha=0, random_state=0).fit([[0.0], [1.0]], [0, 1])
    log_p = network.predict_log_proba([[-99.0], [99.0]])
    assert -np.inf < log_p[1, 0] < -500 < log_p[0, 0] <= 0


def test_gaussian_deviations():
    x = np.repeat([-1.0, 1.0], 200)[:, None]
    y = 3 * x[:, 0] + np.random.default_rng(0).normal(size=400) * np.where(x[:, 0] > 0, 2, 0.5)
    network = NetworkRegressor("gaussian", (), solver="lbfgs", random_state=0).fit(x, y)
    values, deviations = network.predict([[-1], [1]], return_std=True)
    np.testing.assert_allclose(values, [y[:200].mean(), y[200:].mean()], rtol=1e-2)
    np.testing.assert_allclose(deviations, [y[:200].std(), y[200:].std()], rtol=1e-2)


def test_a_linear_autoencoder_finds_the_principal_components():
    reducer = AutoencoderReducer(2, solver="lbfgs", alpha=0, tol=1e-9, max_iter=300, random_state=0).fit(FLOWERS)
    pca = PCA(2).fit(FLOWERS)
    best = pca.inverse_transform(pca.transform(FLOWERS))
    np.testing.assert_allclose(reducer.reconstruct(FLOWERS), best, atol=0.02)
    np.testing.assert_array_equal(reducer.inverse_transform(reducer.transform(FLOWERS)), reducer.reconstruct(FLOWERS))
    assert reducer.score(FLOWERS) == pytest.approx(-((FLOWERS - best) ** 2).sum(axis=1).mean() / 2, rel=1e-3)


def test_an_autoencoder_may_be_tied_noisy_sparse_and_of_another_loss():
    plain = AutoencoderReducer(3, **QUICK | {"max_iter": 200}).fit(FLOWERS)
    changed = [clone(plain).set_params(**{name: 1.0}) for name in ("tied", "noise", "sparsity")]
    tied, noisy, sparse = (reducer.fit(FLOWERS) for reducer in changed)
    assert plain.score(FLOWERS) > max(-0.2, noisy.score(FLOWERS))
    np.testing.assert_array_equal(tied.coefs_[0], tied.coefs_[3].T)
    assert np.abs(sparse.transform(FLOWERS)).mean() < np.abs(plain.transform(FLOWERS)).mean() / 4
    shares = clone(plain).set_params(loss="sigmoid_cross_entropy").fit(minmax_scale(FLOWERS))
    assert (np.abs(shares.reconstruct(minmax_scale(FLOWERS)) - 0.5) < 0.5).all()


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (NetworkClassifier(alpha=[-1]), r"alpha must be a number, but is \[-1\]"),
        (NetworkRegressor(hidden_layer_sizes=(5, 0)), r"hidden_layer_sizes must be .* >= 1, but is \(5, 0\)"),
        (
            NetworkRegressor(solver="adamm"),
            "solver='adamm' is not a component of nncore.optimizers; did you mean 'adam",
        ),
        (NetworkClassifier(solver="L-BFGS"), "solver='L-BFGS' .*; did you mean 'lbfgs'"),
        (NetworkClassifier(solver="SGD"), "solver='SGD' .*; did you mean 'sgd'"),
        (NetworkClassifier(activation="logisitc"), "activation='logisitc' .*; did you mean 'logistic'"),
        (NetworkRegressor("absolute"), "loss='absolute' .*; did you mean 'absolute_error'"),
        (AutoencoderReducer(normalisation="batchnorm"), "normalisation='batchnorm' .*; did you mean 'batch_norm'"),
        (NetworkRegressor(initializer="xyz"), "initializer='xyz' .*; there are .*glorot_uniform"),
        (NetworkRegressor(solver=EMA), "solver=.*ema.* is not a component of nncore.optimizers"),
        (NetworkRegressor(schedule="cosine"), "schedule='cosine' is not a component of nncore.schedules: .*'epochs'"),
        (NetworkRegressor("softmax_cross_entropy"), "loss must be for real or count targets"),
        (AutoencoderReducer(0), "n_components must be >= 1, but is 0"),
        (AutoencoderReducer(loss="sigmoid_cross_entropy"), "X must be from 0 to 1 .*, but is from -"),
    ],
)
def test_an_error_names_argument_and_value(estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(FLOWERS, SPECIES)
