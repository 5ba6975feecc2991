"""Regularizers: what keeps a network from overfitting its training rows.

The type that a function returns says where it acts (base.py): a `Penalty` adds to the loss, a `Constraint` acts on the
weights themselves, a `Clipping` on the gradient, an `Augmentation` on the rows of a batch, a `Dropout` and an
`ActivityRegularizer` inside the network, a `WeightAverage` and an `EarlyStopping` on which weights are selected in the
end. A network may have several regularizers, one of each name; biases, scales and shifts are penalised only on request.
"""
