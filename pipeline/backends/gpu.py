"""How many GPUs of a cluster train, and what they can do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, Strict

from pipeline.backends.base import NO_GPUS, GpuCapacity, TaskLostError
from pipeline.components.errors import SettingError
from pipeline.components.fields import PositiveInt

GpuCount = PositiveInt | Literal["auto", "none"]
GpuFraction = Annotated[float, Strict(), Field(gt=0, le=1)]


class GpuShares:
    """GPUs in equal shares, of which each trains a stack at a time, and takes a core for the host's part of the work.

    most       how many GPUs may be used
    fraction   of a GPU
    look       the free bytes of a GPU, and how many there are where it is; asked when the first is there
    """

    def __init__(self, most: GpuCount, fraction: float, look: Callable[[], tuple[int, int]]) -> None:
        self._most, self.fraction, self._look = most, fraction, look
        self._per_gpu = int(1 / fraction + 1e-9)
        self._each: GpuCapacity | None = None

    def of(self, hosts: Sequence[Mapping[str, float]]) -> GpuCapacity:
        """Those of hosts with so many "GPU" and "CPU". Raises SettingError if a number was asked for, not usable."""
        if self._most == "none":
            return NO_GPUS
        n = sum(min(self._per_gpu * int(host.get("GPU", 0)), int(host.get("CPU", 0))) for host in hosts)
        n = n if self._most == "auto" else min(n, self._per_gpu * self._most)
        if not n:
            return (
                NO_GPUS
                if self._most == "auto"
                else GpuCapacity(0, 0, f"execution.gpus={self._most}, but there is none yet")
            )
        if self._each is None:
            try:
                self._each = self._looked_at(hosts)
            except TaskLostError:  # its host has left
                return NO_GPUS
        return self._each._replace(n=n if self._each.memory else 0)

    def _looked_at(self, hosts: Sequence[Mapping[str, float]]) -> GpuCapacity:
        try:
            free, there = self._look()
            asked = max(int(host.get("GPU", 0)) for host in hosts)
            if len(hosts) == 1 and there < asked:
                raise RuntimeError(f"there are {there}, not {asked}")
            return GpuCapacity(1, int(free * self.fraction))
        except (ImportError, RuntimeError, TimeoutError, MemoryError) as error:
            cure = "install CuPy for its CUDA where the workers run, such as cupy-cuda12x, or give execution.gpus=none"
            said = f"the GPU cannot be used ({' '.join(str(error).split())}); {cure}"
            if self._most != "auto":
                raise SettingError(f"execution.gpus={self._most}: {said}") from None
            return GpuCapacity(0, 0, said)
