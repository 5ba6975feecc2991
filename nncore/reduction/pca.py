"""Principal component analysis: the directions in which the rows vary most."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nncore.kernels.backend import Array
from nncore.random_streams import generator

ROWS_AT_A_TIME = 4096  # all rows in float64 may take much memory
NUMBERS_AT_A_TIME = 1 << 20  # likewise where rows are few and columns many
LARGEST_MAGNITUDE = 1e150  # squares of larger numbers, summed over the rows, exceed the range of float64
SVD_NUMBERS = 1 << 21  # of a table that a singular value decomposition takes about a second for
SMALL_VARIANCE = 1e-8  # relative to the largest: the covariance holds smaller ones with fewer than 8 correct digits
LOST_VARIANCE = 1e-13  # relative to the largest: the covariance holds smaller ones as rounding errors


@dataclass(frozen=True)
class Pca:
    """A fitted projection, y = (x - mean) components^T.

    Parameters
    ----------
    mean : array (I,)
    components : array (O, I)
        Orthonormal rows, ordered by decreasing variance.
    explained_variance : array (O,)
        Variance of y, in decreasing order.
    total_variance : float
        Variance of x, summed over its columns.
    """

    mean: Array
    components: Array
    explained_variance: Array
    total_variance: float

    def __call__(self, x: Array) -> Array:
        """Project rows x (N, I) to (N, O), in the dtype of x."""
        return (x - self.mean.astype(x.dtype)) @ self.components.T.astype(x.dtype, copy=False)

    @property
    def n_inputs(self) -> int:
        """Number of columns I."""
        return self.components.shape[1]

    @property
    def n_outputs(self) -> int:
        """Number of components O."""
        return len(self.components)

    @property
    def explained_share(self) -> float:
        """The share of the total variance that the components explain, from 0 to 1; 1 if there is no variance."""
        return float(self.explained_variance.sum()) / self.total_variance if self.total_variance else 1.0


def fit_pca(x: Array, n_components: int) -> Pca:
    """Fit a projection to rows: the eigenvectors of their covariance with the largest eigenvalues.

    Parameters
    ----------
    x : array (N, I)
        Finite numbers of magnitude at most 1e150.
    n_components : int
        From 1 to min(N - 1, I).

    Returns
    -------
    Pca
        Computed in float64. Where rows are fewer than columns, the components have the dtype of x, because they may
        be as large as x.

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    Notes
    -----
    The sign of a component is arbitrary; here its entry of largest magnitude is positive. The components of a smaller
    PCA are the first components of a larger one.

    The time grows with N I min(N, I): of rows and columns, the fewer determine the size of the matrix whose
    eigenvectors are computed, the covariance (I, I) or the products of the rows with each other (N, N). Both hold
    squares, in which a direction is lost whose deviation is below about 1e-7 of the largest. A table of at most 2^21
    numbers is therefore decomposed into singular values, which are exact down to 1e-15 of the largest, if it is wide or
    has such directions. In larger tables, lost directions are replaced by others that are orthogonal to all components
    before them.

    References
    ----------
    Jolliffe (2002), "Principal component analysis", chapters 1 and 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore import fit_pca
    >>> x = np.random.default_rng(0).normal(size=(1000, 1)) * [3.0, 4.0]  # all variance along (0.6, 0.8)
    >>> fit_pca(x, n_components=1).components.round(3)
    array([[0.6, 0.8]])
    """
    largest = min(len(x) - 1, x.shape[1])
    if not 1 <= n_components <= largest:
        raise ValueError(
            f"n_components must be from 1 to {largest} ({len(x)} rows, {x.shape[1]} columns), but is {n_components}"
        )
    lowest, highest = (extreme.astype(np.float64) for extreme in (x.min(axis=0), x.max(axis=0)))
    _check_numbers(x, lowest, highest)
    mean = x.mean(axis=0, dtype=np.float64)
    if len(x) < x.shape[1]:
        decompose = _singular_vectors if x.size <= SVD_NUMBERS else _eigenvectors_of_products
        variance, components, total = decompose(x, mean, n_components)
        components *= _signs(components)
        return Pca(mean, components, variance, total)
    variance, components, total = _eigenvectors_of_covariance(x, mean)
    rank = min(len(x) - 1, int(np.count_nonzero(lowest < highest)))  # at most so many directions can vary
    if x.size <= SVD_NUMBERS and rank and variance[rank - 1] < SMALL_VARIANCE * variance[0]:
        variance, components, total = _singular_vectors(x, mean, largest)
    components = components[:n_components]
    return Pca(mean, components * _signs(components), variance[:n_components], total)


def _check_numbers(x: Array, lowest: Array, highest: Array) -> None:
    """Refuse numbers with which nothing can be computed, given the extremes of each column."""
    magnitude = np.maximum(np.abs(lowest), np.abs(highest))
    wrong = np.flatnonzero(~(magnitude <= LARGEST_MAGNITUDE))  # also NaN
    if len(wrong):
        column = int(wrong[0])
        row = int(np.argmax(~(np.abs(x[:, column].astype(np.float64)) <= LARGEST_MAGNITUDE)))
        raise ValueError(
            f"x must hold finite numbers of magnitude at most {LARGEST_MAGNITUDE:g}, but is {x[row, column]} in row "
            f"{row}, column {column} (counted from 0)"
        )


def _eigenvectors_of_covariance(x: Array, mean: Array) -> tuple[Array, Array, float]:
    """All variances in decreasing order, their directions in rows, and the sum of the variances."""
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), ROWS_AT_A_TIME):
        centred = x[start : start + ROWS_AT_A_TIME] - mean
        covariance += centred.T @ centred / (len(x) - 1)
    variance, vectors = np.linalg.eigh(covariance)  # increasing order, vectors in columns
    return np.maximum(variance[::-1], 0), vectors.T[::-1], float(np.trace(covariance))  # rounding: 0 may be negative


def _singular_vectors(x: Array, mean: Array, n_components: int) -> tuple[Array, Array, float]:
    """The first variances and directions, and the sum of all variances, without squares of the numbers."""
    triangle: Array = np.empty((0, x.shape[1]))  # R of the rows so far, which has the same singular values and vectors
    for start in range(0, len(x), ROWS_AT_A_TIME):
        centred = x[start : start + ROWS_AT_A_TIME] - mean
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, centred]), mode="r"))  # for type checkers
    _, deviation, components = np.linalg.svd(triangle, full_matrices=False)
    variance = deviation**2 / (len(x) - 1)
    kept = components[:n_components].astype(np.result_type(x, np.float32) if len(x) < x.shape[1] else np.float64)
    return variance[:n_components], kept, float(variance.sum())


def _eigenvectors_of_products(x: Array, mean: Array, n_components: int) -> tuple[Array, Array, float]:
    """As `_singular_vectors`, from the eigenvectors u of (x - mean)(x - mean)^T: the direction is (x - mean)^T u."""
    products = np.zeros((len(x), len(x)))
    for columns in _column_blocks(x):
        centred = x[:, columns] - mean[columns]
        products += centred @ centred.T
    total, (eigenvalues, vectors) = float(np.trace(products)), np.linalg.eigh(products)
    del products  # it may be as large as x, as may the vectors
    eigenvalues = np.maximum(eigenvalues[::-1], 0)[:n_components]
    vectors = np.ascontiguousarray(vectors.T[::-1][:n_components])  # else each product below copies them
    n_exact, n_known = (int(np.sum(eigenvalues > r * eigenvalues[0])) for r in (SMALL_VARIANCE, LOST_VARIANCE))
    vectors[:n_known] /= np.sqrt(eigenvalues[:n_known, None])
    components = np.empty((n_components, x.shape[1]), np.result_type(x, np.float32))
    for columns in _column_blocks(x):
        components[:, columns] = vectors @ (x[:, columns] - mean[columns])
    if n_exact < n_components:
        _orthonormalise(components, n_exact, n_known)
    return eigenvalues / (len(x) - 1), components, total / (len(x) - 1)


def _orthonormalise(components: Array, n_exact: int, n_known: int) -> None:
    """Make the rows after the first `n_exact` orthonormal, in place; those after `n_known` may be any."""
    exact, others = components[:n_exact], components[n_exact:]
    for index, row in enumerate(components[n_known:]):
        row[...] = generator(0, "lost directions", index).normal(size=len(row)) / np.sqrt(len(row))
    for _ in range(2):  # the second time removes what rounding left of the first
        overlap, own = np.zeros((len(others), n_exact)), np.zeros((len(others), len(others)))
        for columns in _column_blocks(components):
            overlap += others[:, columns].astype(np.float64) @ exact[:, columns].T
        for columns in _column_blocks(components):
            others[:, columns] -= overlap @ exact[:, columns]
            part = others[:, columns].astype(np.float64)
            own += part @ part.T
        factor = np.linalg.cholesky(own)
        for columns in _column_blocks(components):
            others[:, columns] = np.linalg.solve(factor, others[:, columns])


def _column_blocks(x: Array) -> Iterator[slice]:
    """Slices of adjacent columns with about NUMBERS_AT_A_TIME numbers each."""
    width = max(1, NUMBERS_AT_A_TIME // len(x))
    return (slice(start, start + width) for start in range(0, x.shape[1], width))


def _signs(components: Array) -> Array:
    """The sign of the largest entry of each row (O, 1), one row at a time to save memory."""
    return np.array([[np.sign(row[np.abs(row).argmax()])] for row in components], components.dtype)
