"""A chain of dense layers, and the chain rule that gives the gradient of its loss.

All parameters of a network lie in one row of a buffer (K, P), first the weights of every layer, then the
biases. The layers are views into it, so that an optimizer's step or a penalty is one operation on the
buffer while each layer still has its W and b.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from nncore import dense
from nncore.activations import Activation
from nncore.hyperparameters import Array
from nncore.losses import Loss
from nncore.members import Member
from nncore.randomness import generator


@dataclass(frozen=True)
class Shape:
    """What networks must share to be trained together.

    sizes         inputs of the first layer, then outputs of each layer
    activations   one per layer; the last is usually nncore.activations.identity
    loss          what the last layer's y means and costs
    initializer   where the weights start
    batch_size    rows per step; the last batch of an epoch may be smaller
    dtype         "float32" or "float64"
    """

    sizes: tuple[int, ...]
    activations: tuple[Member, ...]
    loss: Member
    initializer: Member = Member("nncore.initializers.he_normal")
    batch_size: int = 32
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"sizes must be at least two numbers >= 1, but are {self.sizes}")
        if len(self.activations) != len(self.sizes) - 1:
            raise ValueError(
                f"activations must be one per layer, but are {len(self.activations)} of {len(self.sizes) - 1}"
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, but is {self.batch_size}")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, but is {self.dtype!r}")

    @property
    def n_weights(self) -> int:
        """Weights of one network, without the biases."""
        return sum(inputs * outputs for inputs, outputs in pairwise(self.sizes))

    @property
    def n_parameters(self) -> int:
        """P: weights and biases of one network."""
        return self.n_weights + sum(self.sizes[1:])

    @cached_property
    def functions(self) -> "Functions":
        """The activations and the loss, ready to call."""
        return Functions(tuple(member.build() for member in self.activations), self.loss.build())


class Functions(NamedTuple):
    """The functions that a shape names."""

    activations: tuple[Activation, ...]
    loss: Loss


class Layer(NamedTuple):
    """Views into a parameter buffer: W (K, I, O) and b (K, 1, O)."""

    W: Array
    b: Array


def layers(buffer: Array, sizes: Sequence[int]) -> list[Layer]:
    """The layers of the networks in `buffer` (K, P), as views: writing to a layer writes to the buffer."""
    weights, biases = [], []
    start = 0
    for inputs, outputs in pairwise(sizes):
        stop = start + inputs * outputs
        weights.append(buffer[:, start:stop].reshape(-1, inputs, outputs))  # (K, I, O)
        start = stop
    for outputs in sizes[1:]:
        biases.append(buffer[:, start : start + outputs].reshape(-1, 1, outputs))  # (K, 1, O)
        start += outputs
    return [Layer(W, b) for W, b in zip(weights, biases, strict=True)]


def initial_parameters(shape: Shape, seed: int) -> Array:
    """The parameters (P,) at which a network with this seed starts: drawn weights, biases of zero.

    Random   layer l is drawn from generator(seed, "initial weights", l)
    """
    draw = shape.initializer.build()
    buffer = np.zeros((1, shape.n_parameters), shape.dtype)
    for index, layer in enumerate(layers(buffer, shape.sizes)):
        random = generator(seed, "initial weights", index)
        layer.W[0] = draw(random, *layer.W.shape[1:])
    return buffer[0]


class Passed(NamedTuple):
    """What one layer saw and said in the forward pass, kept for the backward pass."""

    x: Array
    z: Array
    y: Array


def forward(parameters: Array, shape: Shape, x: Array) -> list[Passed]:
    """Pass x (K or 1, N, I) through every layer: y = f(x W + b). The last y is the network's output."""
    passed = []
    for layer, f in zip(layers(parameters, shape.sizes), shape.functions.activations, strict=True):
        z = dense.forward(x, layer.W, layer.b)
        passed.append(Passed(x, z, f.forward(z)))
        x = passed[-1].y
    return passed


def gradient(parameters: Array, shape: Shape, x: Array, t: Array, out: Array) -> Array:
    """Write dLoss/dParameters into `out` (K, P) and return the loss (K,), a mean over the rows.

    The chain rule, from the last layer to the first: dz = dy f'(z), then dW = x^T dz, db = sum dz and,
    for the layer before, dy = dz W^T.
    """
    passed = forward(parameters, shape, x)
    loss, dy = shape.functions.loss.gradient(passed[-1].y, t)
    chain = zip(
        layers(parameters, shape.sizes), layers(out, shape.sizes), passed, shape.functions.activations, strict=True
    )
    for index, (layer, d, (x, z, y), f) in reversed(list(enumerate(chain))):
        dz = f.backward(dy, z, y)
        dense.backward_parameters(x, dz, d.W, d.b)
        if index > 0:  # nobody asks for the derivative by the data
            dy = dense.backward_input(layer.W, dz)
    return loss
