"""A sweep of NumPy networks over a table: load, split, prepare, reduce, sweep, select, evaluate, publish."""

from pipeline.components.version import __version__

__all__ = ["__version__"]
