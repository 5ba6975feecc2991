"""The architecture that the networks of a stack share, and the layout of their parameters in memory.

All numbers of a network lie in one row of a buffer of shape (K, buffer_size): first the weights of every layer and
the adapters of its members, then the biases, then all other parameters by kind (PARAMETERS lists them). These P numbers
are the parameters that training optimizes. The running statistics of batch normalisation follow; training updates them,
but not by gradients. Layers are views into the buffer, so an optimizer's step or a penalty is one operation on the
buffer, while each layer still has its W and b.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import pairwise
from math import prod, sqrt
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from nncore.activations import Activation
from nncore.components import Component
from nncore.embeddings import Embedding
from nncore.initializers import DataDrivenInitializer
from nncore.kernels.backend import Array
from nncore.losses import Loss
from nncore.normalisations import Normalisation
from nncore.random_streams import generator

IDENTITY = Component("nncore.activations.identity")
UNNORMALISED = Component("nncore.normalisations.none")
HE_NORMAL = Component("nncore.initializers.he_normal")
NO_EMBEDDING = Component("nncore.embeddings.none")
Parametrization = Literal["standard", "ntk"]
Adapters = Literal["none", "mini", "full", "packed"]
# The arrays of the layers in the order of the buffer: those of one tuple stand side by side, layer by layer. The
# arrays of the embedding are "embedding_<name>".
PARAMETERS = (
    *(("W",), ("r", "s"), ("b",), ("scale", "shift")),
    *(("input_scale",), ("embedding",), ("category",), ("alpha",)),
)
NOT_TRAINED = (("mean", "variance"), ("embedding_bins",))
NUMBERS_IN_CACHE = 1 << 17  # outputs of a layer in a batch: so many, and what is computed from them, stay in the cache
MOST_MEMBERS = 4  # of a part; members so small that more would fit are faster all at once
OMIT_DEFAULT = {"omit_default": True}  # metadata of fields that are left out of a fingerprint where they have no effect


@dataclass(frozen=True)
class Layer:
    """A dense layer, y = f(norm(x W + b)), or y = f(norm(x W + b)) + x if it is residual.

    With batch normalisation a layer has no bias b.

    Parameters
    ----------
    outputs : int, >= 1
        Number of outputs O.
    activation : Component, default identity
        Elementwise function f.
    normalisation : Component, default none
        Normalisation of x W + b.
    residual : bool, default False
        Whether the input x is added to the result (a skip connection). The layer must have I = O.
    tied_to : int, optional
        Index of an earlier layer whose transposed weights are this layer's W. None: the layer has its own weights.
    activity_penalty : bool, default True
        Whether activity regularizers apply to y. They never apply to the last layer.
    """

    outputs: int
    activation: Component = IDENTITY
    normalisation: Component = UNNORMALISED
    residual: bool = False
    tied_to: int | None = None
    activity_penalty: bool = True


@dataclass(frozen=True)
class Architecture:
    """What networks must have in common to be trained in one stack.

    Parameters
    ----------
    inputs : int, >= 1
        Number of columns of the rows.
    layers : tuple of Layer
        The layers from first to last. The activation of the last layer is usually the identity.
    loss : Component
        Loss, which also defines the meaning of the last layer's output.
    initializer : Component, default he_normal
        Distribution of the initial weights.
    batch_size : int, >= 1, default 32
        Rows per step. The last batch of an epoch may be smaller.
    dtype : {"float32", "float64"}, default "float32"
        Type of parameters, inputs and targets.
    embedding : Component, default none
        Embedding of the first `n_numeric` columns.
    n_numeric : int, >= 0, default 0
        The columns that the embedding maps; those that follow enter the first layer as they are.
    levels : tuple of int, default ()
        The last columns are integer codes of categories, 0 <= code < levels, of which each has a learned vector.
    category_size : int, >= 1, default 8
        Length of these vectors.
    scaling_layer : bool, default False
        Whether each number that enters the first layer is multiplied by a learned factor, which is 1 at first.
    parametrization : {"standard", "ntk"}, default "standard"
        How a layer multiplies: x W, or x W / sqrt(I) with weights that are sqrt(I) times as large at first (neural
        tangent parametrization). The networks start as the same functions; a learning rate then means the same for
        layers of all widths.
    members : int, >= 1, default 1
        Number of members k of a network (TabM). Each member predicts the target, with an output layer of its own, and
        the network predicts the mean of their predictions. Training minimises the mean of their losses.
    adapters : {"none", "mini", "full", "packed"}, default "none"
        What else is a member's own, so that members differ; "none" for a network without members. "mini": a factor r
        for each input of the first layer. "full": in each hidden layer, factors r of the inputs and s of the outputs
        around the common weights, the bias and the normalisation. "packed": all but what precedes the first layer.

    Raises
    ------
    ValueError
        If the layers do not fit together, or a component is not of the required kind.

    Notes
    -----
    A layer of member i is y = f(norm(((x r_i) W) s_i + b_i)), without the factors that its adapters do not have. As in
    TabM's reference, r and s are penalised and decay where W does.

    References
    ----------
    Gorishniy, Kotelnikov & Babenko (2024), arXiv:2410.24210 (TabM); Wen, Tran & Ba (2020), arXiv:2002.06715 (r and s).
    Jacot, Gabriel & Hongler (2018), arXiv:1806.07572, section 2 (neural tangent parametrization).
    Holzmueller, Grinsztajn & Steinwart (2024), arXiv:2407.04491 (the scaling layer).
    Guo & Berkhahn (2016), arXiv:1604.06737 (learned vectors of categories).
    """

    inputs: int
    layers: tuple[Layer, ...]
    loss: Component
    initializer: Component = HE_NORMAL
    batch_size: int = 32
    dtype: str = "float32"
    embedding: Component = field(default=NO_EMBEDDING, metadata=OMIT_DEFAULT)
    n_numeric: int = field(default=0, metadata=OMIT_DEFAULT)
    levels: tuple[int, ...] = field(default=(), metadata=OMIT_DEFAULT)
    category_size: int = field(default=8, metadata=OMIT_DEFAULT)
    scaling_layer: bool = field(default=False, metadata=OMIT_DEFAULT)
    parametrization: Parametrization = field(default="standard", metadata=OMIT_DEFAULT)
    members: int = field(default=1, metadata=OMIT_DEFAULT)
    adapters: Adapters = field(default="none", metadata=OMIT_DEFAULT)

    def __post_init__(self) -> None:
        sizes = (self.inputs, *(layer.outputs for layer in self.layers))
        if not self.layers or any(type(size) is not int or size < 1 for size in sizes):
            raise ValueError(f"sizes must be at least two integers >= 1, but are {sizes}")
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise ValueError(f"batch_size must be an integer >= 1, but is {self.batch_size}")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, but is {self.dtype!r}")
        if self.parametrization not in get_args(Parametrization):
            raise ValueError(f"parametrization must be standard or ntk, but is {self.parametrization!r}")
        self._check_members()
        self._check_components()
        self._check_columns()
        for index, (layer, (inputs, outputs)) in enumerate(zip(self.layers, pairwise(self.sizes), strict=True)):
            if layer.residual and inputs != outputs:
                raise ValueError(
                    f"a residual layer must have as many outputs as inputs, but layer {index} has {inputs} inputs and "
                    f"{outputs} outputs"
                )
            if layer.tied_to is not None:
                self._check_tied(index, layer.tied_to)

    def __getstate__(self) -> dict[str, object]:
        """Return the fields alone: the functions cached in `functions` cannot be pickled."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _check_members(self) -> None:
        if type(self.members) is not int or self.members < 1:
            raise ValueError(f"members must be an integer >= 1, but is {self.members!r}")
        if self.adapters not in get_args(Adapters):
            raise ValueError(f"adapters must be none, mini, full or packed, but is {self.adapters!r}")
        if (self.members == 1) != (self.adapters == "none"):
            rule = "none for members=1" if self.members == 1 else f"mini, full or packed for members={self.members}"
            raise ValueError(f"adapters must be {rule}, but is {self.adapters}")
        if self.members > 1 and any(layer.tied_to is not None for layer in self.layers):
            raise ValueError(f"members must be 1 for tied layers, but is {self.members}")

    def _check_components(self) -> None:
        functions = self.functions
        required: list[tuple[Component, object, type]] = [
            (self.loss, functions.loss, Loss),
            (self.embedding, functions.embedding, Embedding),
        ]
        for layer, activation, normalisation in zip(
            self.layers, functions.activations, functions.normalisations, strict=True
        ):
            required += [
                (layer.activation, activation, Activation),
                (layer.normalisation, normalisation, Normalisation),
            ]
        for component, built, kind in required:
            if not isinstance(built, kind):
                raise ValueError(
                    f"{kind.__name__.lower()} must be a component that makes {kind.__name__}, but "
                    f"{component.short_name} makes {type(built).__name__}"
                )
        if self.batch_size == 1 and any(norm.has_running_statistics for norm in functions.normalisations):
            raise ValueError("batch_size must be >= 2 for batch normalisation, but is 1")
        if self.layers[-1].outputs % functions.loss.outputs_per_target:
            raise ValueError(
                f"{self.loss.short_name} needs {functions.loss.outputs_per_target} outputs for each target, "
                f"but the last layer has {self.layers[-1].outputs}"
            )

    def _check_columns(self) -> None:
        """What the columns of the rows are must fit their number."""
        if any(type(number) is not int or number < 1 for number in (self.category_size, *self.levels)):
            raise ValueError(
                f"levels and category_size must be integers >= 1, but are {self.levels} and {self.category_size}"
            )
        if type(self.n_numeric) is not int or not 0 <= self.n_numeric <= self.inputs - len(self.levels):
            raise ValueError(
                f"n_numeric must be from 0 to the {self.inputs} columns without the {len(self.levels)} of categories, "
                f"but is {self.n_numeric}"
            )

    def _check_tied(self, index: int, source: int) -> None:
        """Layer `index` must be the mirror image of an earlier layer `source` that has its own weights."""
        if not 0 <= source < index or self.layers[source].tied_to is not None:
            raise ValueError(
                f"tied_to must be the index of an earlier layer with its own weights, but layer {index} has {source}"
            )
        inputs, outputs = self.sizes[index : index + 2]
        if (outputs, inputs) != self.sizes[source : source + 2]:
            raise ValueError(
                f"layer {index} must mirror layer {source} to be tied to it, but has {inputs} inputs and {outputs} "
                f"outputs where layer {source} has {self.sizes[source]} inputs and {self.sizes[source + 1]} outputs"
            )

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Inputs I of the first layer, after all embeddings, then the outputs of each layer."""
        embedding = self.functions.embedding
        n_kept = self.inputs - len(self.levels) - (0 if embedding.keeps_x else self.n_embedded)
        n_first = n_kept + self.n_embedded * embedding.size + len(self.levels) * self.category_size
        return (n_first, *(layer.outputs for layer in self.layers))

    @property
    def n_embedded(self) -> int:
        """Number of columns that an embedding maps."""
        return self.n_numeric if self.functions.embedding.size else 0

    @cached_property
    def functions(self) -> "ArchitectureFunctions":
        """The activations, normalisations and the loss, built from their components."""
        return ArchitectureFunctions(
            tuple(layer.activation.build() for layer in self.layers),
            tuple(layer.normalisation.build() for layer in self.layers),
            self.loss.build(),
            self.embedding.build(),
        )

    @cached_property
    def layout(self) -> tuple["ArraySlot", ...]:
        """The position of every array of a network, in the order of the buffer."""
        slots: list[ArraySlot] = []
        for names in (*PARAMETERS, *NOT_TRAINED):
            for index in range(len(self.layers)):
                for kind in names:
                    for name, dims in self._arrays(index, kind).items():
                        slots.append(ArraySlot(index, name, slots[-1].stop if slots else 0, dims))
        return tuple(slots)

    def _arrays(self, index: int, kind: str) -> dict[str, tuple[int, ...]]:
        """By name, the dimensions of the arrays of one kind that a layer has."""
        inputs, outputs = self.sizes[index : index + 2]
        embedding, M = self.functions.embedding, self.n_embedded
        if kind in ("embedding", "embedding_bins", "category") and index > 0:
            return {}
        match kind:
            case "embedding":
                return {f"embedding_{name}": (M, *dims) for name, dims in embedding.dims.items() if M}
            case "embedding_bins":
                return {kind: (M, *embedding.bin_dims)} if M and embedding.bin_dims else {}
            case "category":
                return {kind: (sum(self.levels), self.category_size)} if self.levels else {}
        if not self._has_array(index, kind):
            return {}
        copies = (self.members,) if self._is_of_members(index, kind) else ()
        dims = {"W": (inputs, outputs), "input_scale": (1, inputs), "r": (1, inputs)}.get(kind, (1, outputs))
        return {kind: (*copies, *dims)}

    def _has_array(self, index: int, name: str) -> bool:
        normalisation = self.functions.normalisations[index]
        match name:
            case "W":
                return self.layers[index].tied_to is None
            case "r" | "s":
                if self.adapters == "mini":
                    return (index, name) == (0, "r")
                return self.adapters == "full" and index < len(self.layers) - 1
            case "b":
                return normalisation.has_bias
            case "scale" | "shift":
                return normalisation.has_scale_and_shift
            case "input_scale":
                return index == 0 and self.scaling_layer
            case "alpha":
                return self.functions.activations[index].is_parametric
            case _:
                return normalisation.has_running_statistics

    def has_own_vectors(self, index: int) -> bool:
        """Whether each member has its own bias, normalisation and activation in a layer."""
        return self.members > 1 and (self.adapters != "mini" or index == len(self.layers) - 1)

    def _is_of_members(self, index: int, name: str) -> bool:
        """Whether each member has its own array of this name."""
        if name == "input_scale":
            return False
        if name == "W":
            return self.has_own_vectors(index) and (self.adapters == "packed" or index == len(self.layers) - 1)
        return name in ("r", "s") or self.has_own_vectors(index)

    @cached_property
    def multiplies_weights(self) -> tuple[bool, ...]:
        """For each layer, whether r and s multiply its W, for each member, rather than the rows of a batch."""
        multiplies = []
        for index, (inputs, outputs) in enumerate(pairwise(self.sizes)):
            n_factors = inputs * self._has_array(index, "r") + outputs * self._has_array(index, "s")
            is_common = n_factors > 0 and not self._is_of_members(index, "W")
            n_weights = inputs * outputs * (1 + self._has_array(index, "s"))  # with s they are multiplied twice
            multiplies.append(is_common and n_weights <= self.batch_size * n_factors)
        return tuple(multiplies)

    @cached_property
    def parts_of_members(self) -> tuple[tuple[slice, "Architecture"], ...]:
        """Parts of the members whose gradients are computed one after the other, so that they stay in a core's cache.

        Each part is some members, at least two, and the architecture of a network that has just these. There is a
        single part if members are few or small, and if they share hidden layers, which are faster as one product.
        """
        size = max(2, NUMBERS_IN_CACHE // (self.batch_size * max(self.sizes[1:])))
        in_parts = self.adapters in ("full", "packed") and size <= MOST_MEMBERS
        n_parts = self.members // size if in_parts else 1
        if n_parts <= 1:
            return ((slice(0, self.members), self),)
        ends = [part * self.members // n_parts for part in range(n_parts + 1)]
        of_size = {size: replace(self, members=size) for size in {stop - start for start, stop in pairwise(ends)}}
        return tuple((slice(start, stop), of_size[stop - start]) for start, stop in pairwise(ends))

    @cached_property
    def n_matrix_weights(self) -> int:
        """Number of weights in the matrices W of one network."""
        return self._end_of("W")

    @cached_property
    def n_weights(self) -> int:
        """Number of weights of one network, adapters included: what penalties and decay apply to by default."""
        return self._end_of("W", "r", "s")

    @cached_property
    def n_parameters(self) -> int:
        """Number of parameters of one network, P."""
        trained = [slot.stop for slot in self.layout if not any(slot.name in names for names in NOT_TRAINED)]
        return trained[-1]

    @cached_property
    def buffer_size(self) -> int:
        """Number of parameters and running statistics of one network."""
        return self.layout[-1].stop

    def _end_of(self, *names: str) -> int:
        return max((slot.stop for slot in self.layout if slot.name in names), default=0)

    @property
    def columns_of_inputs(self) -> Array:
        """For each input of the first layer, the column that it stands for: int array (I,)."""
        embedding, first_code = self.functions.embedding, self.inputs - len(self.levels)
        kept = np.arange(0 if embedding.keeps_x else self.n_embedded, first_code)
        embedded = np.repeat(np.arange(self.n_embedded), embedding.size)
        return np.concatenate([kept, embedded, np.repeat(np.arange(first_code, self.inputs), self.category_size)])

    @property
    def is_data_driven(self) -> bool:
        """Whether initial numbers are taken from training rows."""
        has_bins = self.n_embedded > 0 and self.functions.embedding.fit is not None
        return has_bins or isinstance(self.initializer.build(), DataDrivenInitializer)

    @property
    def has_input_layer(self) -> bool:
        """Whether something is learned before the first layer."""
        return self.scaling_layer or self.n_embedded > 0 or bool(self.levels)

    def product_factor(self, index: int) -> float:
        """The factor of a layer's product x W: 1, or 1 / sqrt(I) in the neural tangent parametrization."""
        return 1 / sqrt(self.sizes[index]) if self.parametrization == "ntk" else 1.0


