"""How many tasks run on the GPUs of the hosts, and how much GPU memory each of them has."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, Strict

from pipeline.backends.base import NO_GPUS, GpuCapacity, TaskLostError
from pipeline.components.errors import SettingError
from pipeline.components.fields import PositiveInt

GpuCount = PositiveInt | Literal["auto", "none"]
GpuFraction = Annotated[float, Strict(), Field(gt=0, le=1)]


class GpuShares:
    """GPUs divided into equal shares. A share trains one stack at a time, and takes one core for the host's part.

    Parameters
    ----------
    limit : int, "auto" or "none"
        How many GPUs may be used.
    fraction : float, in (0, 1]
        Share of a GPU for one task.
    probe : callable
        Returns the free bytes of one GPU and the number of GPUs on its host. Called once, when the first GPU is there.
    """

    def __init__(self, limit: GpuCount, fraction: float, probe: Callable[[], tuple[int, int]]) -> None:
        self._limit, self.fraction, self._probe = limit, fraction, probe
        self._per_gpu = int(1 / fraction + 1e-9)
        self._probed: GpuCapacity | None = None  # of one share

    def capacity(self, hosts: Sequence[Mapping[str, float]]) -> GpuCapacity:
        """Count the shares of hosts, each given by its numbers of "GPU" and "CPU".

        Raises
        ------
        SettingError
            If the settings ask for a number of GPUs and these cannot be used.
        """
        if self._limit == "none":
            return NO_GPUS
        n = sum(min(self._per_gpu * int(host.get("GPU", 0)), int(host.get("CPU", 0))) for host in hosts)
        if self._limit != "auto":
            n = min(n, self._per_gpu * self._limit)
        if not n:
            problem = "" if self._limit == "auto" else f"execution.gpus={self._limit}, but there is none yet"
            return GpuCapacity(0, 0, problem)
        if self._probed is None:
            try:
                self._probed = self._probe_share(hosts)
            except TaskLostError:  # the GPU's host has left
                return NO_GPUS
        return self._probed._replace(n=n if self._probed.memory else 0)

    def _probe_share(self, hosts: Sequence[Mapping[str, float]]) -> GpuCapacity:
        try:
            free, n_present = self._probe()
            n_declared = max(int(host.get("GPU", 0)) for host in hosts)
            if len(hosts) == 1 and n_present < n_declared:
                raise RuntimeError(f"there are {n_present}, not {n_declared}")
            return GpuCapacity(1, int(free * self.fraction))
        except (ImportError, RuntimeError, TimeoutError, MemoryError) as error:
            cure = "install CuPy for its CUDA where the workers run, such as cupy-cuda12x, or give execution.gpus=none"
            problem = f"the GPU cannot be used ({' '.join(str(error).split())}); {cure}"
            if self._limit != "auto":
                raise SettingError(f"execution.gpus={self._limit}: {problem}") from None
            return GpuCapacity(0, 0, problem)
