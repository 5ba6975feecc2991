"""Show what a sweep would do, and about how long it would take here.

Usage: nnsweep plan [name=value ...]

It takes what sweep takes, does the stages before the sweep (they are found again by the sweep), times some steps, and
prints trials, networks, stacks, memory and seconds. It is plan=true.

Examples:
  nnsweep plan
  nnsweep plan data=fashion_mnist search=hyperband

"""

import time


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    from pipeline.config.compose import configurations  # not for --help: Hydra and the driver take their time to load
    from pipeline.console.output import output_of
    from pipeline.driver.dry_run import show_plan

    for configuration in configurations([*arguments, "plan=true"]):
        show_plan(configuration, output_of(configuration.settings.output), began)
        began = time.monotonic()
