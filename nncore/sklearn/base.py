"""The common base of the scikit-learn estimators: their parameters, and the training of one network."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Self, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.parallel import _threadpool_controller_decorator
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from nncore.activations import Activation
from nncore.architecture import Architecture, Layer, layer_views
from nncore.components import Component, component_names
from nncore.kernels.backend import Array
from nncore.kernels.hyperparameters import checked
from nncore.losses import Loss, mean_value
from nncore.metrics import Metric
from nncore.normalisations import Normalisation
from nncore.optimizers.base import Optimizer
from nncore.random_streams import generator
from nncore.regularizers.base import OBJECTIVE, Regularizer
from nncore.schedules import Schedule
from nncore.stack.data import Data, Rows
from nncore.stack.state import CONSTANT, Network, Stack, start
from nncore.stack.training import train

KEY = "network"  # of the only network of the stack
DTYPES = {"auto": ("float64", "float32"), "float32": ("float32",), "float64": ("float64",)}
FULL_BATCH_SOLVERS = ("lbfgs", "gradient_descent")
DIVERGENCE_FACTOR = 1e6  # training has diverged when the loss is so many times that of the constant output 0
RANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("alpha tol noise sparsity", {"at_least": 0}),
    ("learning_rate_init epsilon", {"above": 0}),
    ("momentum beta_1 beta_2 dropout", {"at_least": 0, "below": 1}),
    ("max_iter n_iter_no_change n_components", {"at_least": 1, "integer": True}),
    ("validation_fraction", {"above": 0, "below": 1}),
)
# A parameter, the regularizer that it adds where it is not 0, and the regularizer's argument.
REGULARIZER_PARAMETERS = (
    ("dropout", "dropout.dropout", "rate"),
    ("noise", "augmentation.input_noise", "deviation"),
    ("sparsity", "activity.activity", "strength"),
)

Method = TypeVar("Method", bound=Callable[..., Any])


def on_one_thread(method: Method) -> Method:
    """Limit linear algebra to one thread while a method runs, as more threads may round otherwise."""
    return cast(Method, _threadpool_controller_decorator(limits=1, user_api="blas")(method))


@dataclass(eq=False, repr=False, kw_only=True)
class NetworkEstimator(BaseEstimator):  # type: ignore[misc]
    """Base class of the estimators, with the parameters and attributes that they share.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, >= 1
        Number of outputs of each hidden layer.
    activation : str or Component
        Activation of the hidden layers: "identity", "logistic", "tanh", "relu", or the name of another function of
        nncore.activations.
    solver : str or Component, default "adam"
        "sgd", "adam" or "lbfgs" as in scikit-learn, or the name of another optimizer of nncore.optimizers, such as
        "muon".
    alpha : float, >= 0, default 0.0001
        Strength of the penalty alpha / 2 sum W^2, which is divided by the weight of a batch.
    batch_size : int or "auto", default "auto"
        Rows per step; "auto" is min(200, n_samples). The solvers "lbfgs" and "gradient_descent" use all rows.
    learning_rate_init : float, > 0, default 0.001
        Learning rate of every solver except "lbfgs".
    max_iter : int, >= 1, default 200
        Maximum number of epochs.
    random_state : int, RandomState or None, default None
        Source of every random draw.
    tol : float, >= 0, default 1e-4
        Training ends when the loss with its penalties has not fallen by `tol` for `n_iter_no_change` epochs; with the
        solver "lbfgs", which converges fast, by the fraction `tol` of itself.
    warm_start : bool, default False
        Whether `fit` starts from the fitted weights. All other state starts anew.
    momentum : float, in [0, 1), default 0.9
        Momentum of the solver "sgd".
    nesterovs_momentum : bool, default True
        Whether the solver "sgd" uses Nesterov's momentum.
    early_stopping : bool, default False
        Whether rows are held out, and the weights of the epoch with the lowest loss on them are selected.
    validation_fraction : float, in (0, 1), default 0.1
        Fraction of the rows to hold out, the same of every class.
    beta_1, beta_2 : float, in [0, 1), default 0.9 and 0.999
        Decay rates of the solver "adam". Other solvers have their own.
    epsilon : float, > 0, default 1e-8
        Added to the denominator of the solver "adam".
    n_iter_no_change : int, >= 1, default 10
        See `tol`.
    dropout : float, in [0, 1), default 0
        Fraction of each hidden layer's outputs that is dropped in training.
    normalisation : None, "batch_norm", "layer_norm" or Component, default None
        Normalisation of the hidden layers.
    schedule : None, str or Component, default None
        Schedule of the learning rate, one of nncore.schedules.
    regularizers : sequence of Component, default ()
        More regularizers of nncore.regularizers, each function at most once. `alpha` is the regularizer l2.
    initializer : str or Component, default "glorot_uniform"
        Distribution of the initial weights, one of nncore.initializers. Biases start at 0.
    dtype : {"auto", "float32", "float64"}, default "auto"
        "auto" is the dtype of X, or float64 if X has neither.

    Attributes
    ----------
    n_iter_ : int
        Number of epochs of the last call.
    loss_, best_loss_ : float
        Last and lowest value of `loss_curve_`.
    loss_curve_ : list of float
        What training minimises: the loss on the training rows, with its penalties, in each epoch.
    validation_loss_curve_, validation_scores_ : list of float or None
        Loss and score on the rows held out, in each epoch.
    best_validation_score_ : float or None
    n_layers_, n_features_in_ : int
    feature_names_in_ : array of str
        Only if X has column names.
    coefs_, intercepts_ : list of array
        W (I, O) and b (O,) of each layer; with batch normalisation b is 0.

    Raises
    ------
    ValueError
        Naming parameter and value, or the epoch in which training diverged.

    Notes
    -----
    Instead of the name of a function of nncore, a parameter can be a Component with its own arguments; for a solver
    these include the learning rate.

    A row with sample_weight w counts as w rows, and one with weight 0 as none. Where all rows form one batch,
    duplicate rows are merged into one with the sum of their weights, so that this holds to the last bit and for any
    order of the rows.

    While an estimator trains or predicts, the linear algebra of the whole process is limited to one thread: a result is
    the same to the last bit on any number of cores, and a search trains several estimators at a time with `n_jobs`.

    Differences from scikit-learn's MLP: with early stopping the loss on the rows held out is monitored instead of the
    score; decreases below `tol` add up; a smaller last batch has the penalty of a full one; epsilon is placed as in
    Adam's paper; reaching max_iter gives no warning; X cannot be sparse.
    """

    solver: str | Component = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate_init: float = 0.001
    max_iter: int = 200
    random_state: Any = None
    tol: float = 1e-4
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: int = 10
    dropout: float = 0.0
    normalisation: str | Component | None = None
    schedule: str | Component | None = None
    regularizers: Sequence[Component] = ()
    initializer: str | Component = "glorot_uniform"
    dtype: str = "auto"

    # What an estimator defines: _rows(fresh, *data) checks the arguments of fit, _loss() is the component of the loss,
    # _metric() what validation_scores_ holds, _hidden_layers how the layers are put together, and _fit_targets(rows)
    # and _scaled(rows) which targets the network learns instead of those of _rows.

    def _metric(self) -> Metric | None:
        return None

    def _architecture(self, n_inputs: int, n_outputs: int) -> Architecture:
        """The layers and the loss; the caller replaces the other fields."""
        sizes, activation, normalisation = self._hidden_layers()
        layers = (*(Layer(size, activation, normalisation) for size in sizes), Layer(n_outputs))
        return Architecture(n_inputs, layers, self._loss())

    def _hidden_layers(self) -> tuple[tuple[int, ...], Component, Component]:
        """Sizes, activation and normalisation of the hidden layers."""
        sizes = np.ravel(self.hidden_layer_sizes).tolist()
        if not all(type(size) is int and size >= 1 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be integers >= 1, but is {self.hidden_layer_sizes!r}")
        activation = "sigmoid" if self.activation == "logistic" else self.activation
        normalisation = "none" if self.normalisation is None else self.normalisation
        return (
            tuple(sizes),
            component_from("activation", activation, "activations", Activation),
            component_from("normalisation", normalisation, "normalisations", Normalisation),
        )

    def _solver(self) -> Component:
        name, arguments = self.solver, {"learning_rate": float(self.learning_rate_init)}
        if name == "lbfgs":
            return Component("nncore.optimizers.lbfgs.lbfgs")
        if name == "sgd":
            name = "nesterov" if self.nesterovs_momentum else "momentum"
            arguments["momentum"] = float(self.momentum)
        elif name == "adam":
            arguments |= {"beta1": float(self.beta_1), "beta2": float(self.beta_2), "epsilon": float(self.epsilon)}
        return component_from("solver", name, f"optimizers.{name}", Optimizer, arguments)

    def _network(self, l2_strength: float, stops: bool) -> Network:
        """The network to train; `stops`: training ends when the loss no longer falls."""
        regularizers = []
        if l2_strength:
            regularizers.append(Component("nncore.regularizers.penalties.l2", (("strength", l2_strength),)))
        for parameter, function, argument in REGULARIZER_PARAMETERS:
            if value := float(getattr(self, parameter, 0)):
                regularizers.append(Component(f"nncore.regularizers.{function}", ((argument, value),)))
        for given in self.regularizers:
            regularizers.append(component_from("regularizers", given, "regularizers", Regularizer))
        if stops:
            arguments: dict[str, Any] = {
                "patience": int(self.n_iter_no_change),
                "min_delta": float(self.tol),
                "watch": "validation/loss" if self.early_stopping else OBJECTIVE,
                "restore": bool(self.early_stopping),
                "relative": self._solver().short_name == "lbfgs",
            }
            function = "nncore.regularizers.early_stopping.early_stopping"
            regularizers.append(Component(function, tuple(arguments.items())))
        schedule = CONSTANT
        if self.schedule is not None:
            schedule = component_from("schedule", self.schedule, "schedules", Schedule)
        return Network(KEY, self._seed, self._solver(), tuple(regularizers), schedule)

    def _fit_targets(self, rows: Rows) -> None:
        """Fit the scale of the targets to the training rows."""

    def _scaled(self, rows: Rows) -> Rows:
        """The rows with the targets that the network learns."""
        return rows

    @on_one_thread
    def _fit(self, partial: bool, *data: Any) -> Self:
        """Train for up to max_iter epochs, or, if `partial`, for one more epoch."""
        if partial and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: it holds out no rows")
        fresh = not (hasattr(self, "_stack") and (partial or self.warm_start))
        rows = self._rows(fresh, *data)
        batch_size = self._n_rows_of_batch(len(rows.x))
        loss = self._loss().build()
        if len(rows.x) <= batch_size:
            rows = merge_duplicates(rows)
        if fresh or not partial:
            self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        validation = None
        if self.early_stopping:
            held = held_out(rows.t, loss, float(self.validation_fraction), self._seed)
            rows, validation = select_rows(rows, ~held), select_rows(rows, held)
        if fresh:
            self._fit_targets(rows)
        rows, validation = self._scaled(rows), validation and self._scaled(validation)
        stack = self._initial_stack(rows, batch_size, fresh, partial)
        until = stack.epoch + (1 if partial else int(self.max_iter))
        architecture, metric = stack.architecture, self._metric() if validation else None
        zero = np.zeros((1, len(rows.x), architecture.sizes[-1]), architecture.dtype)
        limit = DIVERGENCE_FACTOR * max(1.0, float(mean_value(architecture.functions.loss, zero, rows.t[None])[0]))
        # Without validation rows, one training row takes their place: `train` requires some.
        data_view = Data(with_plain_weights(rows), with_plain_weights(validation or select_rows(rows, slice(1))))
        metrics = {"score": metric} if metric else {}
        stack, reports = train(stack, data_view, until, metrics, limit, objective=True)
        curves, diverged = reports[KEY].curves, reports[KEY].diverged
        if diverged:
            raise ValueError(
                f"training diverged in epoch {diverged[0]}: {diverged[1]}; learning_rate_init="
                f"{self.learning_rate_init} may be too large, or X and y may be too far from 0"
            )
        self._stack, self._parameters = stack, stack.selected_weights_of(KEY)
        self.n_layers_, self.n_iter_ = len(architecture.sizes), len(curves["train/loss"])
        self.loss_curve_: list[float] = ([] if fresh else self.loss_curve_) + curves[OBJECTIVE]
        self.loss_, self.best_loss_ = self.loss_curve_[-1], min(self.loss_curve_)
        self.validation_loss_curve_ = curves["validation/loss"] if validation else None
        self.validation_scores_ = curves.get("validation/score")
        self.best_validation_score_ = max(self.validation_scores_) if self.validation_scores_ else None
        return self

    def _check_data(self, fresh: bool, sample_weight: ArrayLike | None, *data: Any, **options: Any) -> list[Array]:
        """Check the parameters; return X, y if there is one, and float64 weights, without the rows of weight 0."""
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, but is {self.dtype!r}")
        for parameters, required in RANGES:
            for parameter in set(parameters.split()) & set(vars(self)):
                self._checked_number(parameter, **required)
        dtypes = [np.dtype(name) for name in (DTYPES[self.dtype] if fresh else (self._stack.architecture.dtype,))]
        validated = validate_data(self, *data, dtype=dtypes, reset=fresh, **options)
        arrays = list(validated) if isinstance(validated, tuple) else [validated]
        weights = _check_sample_weight(sample_weight, arrays[0], dtype=np.float64, ensure_non_negative=True)
        positive = slice(None) if weights.all() else weights > 0
        return [array[positive] for array in (*arrays, weights)]

    def _checked_number(self, parameter: str, **required: Any) -> float:
        value, name = getattr(self, parameter), type(self).__name__
        if np.ndim(value):
            raise ValueError(f"{parameter} must be a number, but is {value!r} ({name})")
        return float(checked(name, parameter, value, **required)[0])

    def _n_rows_of_batch(self, n_rows: int) -> int:
        if self._solver().short_name in FULL_BATCH_SOLVERS:
            return n_rows
        if isinstance(self.batch_size, str) and self.batch_size == "auto":
            return min(200, n_rows)
        return int(self._checked_number("batch_size", at_least=1, integer=True))

    def _initial_stack(self, rows: Rows, batch_size: int, fresh: bool, partial: bool) -> Stack:
        """The network before its first step in this call of fit or partial_fit."""
        n_rows = min(batch_size, len(rows.x))
        architecture = replace(
            self._architecture(rows.x.shape[1], rows.t.shape[1] * self._loss().build().outputs_per_target),
            initializer=component_from("initializer", self.initializer, "initializers", object),
            # A single row is valid with batch normalisation, which requires a batch_size of at least 2.
            batch_size=1 if self.batch_size == 1 else max(n_rows, 2),
            dtype=rows.x.dtype.name,
        )
        l2_strength = float(self.alpha) / (n_rows * float(np.asarray(rows.weights).mean()))
        network = self._network(l2_strength, stops=not partial)
        if fresh:
            return start(architecture, [network], data=Data(rows, rows))
        if architecture.layers != self._stack.architecture.layers:
            raise ValueError("the layers must stay the same for warm_start and partial_fit; fit a clone to change them")
        if partial and KEY not in self._stack.stopped:
            return with_state_of(self._stack, start(architecture, [network], self._stack.parameters))
        return start(architecture, [network], self._parameters)

    def _check_inputs(self, X: Any) -> Array:
        """Check the rows of a fitted estimator's prediction."""
        check_is_fitted(self)
        return validate_data(self, X, dtype=self._stack.architecture.dtype, reset=False)

    def _loss_for(self, *targets: str) -> Component:
        """The component of the parameter `loss`, if it is for one of these kinds of targets."""
        loss = component_from("loss", self.loss, "losses", Loss)
        if loss.build().targets not in targets:
            raise ValueError(f"loss must be for {' or '.join(targets)} targets, but is {self.loss!r}")
        return loss

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_stack")

    @property
    def coefs_(self) -> list[Array]:
        """W (I, O) of each layer."""
        return [view.W[0] for view in layer_views(self._parameters, self._stack.architecture)]

    @property
    def intercepts_(self) -> list[Array]:
        """b (O,) of each layer; zeros where batch normalisation takes the place of a bias."""
        views = layer_views(self._parameters, self._stack.architecture)
        return [view.b[0, 0] if view.b.size else np.zeros_like(view.shift[0, 0]) for view in views]


