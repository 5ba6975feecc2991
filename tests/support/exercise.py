"""What any component of nncore makes of some networks' numbers: the same for each network, whoever stands beside it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from samples import make_architecture

from nncore.activations import Activation
from nncore.architecture import LayerView, layer_views
from nncore.kernels.workspace import Workspace
from nncore.losses import Loss
from nncore.normalisations import Normalisation
from nncore.optimizers.base import Optimizer, Step
from nncore.random_streams import RandomStreams
from nncore.regularizers import base as kinds
from nncore.schedules import Schedule
from nncore.stack.hooks import DropoutHooks

Found = dict[str, np.ndarray]  # arrays (K, ...) by name
EVERYONE = slice(None)


class Inputs:
    """Numbers for networks `who`, each its own; a poisoned one gets NaN."""

    def __init__(self, who: Sequence[int], dtype: str, poisoned: int | None = None) -> None:
        self.who, self.dtype, self.poisoned = list(who), dtype, poisoned
        self.given: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, name: int, *dims: int) -> np.ndarray:
        """An array (K, *dims); `name` tells it from others."""
        arrays = [np.random.default_rng([name, one]).normal(size=dims) for one in self.who]
        array = np.stack(arrays).astype(self.dtype)
        if self.poisoned in self.who:
            array[self.who.index(self.poisoned)] = np.nan
        return array

    def kept(self, name: int, *dims: int) -> np.ndarray:
        """The same, for an array that must not be changed; see `unchanged`."""
        array = self(name, *dims)
        self.given.append((array, array.copy()))
        return array

    def unchanged(self) -> bool:
        """Whether every array that must not be changed is as it was."""
        return all(np.array_equal(now, before, equal_nan=True) for now, before in self.given)


def exercise(built: Any, inputs: Inputs) -> Found:
    """Run what a component's function returned on the inputs."""
    return EXERCISES[type(built)](built, inputs)


def _activation(f: Activation, inputs: Inputs) -> Found:
    z, dy, b = inputs(1, 5, 3), inputs(2, 5, 3), inputs.kept(3, 1, 3)
    found = {"biased": f.biased(z.copy(), b)} if f.biased else {}
    y = f.forward(z, np.empty_like(z)).copy()
    return found | {"y": y, "dz": f.backward(dy, z, y, np.empty_like(z))}


def _loss(loss: Loss, inputs: Inputs) -> Found:
    z, t = inputs.kept(1, 5, 3 * loss.outputs_per_target), inputs.kept(2, 5, 3)
    value, dz = loss.gradient(z, t)
    return {"value": loss.value(z, t), "loss": value, "dz": dz, "answer": loss.predict(z)}


def _normalisation(norm: Normalisation, inputs: Inputs) -> Found:
    none, scratch = np.empty(0), Workspace()
    running = (inputs(5, 1, 3), inputs(6, 1, 3) ** 2) if norm.has_running_statistics else (none, none)
    affine = (inputs(3, 1, 3), inputs(4, 1, 3)) if norm.has_scale_and_shift else (none, none)
    at = LayerView(none, inputs.kept(7, 1, 3), *affine, *running)
    d = LayerView(none, none, *(np.empty_like(array) for array in affine))
    found = {"answer": np.add(*norm.infer(inputs(1, 5, 3), at))}
    y, shift, kept = norm.train(inputs(1, 5, 3), at, scratch)
    found |= {"y": y + shift, "dz": norm.backward(inputs(2, 5, 3), kept, at, d, scratch)}
    found |= {"dscale": d.scale, "dshift": d.shift} if norm.has_scale_and_shift else {}
    return found | ({"mean": at.mean, "variance": at.variance} if norm.has_running_statistics else {})


def _optimizer(rule: Optimizer, inputs: Inputs) -> Found:
    architecture = make_architecture((3, 4, 2), dtype=inputs.dtype)
    W, slope = inputs(1, architecture.n_parameters), inputs(2, architecture.n_parameters)
    factor, state = np.full(len(W), 0.7), rule.init(W)

    def objective(W: np.ndarray, networks: slice) -> np.ndarray:
        return (W * W / 2 + slope * W).sum(axis=1).astype(float)

    scratch = Workspace()
    for number in range(1, 8):
        g = W + slope
        before = g.copy()
        rule.update(W, g, state, Step(number, architecture, scratch, factor, number % 2 == 0, objective))
        inputs.given.append((g, before))
    return {"W": W, **{f"state {name}": array for name, array in state.items()}}


