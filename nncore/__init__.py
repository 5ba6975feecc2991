"""The mathematics of deep networks in NumPy, for many networks at once.

A network is a chain of layers y = f(Wx + b). Here K networks of one shape are trained together: every
array of a network gets a leading axis K, and one network is K = 1. A numeric hyperparameter is a scalar
or has shape (K,), one value per network.

    letter        meaning                                                shape
    K             networks in the stack
    N             rows (of a batch, or of the data)
    I, O          inputs and outputs of a layer
    P             parameters of one network
    x             input of a layer, one row per example                  (K or 1, N, I)
    W, b          weights and biases                                     (K, I, O), (K, 1, O)
    z             x W + b                                                (K, N, O)
    y             f(z), the next layer's x                               (K, N, O)
    dz, dW, ...   dLoss/dz, dLoss/dW, ...                                the shape of z, W, ...
    t             target of a row: one-hot class, 0 or 1, or a value     (K or 1, N, O)
    g             gradient of all parameters                             (K, P)
    step          number of the update, counted from 1

Rows stand in x as rows, so the textbook's Wx is written x W. No result of one network depends on its
neighbours in the stack: trained alone or among others, it is the same to the last bit. Neighbours may learn from
different views of the data (folds, preparations), and networks may change their stack between two epochs. Several
finished models answer together as an ensemble.
"""

from nncore.architecture import Architecture, Layer
from nncore.components import Component
from nncore.inference.ensemble import Ensemble, greedy_selection
from nncore.inference.model import Model
from nncore.reduction.autoencoder import autoencoder_architecture, train_autoencoder
from nncore.reduction.pca import fit_pca
from nncore.stack.data import Data, Rows
from nncore.stack.passes import predict
from nncore.stack.regroup import collect, freeze
from nncore.stack.state import Network, Stack, start
from nncore.stack.training import train

__all__ = [
    "Architecture",
    "Component",
    "Data",
    "Ensemble",
    "Layer",
    "Model",
    "Network",
    "Rows",
    "Stack",
    "autoencoder_architecture",
    "collect",
    "fit_pca",
    "freeze",
    "greedy_selection",
    "predict",
    "start",
    "train",
    "train_autoencoder",
]
