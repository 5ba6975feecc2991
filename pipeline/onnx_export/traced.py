"""Arrays that record the operations on them.

The model's own functions are called with `Traced` objects in place of arrays. NumPy dispatches its functions and
operators to them (`__array_ufunc__` and `__array_function__`), and each becomes a node of the graph. So a formula is
written once, in nncore, and a new activation needs no code here. An operation without a translation is refused by name.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from nncore.kernels.backend import Array
from pipeline.onnx_export.graph import Graph

OPERATORS = {
    "absolute": "Abs",
    "add": "Add",
    "cos": "Cos",
    "divide": "Div",
    "equal": "Equal",
    "exp": "Exp",
    "floor": "Floor",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "invert": "Not",
    "isnan": "IsNaN",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "log": "Log",
    "matmul": "MatMul",
    "maximum": "Max",
    "minimum": "Min",
    "multiply": "Mul",
    "negative": "Neg",
    "power": "Pow",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "subtract": "Sub",
    "tanh": "Tanh",
}
COMPOSED: dict[str, Callable[..., Any]] = {
    "expm1": lambda x: np.exp(x) - 1,
    "log1p": lambda x: np.log(x + 1),
    "remainder": lambda x, y: x - np.floor(x / y) * y,
}


class Traced(NDArrayOperatorsMixin):
    """A value of the graph that behaves like an array.

    Parameters
    ----------
    graph : Graph
    name : str
        Its name in the graph.
    value : array
        Its value for some example rows; only the dtype and the dimensions after the rows matter.
    """

    def __init__(self, graph: Graph, name: str, value: Array) -> None:
        self.graph, self.name, self.value = graph, name, value

    @property
    def dtype(self) -> np.dtype[Any]:
        """As an array's."""
        return self.value.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's; the number of rows is that of the example."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """As an array's."""
        return self.value.ndim

    @property
    def T(self) -> "Traced":  # noqa: N802
        """As an array's."""
        return self._node("Transpose", self.value.T)

    def copy(self) -> "Traced":
        """As an array's."""
        return Traced(self.graph, self.name, self.value)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator["Traced"]:
        return (self[at] for at in range(len(self)))

    def __bool__(self) -> bool:
        raise NotImplementedError("a model's computation must not branch on the values of the rows")

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise NotImplementedError("only functions of NumPy are translated, but an array was requested")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if method != "__call__" or options:
            raise NotImplementedError(f"{ufunc.__name__}.{method}({', '.join(options)}) has no translation to ONNX")
        result = self._applied(ufunc, inputs)
        if out is None:
            return result
        out[0].name, out[0].value = result.name, result.value
        return out[0]

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: dict[str, Any]) -> Any:
        translation = getattr(TracedFunctions, function.__name__, None)
        if translation is None:
            raise NotImplementedError(f"numpy.{function.__name__} has no translation to ONNX")
        return translation(self, *arguments, **options)

    def __getitem__(self, key: Any) -> "Traced":
        """Full slices, new axes, positions along an axis, and columns by index."""
        result, axis = self, 0
        for part in key if isinstance(key, tuple) else (key,):
            if part is None:
                result = result._node("Unsqueeze", np.expand_dims(result.value, axis), np.array([axis]))
            elif not (isinstance(part, slice) and part == slice(None)):
                if isinstance(part, slice):
                    if axis < result.ndim - 1 or axis == 0:
                        raise NotImplementedError("a slice of the rows has no translation to ONNX")
                    part = np.arange(*part.indices(result.shape[axis]))
                result = result._node("Gather", np.take(result.value, part, axis), np.array(part), axis=axis)
                axis -= np.ndim(part) == 0
            axis += 1
        return result

    def astype(self, dtype: Any) -> "Traced":
        """As an array's."""
        dtype = np.dtype(dtype)
        return (
            self
            if dtype == self.dtype
            else Traced(self.graph, self.graph.cast(self.name, dtype), self.value.astype(dtype))
        )

    def reshape(self, *dims: int) -> "Traced":
        """As an array's, where one of the dims is -1: that of the rows."""
        if dims.count(-1) != 1:
            raise NotImplementedError(f"reshape to {dims} has no translation to ONNX, as the rows are not at -1")
        return self._node("Reshape", self.value.reshape(dims), np.array(dims))

    def sum(self, axis: int, keepdims: bool = False) -> "Traced":
        """As an array's."""
        return self._reduced("ReduceSum", self.value.sum(axis=axis, keepdims=keepdims), axis, keepdims)

    def mean(self, axis: int, keepdims: bool = False) -> "Traced":
        """As an array's."""
        return self._reduced("ReduceMean", self.value.mean(axis=axis, keepdims=keepdims), axis, keepdims)

    def max(self, axis: int, keepdims: bool = False) -> "Traced":
        """As an array's."""
        return self._reduced("ReduceMax", self.value.max(axis=axis, keepdims=keepdims), axis, keepdims)

    def argmax(self, axis: int) -> "Traced":
        """As an array's."""
        return self._node("ArgMax", self.value.argmax(axis=axis), axis=axis, keepdims=0)

    def _reduced(self, operator: str, value: Array, axis: int, keepdims: bool) -> "Traced":
        return self._node(operator, value, np.array([axis]), keepdims=int(keepdims))

    def _node(self, operator: str, value: Array, *constants: Array, **attributes: Any) -> "Traced":
        """Add a node whose inputs are this value and some constant arrays."""
        names = [self.graph.constant(array) for array in constants]
        return Traced(self.graph, self.graph.node(operator, self.name, *names, **attributes), value)

    def _applied(self, ufunc: np.ufunc, inputs: Sequence[Any]) -> "Traced":
        if ufunc.__name__ in COMPOSED:
            return COMPOSED[ufunc.__name__](*inputs)
        if ufunc.__name__ not in OPERATORS:
            raise NotImplementedError(f"numpy.{ufunc.__name__} has no translation to ONNX")
        with np.errstate(all="ignore"):
            value = ufunc(*(_value(operand) for operand in inputs))
        common = np.result_type(*(_value(operand) for operand in inputs))
        names = [_named(self.graph, operand, common) for operand in inputs]
        return Traced(self.graph, self.graph.node(OPERATORS[ufunc.__name__], *names), value)


