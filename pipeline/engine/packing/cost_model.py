"""How long training takes and how much memory it needs, estimated before anything has been measured.

The estimates order the work and size its first slices; afterwards measured times replace them. No result depends on
them.

One network's step costs its matrix products at a fixed rate, a few passes over its parameters and activations, and its
share of what Python spends on a step of the whole stack. The constants were measured on one core.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, prod

import numpy as np

from nncore.architecture import Architecture
from nncore.stack.device import network_bytes
from nncore.stack.state import Network
from pipeline.components.types import ViewShape

FLOPS_PER_S = 100e9
S_PER_PARAMETER = 0.4e-9
S_PER_ACTIVATION = 0.5e-9
PYTHON_S_PER_STEP = 120e-6

# The driver's work for one task (start it, record it, show it), measured, and the share of its time that it may spend
# on tasks. With many workers tasks become longer; otherwise the driver could not keep all of them busy.
TASK_S = 4e-3
BUSY = 0.5

# For a GPU, not measured: good enough for the length of a stack's first slice, after which its own time is used.
GPU_S_PER_STEP = 3e-3  # about 200 small kernels, one after the other
GPU_FLOPS_PER_S = 3e12
GPU_SHARE = 0.8  # of its memory; the rest is for libraries and for gaps between arrays


def steps_per_epoch(architecture: Architecture, view_shape: ViewShape) -> int:
    """Number of batches in one epoch."""
    return ceil(view_shape.n_train / architecture.batch_size)


def step_flops(architecture: Architecture) -> int:
    """Floating point operations in the matrix products of one step of one network.

    Notes
    -----
    2 per weight and row forward, twice as many backward. An embedding multiplies each column's inner numbers.
    """
    return 6 * architecture.batch_size * _multiplied_weights(architecture)


def _multiplied_weights(architecture: Architecture) -> int:
    """Number of weights that a row is multiplied by: the members of a network multiply it by common weights, too."""
    embedding = architecture.functions.embedding
    of_embedding = architecture.n_embedded * embedding.n_inner * embedding.size
    if architecture.members == 1:
        return architecture.n_weights + of_embedding
    return architecture.members * sum(map(prod, pairwise(architecture.sizes))) + of_embedding


def network_step_seconds(architecture: Architecture) -> float:
    """Estimated seconds of one step of one network on one core, without Python's share."""
    n_inner = architecture.n_embedded * architecture.functions.embedding.n_inner
    activations = architecture.batch_size * (architecture.members * sum(architecture.sizes) + n_inner)
    return (
        step_flops(architecture) / FLOPS_PER_S
        + S_PER_PARAMETER * architecture.n_parameters
        + S_PER_ACTIVATION * activations
    )


def epoch_seconds(architecture: Architecture, view_shape: ViewShape, width: int) -> float:
    """Estimated seconds of one epoch of a stack on one core.

    Parameters
    ----------
    architecture : Architecture
    view_shape : ViewShape
        Numbers of rows and columns that the networks learn from.
    width : int, > 0
        Networks in the stack.
    """
    validation = width * view_shape.n_validation * 2 * _multiplied_weights(architecture) / FLOPS_PER_S
    return validation + steps_per_epoch(architecture, view_shape) * (
        PYTHON_S_PER_STEP + width * network_step_seconds(architecture)
    )


def gpu_epoch_seconds(architecture: Architecture, view_shape: ViewShape, width: int) -> float:
    """Estimated seconds of one epoch of a stack on a GPU; parameters as for `epoch_seconds`."""
    flops = steps_per_epoch(architecture, view_shape) * width * step_flops(architecture)
    return steps_per_epoch(architecture, view_shape) * GPU_S_PER_STEP + flops / GPU_FLOPS_PER_S


def efficient_width(architecture: Architecture) -> int:
    """Smallest number of networks at which Python's share of a step is about a tenth: 1 for large networks."""
    return ceil(10 * PYTHON_S_PER_STEP / network_step_seconds(architecture))


def gpu_width(
    architecture: Architecture, networks: Sequence[Network], view_shape: ViewShape, n_views: int, memory: int
) -> int:
    """Number of networks that fit into a GPU's memory together with the data; at least one.

    Parameters
    ----------
    architecture : Architecture
    networks : sequence of Network
        Examples: the one of their kinds that needs most memory counts.
    view_shape : ViewShape
    n_views : int
        Views that are in the GPU's memory at a time.
    memory : int
        Bytes.
    """
    n_rows = view_shape.n_train + view_shape.n_validation
    itemsize = np.dtype(architecture.dtype).itemsize
    views = n_views * n_rows * (view_shape.n_inputs + view_shape.n_outputs + 1) * itemsize
    kinds = {network.kinds: network for network in networks}.values()
    largest = max(network_bytes(architecture, net, view_shape.n_train, view_shape.n_validation) for net in kinds)
    return max(1, int(memory * GPU_SHARE - views) // largest)


def min_task_seconds(workers: int) -> float:
    """Shortest duration of a task at which the driver keeps this many workers busy."""
    return workers * TASK_S / BUSY