class ArchitectureFunctions(NamedTuple):
    """The functions that the components of an architecture build; activations and normalisations by layer."""

    activations: tuple[Activation, ...]
    normalisations: tuple[Normalisation, ...]
    loss: Loss
    embedding: Embedding


class ArraySlot(NamedTuple):
    """The position of one array of one layer in a row of the buffer, and its dimensions."""

    layer: int
    name: str
    start: int
    dims: tuple[int, ...]

    @property
    def stop(self) -> int:
        """Position after the last number."""
        return self.start + prod(self.dims)


KINDS_OF_PARAMETERS = {  # by the name of a slot; "embedding_<name>" is of the kind embedding
    "W": "weights",
    "b": "biases",
    "scale": "normalisation",
    "shift": "normalisation",
    "input_scale": "scaling_layer",
    "embedding": "embedding",
    "category": "embedding",
    "alpha": "activation",
    "r": "adapters",
    "s": "adapters",
}


def kind_of(slot: ArraySlot) -> str:
    """Return the kind of the parameters in a slot, for which training may have its own learning rate and decay.

    Parameters
    ----------
    slot : ArraySlot
        Of parameters, not of what training only updates.

    Returns
    -------
    {"weights", "first_layer", "biases", "normalisation", "scaling_layer", "embedding", "activation", "adapters"}
        The weights W of the first layer are of the kind "first_layer", those of other layers of the kind "weights".
    """
    if slot.name == "W" and slot.layer == 0:
        return "first_layer"
    name = slot.name if slot.name in KINDS_OF_PARAMETERS else slot.name.partition("_")[0]
    return KINDS_OF_PARAMETERS[name]