def component_from(
    parameter: str, value: object, module: str, kind: Any, arguments: dict[str, float] | None = None
) -> Component:
    """Return the component that a parameter of an estimator refers to.

    Parameters
    ----------
    parameter : str
        Name of the parameter, for the error message.
    value : str or Component
        Name of a function of ``nncore.<module>``, or the component itself.
    module : str
    kind : type
        What the component must build.
    arguments : dict, optional
        Arguments of a function that is given by name.

    Raises
    ------
    ValueError
        If there is no such function, or it builds something else.
    """
    component = Component(f"nncore.{module}.{value}", tuple((arguments or {}).items()))
    if isinstance(value, Component):
        component = value
    try:
        if isinstance(component.build(), kind):
            return component
        raise ValueError(f"{component.name} is of another kind")
    except (TypeError, ValueError) as error:
        package = module.partition(".")[0]
        raise ValueError(
            f"{parameter}={value!r} is not a component of nncore.{package}{_suggestion(value, package) or f': {error}'}"
        ) from None


def _suggestion(value: object, package: str) -> str:
    """The name that a misspelt name may stand for, or all names; "" if it is no name or not misspelt."""
    names = component_names(package) | ({"logistic"} if package == "activations" else set())
    if not isinstance(value, str) or value in names:
        return ""
    near = difflib.get_close_matches(value.lower(), names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(names))}"


