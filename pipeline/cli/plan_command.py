"""Show what a sweep would do, and estimate how long it would take on this machine.

Usage: nnsweep plan [name=value ...]

It takes the settings of sweep, runs the stages before the sweep (the sweep finds their results in the cache), times
some training steps, and prints the numbers of trials, networks and stacks, the memory and the seconds. The setting
plan=true of sweep does the same.

Examples:
  nnsweep plan
  nnsweep plan data=fashion_mnist search=hyperband

"""

import time


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    from pipeline.config.compose import configurations  # not for --help: Hydra and the driver take time to load
    from pipeline.console.output import output_of
    from pipeline.driver.dry_run import show_plan

    for configuration in configurations([*arguments, "plan=true"]):
        show_plan(configuration, output_of(configuration.settings.output), began)
        began = time.monotonic()
