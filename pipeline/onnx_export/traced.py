"""Arrays that write down what is done to them.

The model's own functions are called with `Traced` in place of arrays. NumPy hands each of its functions and operators
over to them (its ufunc and function protocols), and each becomes a node of the graph: a formula stands in nncore once,
and an activation that is new there is known here. What has no translation yet is refused by name.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

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
    """A value of the graph.

    name    its name there
    value   what it is for some example rows, of which only the dtype and the dimensions behind the rows count
    """

    def __init__(self, graph: Graph, name: str, value: Array) -> None:
        self.graph, self.name, self.value = graph, name, value

    @property
    def dtype(self) -> np.dtype[Any]:
        """As an array's."""
        return self.value.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's; how many rows it says means nothing."""
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
        raise NotImplementedError("what a model does must not depend on the rows")

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise NotImplementedError("an array was asked for where only functions of NumPy are translated")

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
        """Whole axes, new ones, places along one, and columns by their numbers."""
        result, axis = self, 0
        for part in key if isinstance(key, tuple) else (key,):
            if part is None:
                result = result._node("Unsqueeze", np.expand_dims(result.value, axis), np.array([axis]))
            elif not (isinstance(part, slice) and part == slice(None)):
                if isinstance(part, slice):
                    raise NotImplementedError("a part of the rows has no translation to ONNX")
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
        """A node that gets this and some arrays."""
        names = [self.graph.constant(array) for array in constants]
        return Traced(self.graph, self.graph.node(operator, self.name, *names, **attributes), value)

    def _applied(self, ufunc: np.ufunc, inputs: Sequence[Any]) -> "Traced":
        if ufunc.__name__ in COMPOSED:
            return COMPOSED[ufunc.__name__](*inputs)
        if ufunc.__name__ not in OPERATORS:
            raise NotImplementedError(f"numpy.{ufunc.__name__} has no translation to ONNX")
        with np.errstate(all="ignore"):
            value = ufunc(*(_value(one) for one in inputs))
        common = np.result_type(*(_value(one) for one in inputs))
        names = [_named(self.graph, one, common) for one in inputs]
        return Traced(self.graph, self.graph.node(OPERATORS[ufunc.__name__], *names), value)


class TracedFunctions:
    """NumPy's functions by their names; the first argument is a traced one of those that they are called with."""

    @staticmethod
    def concatenate(like: Traced, arrays: Sequence[Any], axis: int = 0) -> Traced:
        """Those without anything along the axis are left out."""
        some = [array for array in arrays if array.shape[axis]]
        value = np.concatenate([_value(array) for array in arrays], axis=axis)
        names = [_named(like.graph, array, value.dtype) for array in some]
        return Traced(like.graph, like.graph.node("Concat", *names, axis=axis), value)

    @staticmethod
    def stack(like: Traced, arrays: Sequence[Any], axis: int) -> Traced:
        """Each gets the new axis first."""
        new = (slice(None),) * axis + (None,)
        return TracedFunctions.concatenate(like, [array[new] for array in arrays], axis)

    @staticmethod
    def split(like: Traced, array: Traced, parts: int, axis: int) -> list[Traced]:
        """Places along the axis, which all have a number."""
        places = np.split(np.arange(array.shape[axis]), parts)
        return [array[(slice(None),) * axis + (place,)] for place in places]

    @staticmethod
    def swapaxes(like: Traced, array: Traced, one: int, other: int) -> Traced:
        """All other axes stay."""
        order = list(range(array.ndim))
        order[one], order[other] = other, one
        return Traced(like.graph, like.graph.node("Transpose", array.name, perm=order), array.value.transpose(order))

    @staticmethod
    def where(like: Traced, condition: Any, x: Any, y: Any) -> Traced:
        """Each is cast to what both become."""
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
        """What is written to takes the place of what it was."""
        source = np.asarray(source, out.dtype) if np.isscalar(source) else source
        chosen = source if where is True else TracedFunctions.where(like, where, source, out)
        out.name, out.value = chosen.name, chosen.value

    @staticmethod
    def take_along_axis(like: Traced, table: Array, index: Traced, axis: int) -> Traced:
        """Places of an array (N,), numbers from the end among them."""
        name = like.graph.node("Gather", like.graph.constant(table), index.name)
        return Traced(like.graph, name, np.take(table, index.value))

    @staticmethod
    def empty_like(like: Traced, array: Traced) -> Traced:
        """It has no name until something is written to it."""
        return Traced(like.graph, "", np.empty_like(array.value))

    @staticmethod
    def interp(like: Traced, x: Any, xp: Array, fp: Array) -> Any:
        """The last of the boundaries that is not above x decides between which two of them it lies."""
        n_below = (x[:, None] >= xp).astype(np.float64).sum(axis=1)
        at = np.minimum(np.maximum(n_below - 1, 0), len(xp) - 2).astype(np.int64)
        width = np.diff(xp)
        slope = np.divide(np.diff(fp), width, out=np.zeros_like(width), where=width > 0)
        low, start, rise = (np.take_along_axis(each, at, axis=0) for each in (xp, fp, slope))
        between = start + rise * (x - low)
        return np.where(x >= xp[-1], fp[-1], np.where(x < xp[0], fp[0], between))


def _value(one: Any) -> Any:
    return one.value if isinstance(one, Traced) else one


def _named(graph: Graph, one: Any, dtype: np.dtype[Any]) -> str:
    """The name of a traced value, an array or a number in this dtype."""
    return one.astype(dtype).name if isinstance(one, Traced) else graph.constant(np.asarray(one, dtype))
