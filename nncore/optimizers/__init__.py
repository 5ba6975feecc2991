"""Gradient descent and its variants, one rule per file.

A member returns an `Optimizer`, two functions and a small named state:

    init(W)                     the state before the first step: arrays of W's shape and dtype, by name
    update(W, g, state, step)   one step, in place: W and state change, g does not

W holds all parameters of each network, shape (K, P); g is dLoss/dW of the same shape, the mean over the
rows plus the penalty's part; step counts from 1.
"""
