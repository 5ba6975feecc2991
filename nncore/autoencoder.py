"""Autoencoder: a network that must reproduce its input through a narrow layer, the code."""

from dataclasses import dataclass, replace

import numpy as np

from nncore.hyperparameters import Array
from nncore.members import Member
from nncore.network import Shape
from nncore.stack import Network, Stack, start
from nncore.training import Data, Report, Rows, predict, train

IDENTITY = Member("nncore.activations.identity")


@dataclass(frozen=True)
class Encoder:
    """The first half of a trained autoencoder.

    shape        the layers up to the code
    parameters   (1, P)
    """

    shape: Shape
    parameters: Array

    def __call__(self, x: Array) -> Array:
        """Encode rows (N, I) as codes (N, O)."""
        return predict(self.parameters, self.shape, x)[0]


def autoencoder_shape(
    n_inputs: int,
    hidden: tuple[int, ...],
    n_components: int,
    activation: Member,
    batch_size: int = 32,
    dtype: str = "float32",
) -> Shape:
    """A symmetric network: inputs, hidden, code, hidden backwards, inputs; code and output are linear."""
    sizes = (n_inputs, *hidden, n_components, *reversed(hidden), n_inputs)
    half = (*(activation for _ in hidden), IDENTITY)
    return Shape(sizes, half + half, Member("nncore.losses.squared_error"), batch_size=batch_size, dtype=dtype)


def train_autoencoder(shape: Shape, network: Network, x: Array, epochs: int) -> tuple[Encoder, Report]:
    """Train a network of `autoencoder_shape` to reproduce the rows x (N, I), and watch it by the same rows.

    Raises   ValueError if the training diverges
    """
    itself = Rows(x, x)
    stack, reports = train(start(shape, [network]), Data(itself, itself), epochs, metrics={})
    report = reports[network.key]
    if report.diverged:
        epoch, cause = report.diverged
        raise ValueError(f"the autoencoder diverged in epoch {epoch}: {cause}; a smaller learning rate may help")
    return encoder(stack), report


def encoder(stack: Stack) -> Encoder:
    """The first half of the autoencoder in a stack of one."""
    n_layers = len(stack.shape.activations) // 2
    shape = replace(
        stack.shape, sizes=stack.shape.sizes[: n_layers + 1], activations=stack.shape.activations[:n_layers]
    )
    weights, biases = shape.n_weights, shape.n_parameters - shape.n_weights
    first_bias = stack.shape.n_weights
    halves = (stack.parameters[:, :weights], stack.parameters[:, first_bias : first_bias + biases])
    return Encoder(shape, np.concatenate(halves, axis=1))
