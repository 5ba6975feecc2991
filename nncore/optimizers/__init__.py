"""Gradient descent and its variants, one optimizer per file.

Each public function checks its hyperparameters and returns an `Optimizer`, two functions on a small named state:

    init(W)                     the state before the first step: arrays (K, ...), by name
    update(W, g, state, step)   one step, in place: W and state change, g does not

W holds all parameters of each network, shape (K, P); g is dLoss/dW of the same shape, the mean over the rows plus the
penalty's part; `step` (see `base.Step`) holds its number, the schedule's factor and the architecture.
"""
