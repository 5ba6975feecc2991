"""Sweep a space of hyperparameters; this is what nnsweep does without a command.

Usage: nnsweep [sweep] [name=value ...] [--cfg job] [-m]

Everything is a setting: --cfg job prints them all with their values, and the first line of each file below conf/ says
what it is. +name=value adds an entry, ~name takes one away, -m makes one run for each value of a list.

Examples:
  nnsweep                                            the digits, 112 trials
  nnsweep data=csv data.path=houses.csv data.target=price
  nnsweep reduce=none 'network.hidden=[128,64]' training.epochs=60
  nnsweep search=tpe search.trials=64 split.folds=5
  nnsweep experiment=wine execution=local tracking=none

"""

import sys


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    sys.argv[1:] = arguments  # Hydra reads its own
    from pipeline.config.compose import command

    command(began)
