"""Run tasks on Ray: on an instance started for the run, or on an existing cluster. Ray is imported when needed."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from nncore.components import ALLOW, allowed
from pipeline.backends.base import Executor, TaskOptions
from pipeline.backends.gpu import GpuCount, GpuFraction
from pipeline.backends.ray_head import connection_error
from pipeline.components.code_version import package_folder
from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, PositiveInt
from pipeline.components.interrupts import deferred_signals, hangup_blocked

CONNECT_S = 10.0  # for the head of a cluster to respond
STARTS = 2  # Ray gives up a start after 30 s, which is too soon where other programs are busy
SOCKET_BYTES = 107  # that the path of a socket has at most
VARIABLES = {  # for every Ray; what is set in the environment already has precedence
    "RAY_USAGE_STATS_ENABLED": "0",  # send no usage statistics
    "RAY_gcs_server_port_wait_time_s": "120",  # its 30 s are too few where other programs are busy
    "RAY_worker_niceness": "0",  # the run waits for the workers; Ray's 15 starves them where other programs are busy
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # the driver fetches one of a task's results, and reports its error itself
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # do not hide the GPUs from tasks without num_gpus; Ray warns if unset
}
ALL_GPUS_VISIBLE = {
    # A worker may get another GPU for its next task, but CUDA reads once which devices are visible.
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
}
LOOPBACK = {
    # The default on Windows and macOS: Ray's servers bind to 127.0.0.1, so no other host can reach them.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


@dataclass(frozen=True, config=STRICT)
class RayBackend:
    """A Ray instance on this machine, started for the run and stopped after it.

    Parameters
    ----------
    cpus : int or "auto"
        How many tasks run at a time; auto: one per core.
    gpus : int, "auto" or "none"
        How many GPUs train in addition to the cores; auto: all of them.
    gpu_fraction : float, in (0, 1]
        Fraction of a GPU for one stack at a time.
    """

    cpus: PositiveInt | Literal["auto"]
    gpus: GpuCount
    gpu_fraction: GpuFraction

    def check(self, options: TaskOptions) -> None:
        """Raise ValueError if a task asks for more cores than `cpus`."""
        if self.cpus != "auto" and options.cpus > self.cpus:
            raise ValueError(f"cpus must be at most execution.cpus={self.cpus}, but is {options.cpus:g}")

    @contextmanager
    def start(self) -> Iterator[Executor]:
        """Start Ray, and stop it at the end of the block.

        Raises
        ------
        SettingError
            If Ray does not start, with what to do.
        """
        _check_temporary_folder()
        arguments = {
            "address": "local",
            "num_cpus": None if self.cpus == "auto" else self.cpus,
            "num_gpus": {"auto": None, "none": 0}.get(str(self.gpus), self.gpus),
            "include_dashboard": False,
        }
        with _ray(LOOPBACK | ALL_GPUS_VISIBLE, self.gpus, self.gpu_fraction, arguments) as executor:
            yield executor


@dataclass(frozen=True, config=STRICT)
class ClusterBackend:
    """An existing Ray cluster of one host or many; this host must be one of them.

    Ray copies nncore, pipeline and the allowed packages to the other hosts; what these import must be installed there.

    Parameters
    ----------
    address : str
        host:port of the cluster's head; auto: the cluster of this job, or the one started last on this host.
    gpus : int, "auto" or "none"
        How many of its GPUs train in addition to its cores; auto: all of them.
    gpu_fraction : float, in (0, 1]
        Fraction of a GPU for one stack at a time.
    """

    address: Annotated[str, Field(pattern=r"^(auto|[^:/\s]+:[0-9]+)$")]
    gpus: GpuCount
    gpu_fraction: GpuFraction

    def check(self, options: TaskOptions) -> None:
        """Accept any task: the cluster's resources are not known before it is joined."""

    @contextmanager
    def start(self) -> Iterator[Executor]:
        """Join the cluster, and leave it at the end of the block.

        Raises
        ------
        SettingError
            If no cluster responds at the address.
        """
        address = _latest_address() if self.address == "auto" else self.address
        if address.rpartition(":")[2].isdecimal() and (error := connection_error(address, CONNECT_S)):
            raise _no_cluster(address, str(error))  # Ray itself would try for minutes, and then abort the process
        runtime_environment = {
            "py_modules": [str(package_folder(package)) for package in ("nncore", "pipeline", *allowed())],
            "env_vars": {ALLOW: ",".join(allowed())} | ALL_GPUS_VISIBLE,
        }
        arguments = {"address": address, "runtime_env": runtime_environment}
        with _ray(_token_variables(address), self.gpus, self.gpu_fraction, arguments) as executor:
            yield executor


