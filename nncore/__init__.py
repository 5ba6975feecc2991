"""The mathematics of deep networks in NumPy, for many networks at once.

A network is a chain of layers y = f(x W + b). K networks of one architecture are trained together: every array of a
network has a leading axis K, and a single network is K = 1. A numeric hyperparameter is a scalar or has shape (K,), one
value per network.

    symbol        meaning                                                shape
    K             number of networks in the stack
    N             number of rows, of a batch or of the data
    I, O          inputs and outputs of a layer
    P             parameters of one network
    x             input of a layer, one example per row                  (K or 1, N, I)
    W, b          weights and biases                                     (K, I, O), (K, 1, O)
    z             x W + b                                                (K, N, O)
    y             f(z), the input x of the next layer                    (K, N, O)
    dz, dW, ...   dLoss/dz, dLoss/dW, ...                                that of z, W, ...
    t             target of a row: one-hot class, 0 or 1, or a value     (K or 1, N, O)
    g             gradient of all parameters                             (K, P)
    step          number of the update, counted from 1 (t in the formulas of optimizers)

Examples are rows of x, so that the textbook's W x is written x W. The result of a network does not depend on the other
networks of its stack: trained alone or with others, it is the same to the last bit. The networks of a stack may be
trained on different views of the data (folds, preprocessings), and may move to another stack between two epochs.
Several trained models can be combined into an ensemble.

The names below are imported when they are first used, so that importing a single module of nncore loads only what that
module needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nncore.architecture import Architecture as Architecture
    from nncore.architecture import Layer as Layer
    from nncore.components import Component as Component
    from nncore.inference.ensemble import Ensemble as Ensemble
    from nncore.inference.ensemble import greedy_selection as greedy_selection
    from nncore.inference.model import Model as Model
    from nncore.reduction.autoencoder import autoencoder_architecture as autoencoder_architecture
    from nncore.reduction.autoencoder import train_autoencoder as train_autoencoder
    from nncore.reduction.pca import fit_pca as fit_pca
    from nncore.stack.data import Data as Data
    from nncore.stack.data import Rows as Rows
    from nncore.stack.passes import predict as predict
    from nncore.stack.regroup import collect as collect
    from nncore.stack.regroup import freeze as freeze
    from nncore.stack.state import Network as Network
    from nncore.stack.state import Stack as Stack
    from nncore.stack.state import start as start
    from nncore.stack.training import train as train

_MODULES = {  # of each public name
    "Architecture": "nncore.architecture",
    "Component": "nncore.components",
    "Data": "nncore.stack.data",
    "Ensemble": "nncore.inference.ensemble",
    "Layer": "nncore.architecture",
    "Model": "nncore.inference.model",
    "Network": "nncore.stack.state",
    "Rows": "nncore.stack.data",
    "Stack": "nncore.stack.state",
    "autoencoder_architecture": "nncore.reduction.autoencoder",
    "collect": "nncore.stack.regroup",
    "fit_pca": "nncore.reduction.pca",
    "freeze": "nncore.stack.regroup",
    "greedy_selection": "nncore.inference.ensemble",
    "predict": "nncore.stack.passes",
    "start": "nncore.stack.state",
    "train": "nncore.stack.training",
    "train_autoencoder": "nncore.reduction.autoencoder",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'nncore' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    """Return the public names too, whether they have been imported or not."""
    return sorted({*globals(), *__all__})
