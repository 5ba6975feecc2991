"""Principal component analysis: the directions in which the rows vary most."""

from dataclasses import dataclass

import numpy as np

from nncore.kernels.backend import Array

ROWS_AT_A_TIME = 4096  # all of them in float64 may take much memory


@dataclass(frozen=True)
class Pca:
    """A fitted projection: y = (x - mean) components^T.

    mean                 (I,)
    components           (O, I), orthonormal rows, most variance first
    explained_variance   (O,), the variance of y, largest first
    total_variance       the variance of x, summed over its columns
    """

    mean: Array
    components: Array
    explained_variance: Array
    total_variance: float

    def __call__(self, x: Array) -> Array:
        """Project rows (N, I) to (N, O), in the dtype of x."""
        return (x - self.mean.astype(x.dtype)) @ self.components.T.astype(x.dtype)

    @property
    def kept(self) -> float:
        """Share of the variance that the components keep, from 0 to 1."""
        return float(self.explained_variance.sum()) / self.total_variance if self.total_variance else 1.0


def fit_pca(x: Array, n_components: int) -> Pca:
    """Fit to the rows x (N, I): the eigenvectors of their covariance with the largest eigenvalues.

    The sign of a component is free; here its entry of largest magnitude is positive. PCA with fewer
    components is the beginning of PCA with more.

    Dtype    computed in float64
    Range    1 <= n_components <= min(N - 1, I)
    Raises   ValueError naming argument, value and rule
    Source   Jolliffe (2002), "Principal component analysis", chapter 1
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
    variance, vectors = np.linalg.eigh(covariance)  # smallest first, vectors in columns
    components = vectors.T[::-1][:n_components]
    largest_entry = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return Pca(
        mean,
        components * np.sign(largest_entry),
        np.maximum(variance[::-1][:n_components], 0),  # rounding can make a zero negative
        float(np.trace(covariance)),
    )
