"""Hosts on one machine: network namespaces joined by a bridge, with selected folders hidden from each other."""

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

RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # else tests that run at the same time starve the workers
    # a disconnected host is detected after seconds instead of minutes
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
}
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex(32)}  # the head refuses nodes without it
RAY = Path(sys.executable).with_name("ray")


def can_make_namespaces() -> bool:
    """Whether this user can create network namespaces."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


class Host:
    """A host. Its processes see an empty folder in place of each hidden one."""

    def __init__(self, name: str, address: str, folder: Path, hidden: Sequence[Path]) -> None:
        self.name, self.address, self.folder, self._hidden = name, address, folder, hidden
        self.folder.mkdir()
        (self.folder / "instead").mkdir()
        self.temporary = Path(mkdtemp(prefix=name))  # the path of a Unix socket must be short

    def start(self, *command: str, hide: bool = True, **environment: str) -> subprocess.Popen[str]:
        """Start a command on this host."""
        folders = self._hidden if hide else ()
        mount = "".join(f"mount --bind {self.folder / 'instead'} {hidden} && " for hidden in folders)
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c",
             f"hostname {self.name} && {mount}exec \"$@\"", "sh", *command],
            cwd="/",
            env={**os.environ, **RAY_SETTINGS, **TOKEN, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip

    def start_ray(self, head: "Host | None", cpus: int, takes_jobs: bool = False) -> None:
        """Start Ray as a head, or join that of a head, and wait until it has started."""
        where = ["--head", "--port=6379"] if head is None else [f"--address={head.address}:6379"]
        options = [f"--node-ip-address={self.address}", f"--num-cpus={cpus}", "--object-store-memory=150000000"]
        dashboard = f"--include-dashboard={str(takes_jobs).lower()}"
        options += [dashboard, f"--temp-dir={self.temporary}"] if head is None else []
        process = self.start(str(RAY), "start", *where, *options, "--disable-usage-stats", hide=head is not None)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output

    def processes(self) -> list[int]:
        """The process ids on this host."""
        output = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True).stdout
        return [int(process_id) for process_id in output.split()]

    def runs(self, name: str) -> bool:
        """Whether a process of this name runs on this host."""
        paths = [Path(f"/proc/{process_id}/cmdline") for process_id in self.processes()]
        return any(name.encode() in path.read_bytes() for path in paths if path.exists())

    def kill(self) -> None:
        """Kill all processes, as a power failure does."""
        deadline = time.monotonic() + 20
        while (remaining := self.processes()) and time.monotonic() < deadline:
            for process_id in remaining:
                try:
                    os.kill(process_id, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.1)

    def link(self, state: str) -> None:
        """Set the network link `up` or `down`."""
        _ip("-n", self.name, "link", "set", "eth0", state)


@contextmanager
def start_hosts(folder: Path, n: int, hidden: Sequence[Path]) -> Iterator[list[Host]]:
    """Create `n` hosts for which the folders `hidden` are hidden by default. Their processes end with the block."""
    prefix = f"nn{os.getpid() % 100000}"
    bridge, net, created = f"{prefix}b", f"10.{77 + os.getpid() % 100}.0", []
    _ip("netns", "add", bridge)
    try:
        _ip("-n", bridge, "link", "add", "bridge", "type", "bridge")
        _ip("-n", bridge, "link", "set", "bridge", "up")
        for number in range(1, n + 1):
            name = f"{prefix}h{number}"
            _ip("netns", "add", name)
            created.append(Host(name, f"{net}.{number}", folder / f"host{number}", hidden))
            _ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", f"to{number}", "netns", bridge)
            _ip("-n", bridge, "link", "set", f"to{number}", "master", "bridge", "up")
            _ip("-n", name, "address", "add", f"{net}.{number}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                _ip("-n", name, "link", "set", link, "up")
        yield created
    finally:
        for host in created:
            host.kill()
            shutil.rmtree(host.temporary)
        for name in (*(host.name for host in created), bridge):
            _ip("netns", "delete", name)


def _ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True)
