"""A model without a hidden layer, whose predictions can be written down."""

import numpy as np
from samples import SQUARED, make_architecture

from nncore.architecture import layer_views
from nncore.inference.model import Model, ValueDecoder
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.scaling import Affine
from nncore.inference.table import matrix_table

NAMES = tuple("abcd")


def linear_model(weights, loss=SQUARED, decoder=None, names=NAMES):
    """A model without a hidden layer, of plain columns."""
    architecture = make_architecture((len(weights), 1), loss=loss)
    parameters = np.zeros((1, architecture.buffer_size), np.float32)
    (layer,) = layer_views(parameters, architecture)
    layer.W[0, :, 0] = weights
    n = len(weights)
    columns = matrix_table(np.empty((0, n)), names).columns
    preprocessing = Preprocessing(columns, np.zeros(n), np.empty(0, int), Affine(np.zeros(n), np.ones(n)), (), ())
    decoder = decoder or ValueDecoder(("y",), Affine(np.zeros(1), np.ones(1)))
    return Model(preprocessing, (), architecture, parameters, decoder)
