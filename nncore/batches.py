"""The batches of an epoch."""

from nncore.backend import Array, gather_rows
from nncore.scratch import Scratch


class Batches:
    """The batches of an epoch, in `order` (K or 1, N)."""

    def __init__(self, x: Array, t: Array, weights: Array | None, order: Array, size: int, scratch: Scratch) -> None:
        self._x, self._t, self._weights = x, t, weights
        self._order, self._size, self._scratch = order, size, scratch
        self.n = -(-len(x) // size)

    def __getitem__(self, index: int) -> tuple[Array, Array, Array | None]:
        """x (K or 1, n, I), t (K or 1, n, O) and weights (K or 1, n) of a batch, valid until the next is asked for."""
        batch = self._order[:, index * self._size : (index + 1) * self._size]  # (K or 1, n)
        weights = None if self._weights is None else self._gathered("weights", self._weights[0], batch)
        return self._gathered("x", self._x, batch), self._gathered("t", self._t, batch), weights

    def _gathered(self, name: str, rows: Array, batch: Array) -> Array:
        return gather_rows(rows, batch, self._scratch(("batch", name), rows, (*batch.shape, *rows.shape[1:])))

    def share(self, index: int) -> float:
        """The batch's share of all rows."""
        start = index * self._size
        return (min(start + self._size, len(self._x)) - start) / len(self._x)
