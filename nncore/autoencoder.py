"""Autoencoder: a network that must reproduce its input through a narrow layer, the code."""

from dataclasses import dataclass, replace

from nncore.backend import Array
from nncore.members import Member
from nncore.network import predict, run_layers
from nncore.scratch import Scratch
from nncore.shape import IDENTITY, UNNORMALISED, Layer, Shape, View, check_parameters, views
from nncore.stack import Network, start
from nncore.training import Data, Report, Rows, train

SQUARED_ERROR = Member("nncore.losses.squared_error")


@dataclass(frozen=True)
class Autoencoder:
    """A trained autoencoder; called with rows, it encodes them.

    shape        as `autoencoder_shape` makes it: as many layers before the code as behind it
    parameters   (1, n_numbers)
    """

    shape: Shape
    parameters: Array

    def __post_init__(self) -> None:
        check_parameters(self.parameters, self.shape)

    def __call__(self, x: Array) -> Array:
        """Encode rows (N, I) as codes (N, n_components)."""
        return self._run(x, self.encoder)

    def decode(self, code: Array) -> Array:
        """Rows (N, I) for codes (N, n_components)."""
        return self._answer(self._run(code, self._layers(slice(self._half, None))))

    def reconstruct(self, x: Array) -> Array:
        """What comes out when the rows x (N, I) go in."""
        return self._answer(predict(self.parameters, self.shape, x)[0])

    @property
    def _half(self) -> int:
        return len(self.shape.layers) // 2

    @property
    def encoder(self) -> tuple[list[View], Shape]:
        """The layers before the code, and their shape."""
        return self._layers(slice(0, self._half))

    def _layers(self, part: slice) -> tuple[list[View], Shape]:
        sizes, layers = self.shape.sizes[part], self.shape.layers[part]
        own = tuple(replace(layer, tied_to=None) for layer in layers)
        shape = Shape(sizes[0], own, self.shape.loss, batch_size=self.shape.batch_size, dtype=self.shape.dtype)
        return views(self.parameters, self.shape)[part], shape

    def _run(self, x: Array, layers: tuple[list[View], Shape]) -> Array:
        return run_layers(*layers, x[None], Scratch())[0]

    def _answer(self, z: Array) -> Array:
        return self.shape.functions.loss.answer(z[None])[0]


def autoencoder_shape(
    n_inputs: int,
    hidden: tuple[int, ...],
    n_components: int,
    activation: Member,
    *,
    loss: Member = SQUARED_ERROR,
    normalisation: Member = UNNORMALISED,
    tied: bool = False,
    batch_size: int = 32,
    dtype: str = "float32",
) -> Shape:
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
                sparse=index == len(hidden),
            )
        )
    return Shape(n_inputs, tuple(layers), loss, batch_size=batch_size, dtype=dtype)


def train_autoencoder(shape: Shape, network: Network, x: Array, epochs: int) -> tuple[Autoencoder, Report]:
    """Train a network of `autoencoder_shape` to reproduce the rows x (N, I), and watch it by the same rows.

    Raises   ValueError if the training diverges
    """
    itself = Rows(x, x)
    stack, reports = train(start(shape, [network]), Data(itself, itself), epochs, metrics={})
    report = reports[network.key]
    if report.diverged:
        epoch, cause = report.diverged
        raise ValueError(f"the autoencoder diverged in epoch {epoch}: {cause}; a smaller learning rate may help")
    return Autoencoder(shape, stack.answer(network.key)), report
