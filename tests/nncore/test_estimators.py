"""The scikit-learn estimators: scikit-learn's checks, its MLP and linear models as oracles, and our own features."""

import inspect
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, minmax_scale, scale
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from nncore.components import Component
from nncore.sklearn.base import held_out
from nncore.sklearn.estimators import AutoencoderReducer, NetworkClassifier, NetworkRegressor

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
FLOWERS, SPECIES = scale(load_iris().data), load_iris().target


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threadpool_limits(1):  # products this small
        yield


@pytest.mark.slow
@parametrize_with_checks([kind() for kind in KINDS])
def test_all_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


@pytest.mark.nightly
@parametrize_with_checks([kind(**QUICK | setting) for setting in SETTINGS for kind in KINDS])
def test_all_checks_of_scikit_learn_pass_with_other_settings(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_the_array_api_check_that_needs_an_environment_variable_passes():
    code = "from sklearn.utils.estimator_checks import check_array_api_input as check\n"
    code += "import nncore.sklearn.estimators as e\n"
    for kind in KINDS:
        code += f"check('it', e.{kind.__name__}(max_iter=5), 'numpy', expect_only_array_outputs=False)\n"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"SCIPY_ARRAY_API": "1"}, check=True)


@pytest.mark.parametrize(("ours", "theirs"), [(NetworkClassifier, MLPClassifier), (NetworkRegressor, MLPRegressor)])
def test_arguments_have_the_names_order_and_defaults_of_scikit_learn(ours, theirs):
    signatures = (inspect.signature(kind).parameters.values() for kind in (ours, theirs))
    mine, its = ({p.name: (p.default, p.kind) for p in signature} for signature in signatures)
    assert mine.keys() - its.keys() == {"dropout", "normalisation", "schedule", "regularizers", "initializer", "dtype"}
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
    network.set_params(**{"loss": "poisson"} if task == "counts" else {})
    twin = twin_of(network, theirs, X, y, weights)
    network.fit(X, y, weights)
    for a, b in zip(network.coefs_ + network.intercepts_, twin.coefs_ + twin.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(getattr(network, ANSWERS[ours])(X), getattr(twin, ANSWERS[ours])(X), rtol=1e-8)
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


@pytest.mark.slow
def test_a_search_in_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), AutoencoderReducer(**QUICK), NetworkClassifier(**QUICK))
    grid = {"networkclassifier__solver": ["adam", "lbfgs", "lion", NADAM], "networkclassifier__alpha": [0.001, 1.0]}
    search = GridSearchCV(pipeline, {**grid, "autoencoderreducer__n_components": [3, 12]}, cv=2, error_score="raise")
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
        (NetworkRegressor(solver="adamm"), "solver='adamm' is not a component of nncore.optimizers"),
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
