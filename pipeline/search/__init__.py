"""Which trials to train, and for how long: spaces, and the searches that sample them."""
