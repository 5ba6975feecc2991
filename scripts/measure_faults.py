"""Measure the cost of faults: disturb a sweep of digits, which then continues by itself or by the same command.

    python scripts/measure_faults.py [fault ...]

Prints for each fault the seconds until the lost work is repeated (until its first epoch is trained again or, after the
same command, until the first slice is finished), and whether the digest equals that of an undisturbed run. Hosts are
network namespaces: their faults need root and the command ip. See also tests/pipeline/test_faults.py, test_hosts.py.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))  # for hosts, and for finding processes

from hosts import can_make_namespaces, start_hosts
from running import processes

SETTINGS = ("training.epochs=200", "stacks.slice_seconds=0.5", "tracking=none", "report=none", "output=plain")


class Sweep:
    """A sweep that runs as a command."""

    def __init__(
        self, folder: Path, *overrides: str, start: Callable[..., subprocess.Popen] = subprocess.Popen
    ) -> None:
        self.folder = folder
        where = (f"runs={folder}/runs", f"cache.folder={folder}/cache")
        command = [sys.executable, "-m", "pipeline", *SETTINGS, *where, *overrides]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        self.process = start(command, **quiet) if start is subprocess.Popen else start(*command, hide=False)

    def slices(self) -> list[dict]:
        """The slice events of the journal."""
        paths = list(self.folder.glob("runs/*/*/journal.jsonl"))
        lines = paths[0].read_text().split("\n")[:-1] if paths else []
        return [event for event in map(json.loads, lines) if event["event"] == "slice"]

    def wait_for_slices(self, n: int = 6, workers: int = 1) -> float:
        """Wait for n more slices, by at least this many workers, or for the end of the run; return the time."""
        goal = len(self.slices()) + n
        while len(self.slices()) < goal or len({event["worker"] for event in self.slices()}) < workers:
            if self.process.poll() == 0:
                break
            if self.process.poll() is not None:
                raise SystemExit(f"the sweep ended too early: {self.process.communicate()}")
            time.sleep(0.02)
        return time.time()

    def wait(self) -> str:
        """Wait for the end of the process; return its standard error."""
        _, errors = self.process.communicate(timeout=300)
        return errors or ""

    def recovery_seconds(self, fault: float) -> float:
        """Seconds from the fault until the first epoch of the lost work was trained again."""
        ends = [event["time"] / 1000 for event in self.slices() if event["until"] - event["start"] == 1]
        return min(end for end in ends if end > fault) - fault

    @property
    def summary(self) -> dict:
        """The content of summary.json."""
        (path,) = self.folder.glob("runs/*/*/summary.json")
        return json.loads(path.read_text())


def worker_killed(folder: Path) -> tuple[float, Sweep]:
    sweep = Sweep(folder, "execution=ray")
    sweep.wait_for_slices(workers=2)
    os.kill(random.choice([*processes("ray::train_slice")]), signal.SIGKILL)
    fault = time.time()
    sweep.wait()
    return sweep.recovery_seconds(fault), sweep


def driver_killed(folder: Path) -> tuple[float, Sweep]:
    first = Sweep(folder, "execution=ray")
    first.wait_for_slices()
    first.process.kill()
    first.process.wait()
    return resumed(folder, "execution=ray")


def stopped_by_ctrl_c(folder: Path) -> tuple[float, Sweep]:
    first = Sweep(folder, "execution=ray")
    first.wait_for_slices()
    first.process.send_signal(signal.SIGINT)
    interrupted = time.time()
    first.wait()
    print(f"    (it ended {time.time() - interrupted:.1f} s after the Ctrl-C)")
    return resumed(folder, "execution=ray")


def resumed(folder: Path, *overrides: str) -> tuple[float, Sweep]:
    start = time.time()
    sweep = Sweep(folder, *overrides)
    seconds = sweep.wait_for_slices(1) - start
    sweep.wait()
    return seconds, sweep


@contextmanager
def cluster(n_workers: int):
    """A cluster of nodes on this machine, and those of its nodes that can be removed."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 200_000_000})
    try:
        workers = [nodes.add_node(num_cpus=1, object_store_memory=100_000_000) for _ in range(n_workers)]
        nodes.wait_for_nodes()
        yield nodes, workers
    finally:
        nodes.shutdown()


def node_removed(folder: Path) -> tuple[float, Sweep]:
    with cluster(2) as (nodes, (first, _)):
        sweep = Sweep(folder, "execution=cluster", f"execution.address={nodes.address}")
        sweep.wait_for_slices(workers=2)
        nodes.remove_node(first, allow_graceful=False)
        fault = time.time()
        sweep.wait()
    return sweep.recovery_seconds(fault), sweep


def head_killed(folder: Path) -> tuple[float, Sweep]:
    with cluster(1) as (nodes, _):
        sweep = Sweep(folder, "execution=cluster", f"execution.address={nodes.address}")
        sweep.wait_for_slices()
        (gcs,) = nodes.head_node.all_processes["gcs_server"]
        gcs.process.kill()
        killed = time.time()
        message = sweep.wait().splitlines()[-1]
        print(f"    (after {time.time() - killed:.1f} s: {message[:110]}...)")
    with cluster(1) as (nodes, _):
        return resumed(folder, "execution=cluster", f"execution.address={nodes.address}")


def on_hosts(folder: Path, disturb: Callable) -> tuple[float, Sweep]:
    """A head and two workers, one of which is disturbed."""
    (folder / "work").mkdir()
    with start_hosts(folder, 3, [folder / "work"]) as (head, *others):
        head.start_ray(None, 0)
        for host in others:
            host.start_ray(head, 1)
        where = ("execution=cluster", f"execution.address={head.address}:6379")
        sweep = Sweep(folder / "work", *where, start=head.start)
        sweep.wait_for_slices(workers=2)
        disturb(others[1])
        fault = time.time()
        sweep.wait()
    return sweep.recovery_seconds(fault), sweep


FAULTS = {
    "worker killed (SIGKILL) in a slice": worker_killed,
    "driver killed (SIGKILL), same command": driver_killed,
    "Ctrl-C, same command": stopped_by_ctrl_c,
    "node removed with the only copy of stacks": node_removed,
    "head killed, same command on another cluster": head_killed,
    "host loses power": lambda folder: on_hosts(folder, lambda host: host.kill()),
    "host disconnected": lambda folder: on_hosts(folder, lambda host: host.link("down")),
}


def main() -> None:
    wanted = {name: fault for name, fault in FAULTS.items() if not sys.argv[1:] or any(w in name for w in sys.argv[1:])}
    with TemporaryDirectory() as folder:
        undisturbed = Sweep(Path(folder), "execution=local")
        undisturbed.wait()
        expected = undisturbed.summary["digest"]
    for name, fault in wanted.items():
        if "host" in name and not can_make_namespaces():
            print(f"{name:46} skipped: it needs root and the command ip")
            continue
        with TemporaryDirectory() as folder:
            seconds, sweep = fault(Path(folder))
            summary = sweep.summary
        comparison = "equal" if summary["digest"] == expected else "DIFFERENT"
        print(
            f"{name:46} lost work repeated after {seconds:5.1f} s, retried slices {summary['work']['retried_slices']}, "
            f"failed trials {summary['trials']['failed']}, digest {comparison}",
            flush=True,
        )


if __name__ == "__main__":
    main()