class LayerView(NamedTuple):
    """Views into a buffer for one layer; empty if the layer has no such array.

    W is (K, I, O), input_scale (K, 1, I), category (K, levels of all categories, category_size), and `embedding` has,
    by name, the embedding's arrays (K, M, ...); all others are (K, 1, O). An array of which each of k members has its
    own is (K, k, ., .), as are the adapters r (K, k, 1, I) and s (K, k, 1, O).
    """

    W: Array
    b: Array = np.empty(0)
    scale: Array = np.empty(0)
    shift: Array = np.empty(0)
    mean: Array = np.empty(0)
    variance: Array = np.empty(0)
    input_scale: Array = np.empty(0)
    alpha: Array = np.empty(0)
    r: Array = np.empty(0)
    s: Array = np.empty(0)
    category: Array = np.empty(0)
    embedding: Mapping[str, Array] = MappingProxyType({})


def layer_views(buffer: Array, architecture: Architecture) -> list[LayerView]:
    """Split a buffer into views of its layers; writing to a view writes to the buffer.

    Parameters
    ----------
    buffer : array (K, buffer_size) or (K, P)
        Parameters and running statistics of K networks, or a gradient, which has no running statistics.
    architecture : Architecture

    Returns
    -------
    list of LayerView
        One per layer. The W of a tied layer is a transposed view of the W that it is tied to.
    """
    arrays: list[dict[str, Any]] = [{} for _ in architecture.layers]
    embedding: dict[str, Array] = {}
    for slot in architecture.layout:
        if slot.stop <= buffer.shape[1]:
            array = buffer[:, slot.start : slot.stop].reshape(len(buffer), *slot.dims)
            if slot.name.startswith("embedding_"):
                embedding[slot.name.removeprefix("embedding_")] = array
            else:
                arrays[slot.layer][slot.name] = array
    for layer, arrays_of_layer in zip(architecture.layers, arrays, strict=True):
        if layer.tied_to is not None:
            arrays_of_layer["W"] = arrays[layer.tied_to]["W"].swapaxes(1, 2)
    arrays[0]["embedding"] = embedding
    return [LayerView(**arrays_of_layer) for arrays_of_layer in arrays]


