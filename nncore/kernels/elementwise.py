"""Formulas on numbers, worked out on whole arrays in one pass over the memory.

    @formula("W", "v")
    def follow(W: Array, g: Array, v: Array, *, rate: Array, mu: Array) -> tuple[Array, Array]:
        v = mu * v + g
        return W - rate * v, v

    follow([W, g, v], [learning_rate, momentum])      W, g, v (K, P), of which W and v change; the others (K,)

Arguments behind the star are coefficients, one number per network. A formula is read in one place and runs in two ways.
NumPy works it out operation by operation, each a pass over the arrays; Numba, where it is installed, makes one loop of
it (compiled.py). Both round every operation alike, so the results are the same to the last bit. That is why a formula
is compiled only if it is made of + - * / and of the functions in compiled.EXACT: each library rounds exp and its kin in
its own way, and they stay NumPy's.
"""

from collections.abc import Callable, Sequence
from functools import update_wrapper
from inspect import signature
from typing import Any

import numpy as np

from nncore.kernels import compiled
from nncore.kernels.backend import Array
from nncore.kernels.hyperparameters import column

AT_ONCE = 1 << 15  # numbers of one array that NumPy works on at a time: what lies between then stays in the cache
CALLS_WITHOUT = 4  # before a loop is fetched: Numba takes half a second to load, too long for a few rows to answer


class ElementwiseKernel:
    """A function of numbers that is worked out on arrays; see the module's docstring.

    function       the formula itself
    reads          names of its arguments that are arrays
    writes         names of what it returns: arguments that change, or arrays of their own
    arrays         names of all of them: what it reads, then what it only writes
    coefficients   names of its other arguments
    """

    def __init__(self, function: Callable[..., Any], writes: tuple[str, ...]) -> None:
        update_wrapper(self, function)
        arguments = signature(function).parameters.values()
        reads = [argument.name for argument in arguments if argument.kind is not argument.KEYWORD_ONLY]
        self.coefficients = tuple(argument.name for argument in arguments if argument.kind is argument.KEYWORD_ONLY)
        self.reads, self.writes = tuple(reads), writes
        self.arrays = (*reads, *(name for name in writes if name not in reads))
        self.function = function
        self._last = self.arrays.index(writes[-1])
        self._kernels: dict[np.dtype[Any], compiled.Kernel | None] = {}
        self._calls = 0

    def __call__(self, arrays: Sequence[Array], coefficients: Sequence[Array] = ()) -> Array:
        """Work the formula out for each number of the arrays, in place; returns the last that it writes.

        arrays         what it reads, then what it only writes: (K, P), or (K, N, O), where
                       some may be (K, 1, O) or (1, N, O) and mean the same for all; of one dtype. The first is whole.
                       One that it reads and writes for all rows gathers: row after row works on what it has become
        coefficients   of float64, cast to the arrays' dtype: (K,) or (1,), one per network
        """
        if not self._in_one_loop(arrays, coefficients):
            self._pass_by_pass(arrays, coefficients)
        return arrays[self._last]

    def loop(self, dtype: np.dtype[Any]) -> compiled.Kernel | None:
        """The compiled loop for arrays of this dtype, if there is one; it is fetched only once."""
        if dtype not in self._kernels:
            self._kernels[dtype] = compiled.kernel(self, dtype.name)
        return self._kernels[dtype]

    def _in_one_loop(self, arrays: Sequence[Array], coefficients: Sequence[Array]) -> bool:
        """Whether the compiled loop could do it: not on a GPU, for traced arrays, or for ones of several dtypes."""
        first, rows = arrays[0], []
        if type(first) is not np.ndarray:
            return False
        dtype = first.dtype
        if dtype not in self._kernels:
            self._calls += 1
            if self._calls <= CALLS_WITHOUT:
                return False
            self.loop(dtype)
        kernel = self._kernels[dtype]
        if kernel is None:
            return False
        for array in arrays:
            if array.dtype != dtype:
                return False
            rows.append(array if array.ndim == 3 else array[:, None])
        spread = np.empty((len(coefficients), len(first)), dtype)
        for at, value in enumerate(coefficients):
            spread[at] = value
        return kernel(spread, *rows)

    def _pass_by_pass(self, arrays: Sequence[Array], coefficients: Sequence[Array]) -> None:
        first = arrays[0]
        columns = [column(value, first) for value in coefficients]
        if type(first) is not np.ndarray:
            self._work_out(arrays, columns)
            return
        some = max(1, AT_ONCE // max(1, first[0].size))
        for start in range(0, len(first), some):
            rows = slice(start, start + some)
            self._work_out(*([a if len(a) == 1 else a[rows] for a in group] for group in (arrays, columns)))

    def _work_out(self, arrays: Sequence[Array], columns: Sequence[Array]) -> None:
        named = dict(zip(self.arrays, arrays, strict=True))
        n_rows = arrays[0].shape[1]
        if any(named[name].shape[1] < n_rows for name in self.writes):  # it gathers
            for row in range(n_rows):
                self._work_out([a[:, row : row + 1] if a.shape[1] > 1 else a for a in arrays], columns)
            return
        coefficients = dict(zip(self.coefficients, columns, strict=True))
        results = self.function(*arrays[: len(self.reads)], **coefficients)
        for name, result in zip(self.writes, results if len(self.writes) > 1 else (results,), strict=True):
            np.copyto(named[name], result)


def elementwise(*writes: str) -> Callable[[Callable[..., Any]], ElementwiseKernel]:
    """Make a formula of a function; a decorator. writes: see Formula."""
    return lambda function: ElementwiseKernel(function, writes)
