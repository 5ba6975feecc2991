"""An ONNX graph under construction: its nodes, and the arrays that they use."""

from hashlib import sha256
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nncore.kernels.backend import Array

OPSET, ML_OPSET, IR_VERSION = 18, 3, 8  # of ONNX 1.13 (2022): runtimes read files older than themselves
ML_DOMAIN = "ai.onnx.ml"


class Graph:
    """Nodes in the order of computation."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def constant(self, array: Array) -> str:
        """Add an array unless an equal one exists; returns its name."""
        array = array.astype(object) if array.dtype.kind == "U" else np.ascontiguousarray(array).reshape(array.shape)
        content = repr(array.tolist()).encode() if array.dtype.kind == "O" else array.tobytes()
        key = (array.dtype.str, array.shape, sha256(content).digest())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, f"constant_{len(self._constants)}")
        return str(self._constants[key].name)

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; returns its name."""
        name = f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name, domain=domain, **attributes))
        return name

    def cast(self, name: str, dtype: np.dtype[Any]) -> str:
        """Cast a value to this dtype; returns the name of the result."""
        return self.node("Cast", name, to=helper.np_dtype_to_tensor_dtype(dtype))

    def input(self, name: str, example: Array) -> str:
        """Add an input with any number of rows of the example's dtype and shape; returns its name."""
        self._inputs.append(_described(name, example))
        return name

    def output(self, name: str, value: str, example: Array) -> None:
        """Return the value of this name as an output."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name))
        self._outputs.append(_described(name, example))

    def model(self, doc: str, metadata: dict[str, str]) -> onnx.ModelProto:
        """The complete model, checked by the ONNX checker."""
        graph = helper.make_graph(self._nodes, "model", self._inputs, self._outputs, list(self._constants.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
        model = helper.make_model(
            graph, producer_name="nnsweep", doc_string=doc, opset_imports=opsets, ir_version=IR_VERSION
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model


def _described(name: str, example: Array) -> onnx.ValueInfoProto:
    dtype = np.dtype(object) if example.dtype.kind == "U" else example.dtype
    kind = onnx.TensorProto.STRING if dtype.kind == "O" else helper.np_dtype_to_tensor_dtype(dtype)
    return helper.make_tensor_value_info(name, kind, ["rows", *example.shape[1:]])
