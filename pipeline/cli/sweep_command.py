"""Sweep a space of hyperparameters; nnsweep without a command does this.

Usage: nnsweep [sweep] [file ...] [name=value ...] [--cfg job] [-m]

A table is named by its file, a folder, a pattern or an address, and the column to predict by target=...; the settings
below data may then be given without data. before them.

Everything is a setting: --cfg job prints all of them with their values, and the first line of each file below conf/
describes it. +name=value adds an entry, ~name removes one, and -m makes one run per value of a list.

Examples:
  nnsweep                                            the digits, 112 trials
  nnsweep houses.csv target=price                    a file is swept with preset=quick
  nnsweep houses.csv target=price preset=best        longer; preset=none: the space of the digits
  nnsweep reduce=none 'network.hidden=[128,64]' training.epochs=60
  nnsweep search=tpe search.trials=64 split.folds=5
  nnsweep experiment=wine execution=local tracking=none

"""

import time


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    from pipeline.config.compose import configurations  # not for --help: Hydra and the driver take time to load
    from pipeline.console.output import output_of
    from pipeline.driver.dry_run import show_plan
    from pipeline.driver.run import run as run_sweep

    for configuration in configurations(arguments):
        act = show_plan if configuration.settings.plan else run_sweep
        act(configuration, output_of(configuration.settings.output), began)
        began = time.monotonic()
