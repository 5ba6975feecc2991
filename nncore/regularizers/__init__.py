"""Regularizers: what keeps a network from learning its training rows by heart.

Each member says where it acts, by what it returns (base.py): a `Penalty` adds to the loss, a `Constraint` acts on the
weights themselves, a `Clipping` on the gradient, a `Disturbance` on the rows, a `Dropout` and an `Activity` inside the
network, an `Average` and an `EarlyStopping` on which weights a network answers with in the end. A network may have
several, one of a kind; biases, scales and shifts are penalised only where that is asked for.
"""
