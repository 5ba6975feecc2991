"""What the scikit-learn estimators have in common: arguments, and the training of a network that these ask for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from nncore.activations import Activation
from nncore.architecture import Architecture, Layer
from nncore.components import Component
from nncore.kernels.backend import Array
from nncore.kernels.hyperparameters import checked
from nncore.losses import Loss, mean_value
from nncore.metrics import Metric
from nncore.normalisations import Normalisation
from nncore.optimizers.base import Optimizer
from nncore.random_streams import generator
from nncore.regularizers.base import EarlyStopping, Regularizer, WeightAverage
from nncore.schedules import Schedule
from nncore.stack.data import Data, Rows
from nncore.stack.state import CONSTANT, Network, Stack, start
from nncore.stack.training import train

KEY = "it"
DTYPES = {"auto": ("float64", "float32"), "float32": ("float32",), "float64": ("float64",)}
WHOLE = ("lbfgs", "gradient_descent")  # solvers that take one step per epoch, by all rows
FAR = 1e6  # training has diverged where the loss is so many times that of answering 0
RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("alpha tol noise sparsity", {"at_least": 0}),
    ("learning_rate_init epsilon", {"above": 0}),
    ("momentum beta_1 beta_2 dropout", {"at_least": 0, "below": 1}),
    ("max_iter n_iter_no_change n_components", {"at_least": 1, "integer": True}),
    ("validation_fraction", {"above": 0, "below": 1}),
)
# An argument, the regularizer that it asks for where it is not 0, and what it is called there.
ADDED = (
    "dropout dropout.dropout rate",
    "noise augmentation.input_noise deviation",
    "sparsity activity.activity strength",
)


@dataclass(eq=False, repr=False, kw_only=True)
class NetworkArguments(BaseEstimator):  # type: ignore[misc]
    """What every estimator takes, and what it has once it is fitted.

    hidden_layer_sizes   outputs of each hidden layer: whole numbers >= 1
    activation           of the hidden layers: identity, logistic, tanh, relu, or another of nncore.activations
    solver               sgd, adam or lbfgs as in scikit-learn, or another of nncore.optimizers, such as muon
    alpha                penalty alpha / 2 sum W^2, divided by the weight of a batch
    batch_size           rows per step; "auto": min(200, rows). lbfgs and gradient_descent take all rows
    learning_rate_init   of every solver but lbfgs
    max_iter             epochs, at most
    random_state         where every draw comes from: an integer, a RandomState, or None for another one each time
    tol, n_iter_no_change   training ends when the loss has not fallen by tol for so many epochs
    warm_start           whether fit begins at the fitted weights; all else begins anew
    momentum             of the solver sgd, and nesterovs_momentum its kind
    early_stopping       whether rows are held out, and the weights kept that answer them best
    validation_fraction  share of the rows held out, the same of every class
    beta_1, beta_2, epsilon   of the solver adam; the others have their own
    dropout              share of each hidden layer's y that is left out in training
    normalisation        of the hidden layers: None, batch_norm or layer_norm
    schedule             of the learning rate: None, or one of nncore.schedules
    regularizers         more Members of nncore.regularizers, one of a kind; alpha is l2 already
    initializer          of the weights: one of nncore.initializers. Biases begin at 0
    dtype                "float32", "float64", or "auto": that of X, and float64 if X has neither

    In place of a name of nncore there may be a Member with arguments of its own, for a solver its learning rate too.

    Attributes  n_iter_ (epochs of the last call), loss_, loss_curve_ and best_loss_ of the rows trained on;
                validation_loss_curve_, validation_scores_, best_validation_score_ of rows held out, else None;
                n_layers_, n_features_in_, feature_names_in_; coefs_ and intercepts_: W (I, O) and b (O,) by layer
    Weights     a row with sample_weight w counts as w rows, one with 0 as none. Where all rows are one batch, alike
                rows become one of their weight, so that this holds to the last bit and in any order of the rows
    Raises      ValueError naming argument and value, or the epoch in which training diverged
    Differs     from scikit-learn's MLP: what is watched and shown is the loss without its penalty, and, with early
                stopping, not the score; its falls below tol add up; a smaller last batch has the penalty of a full
                one; epsilon stands as in Adam's paper; reaching max_iter gives no warning; X cannot be sparse
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


