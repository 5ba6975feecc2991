"""Autoencoder: a network that must reproduce its input through a narrow layer, the code."""

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
    """A trained autoencoder; called with rows, it encodes them.

    shape        as `autoencoder_architecture` makes it: as many layers before the code as behind it
    parameters   (1, buffer_size)
    """

    architecture: Architecture
    parameters: Array

    def __post_init__(self) -> None:
        check_parameters(self.parameters, self.architecture)

    def __call__(self, x: Array) -> Array:
        """Encode rows (N, I) as codes (N, n_components)."""
        return self._run(x, self.encoder)

    def decode(self, code: Array) -> Array:
        """Rows (N, I) for codes (N, n_components)."""
        return self._answer(self._run(code, self._layers(slice(self._half, None))))

    def reconstruct(self, x: Array) -> Array:
        """What comes out when the rows x (N, I) go in."""
        return self._answer(predict(self.parameters, self.architecture, x)[0])

    @property
    def _half(self) -> int:
        return len(self.architecture.layers) // 2

    @property
    def encoder(self) -> tuple[list[LayerView], Architecture]:
        """The layers before the code, and their shape."""
        return self._layers(slice(0, self._half))

    def _layers(self, part: slice) -> tuple[list[LayerView], Architecture]:
        sizes, layers = self.architecture.sizes[part], self.architecture.layers[part]
        own = tuple(replace(layer, tied_to=None) for layer in layers)
        architecture = Architecture(
            sizes[0],
            own,
            self.architecture.loss,
            batch_size=self.architecture.batch_size,
            dtype=self.architecture.dtype,
        )
        return layer_views(self.parameters, self.architecture)[part], architecture

    def _run(self, x: Array, layers: tuple[list[LayerView], Architecture]) -> Array:
        return infer_layers(*layers, x[None], Workspace())[0]

    def _answer(self, z: Array) -> Array:
        return self.architecture.functions.loss.predict(z[None])[0]


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
    """A symmetric network: inputs, hidden, code, hidden backwards, inputs; code and output are linear.

    Denoising is the regularizer input_noise, a sparse code the regularizer activity, which bears on the code alone.

    loss            what comes out against what went in, such as sigmoid_cross_entropy for inputs from 0 to 1
    normalisation   of the hidden layers
    tied            whether each layer behind the code has the transposed weights of its mirror image
    """
    n_layers = 2 * (len(hidden) + 1)
    outputs = (*hidden, n_components, *reversed(hidden), n_inputs)
    layers = []
    for index, n_outputs in enumerate(outputs):
        linear = index in (len(hidden), n_layers - 1)
        own = index <= len(hidden) or not tied
        layers.append(
            Layer(
                n_outputs,
                IDENTITY if linear else activation,
                UNNORMALISED if linear else normalisation,
                tied_to=None if own else n_layers - 1 - index,
                activity_penalty=index == len(hidden),
            )
        )
    return Architecture(n_inputs, tuple(layers), loss, batch_size=batch_size, dtype=dtype)


def train_autoencoder(
    architecture: Architecture, network: Network, x: Array, epochs: int
) -> tuple[Autoencoder, Report]:
    """Train a network of `autoencoder_architecture` to reproduce the rows x (N, I), and watch it by the same rows.

    Raises   ValueError if the training diverges
    """
    itself = Rows(x, x)
    stack, reports = train(start(architecture, [network]), Data(itself, itself), epochs, metrics={})
    report = reports[network.key]
    if report.diverged:
        epoch, cause = report.diverged
        raise ValueError(f"the autoencoder diverged in epoch {epoch}: {cause}; a smaller learning rate may help")
    return Autoencoder(architecture, stack.selected_weights_of(network.key)), report
