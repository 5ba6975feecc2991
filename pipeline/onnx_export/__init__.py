"""The model as an ONNX file: what it computes is traced and written down as a graph."""
