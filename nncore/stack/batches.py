"""The batches of an epoch."""

from collections.abc import Sequence

from nncore.kernels.backend import Array, gather_rows
from nncore.kernels.workspace import Workspace

Examples = tuple[Array, Array, Array | None]  # x (N, I), t (N, O), weights (1, N): of one view
ViewRun = tuple[slice, int]  # neighbours that learn from one view, and which


class Batches:
    """The batches of an epoch, in `order` (K or 1, N).

    views   the rows of each view, N in all of them
    runs    all networks; they are one run if the order is (1, N)
    """

    def __init__(
        self, views: Sequence[Examples], runs: Sequence[ViewRun], order: Array, size: int, workspace: Workspace
    ) -> None:
        self._x = [x for x, _, _ in views]
        self._t = [t for _, t, _ in views]
        self._weights = [weights[0] for _, _, weights in views if weights is not None]
        self._runs, self._order, self._size, self._workspace = runs, order, size, workspace
        self._n_rows = order.shape[1]
        self.n = -(-self._n_rows // size)

    def __getitem__(self, index: int) -> tuple[Array, Array, Array | None]:
        """x (K or 1, n, I), t (K or 1, n, O) and weights (K or 1, n) of a batch, valid until the next is asked for."""
        batch = self._order[:, index * self._size : (index + 1) * self._size]  # (K or 1, n)
        weights = self._gathered("weights", self._weights, batch) if self._weights else None
        return self._gathered("x", self._x, batch), self._gathered("t", self._t, batch), weights

    def _gathered(self, name: str, of_view: Sequence[Array], batch: Array) -> Array:
        out = self._workspace(("batch", name), of_view[0], (*batch.shape, *of_view[0].shape[1:]))
        for networks, view in self._runs:
            gather_rows(of_view[view], batch[networks], out[networks])
        return out

    def share(self, index: int) -> float:
        """The batch's share of all rows."""
        start = index * self._size
        return (min(start + self._size, self._n_rows) - start) / self._n_rows