class TracedFunctions:
    """Translations of NumPy's functions by name; the first argument is one of the traced arguments of the call."""

    @staticmethod
    def concatenate(like: Traced, arrays: Sequence[Any], axis: int = 0, out: Traced | None = None) -> Traced:
        """Empty arrays are left out."""
        not_empty = [array for array in arrays if array.shape[axis]]
        value = np.concatenate([_value(array) for array in arrays], axis=axis)
        names = [_named(like.graph, array, value.dtype) for array in not_empty]
        result = Traced(like.graph, like.graph.node("Concat", *names, axis=axis), value)
        if out is not None:
            out.name, out.value = result.name, result.value
        return result

    @staticmethod
    def stack(like: Traced, arrays: Sequence[Any], axis: int) -> Traced:
        """Each array gets the new axis, then they are concatenated."""
        new = (slice(None),) * axis + (None,)
        return TracedFunctions.concatenate(like, [array[new] for array in arrays], axis)

    @staticmethod
    def split(like: Traced, array: Traced, parts: int, axis: int) -> list[Traced]:
        """The positions along the axis are known, so that each part is a Gather."""
        positions = np.split(np.arange(array.shape[axis]), parts)
        return [array[(slice(None),) * axis + (part,)] for part in positions]

    @staticmethod
    def swapaxes(like: Traced, array: Traced, axis1: int, axis2: int) -> Traced:
        """Exchange two axes."""
        order = list(range(array.ndim))
        order[axis1], order[axis2] = axis2, axis1
        return Traced(like.graph, like.graph.node("Transpose", array.name, perm=order), array.value.transpose(order))

    @staticmethod
    def where(like: Traced, condition: Any, x: Any, y: Any) -> Traced:
        """Both branches are cast to their common dtype."""
        common = np.result_type(_value(x), _value(y))
        names = [
            _named(like.graph, condition, np.dtype(bool)),
            _named(like.graph, x, common),
            _named(like.graph, y, common),
        ]
        value = np.where(_value(condition), _value(x), _value(y))
        return Traced(like.graph, like.graph.node("Where", *names), value)

    @staticmethod
    def copyto(like: Traced, out: Traced, source: Any, where: Any = True) -> None:
        """The destination becomes the value that is written to it."""
        source = np.asarray(source, out.dtype) if np.isscalar(source) else source
        chosen = source if where is True else TracedFunctions.where(like, where, source, out)
        out.name, out.value = chosen.name, chosen.value

    @staticmethod
    def take_along_axis(like: Traced, table: Array, index: Traced, axis: int) -> Traced:
        """Positions of an array (N,); negative positions count from the end."""
        name = like.graph.node("Gather", like.graph.constant(table), index.name)
        return Traced(like.graph, name, np.take(table, index.value))

    @staticmethod
    def take(like: Traced, table: Array, index: Traced, axis: int, out: Traced, mode: Literal["clip"]) -> Traced:
        """Rows of an array by their positions (...), written to `out`."""
        out.name = like.graph.node("Gather", like.graph.constant(table), index.name, axis=axis)
        out.value = np.take(table, index.value, axis=axis, mode=mode)
        return out

    @staticmethod
    def reshape(like: Traced, array: Traced, shape: tuple[int, ...]) -> Traced:
        """The leading dimensions that stay the same, among them the rows, are copied (0)."""
        n_same = 0
        while n_same < min(len(shape), array.ndim) and shape[n_same] == array.shape[n_same]:
            n_same += 1
        sizes = np.array([0 if axis < n_same else size for axis, size in enumerate(shape)], np.int64)
        name = like.graph.node("Reshape", array.name, like.graph.constant(sizes))
        return Traced(like.graph, name, array.value.reshape(shape))

    @staticmethod
    def empty_like(like: Traced, array: Traced) -> Traced:
        """It has no name until a value is written to it."""
        return Traced(like.graph, "", np.empty_like(array.value))

    @staticmethod
    def interp(like: Traced, x: Any, xp: Array, fp: Array) -> Any:
        """Linear interpolation: the last boundary that is not above x selects the interval."""
        n_below = (x[:, None] >= xp).astype(np.float64).sum(axis=1)
        interval = np.minimum(np.maximum(n_below - 1, 0), len(xp) - 2).astype(np.int64)
        width = np.diff(xp)
        slope = np.divide(np.diff(fp), width, out=np.zeros_like(width), where=width > 0)
        low, start, rise = (np.take_along_axis(array, interval, axis=0) for array in (xp, fp, slope))
        between = start + rise * (x - low)
        return np.where(x >= xp[-1], fp[-1], np.where(x < xp[0], fp[0], between))


def _value(operand: Any) -> Any:
    return operand.value if isinstance(operand, Traced) else operand


def _named(graph: Graph, operand: Any, dtype: np.dtype[Any]) -> str:
    """The name of a traced value, an array or a number, cast to this dtype."""
    if isinstance(operand, Traced):
        return operand.astype(dtype).name
    return graph.constant(np.asarray(operand, dtype))
