"""Elementwise kernels: a formula for one number, applied to every number of whole arrays in one pass over the memory.

    @elementwise("W", "v")
    def momentum_update(W: Array, g: Array, v: Array, *, learning_rate: Array, momentum: Array) -> tuple[Array, Array]:
        v = momentum * v + g
        return W - learning_rate * v, v

    momentum_update(W, g, v, learning_rate=learning_rate, momentum=momentum)

W, g and v are arrays (K, P), of which W and v are overwritten; the coefficients have shape (K,) and are bound by name.
A kernel runs in one of two ways. NumPy evaluates the formula operation by operation, each a pass over the arrays;
Numba, where it is installed, compiles one loop (compiled.py). Both round every operation alike, so that the results are
the same to the last bit. For that reason a formula is compiled only if it is made of + - * / and of
formula.EXACT_FUNCTIONS.
"""

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from nncore.kernels import compiled
from nncore.kernels.backend import Array
from nncore.kernels.formula import Formula
from nncore.kernels.hyperparameters import column

CHUNK_SIZE = (
    1 << 15
)  # numbers that NumPy works on at a time, so that intermediate results stay in the processor's cache
CALLS_BEFORE_COMPILING = 4  # Numba takes half a second to load, too long for a process that only predicts a few rows


class ElementwiseKernel:
    """A formula that is applied to arrays; see the module's docstring.

    Parameters
    ----------
    function : callable
        The formula: arrays first, coefficients keyword-only.
    writes : tuple of str
        Names of what it returns: arguments that are overwritten, or further arrays that are only written.

    Attributes
    ----------
    formula : Formula
        The function and the roles of its arguments.
    """

    def __init__(self, function: Callable[..., Any], writes: tuple[str, ...]) -> None:
        update_wrapper(self, function)
        self.formula = Formula.of(function, writes)
        self._arrays, self._coefficients = self.formula.arrays, self.formula.coefficients
        self._last = self._arrays.index(writes[-1])
        self._loops: dict[np.dtype[Any], compiled.Loop | None] = {}
        self._no_values: dict[np.dtype[Any], Array] = {}  # made once: a call is too short to allocate for nothing
        self._calls = 0

    def __call__(self, *arrays: Array, **coefficients: Array) -> Array:
        """Apply the formula to each number of the arrays, in place.

        Parameters
        ----------
        *arrays : array (K, P) or (K, N, O)
            In the order of `formula.arrays`: what the formula reads, then what it only writes; all of one dtype. The
            first has all rows; others may be (K, 1, O) or (1, N, O), which stand for all rows or networks. Where an
            array (K, 1, O) is read and written, each row works on what the row before has left: it accumulates.
        **coefficients : array (K,) or (1,), float64
            Cast to the arrays' dtype.

        Returns
        -------
        array
            The last array that it writes.

        Raises
        ------
        TypeError
            If an array or a coefficient is missing, or a coefficient is unknown.
        """
        if len(arrays) != len(self._arrays) or len(coefficients) != len(self._coefficients):
            raise TypeError(self._mismatch(len(arrays), coefficients))
        try:
            if not self._run_compiled(arrays, coefficients):
                self._run_numpy(arrays, [coefficients[name] for name in self._coefficients])
        except KeyError:  # of a name that is not among the coefficients; nothing has been written yet
            raise TypeError(self._mismatch(len(arrays), coefficients)) from None
        return arrays[self._last]

    def prepare(self, dtype: np.dtype[Any]) -> None:
        """Load or compile the loop for arrays of this dtype, if there can be one; it is kept for later calls."""
        if dtype not in self._loops:
            self._no_values[dtype] = np.empty((0, 0), dtype)
            self._loops[dtype] = compiled.compiled_loop(self.formula, dtype.name)

    def _mismatch(self, n_arrays: int, coefficients: dict[str, Array]) -> str:
        """What is wrong with the arguments of a call."""
        name = self.formula.function.__name__
        if n_arrays != len(self._arrays):
            return f"{name} takes {len(self._arrays)} arrays ({', '.join(self._arrays)}), but got {n_arrays}"
        missing = [coefficient for coefficient in self._coefficients if coefficient not in coefficients]
        unknown = [coefficient for coefficient in coefficients if coefficient not in self._coefficients]
        problems = [
            f"{what} {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names
        ]
        return f"{name} takes the coefficients ({', '.join(self._coefficients)}), but {' and '.join(problems)}"

    def _run_compiled(self, arrays: Sequence[Array], coefficients: dict[str, Array]) -> bool:
        """Whether the compiled loop did it: not on a GPU, for other array types, or for arrays of several dtypes."""
        first = arrays[0]
        if type(first) is not np.ndarray:
            return False
        dtype, rows = first.dtype, []
        try:
            loop = self._loops[dtype]
        except KeyError:
            self._calls += 1
            if self._calls <= CALLS_BEFORE_COMPILING:
                return False
            self.prepare(dtype)
            loop = self._loops[dtype]
        if loop is None:
            return False
        for array in arrays:
            if array.dtype is not dtype and array.dtype != dtype:
                return False
            rows.append(array if array.ndim == 3 else array[:, None])
        values = np.empty((len(coefficients), len(first)), dtype) if coefficients else self._no_values[dtype]
        for index, name in enumerate(self._coefficients):
            values[index] = coefficients[name]
        return loop(values, *rows)

    def _run_numpy(self, arrays: Sequence[Array], coefficients: Sequence[Array]) -> None:
        """Evaluate the formula with NumPy, on the host for a few networks at a time."""
        first = arrays[0]
        columns = [column(value, first) for value in coefficients]
        if type(first) is not np.ndarray:
            self._evaluate(arrays, columns)
            return
        n_networks = max(1, CHUNK_SIZE // max(1, first[0].size))
        for start in range(0, len(first), n_networks):
            chunk = slice(start, start + n_networks)
            self._evaluate(*([a if len(a) == 1 else a[chunk] for a in group] for group in (arrays, columns)))

    def _evaluate(self, arrays: Sequence[Array], columns: Sequence[Array]) -> None:
        by_name = dict(zip(self._arrays, arrays, strict=True))
        n_rows, writes = arrays[0].shape[1], self.formula.writes
        if any(by_name[name].shape[1] < n_rows for name in writes):  # it accumulates: row after row
            for row in range(n_rows):
                self._evaluate([a[:, row : row + 1] if a.shape[1] > 1 else a for a in arrays], columns)
            return
        coefficients = dict(zip(self._coefficients, columns, strict=True))
        results = self.formula.function(*arrays[: len(self.formula.reads)], **coefficients)
        for name, result in zip(writes, results if len(writes) > 1 else (results,), strict=True):
            np.copyto(by_name[name], result)


def elementwise(*writes: str) -> Callable[[Callable[..., Any]], ElementwiseKernel]:
    """Make an ElementwiseKernel of a function; a decorator.

    Parameters
    ----------
    *writes : str
        Names of what the function returns; see ElementwiseKernel.
    """
    return lambda function: ElementwiseKernel(function, writes)