def check_parameters(parameters: Array, architecture: Architecture) -> None:
    """Raise ValueError unless `parameters` is the buffer (1, buffer_size) of one network of this architecture."""
    if parameters.shape != (1, architecture.buffer_size) or parameters.dtype != architecture.dtype:
        raise ValueError(
            f"parameters must be {architecture.dtype} of shape {(1, architecture.buffer_size)} for layers of "
            f"{architecture.sizes}, but are {parameters.dtype} of shape {parameters.shape}"
        )


def initial_parameters(architecture: Architecture, seed: int) -> Array:
    """Draw the initial parameters of a network.

    Parameters
    ----------
    architecture : Architecture
    seed : int, >= 0

    Returns
    -------
    array (buffer_size,)
        Weights drawn by the initializer and the embedding; vectors of categories ~ Normal(0, 1); biases, shifts and
        running means 0; all scales, factors of parametric activations and running variances 1. Adapters are 1, but for
        the first layer's r: -1 or 1 with equal chances, with an embedding ~ Normal(0, 1), and the same number for all
        inputs that stand for one column.

    Notes
    -----
    The weights of layer l are drawn from ``generator(seed, "initial weights", l)``, member i's own weights from
    ``generator(seed, "initial weights", l, i)``, the first layer's r from ``generator(seed, "adapters")``, the
    embedding's arrays from ``generator(seed, "initial embedding")``, and the categories' vectors from
    ``generator(seed, "initial categories")``.
    """
    initialize = architecture.initializer.build()
    buffer = np.zeros((1, architecture.buffer_size), architecture.dtype)
    for index, (layer, view) in enumerate(zip(architecture.layers, layer_views(buffer, architecture), strict=True)):
        factor = architecture.product_factor(index)
        if view.W.ndim == 4:
            for member, W in enumerate(view.W[0]):
                W[...] = initialize(generator(seed, "initial weights", index, member), *W.shape) / factor
        elif layer.tied_to is None:
            view.W[0] = initialize(generator(seed, "initial weights", index), *view.W.shape[1:]) / factor
        for ones in (view.scale, view.variance, view.input_scale, view.alpha, view.r, view.s):
            ones[...] = 1
        if index == 0:
            view.r[...] = _first_factors(architecture, seed) if view.r.size else 1
        if view.category.size:
            view.category[0] = generator(seed, "initial categories").normal(size=view.category.shape[1:])
    first, n_columns = layer_views(buffer, architecture)[0], architecture.n_embedded
    if n_columns:
        drawn = architecture.functions.embedding.draw(generator(seed, "initial embedding"), n_columns)
        for name, array in drawn.items():
            first.embedding[name][0] = array
    return buffer[0]


def _first_factors(architecture: Architecture, seed: int) -> Array:
    """Draw the first layer's r of each member (k, 1, I)."""
    random, shape = generator(seed, "adapters"), (architecture.members, 1, architecture.inputs)
    of_column = random.normal(size=shape) if architecture.n_embedded else random.choice([-1.0, 1.0], shape)
    return of_column[:, :, architecture.columns_of_inputs]
