"""The shape that networks of one stack share, and where each of its numbers lies in the buffer.

All numbers of a network lie in one row of a buffer: first the weights of every layer, then the biases, then
scale and shift of the normalised layers; these P are the parameters that training descends on. After them come
the running statistics of batch normalisation, which it only keeps. The layers are views into the buffer, so that
an optimizer's step or a penalty is one operation on the buffer while each layer still has its W and b.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

from nncore.activations import Activation
from nncore.components import Component
from nncore.kernels.backend import Array
from nncore.losses import Loss
from nncore.normalisations import Normalisation
from nncore.random_streams import generator

IDENTITY = Component("nncore.activations.identity")
UNNORMALISED = Component("nncore.normalisations.none")
HE_NORMAL = Component("nncore.initializers.he_normal")


@dataclass(frozen=True)
class Layer:
    """y = f(norm(x W + b)), and + x if it is residual.

    outputs         O
    activation      f
    normalisation   of x W + b
    residual        whether x is added to the result; then O must be I
    tied_to         the layer, by its place from 0, whose transposed weights are this one's W; None: weights of its own
    sparse          whether an activity penalty bears on its y
    """

    outputs: int
    activation: Component = IDENTITY
    normalisation: Component = UNNORMALISED
    residual: bool = False
    tied_to: int | None = None
    sparse: bool = True


@dataclass(frozen=True)
class Architecture:
    """What networks must share to be trained together.

    inputs        of the first layer
    layers        one after the other; the last one's activation is usually the identity
    loss          what the last layer's y means and costs
    initializer   where the weights start
    batch_size    rows per step; the last batch of an epoch may be smaller
    dtype         "float32" or "float64"
    """

    inputs: int
    layers: tuple[Layer, ...]
    loss: Component
    initializer: Component = HE_NORMAL
    batch_size: int = 32
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not self.layers or any(type(size) is not int or size < 1 for size in self.sizes):
            raise ValueError(f"sizes must be at least two whole numbers >= 1, but are {self.sizes}")
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise ValueError(f"batch_size must be a whole number >= 1, but is {self.batch_size}")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, but is {self.dtype!r}")
        self._check_functions()
        for index, (layer, sizes) in enumerate(zip(self.layers, pairwise(self.sizes), strict=True)):
            self._check_layer(index, layer, sizes)

    def _check_functions(self) -> None:
        """The members do their part, and batch normalisation has batches."""
        functions = self.functions
        kinds = [(f, Activation) for f in functions.activations] + [
            (n, Normalisation) for n in functions.normalisations
        ]
        for built, kind in [*kinds, (functions.loss, Loss)]:
            if not isinstance(built, kind):
                raise ValueError(
                    f"a layer or loss must be made of members of their kind, but one is no {kind.__name__}"
                )
        if self.batch_size == 1 and any(
            normalisation.has_running_statistics for normalisation in functions.normalisations
        ):
            raise ValueError("batch_size must be >= 2 for batch normalisation, but is 1")
        if self.layers[-1].outputs % functions.loss.outputs_per_target:
            raise ValueError(
                f"{self.loss.short_name} needs {functions.loss.outputs_per_target} outputs for each target, "
                f"but the last layer has {self.layers[-1].outputs}"
            )

    def __getstate__(self) -> dict[str, object]:
        """What it was made of; the functions that it has built meanwhile cannot be pickled."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def _check_layer(self, index: int, layer: Layer, sizes: tuple[int, int]) -> None:
        inputs, outputs = sizes
        if layer.residual and inputs != outputs:
            raise ValueError(f"a residual layer must keep its width, but layer {index} goes from {inputs} to {outputs}")
        if layer.tied_to is None:
            return
        source = range(index)[layer.tied_to] if 0 <= layer.tied_to < index else None
        if source is None or self.layers[source].tied_to is not None:
            raise ValueError(
                f"tied_to must name an earlier layer with weights of its own, but layer {index} has {layer.tied_to}"
            )
        if (outputs, inputs) != (self.sizes[source], self.sizes[source + 1]):
            raise ValueError(
                f"layer {index} must mirror layer {source} to be tied to it, but goes from {inputs} to {outputs}"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs of the first layer, then outputs of each layer."""
        return (self.inputs, *(layer.outputs for layer in self.layers))

    @cached_property
    def functions(self) -> "ArchitectureFunctions":
        """The activations, normalisations and the loss, ready to call."""
        return ArchitectureFunctions(
            tuple(layer.activation.build() for layer in self.layers),
            tuple(layer.normalisation.build() for layer in self.layers),
            self.loss.build(),
        )

    @cached_property
    def layout(self) -> tuple["ArraySlot", ...]:
        """Every array of a network, in the order of the buffer."""
        parts: list[ArraySlot] = []
        for names in (("W",), ("b",), ("scale", "shift"), ("mean", "variance")):
            for index, sizes in enumerate(pairwise(self.sizes)):
                for name in names:
                    dims = sizes if name == "W" else (1, sizes[1])
                    if self._has(index, name):
                        parts.append(ArraySlot(index, name, parts[-1].stop if parts else 0, dims))
        return tuple(parts)

    def _has(self, index: int, name: str) -> bool:
        normalisation = self.functions.normalisations[index]
        if name == "W":
            return self.layers[index].tied_to is None
        return name == "b" or (
            normalisation.has_scale_and_shift if name in ("scale", "shift") else normalisation.has_running_statistics
        )

    @cached_property
    def n_weights(self) -> int:
        """Weights of one network, without biases, scales and shifts."""
        return self._end_of("W")

    @cached_property
    def n_parameters(self) -> int:
        """P: all numbers of one network that training descends on."""
        return self._end_of("W", "b", "scale", "shift")

    @cached_property
    def buffer_size(self) -> int:
        """P and the running statistics."""
        return self.layout[-1].stop

    def _end_of(self, *names: str) -> int:
        return max((part.stop for part in self.layout if part.name in names), default=0)


class ArchitectureFunctions(NamedTuple):
    """The functions that a shape names."""

    activations: tuple[Activation, ...]
    normalisations: tuple[Normalisation, ...]
    loss: Loss


class ArraySlot(NamedTuple):
    """Where one array of one layer lies in a row of the buffer, and its two dimensions there."""

    layer: int
    name: str
    start: int
    dims: tuple[int, int]

    @property
    def stop(self) -> int:
        """Behind its last number."""
        return self.start + prod(self.dims)


class LayerView(NamedTuple):
    """Views into a buffer for one layer: W (K, I, O), the others (K, 1, O), or empty where it has no such array."""

    W: Array
    b: Array
    scale: Array = np.empty(0)
    shift: Array = np.empty(0)
    mean: Array = np.empty(0)
    variance: Array = np.empty(0)


def layer_views(buffer: Array, architecture: Architecture) -> list[LayerView]:
    """The layers of the networks in `buffer` (K, buffer_size), or of a gradient (K, P).

    Writing to a view writes to the buffer.
    """
    arrays: list[dict[str, Array]] = [{} for _ in architecture.layers]
    for part in architecture.layout:
        if part.stop <= buffer.shape[1]:
            arrays[part.layer][part.name] = buffer[:, part.start : part.stop].reshape(len(buffer), *part.dims)
    for layer, own in zip(architecture.layers, arrays, strict=True):
        if layer.tied_to is not None:
            own["W"] = arrays[layer.tied_to]["W"].swapaxes(1, 2)
    return [LayerView(**own) for own in arrays]


def check_parameters(parameters: Array, architecture: Architecture) -> None:
    """Raise ValueError if these are not the numbers (1, buffer_size) of one network of this shape."""
    if parameters.shape != (1, architecture.buffer_size) or parameters.dtype != architecture.dtype:
        raise ValueError(
            f"parameters must be {architecture.dtype} of shape {(1, architecture.buffer_size)} for layers of "
            f"{architecture.sizes}, "
            f"but are {parameters.dtype} of shape {parameters.shape}"
        )


def initial_parameters(architecture: Architecture, seed: int) -> Array:
    """The numbers (buffer_size,) with which a network of this seed starts: drawn weights, all biases zero.

    Random   layer l is drawn from generator(seed, "initial weights", l)
    """
    draw = architecture.initializer.build()
    buffer = np.zeros((1, architecture.buffer_size), architecture.dtype)
    for index, (layer, view) in enumerate(zip(architecture.layers, layer_views(buffer, architecture), strict=True)):
        if layer.tied_to is None:
            view.W[0] = draw(generator(seed, "initial weights", index), *view.W.shape[1:])
        view.scale[...] = 1
        view.variance[...] = 1
    return buffer[0]