def _penalty(penalty: kinds.Penalty, inputs: Inputs) -> Found:
    W, dW = inputs.kept(1, 7), inputs(2, 7)
    penalty.add_gradient(W, dW)
    return {"value": penalty.value(W), "dW": dW}


def _constraint(constraint: kinds.Constraint, inputs: Inputs) -> Found:
    architecture = make_architecture((3, 4, 2), dtype=inputs.dtype)
    W = inputs(1, architecture.n_parameters)
    constraint.before(W, Step(1, architecture, Workspace(), np.full(len(W), 0.7)))
    constraint.after(layer_views(W, architecture))
    return {"W": W}


def _clipping(clipping: kinds.Clipping, inputs: Inputs) -> Found:
    g = inputs(1, 9)
    clipping.clip(g)
    return {"g": g}


def _draws(inputs: Inputs) -> RandomStreams:
    draws = RandomStreams(inputs.who, epoch=2)
    draws.next_step()
    return draws


def _disturbance(disturbance: kinds.Augmentation, inputs: Inputs) -> Found:
    x, t = inputs(1, 5, 3), inputs(2, 5, 2)
    disturbance.augment(x, t, "one-hot", _draws(inputs).of(EVERYONE))
    return {"x": x, "t": t}


def _inside(inputs: Inputs, dropouts: Any, activities: Any) -> Found:
    x, dx, y, dy = inputs.kept(1, 5, 4), inputs(2, 5, 4), inputs.kept(3, 5, 4), inputs(4, 5, 4)
    inside = DropoutHooks(len(x), make_architecture((3, 4, 4, 2)), Workspace(), dropouts, activities, _draws(inputs))
    seen = inside.dropout(1, x)
    inside.dropout_backward(1, dx)
    inside.add_activity_gradient(1, y, dy)
    return {"seen": seen, "dx": dx, "dy": dy}


def _average(average: kinds.WeightAverage, inputs: Inputs) -> Found:
    W = inputs(0, 6)
    state = average.init(W)
    found = {}
    for number in range(1, 7):
        W = inputs.kept(number, 6)
        average.observe(
            W, state, Step(number, make_architecture(), Workspace(), last=number % 2 == 0), (number + 1) // 2
        )
        found[f"after {number}"] = average.average(W, state)
    return found


def _early_stopping(stopping: kinds.EarlyStopping, inputs: Inputs) -> Found:
    state = stopping.init(inputs(0, 6))
    stops = [stopping.observe(inputs.kept(n, 6), state, inputs(50 + n).astype(float), n) for n in range(1, 9)]
    return {"stops": np.stack(stops, axis=1), **state}


def _schedule(schedule: Schedule, inputs: Inputs) -> Found:
    n = len(inputs.who)
    state, factors = schedule.init(n), []
    for epoch in range(30):
        factors.append(np.broadcast_to(schedule.factor(epoch + 0.25, state), n).copy())
        schedule.observe(inputs(50 + epoch).astype(float), state, epoch + 1)
    return {"factors": np.stack(factors, axis=1), **state}


EXERCISES: dict[type, Any] = {
    Activation: _activation,
    Loss: _loss,
    Normalisation: _normalisation,
    Optimizer: _optimizer,
    Schedule: _schedule,
    kinds.Penalty: _penalty,
    kinds.Constraint: _constraint,
    kinds.Clipping: _clipping,
    kinds.Augmentation: _disturbance,
    kinds.Dropout: lambda dropout, inputs: _inside(inputs, [(EVERYONE, dropout)], []),
    kinds.ActivityRegularizer: lambda activity, inputs: _inside(inputs, [], [(EVERYONE, activity)]),
    kinds.WeightAverage: _average,
    kinds.EarlyStopping: _early_stopping,
}
