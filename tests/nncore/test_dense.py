"""The dense layer's products, also when computed in pieces."""

import numpy as np
import pytest

from nncore.kernels import dense

IN_PIECES = [(130, 64, 128), (301, 128, 64), (1000, 40, 30), (128, 8000, 1)]
WHOLE = [(7, 5, 3), (1, 300, 40), (130, 128, 128), (0, 3, 2)]


@pytest.mark.parametrize(("n_rows", "inputs", "outputs"), [*IN_PIECES, *WHOLE])
@pytest.mark.parametrize("shared", [True, False], ids=["x for all", "x for each"])
def test_products_are_those_of_the_definition(n_rows, inputs, outputs, shared):
    random = np.random.default_rng(0)
    x = random.normal(size=(1 if shared else 3, n_rows, inputs))
    W, dz = random.normal(size=(3, inputs, outputs)), random.normal(size=(3, n_rows, outputs))
    z, dx, dW = np.empty_like(dz), np.empty((3, n_rows, inputs)), np.empty_like(W)
    every_x = np.broadcast_to(x, dx.shape)
    dense.backward_weights(x, dz, dW)
    for product, expected in (
        (dense.forward(x, W, z), np.einsum("kni,kio->kno", every_x, W)),
        (dense.backward_input(W, dz, dx), np.einsum("kno,kio->kni", dz, W)),
        (dW, np.einsum("kni,kno->kio", every_x, dz)),
    ):
        np.testing.assert_allclose(product, expected, rtol=1e-10, atol=1e-10)


def test_law_1_a_product_in_pieces_does_not_depend_on_the_neighbours():
    random = np.random.default_rng(0)
    x, W, dz = (random.normal(size=(5, *dims)).astype("f4") for dims in ((301, 64), (64, 128), (301, 128)))

    def products(networks):
        results = np.empty_like(dz[networks]), np.empty_like(x[networks]), np.empty_like(W[networks])
        dense.forward(x[networks], W[networks], results[0])
        dense.backward_input(W[networks], dz[networks], results[1])
        dense.backward_weights(x[networks], dz[networks], results[2])
        return results

    together = products(slice(None))
    for k in range(5):
        for alone, stacked in zip(products(slice(k, k + 1)), together, strict=True):
            np.testing.assert_array_equal(alone[0], stacked[k])
