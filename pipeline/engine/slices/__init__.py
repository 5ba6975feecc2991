"""Slices: the tasks that train stacks, their dispatch, and their checkpoints."""
