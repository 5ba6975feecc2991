"""Autoencoder: a network that must reconstruct its input from a narrow layer, the code."""

from dataclasses import dataclass, replace

from nncore.architecture import IDENTITY, UNNORMALISED, Architecture, Layer, LayerView, check_parameters, layer_views
from nncore.components import Component
from nncore.kernels.backend import Array
from nncore.kernels.workspace import Workspace
from nncore.stack.data import Data, Rows
from nncore.stack.passes import infer_layers, predict
from nncore.stack.state import Network, start
from nncore.stack.training import Report, train

SQUARED_ERROR = Component("nncore.losses.squared_error")


@dataclass(frozen=True)
class Autoencoder:
    """A trained autoencoder; calling it encodes rows.

    Parameters
    ----------
    architecture : Architecture
        As `autoencoder_architecture` returns it: the encoder has as many layers as the decoder.
    parameters : array (1, buffer_size)

    Raises
    ------
    ValueError
        If the parameters do not fit the architecture.
    """

    architecture: Architecture
    parameters: Array

    def __post_init__(self) -> None:
        check_parameters(self.parameters, self.architecture)

    def __call__(self, x: Array) -> Array:
        """Encode rows x (N, I) as codes (N, n_components)."""
        return infer_layers(*self.encoder, x[None], Workspace())[0]

    def decode(self, code: Array) -> Array:
        """Return the reconstructions (N, I) of codes (N, n_components)."""
        z = infer_layers(*self._part(slice(self._n_encoder_layers, None)), code[None], Workspace())
        return self.architecture.functions.loss.predict(z)[0]

    def reconstruct(self, x: Array) -> Array:
        """Encode and decode rows x (N, I)."""
        return self.architecture.functions.loss.predict(predict(self.parameters, self.architecture, x))[0]

    @property
    def n_inputs(self) -> int:
        """Number of columns of the rows."""
        return self.architecture.inputs

    @property
    def n_outputs(self) -> int:
        """Length of the code."""
        return self.architecture.sizes[self._n_encoder_layers]

    @property
    def encoder(self) -> tuple[list[LayerView], Architecture]:
        """The layers of the encoder, the last of which outputs the code, and their architecture."""
        return self._part(slice(0, self._n_encoder_layers))

    @property
    def _n_encoder_layers(self) -> int:
        return len(self.architecture.layers) // 2

    def _part(self, part: slice) -> tuple[list[LayerView], Architecture]:
        """Consecutive layers as a network of their own; their W may still be views of tied weights."""
        layers = tuple(replace(layer, tied_to=None) for layer in self.architecture.layers[part])
        architecture = replace(self.architecture, inputs=self.architecture.sizes[part][0], layers=layers)
        return layer_views(self.parameters, self.architecture)[part], architecture


def autoencoder_architecture(
    n_inputs: int,
    hidden: tuple[int, ...],
    n_components: int,
    activation: Component,
    *,
    loss: Component = SQUARED_ERROR,
    normalisation: Component = UNNORMALISED,
    tied: bool = False,
    batch_size: int = 32,
    dtype: str = "float32",
) -> Architecture:
    """Return a symmetric network: inputs, hidden layers, code, mirrored hidden layers, outputs.

    Parameters
    ----------
    n_inputs : int
    hidden : tuple of int
        Outputs of each hidden layer of the encoder.
    n_components : int
        Length of the code.
    activation, normalisation : Component
        Of the hidden layers. Code and output are linear and not normalised.
    loss : Component, default squared_error
        Loss of the output against the input, such as sigmoid_cross_entropy for inputs from 0 to 1.
    tied : bool, default False
        Whether each layer of the decoder has the transposed weights of its mirror image.
    batch_size : int
    dtype : {"float32", "float64"}

    Returns
    -------
    Architecture

    Notes
    -----
    The regularizer input_noise makes a denoising autoencoder, and the regularizer activity, which applies only to the
    code, a sparse one.
    """
    n_layers = 2 * (len(hidden) + 1)
    layers = []
    for index, n_outputs in enumerate((*hidden, n_components, *reversed(hidden), n_inputs)):
        linear = index in (len(hidden), n_layers - 1)
        layers.append(
            Layer(
                n_outputs,
                IDENTITY if linear else activation,
                UNNORMALISED if linear else normalisation,
                tied_to=n_layers - 1 - index if tied and index > len(hidden) else None,
                activity_penalty=index == len(hidden),
            )
        )
    return Architecture(n_inputs, tuple(layers), loss, batch_size=batch_size, dtype=dtype)


def train_autoencoder(
    architecture: Architecture, network: Network, x: Array, epochs: int
) -> tuple[Autoencoder, Report]:
    """Train a network to reconstruct rows; its validation loss is computed on the same rows.

    Parameters
    ----------
    architecture : Architecture
        As `autoencoder_architecture` returns it.
    network : Network
    x : array (N, I)
    epochs : int

    Returns
    -------
    autoencoder : Autoencoder
    report : Report

    Raises
    ------
    ValueError
        If the training diverges.
    """
    rows = Rows(x, x)
    stack, reports = train(start(architecture, [network]), Data(rows, rows), epochs, metrics={})
    report = reports[network.key]
    if report.diverged:
        epoch, cause = report.diverged
        raise ValueError(f"the autoencoder diverged in epoch {epoch}: {cause}; try a smaller learning rate")
    return Autoencoder(architecture, stack.selected_weights_of(network.key)), report
