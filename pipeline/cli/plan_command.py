"""Show what a sweep would do, and about how long it would take here.

Usage: nnsweep plan [name=value ...]

It takes what sweep takes, does the stages before the sweep (they are found again by the sweep), times some steps, and
prints trials, networks, stacks, memory and seconds. It is plan=true.

Examples:
  nnsweep plan
  nnsweep plan data=fashion_mnist search=hyperband

"""

from pipeline.cli import sweep_command as sweep


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    sweep.run([*arguments, "plan=true"], began)
