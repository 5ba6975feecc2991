"""The order of work around nncore: load, split, prepare, reduce, sweep, select, evaluate, publish."""

__version__ = "0.1.0"
