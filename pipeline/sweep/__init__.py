"""The sweep: from a space to trials, stacks, slices and results."""
