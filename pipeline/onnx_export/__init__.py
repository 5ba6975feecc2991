"""Export of models to ONNX: the computation of a model is traced and recorded as a graph."""
