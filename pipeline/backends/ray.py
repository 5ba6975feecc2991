"""On Ray: one of our own, or a cluster. Ray itself is imported when it is to be started or joined."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from nncore.components import ALLOW, allowed
from pipeline.backends.base import Executor, TaskOptions
from pipeline.backends.gpu import GpuCount, GpuFraction
from pipeline.backends.ray_head import unreachable
from pipeline.components.code_version import package_folder
from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, PositiveInt

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of a task's several results we ask one, and say its error ourselves
}
# A worker that is used again may get another GPU, but CUDA looks only once at which it may see: so all can be seen.
GPUS = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
# Its processes look for each other every 20 ms, for 10 s; else every second, and often they have to look twice.
SOON = {"RAY_raylet_client_connect_timeout_milliseconds": "20", "RAY_raylet_client_num_connect_attempts": "500"}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # also elsewhere: a Ray that no other host can reach
PATIENCE_S = 10.0  # for the head of a cluster to answer


@dataclass(frozen=True, config=STRICT)
class RayBackend:
    """A Ray of our own on this machine, started for the run and stopped after it.

    cpus           how many tasks run at a time; auto: one per core
    gpus           how many GPUs train beside the cores; auto: all that are there
    gpu_fraction   of a GPU for one stack at a time
    """

    cpus: PositiveInt | Literal["auto"]
    gpus: GpuCount
    gpu_fraction: GpuFraction

    def check(self, options: TaskOptions) -> None:
        """See Execution.check."""
        if self.cpus != "auto" and options.cpus > self.cpus:
            raise ValueError(f"cpus must be at most execution.cpus={self.cpus}, but is {options.cpus:g}")

    @contextmanager
    def start(self) -> Iterator[Executor]:
        """Start Ray, stop it at the end."""
        cpus = None if self.cpus == "auto" else self.cpus
        gpus = {"auto": None, "none": 0}.get(str(self.gpus), self.gpus)
        how = {"address": "local", "num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False}
        with _joined(LOOPBACK | SOON | GPUS, self.gpus, self.gpu_fraction, **how) as executor:
            yield executor


@dataclass(frozen=True, config=STRICT)
class ClusterBackend:
    """A Ray that is there already, on one host or on many. This one must be among them.

    The code goes to the other hosts by itself; what it imports must be installed there.

    address        of its head, host:port; auto: that of the Ray on this host, or of the job that this is
    gpus           how many of its GPUs train beside its cores; auto: all
    gpu_fraction   of a GPU for one stack at a time
    """

    address: Annotated[str, Field(pattern=r"^(auto|[^:/\s]+:[0-9]+)$")]
    gpus: GpuCount
    gpu_fraction: GpuFraction

    def check(self, options: TaskOptions) -> None:
        """See Execution.check; what there is is not known yet."""

    @contextmanager
    def start(self) -> Iterator[Executor]:
        """Join the cluster, leave it at the end. Raises SettingError if there is none at the address."""
        address = _last_started() if self.address == "auto" else self.address
        _answers(address)
        modules = [str(package_folder(package)) for package in ("nncore", "pipeline", *allowed())]
        environment = {"py_modules": modules, "env_vars": {ALLOW: ",".join(allowed())} | GPUS}
        with _joined(
            _token(address), self.gpus, self.gpu_fraction, address=address, runtime_env=environment
        ) as executor:
            yield executor


def _last_started() -> str:
    """The address of the job that this is, or of the Ray that was started last on this host, as Ray notes them.

    auto, to let Ray look for one, if there is none
    """
    folder = next(filter(None, map(os.environ.get, ("RAY_TMPDIR", "TMPDIR"))), "/tmp")  # noqa: S108 as Ray itself
    noted = Path(folder, "ray", "ray_current_cluster")
    return os.environ.get("RAY_ADDRESS") or (noted.read_text().strip() if noted.exists() else "auto")


def _token(address: str) -> dict[str, str]:
    """To show this user's token, if there is one and the head asks for it; to others it must not be shown.

    Ray itself would find that out for some addresses only, and else ask again and again with the wrong answer.
    """
    given = any(map(os.environ.get, ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")))
    if "RAY_AUTH_MODE" in os.environ or not (given or (Path.home() / ".ray" / "auth_token").exists()):
        return {}
    without = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(
            without,
            env=os.environ | {"RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}
    return {"RAY_AUTH_MODE": "token"} if done.returncode else {}


def _answers(address: str) -> None:
    """Ray itself would ask for minutes, and then kill the process."""
    if address.rpartition(":")[2].isdecimal() and (error := unreachable(address, PATIENCE_S)):
        raise _no_cluster(address, str(error))


def _no_cluster(address: str, why: str) -> SettingError:
    said = " ".join(why.split()).partition(". ")[0]
    return SettingError(
        f"execution.address={address}: must be that of a Ray cluster with this host in it, but {said}; "
        "start one (ray start --head), join it (ray start --address=HEAD:6379), or give execution=ray"
    )


@contextmanager
def _joined(environment: dict[str, str], gpus: GpuCount, fraction: float, **how: Any) -> Iterator[Executor]:
    """Start or join Ray, and leave it at the end."""
    with _defaults(QUIET | environment):
        with _signals_wait():  # half loaded it cannot end
            import ray  # takes half a second, and not every command needs it

            from pipeline.backends.ray_executor import RayExecutor
        try:
            with _signals_wait():
                try:
                    ray.init(log_to_driver=False, logging_level=logging.ERROR, **how)
                except ConnectionError as error:
                    raise _no_cluster(how["address"], str(error)) from None
            executor = RayExecutor(gpus, fraction, alone=how["address"] == "local")
            _ = executor.gpus  # looked at now: one that was asked for and cannot be used ends the run early
            yield executor
        finally:
            with _signals_wait(), _silent():
                _end_autoscaler()
                ray.shutdown()


def _end_autoscaler() -> None:
    """End the autoscaler of a Ray of our own, which has no hosts to ask for.

    Ray ends it after the head; it wants to tell the head, and Ray waits a second for that in vain.
    """
    own = Path(f"/proc/self/task/{os.getpid()}/children")
    with suppress(OSError):  # another system than Linux, or it has ended
        for process in map(int, own.read_text().split()):
            if b"ray/autoscaler/" in Path(f"/proc/{process}/cmdline").read_bytes():
                os.kill(process, signal.SIGKILL)


@contextmanager
def _defaults(environment: dict[str, str]) -> Iterator[None]:
    """Set those environment variables that are not set, for the block only: another Ray may be started after it."""
    new = {name: value for name, value in environment.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Keep a Ctrl-C waiting until the end of the block, and then act on it; leave the handlers as they were.

    Ray that is interrupted as it starts or stops leaves processes behind for a minute. As it starts it also puts
    its own handler of SIGTERM: one that comes in just these seconds still ends the process without a word.
    """
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    came: list[int] = []
    before = {one: signal.signal(one, lambda number, _: came.append(number)) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    if came:
        raise KeyboardInterrupt


@contextmanager
def _silent() -> Iterator[None]:
    """Let the native threads of Ray write nothing to the standard error stream during the block.

    A task that is cut off as Ray stops makes them report, now and then, that they could not report it.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
