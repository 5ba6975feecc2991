"""Principal component analysis: the directions in which the rows vary most."""

from dataclasses import dataclass

import numpy as np

from nncore.kernels.backend import Array

ROWS_AT_A_TIME = 4096  # all rows in float64 may take much memory


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
        return (x - self.mean.astype(x.dtype)) @ self.components.T.astype(x.dtype)

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
    n_components : int
        From 1 to min(N - 1, I).

    Returns
    -------
    Pca
        Computed in float64.

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    Notes
    -----
    The sign of a component is arbitrary; here its entry of largest magnitude is positive. The components of a smaller
    PCA are the first components of a larger one.

    References
    ----------
    Jolliffe (2002), "Principal component analysis", chapter 1.

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
    mean = x.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), ROWS_AT_A_TIME):
        centred = x[start : start + ROWS_AT_A_TIME] - mean
        covariance += centred.T @ centred / (len(x) - 1)
    variance, vectors = np.linalg.eigh(covariance)  # increasing order, vectors in columns
    components = vectors.T[::-1][:n_components]
    largest_entry = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return Pca(
        mean,
        components * np.sign(largest_entry),
        np.maximum(variance[::-1][:n_components], 0),  # rounding can make a zero negative
        float(np.trace(covariance)),
    )