class NetworkPlan(NetworkArguments):
    """The network that the arguments ask for."""

    def _number(self, argument: str, **rules: Any) -> float:
        """The argument; ValueError if it is not one number that keeps the rules."""
        value = getattr(self, argument)
        if np.ndim(value):
            raise ValueError(f"{argument} must be a number, but is {value!r} ({type(self).__name__})")
        return float(checked(type(self).__name__, argument, value, **rules)[0])

    def _named(self, argument: str, package: str, kind: Any, given: object, **arguments: float) -> Component:
        """The member that an argument names, or is; ValueError if it is not of this kind."""
        place = f"{package}.{given}" if package == "optimizers" else package
        member = (
            given if isinstance(given, Component) else Component(f"nncore.{place}.{given}", tuple(arguments.items()))
        )
        try:
            if isinstance(member.build(), kind):
                return member
            raise ValueError(f"{member.name} is something else")
        except (TypeError, ValueError) as error:
            raise ValueError(f"{argument}={given!r} is no member of nncore.{package}: {error}") from None

    def _solver(self) -> Component:
        name, arguments = self.solver, {"learning_rate": float(self.learning_rate_init)}
        if name == "lbfgs":
            return Component("nncore.optimizers.lbfgs.lbfgs")
        if name == "sgd":
            name = "nesterov" if self.nesterovs_momentum else "momentum"
            arguments["momentum"] = float(self.momentum)
        elif name == "adam":
            arguments |= {"beta1": float(self.beta_1), "beta2": float(self.beta_2), "epsilon": float(self.epsilon)}
        return self._named("solver", "optimizers", Optimizer, name, **arguments)

    def _hidden(self) -> tuple[tuple[int, ...], Component, Component]:
        """Sizes, activation and normalisation of the hidden layers."""
        sizes = np.ravel(self.hidden_layer_sizes).tolist()
        if not all(type(size) is int and size >= 1 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be whole numbers >= 1, but is {self.hidden_layer_sizes!r}")
        activation = "sigmoid" if self.activation == "logistic" else self.activation
        activation = self._named("activation", "activations", Activation, activation)
        normalisation = "none" if self.normalisation is None else self.normalisation
        return tuple(sizes), activation, self._named("normalisation", "normalisations", Normalisation, normalisation)

    def _layers(self, inputs: int, outputs: int) -> Architecture:
        """The layers; the rest of the shape is to be replaced."""
        sizes, activation, normalisation = self._hidden()
        layers = (*(Layer(size, activation, normalisation) for size in sizes), Layer(outputs))
        return Architecture(inputs, layers, self._loss())

    def _network(self, strength: float, stops: bool) -> Network:
        """The network with a penalty of this strength; `stops`: when its loss no longer falls."""
        members = [Component("nncore.regularizers.penalties.l2", (("strength", strength),))] if strength else []
        for argument, place, name in map(str.split, ADDED):
            if size := float(getattr(self, argument, 0)):
                members.append(Component(f"nncore.regularizers.{place}", ((name, size),)))
        members += [self._named("regularizers", "regularizers", Regularizer, given) for given in self.regularizers]
        if stops:
            when = (("patience", int(self.n_iter_no_change)), ("min_delta", float(self.tol)))
            watch = (("watch", f"{'validation' if self.early_stopping else 'train'}/loss"),)
            how = (*when, *watch, ("restore", bool(self.early_stopping)))
            members.append(Component("nncore.regularizers.early_stopping.early_stopping", how))
        schedule = CONSTANT if self.schedule is None else self._named("schedule", "schedules", Schedule, self.schedule)
        return Network(KEY, self._seed, self._solver(), tuple(members), schedule)

    def _start(self, rows: Rows, batch_size: int, stops: bool) -> Stack:
        """The network before its first step."""
        size = min(batch_size, len(rows.x))
        asked = 1 if self.batch_size == 1 else max(size, 2)  # one row alone is no fault, batches of one row may be one
        shape = self._layers(rows.x.shape[1], rows.t.shape[1] * self._loss().build().outputs_per_target)
        initializer = self._named("initializer", "initializers", object, self.initializer)
        shape = replace(shape, initializer=initializer, batch_size=asked, dtype=rows.x.dtype.name)
        return start(shape, [self._network(float(self.alpha) / (size * float(np.asarray(rows.weights).mean())), stops)])


class NetworkEstimator(NetworkPlan):
    """Training. A kind of estimator has _rows (of what fit is given), _loss and, for validation_scores_, _metric."""

    def _metric(self) -> Metric | None:
        return None

    def _learn(self, one_more: bool, *data: Any) -> Self:
        """Train for up to max_iter epochs, or for one more."""
        begins = not (hasattr(self, "_stack") and (one_more or self.warm_start))
        rows, batch_size = self._batched(self._rows(begins, *data))
        if begins or not one_more:
            self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        watched = None
        if self.early_stopping and not one_more:
            held = held_out(rows.t, self._loss().build(), float(self.validation_fraction), self._seed)
            rows, watched = chosen(rows, ~held), chosen(rows, held)
        stack = self._start(rows, batch_size, stops=not one_more)
        if not begins:
            if stack.architecture.layers != self._stack.architecture.layers:
                raise ValueError("the layers must stay as they were fitted, for warm_start and partial_fit")
            stack = resumed(stack, self._stack) if one_more else moved(stack, self._parameters)
        return self._train(stack, rows, watched, stack.epoch + (1 if one_more else int(self.max_iter)), begins)

    def _checked(self, begins: bool, sample_weight: ArrayLike | None, *data: Any, **how: Any) -> list[Array]:
        """X, y if there is one, and float64 weights, without the rows of weight 0."""
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, but is {self.dtype!r}")
        for arguments, rules in RULES:
            for argument in set(arguments.split()) & set(vars(self)):
                self._number(argument, **rules)
        dtypes = [np.dtype(name) for name in (DTYPES[self.dtype] if begins else (self._stack.architecture.dtype,))]
        found = validate_data(self, *data, dtype=dtypes, reset=begins, **how)
        arrays = list(found) if isinstance(found, tuple) else [found]
        weights = _check_sample_weight(sample_weight, arrays[0], dtype=np.float64, ensure_non_negative=True)
        counts = slice(None) if weights.all() else weights > 0
        return [array[counts] for array in (*arrays, weights)]

    def _batched(self, rows: Rows) -> tuple[Rows, int]:
        """The rows, alike ones as one if all are one batch; and how many rows a batch has."""
        n_rows = len(rows.x)
        if self._solver().short_name in WHOLE:
            size = n_rows
        elif isinstance(self.batch_size, str) and self.batch_size == "auto":
            size = min(200, n_rows)
        else:
            size = int(self._number("batch_size", at_least=1, integer=True))
        return (merged(rows) if n_rows <= size else rows), size

    def _train(self, stack: Stack, rows: Rows, watched: Rows | None, until: int, begins: bool) -> Self:
        """Train, and keep what comes of it. Raises ValueError if the loss grows without bounds."""
        architecture, metric = stack.architecture, self._metric()
        zero = np.zeros((1, len(rows.x), architecture.sizes[-1]), architecture.dtype)
        limit = FAR * max(1.0, float(mean_value(architecture.functions.loss, zero, rows.t[None])[0]))
        data = Data(as_trained(rows), as_trained(watched or chosen(rows, slice(1))))  # one row costs little to watch
        stack, reports = train(stack, data, until, {"score": metric} if metric and watched else {}, limit)
        curves, diverged = reports[KEY].curves, reports[KEY].diverged
        if diverged:
            rate = f"learning_rate_init={self.learning_rate_init} may be too large, or X and y too far from 0"
            raise ValueError(f"training diverged in epoch {diverged[0]}: {diverged[1]}; {rate}")
        self._stack, self._parameters = stack, stack.selected_weights_of(KEY)
        self.n_layers_, self.n_iter_ = len(architecture.sizes), len(curves["train/loss"])
        self.loss_curve_: list[float] = ([] if begins else self.loss_curve_) + curves["train/loss"]
        self.loss_, self.best_loss_ = self.loss_curve_[-1], min(self.loss_curve_)
        self.validation_loss_curve_ = curves["validation/loss"] if watched else None
        self.validation_scores_ = curves.get("validation/score")
        self.best_validation_score_ = max(self.validation_scores_) if self.validation_scores_ else None
        return self


def merged(rows: Rows) -> Rows:
    """Alike rows as one with the sum of their weights, in an order that the given one does not matter to."""
    keys = [sha256(x.tobytes() + t.tobytes()).hexdigest() for x, t in zip(rows.x, rows.t, strict=True)]
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return Rows(rows.x[first], rows.t[first], np.bincount(which, rows.weights))


def chosen(rows: Rows, which: Any) -> Rows:
    """Some of the rows."""
    return Rows(*(array[which] for array in rows if array is not None))


def as_trained(rows: Rows) -> Rows:
    """The rows with weights of their own dtype, and with none if all weigh the same."""
    weights = np.asarray(rows.weights)
    return rows._replace(weights=weights.astype(rows.x.dtype) if np.ptp(weights) else None)


def held_out(t: Array, loss: Loss, fraction: float, seed: int) -> Array:
    """Which rows (N,) are held out: the same share of each class; one row of each, at least, is not.

    Random   the order in which rows are considered is drawn from generator(seed, "held out")
    Raises   ValueError if no row can be held out
    """
    by_class = loss.targets == "one-hot" or (loss.targets == "binary" and t.shape[1] == 1)
    classes = np.rint(t @ np.arange(1, t.shape[1] + 1)) * by_class
    order = generator(seed, "held out").permutation(len(t))
    order = order[np.argsort(classes[order], kind="stable")]
    candidates = order[1:][np.diff(classes[order]) == 0]
    n = min(int(np.ceil(fraction * len(t))), len(candidates))
    if n == 0:
        raise ValueError(f"early_stopping must hold out a row and keep one of each class, but n_samples={len(t)}")
    return np.isin(np.arange(len(t)), candidates[((np.arange(n) + 0.5) * len(candidates) / n).astype(int)])


def moved(stack: Stack, parameters: Array) -> Stack:
    """A stack before its first step, with other parameters (1, buffer_size)."""
    for group in stack.groups():
        if isinstance(group.built, Optimizer | WeightAverage | EarlyStopping):
            P = stack.architecture.n_parameters if isinstance(group.built, Optimizer) else None
            for name, array in group.built.init(parameters[:, :P]).items():
                group.state[name][...] = array
    return replace(stack, parameters=parameters)


def resumed(stack: Stack, previous: Stack) -> Stack:
    """A stack before its first step goes on where another is; what that one does not remember begins anew."""
    if KEY in previous.stopped:
        return moved(stack, previous.stopped[KEY][None])
    stack = moved(stack, previous.parameters)
    known = {name: previous.state.get(name, array) for name, array in stack.state.items()}
    state = {name: known[name] if known[name].shape == array.shape else array for name, array in stack.state.items()}
    return replace(stack, epoch=previous.epoch, state=state)
