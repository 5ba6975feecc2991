"""Run any component of nncore on inputs of several networks; no network's result may depend on the others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from samples import make_architecture

from nncore.activations import Activation
from nncore.architecture import LayerView, layer_views
from nncore.embeddings import Embedding
from nncore.kernels.workspace import Workspace
from nncore.losses import Loss
from nncore.normalisations import Normalisation
from nncore.optimizers.base import Optimizer, Step
from nncore.random_streams import RandomStreams
from nncore.regularizers import base as kinds
from nncore.schedules import Schedule
from nncore.stack.hooks import DropoutHooks

Results = dict[str, np.ndarray]  # arrays (K, ...) by name
ALL_NETWORKS = slice(None)


class Inputs:
    """Random arrays (K, ...) in which the numbers of a network depend on that network only; a poisoned one gets NaN."""

    def __init__(self, networks: Sequence[int], dtype: str, poisoned: int | None = None) -> None:
        self.networks, self.dtype, self.poisoned = list(networks), dtype, poisoned
        self.constants: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, name: int, *dims: int) -> np.ndarray:
        """An array (K, *dims); different names give different arrays."""
        arrays = [np.random.default_rng([name, network]).normal(size=dims) for network in self.networks]
        array = np.stack(arrays).astype(self.dtype)
        if self.poisoned in self.networks:
            array[self.networks.index(self.poisoned)] = np.nan
        return array

    def constant(self, name: int, *dims: int) -> np.ndarray:
        """The same for an array that the component must not modify; see `unchanged`."""
        array = self(name, *dims)
        self.constants.append((array, array.copy()))
        return array

    def unchanged(self) -> bool:
        """Whether no constant array was modified."""
        return all(np.array_equal(now, before, equal_nan=True) for now, before in self.constants)


def exercise(built: Any, inputs: Inputs) -> Results:
    """Run a built component on the inputs and return its arrays by name."""
    return EXERCISES[type(built)](built, inputs)


def _activation(f: Activation, inputs: Inputs) -> Results:
    z, dy, b = inputs(1, 5, 3), inputs(2, 5, 3), inputs.constant(3, 1, 3)
    results = {"biased": f.biased(z.copy(), b)} if f.biased else {}
    y = f.forward(z, np.empty_like(z)).copy()
    return results | {"y": y, "dz": f.backward(dy, z, y, np.empty_like(z))}


def _loss(loss: Loss, inputs: Inputs) -> Results:
    z, t = inputs.constant(1, 5, 3 * loss.outputs_per_target), inputs.constant(2, 5, 3)
    value, dz = loss.gradient(z, t)
    return {"value": loss.value(z, t), "loss": value, "dz": dz, "prediction": loss.predict(z)}


def _embedding(embedding: Embedding, inputs: Inputs) -> Results:
    x = inputs.constant(1, 4, 9)  # 4 columns, 9 rows
    arrays = {name: inputs.constant(2 + n, 4, *dims) for n, (name, dims) in enumerate(embedding.dims.items())}
    gradients = {f"d{name}": np.empty_like(array) for name, array in arrays.items()}
    if embedding.fit:
        bins = [embedding.fit(of_network.T, of_network.T[:, :2]) for of_network in inputs.constant(20, 4, 40)]
        arrays["bins"] = np.stack(bins).astype(inputs.dtype)
    y, cache = embedding.forward(x, arrays, Workspace())
    results = {"y": y.copy()} if embedding.size else {"x": x.copy()}
    dy, of_name = inputs.constant(10, 4, embedding.size, 9), {name[1:]: array for name, array in gradients.items()}
    embedding.backward(dy, cache, arrays, of_name, Workspace())
    return results | gradients


def _normalisation(norm: Normalisation, inputs: Inputs) -> Results:
    none, workspace = np.empty(0), Workspace()
    running = (inputs(5, 1, 3), inputs(6, 1, 3) ** 2) if norm.has_running_statistics else (none, none)
    affine = (inputs(3, 1, 3), inputs(4, 1, 3)) if norm.has_scale_and_shift else (none, none)
    layer = LayerView(none, inputs.constant(7, 1, 3), *affine, *running)
    d = LayerView(none, none, *(np.empty_like(array) for array in affine))
    results = {"inference": np.add(*norm.infer(inputs(1, 5, 3), layer))}
    y, shift, cache = norm.train(inputs(1, 5, 3), layer, workspace)
    results |= {"y": y + shift, "dz": norm.backward(inputs(2, 5, 3), cache, layer, d, workspace)}
    results |= {"dscale": d.scale, "dshift": d.shift} if norm.has_scale_and_shift else {}
    return results | ({"mean": layer.mean, "variance": layer.variance} if norm.has_running_statistics else {})


def _optimizer(optimizer: Optimizer, inputs: Inputs) -> Results:
    architecture = make_architecture((3, 4, 2), dtype=inputs.dtype)
    W, slope = inputs(1, architecture.n_parameters), inputs(2, architecture.n_parameters)
    factor, state = np.full(len(W), 0.7), optimizer.init(W)

    def objective(W: np.ndarray, networks: slice) -> np.ndarray:
        return (W * W / 2 + slope * W).sum(axis=1).astype(float)

    workspace = Workspace()
    for number in range(1, 8):
        g = W + slope
        before = g.copy()
        optimizer.update(W, g, state, Step(number, architecture, workspace, factor, number % 2 == 0, objective))
        inputs.constants.append((g, before))
    return {"W": W, **{f"state {name}": array for name, array in state.items()}}


def _penalty(penalty: kinds.Penalty, inputs: Inputs) -> Results:
    W, dW = inputs.constant(1, 7), inputs(2, 7)
    penalty.add_gradient(W, dW)
    return {"value": penalty.value(W), "dW": dW}


def _constraint(constraint: kinds.Constraint, inputs: Inputs) -> Results:
    architecture = make_architecture((3, 4, 2), dtype=inputs.dtype)
    W = inputs(1, architecture.n_parameters)
    constraint.before(W, Step(1, architecture, Workspace(), np.full(len(W), 0.7), time=2.25))
    constraint.after(layer_views(W, architecture))
    return {"W": W}


def _clipping(clipping: kinds.Clipping, inputs: Inputs) -> Results:
    g = inputs(1, 9)
    clipping.clip(g)
    return {"g": g}


def _streams(inputs: Inputs) -> RandomStreams:
    streams = RandomStreams(inputs.networks, epoch=2, n_steps=4)
    streams.next_step()
    streams.next_step()
    return streams


def _augmentation(augmentation: kinds.Augmentation, inputs: Inputs) -> Results:
    x, t = inputs(1, 5, 3), inputs(2, 5, 2)
    augmentation.augment(x, t, "one-hot", _streams(inputs).of(ALL_NETWORKS))
    return {"x": x, "t": t}


def _hooks(inputs: Inputs, dropouts: Any, activities: Any) -> Results:
    x, dx, y, dy = inputs.constant(1, 5, 4), inputs(2, 5, 4), inputs.constant(3, 5, 4), inputs(4, 5, 4)
    hooks = DropoutHooks(len(x), make_architecture((3, 4, 4, 2)), Workspace(), dropouts, activities, _streams(inputs))
    dropped = hooks.dropout(1, x)
    hooks.dropout_backward(1, dx)
    hooks.add_activity_gradient(1, y, dy)
    return {"dropped": dropped, "dx": dx, "dy": dy}


def _average(average: kinds.WeightAverage, inputs: Inputs) -> Results:
    W = inputs(0, 6)
    state = average.init(W)
    results = {}
    for number in range(1, 7):
        W = inputs.constant(number, 6)
        average.observe(
            W, state, Step(number, make_architecture(), Workspace(), last=number % 2 == 0), (number + 1) // 2
        )
        results[f"after {number}"] = average.average(W, state)
    return results


def _early_stopping(stopping: kinds.EarlyStopping, inputs: Inputs) -> Results:
    state = stopping.init(inputs(0, 6))
    stops = [stopping.observe(inputs.constant(n, 6), state, inputs(50 + n).astype(float), n) for n in range(1, 9)]
    return {"stops": np.stack(stops, axis=1), **state}


def _schedule(schedule: Schedule, inputs: Inputs) -> Results:
    n = len(inputs.networks)
    state, factors = schedule.init(n), []
    for epoch in range(30):
        factors.append(np.broadcast_to(schedule.factor(epoch + 0.25, state), n).copy())
        schedule.observe(inputs(50 + epoch).astype(float), state, epoch + 1)
    return {"factors": np.stack(factors, axis=1), **state}


EXERCISES: dict[type, Any] = {
    Activation: _activation,
    Embedding: _embedding,
    Loss: _loss,
    Normalisation: _normalisation,
    Optimizer: _optimizer,
    Schedule: _schedule,
    kinds.Penalty: _penalty,
    kinds.Constraint: _constraint,
    kinds.Clipping: _clipping,
    kinds.Augmentation: _augmentation,
    kinds.Dropout: lambda dropout, inputs: _hooks(inputs, [(ALL_NETWORKS, dropout)], []),
    kinds.ActivityRegularizer: lambda activity, inputs: _hooks(inputs, [], [(ALL_NETWORKS, activity)]),
    kinds.WeightAverage: _average,
    kinds.EarlyStopping: _early_stopping,
}
