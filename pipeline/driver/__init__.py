"""The order of work of one run: load, split, prepare, reduce, sweep, select, evaluate, publish."""