def merge_duplicates(rows: Rows) -> Rows:
    """Merge duplicate rows and sum their weights; the result does not depend on the order of the rows."""
    keys = [sha256(x.tobytes() + t.tobytes()).hexdigest() for x, t in zip(rows.x, rows.t, strict=True)]
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return Rows(rows.x[first], rows.t[first], np.bincount(group, rows.weights))


def select_rows(rows: Rows, selected: Any) -> Rows:
    """Return the rows that an index, a mask or a slice selects."""
    return Rows(*(array[selected] for array in rows if array is not None))


def with_plain_weights(rows: Rows) -> Rows:
    """Return the rows with weights of their own dtype, or without weights if all weights are equal."""
    weights = np.asarray(rows.weights)
    return rows._replace(weights=weights.astype(rows.x.dtype) if np.ptp(weights) else None)


def held_out(t: Array, loss: Loss, fraction: float, seed: int) -> Array:
    """Select the rows to hold out for validation: the same fraction of each class.

    Parameters
    ----------
    t : array (N, O)
        Targets.
    loss : Loss
        Its kind of targets tells whether they are classes.
    fraction : float, in (0, 1)
    seed : int

    Returns
    -------
    bool array (N,)
        At least one row of each class is not held out.

    Raises
    ------
    ValueError
        If no row can be held out.

    Notes
    -----
    The order in which rows are considered is drawn from ``generator(seed, "held out")``.
    """
    by_class = loss.targets == "one-hot" or (loss.targets == "binary" and t.shape[1] == 1)
    classes = np.rint(t @ np.arange(1, t.shape[1] + 1)) * by_class
    order = generator(seed, "held out").permutation(len(t))
    order = order[np.argsort(classes[order], kind="stable")]
    candidates = order[1:][np.diff(classes[order]) == 0]
    n_held_out = min(int(np.ceil(fraction * len(t))), len(candidates))
    if n_held_out == 0:
        raise ValueError(f"early_stopping must hold out a row and keep one of each class, but n_samples={len(t)}")
    positions = ((np.arange(n_held_out) + 0.5) * len(candidates) / n_held_out).astype(int)  # evenly spaced
    return np.isin(np.arange(len(t)), candidates[positions])


def with_state_of(previous: Stack, stack: Stack) -> Stack:
    """Return a new stack after the epochs of a previous one, with its state where the components are the same."""
    state = dict(stack.state)
    for name, array in previous.state.items():
        if name in state and state[name].shape == array.shape:
            state[name] = array
    return replace(stack, epoch=previous.epoch, state=state)
