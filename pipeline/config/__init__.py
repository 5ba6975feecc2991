"""The settings of a run: their schema, and the only place that knows Hydra."""
