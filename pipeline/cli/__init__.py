"""The commands of nnsweep: a module each, whose docstring is its help. `run(arguments, began)` does the work."""
