"""Limits on the cost of a sweep."""

from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT, PositiveFloat, PositiveInt


@dataclass(frozen=True, config=STRICT)
class Budget:
    """Limits on the cost of a sweep; None stands for no limit.

    Parameters
    ----------
    trials : int, > 0, or None
        Largest number of trials.
    network_epochs : int, > 0, or None
        Largest sum, over all networks, of the epochs that they are trained.
    teraflops : float, > 0, or None
        Largest number of floating point operations in matrix products of training, in units of 10^12, as a plan counts
        them. Unlike seconds, it leads to the same trials on every machine.
    seconds : float, > 0, or None
        Time for the run, from the command to its end. Which trials finish within it depends on the machine; a run that
        is interrupted after its time was over, and resumed, comes to the same trials.
    """

    trials: PositiveInt | None
    network_epochs: PositiveInt | None
    teraflops: PositiveFloat | None
    seconds: PositiveFloat | None