def _latest_address() -> str:
    """The address of this job's cluster, or of the one started last on this host, as Ray notes them.

    "auto", which lets Ray look for a cluster, if there is none.
    """
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 as Ray itself
    noted = Path(folder, "ray", "ray_current_cluster")
    return os.environ.get("RAY_ADDRESS") or (noted.read_text().strip() if noted.exists() else "auto")


def _token_variables(address: str) -> dict[str, str]:
    """Let Ray show this user's token if the cluster's head asks for one; other heads must not see it.

    Ray itself finds out for some addresses only, and otherwise repeats a request that is refused.
    """
    has_token = (
        os.environ.get("RAY_AUTH_TOKEN")
        or os.environ.get("RAY_AUTH_TOKEN_PATH")
        or (Path.home() / ".ray" / "auth_token").exists()
    )
    if "RAY_AUTH_MODE" in os.environ or not has_token:
        return {}
    try:
        check = subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address],
            env=os.environ | {"RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            timeout=CONNECT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}
    return {"RAY_AUTH_MODE": "token"} if check.returncode else {}


def _no_cluster(address: str, reason: str) -> SettingError:
    reason = " ".join(reason.split()).partition(". ")[0]
    return SettingError(
        f"execution.address={address}: must be the address of a Ray cluster that includes this host, but {reason}; "
        "start one (ray start --head), join it (ray start --address=HEAD:6379), or give execution=ray"
    )


@contextmanager
def _ray(variables: dict[str, str], gpus: GpuCount, fraction: float, arguments: dict[str, Any]) -> Iterator[Executor]:
    """Call ray.init, and ray.shutdown at the end of the block.

    If Ray is interrupted while it starts or stops, it leaves processes behind for a minute; signals wait until it has.
    """
    with _environment(VARIABLES | variables):
        with deferred_signals():  # an import that is interrupted cannot be undone
            import ray

            from pipeline.backends.ray_executor import RayExecutor
        session = None
        try:
            with deferred_signals(), hangup_blocked():
                session = _start(arguments)
            executor = RayExecutor(gpus, fraction, single_host=arguments["address"] == "local")
            _ = executor.gpus  # raises at once if a GPU is asked for that cannot be used
            yield executor
        finally:
            with deferred_signals():
                ray.shutdown()
                if session and arguments["address"] == "local":
                    _remove_session(Path(session))


def _start(arguments: dict[str, Any]) -> str | None:
    """Start Ray, or join a cluster; the folder of the session."""
    import ray

    for remaining in reversed(range(STARTS)):
        try:
            context: Any = ray.init(log_to_driver=False, logging_level=logging.ERROR, **arguments)
            return str(context.address_info["session_dir"])
        except ConnectionError as error:
            raise _no_cluster(arguments["address"], str(error)) from None
        except SystemExit:  # of a handler of SIGTERM that Ray installs while it starts
            raise KeyboardInterrupt from None
        except Exception as error:
            if arguments["address"] != "local":
                raise
            ray.shutdown()
            if not remaining:
                reason = " ".join(str(error).split())[:300]
                raise SettingError(
                    f"execution=ray: Ray must start on this machine, but does not ({reason}); give the same command "
                    "again when the machine is less busy, or execution=local"
                ) from None
    return None


def _check_temporary_folder() -> None:
    """Raise SettingError if the path of Ray's sockets would be longer than the system allows."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), "TMPDIR")
    folder = os.environ.get(name) or tempfile.gettempdir()
    longest = SOCKET_BYTES - len(f"/ray/session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store")
    if len(os.fsencode(folder)) > longest:
        raise SettingError(
            f"{name}={folder}: Ray's sockets need a path of at most {longest} bytes, but it has "
            f"{len(os.fsencode(folder))}; give the same command after: export {name}=/tmp, or give execution=local"
        )


def _remove_session(session: Path) -> None:
    """Remove the folder that a Ray of our own leaves behind, and the link to it; those of other Rays stay."""
    latest = session.with_name("session_latest")
    with suppress(OSError):
        if latest.is_symlink() and latest.resolve() == session.resolve():
            latest.unlink()
    shutil.rmtree(session, ignore_errors=True)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set the environment variables that are not set yet, for the block only."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
