"""Hosts on one machine: network namespaces joined by a bridge, which share no folder that they are not to share."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp

FAST_FAILURE_DETECTION = {  # who is cut off is missed after some seconds instead of minutes
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
}
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex(32)}  # without it a head lets nobody join
RAY = Path(sys.executable).with_name("ray")


def can_make_namespaces() -> bool:
    """Whether this user may make network namespaces here."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


class Host:
    """One of them. Its processes see an empty folder of their own where those are that are hidden."""

    def __init__(self, name: str, address: str, folder: Path, hidden: Sequence[Path]) -> None:
        self.name, self.address, self.folder, self._hidden = name, address, folder, hidden
        self.folder.mkdir()
        (self.folder / "instead").mkdir()
        self.temporary = Path(mkdtemp(prefix=name))  # a socket's path must be short

    def start(self, *command: str, hide: bool = True, **environment: str) -> subprocess.Popen[str]:
        """Start a command there."""
        folders = self._hidden if hide else ()
        mount = "".join(f"mount --bind {self.folder / 'instead'} {hidden} && " for hidden in folders)
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c",
             f"hostname {self.name} && {mount}exec \"$@\"", "sh", *command],
            cwd="/",
            env={**os.environ, **FAST_FAILURE_DETECTION, **TOKEN, "RAY_USAGE_STATS_ENABLED": "0", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip

    def start_ray(self, head: "Host | None", cpus: int, takes_jobs: bool = False) -> None:
        """Start a Ray of its own, or join that of the head, and wait until it is there."""
        where = ["--head", "--port=6379"] if head is None else [f"--address={head.address}:6379"]
        options = [f"--node-ip-address={self.address}", f"--num-cpus={cpus}", "--object-store-memory=150000000"]
        dashboard = f"--include-dashboard={str(takes_jobs).lower()}"
        options += [dashboard, f"--temp-dir={self.temporary}"] if head is None else []
        process = self.start(str(RAY), "start", *where, *options, "--disable-usage-stats", hide=head is not None)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said

    def processes(self) -> list[int]:
        """All that run there."""
        said = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True).stdout
        return [int(one) for one in said.split()]

    def runs(self, name: str) -> bool:
        """Whether a process of this name runs there."""
        paths = [Path(f"/proc/{one}/cmdline") for one in self.processes()]
        return any(name.encode() in path.read_bytes() for path in paths if path.exists())

    def kill(self) -> None:
        """The power fails."""
        deadline = time.monotonic() + 20
        while (left := self.processes()) and time.monotonic() < deadline:
            for one in left:
                try:
                    os.kill(one, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.1)

    def link(self, state: str) -> None:
        """Pull the cable, `down`, or put it in again, `up`."""
        _ip("-n", self.name, "link", "set", "eth0", state)


@contextmanager
def start_hosts(folder: Path, n: int, hidden: Sequence[Path]) -> Iterator[list[Host]]:
    """So many hosts, for which folders are hidden unless they say otherwise. All their processes end with them."""
    mark = f"nn{os.getpid() % 100000}"
    bridge, net, made = f"{mark}b", f"10.{77 + os.getpid() % 100}.0", []
    _ip("netns", "add", bridge)
    try:
        _ip("-n", bridge, "link", "add", "bridge", "type", "bridge")
        _ip("-n", bridge, "link", "set", "bridge", "up")
        for number in range(1, n + 1):
            name = f"{mark}h{number}"
            _ip("netns", "add", name)
            made.append(Host(name, f"{net}.{number}", folder / f"host{number}", hidden))
            _ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", f"to{number}", "netns", bridge)
            _ip("-n", bridge, "link", "set", f"to{number}", "master", "bridge", "up")
            _ip("-n", name, "address", "add", f"{net}.{number}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                _ip("-n", name, "link", "set", link, "up")
        yield made
    finally:
        for host in made:
            host.kill()
            shutil.rmtree(host.temporary)
        for name in (*(host.name for host in made), bridge):
            _ip("netns", "delete", name)


def _ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True)
