"""What each fault costs: a sweep of digits is disturbed in its middle, and goes on by itself or by the same command.

    python scripts/measure_faults.py [fault ...]

Prints for each fault the seconds until what was lost is at work again (its first epoch is trained anew, or, after the
same command, the first slice is done), and whether the digest is that of an undisturbed run. Hosts are network
namespaces: those faults need root and the command ip. tests/pipeline/test_faults.py and test_hosts.py hold all this.
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
    """A command under way."""

    def __init__(
        self, folder: Path, *overrides: str, start: Callable[..., subprocess.Popen] = subprocess.Popen
    ) -> None:
        self.folder = folder
        where = (f"runs={folder}/runs", f"cache.folder={folder}/cache")
        command = [sys.executable, "-m", "pipeline", *SETTINGS, *where, *overrides]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        self.process = start(command, **quiet) if start is subprocess.Popen else start(*command, hide=False)

    def slices(self) -> list[dict]:
        """Those in the journal."""
        paths = list(self.folder.glob("runs/*/*/journal.jsonl"))
        lines = paths[0].read_text().split("\n")[:-1] if paths else []
        return [one for one in map(json.loads, lines) if one["event"] == "slice"]

    def goes_on(self, n: int = 6, workers: int = 1) -> float:
        """Wait until there are so many more slices, by so many workers, or nothing was left to do; the time."""
        goal = len(self.slices()) + n
        while len(self.slices()) < goal or len({one["worker"] for one in self.slices()}) < workers:
            if self.process.poll() == 0:
                break
            if self.process.poll() is not None:
                raise SystemExit(f"it ended too early: {self.process.communicate()}")
            time.sleep(0.02)
        return time.time()

    def ended(self) -> str:
        """Wait for its end; what it said on standard error."""
        said = self.process.communicate(timeout=300)
        return said[1] or ""

    def again_after(self, fault: float) -> float:
        """Seconds from the fault until the first epoch of what was lost was trained anew."""
        return (
            min(
                one["time"] / 1000
                for one in self.slices()
                if one["until"] - one["start"] == 1 and one["time"] / 1000 > fault
            )
            - fault
        )

    @property
    def summary(self) -> dict:
        """Its summary.json."""
        (path,) = self.folder.glob("runs/*/*/summary.json")
        return json.loads(path.read_text())


def worker_killed(folder: Path) -> tuple[float, Sweep]:
    sweep = Sweep(folder, "execution=ray")
    sweep.goes_on(workers=2)
    os.kill(random.choice([*processes("ray::train_slice")]), signal.SIGKILL)
    fault = time.time()
    sweep.ended()
    return sweep.again_after(fault), sweep


def driver_killed(folder: Path) -> tuple[float, Sweep]:
    first = Sweep(folder, "execution=ray")
    first.goes_on()
    first.process.kill()
    first.process.wait()
    return resumed(folder, "execution=ray")


def stopped_by_ctrl_c(folder: Path) -> tuple[float, Sweep]:
    first = Sweep(folder, "execution=ray")
    first.goes_on()
    first.process.send_signal(signal.SIGINT)
    began = time.time()
    first.ended()
    print(f"    (it ended {time.time() - began:.1f} s after the Ctrl-C)")
    return resumed(folder, "execution=ray")


def resumed(folder: Path, *overrides: str) -> tuple[float, Sweep]:
    began = time.time()
    sweep = Sweep(folder, *overrides)
    seconds = sweep.goes_on(1) - began
    sweep.ended()
    return seconds, sweep


@contextmanager
def cluster(n_workers: int):
    """Nodes on this machine; those that are given can be removed."""
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
        sweep.goes_on(workers=2)
        nodes.remove_node(first, allow_graceful=False)
        fault = time.time()
        sweep.ended()
    return sweep.again_after(fault), sweep


def head_gone(folder: Path) -> tuple[float, Sweep]:
    with cluster(1) as (nodes, _):
        sweep = Sweep(folder, "execution=cluster", f"execution.address={nodes.address}")
        sweep.goes_on()
        (gcs,) = nodes.head_node.all_processes["gcs_server"]
        gcs.process.kill()
        began = time.time()
        said = sweep.ended().splitlines()[-1]
        print(f"    (after {time.time() - began:.1f} s: {said[:110]}...)")
    with cluster(1) as (nodes, _):
        return resumed(folder, "execution=cluster", f"execution.address={nodes.address}")


def on_hosts(folder: Path, deed: Callable) -> tuple[float, Sweep]:
    """A head and two workers, of which one meets with the deed."""
    (folder / "work").mkdir()
    with start_hosts(folder, 3, [folder / "work"]) as (head, *others):
        head.start_ray(None, 0)
        for host in others:
            host.start_ray(head, 1)
        where = ("execution=cluster", f"execution.address={head.address}:6379")
        sweep = Sweep(folder / "work", *where, start=head.start)
        sweep.goes_on(workers=2)
        deed(others[1])
        fault = time.time()
        sweep.ended()
    return sweep.again_after(fault), sweep


FAULTS = {
    "worker killed (SIGKILL) in a slice": worker_killed,
    "driver killed (SIGKILL), same command": driver_killed,
    "Ctrl-C, same command": stopped_by_ctrl_c,
    "node removed with the only copy of stacks": node_removed,
    "head gone, same command on another cluster": head_gone,
    "power of a host fails": lambda folder: on_hosts(folder, lambda host: host.kill()),
    "host cut off the network": lambda folder: on_hosts(folder, lambda host: host.link("down")),
}


def main() -> None:
    wanted = {name: fault for name, fault in FAULTS.items() if not sys.argv[1:] or any(w in name for w in sys.argv[1:])}
    with TemporaryDirectory() as folder:
        alone = Sweep(Path(folder), "execution=local")
        alone.ended()
        expected = alone.summary["digest"]
    for name, fault in wanted.items():
        if "host" in name and not can_make_namespaces():
            print(f"{name:46} not done: it needs root and the command ip")
            continue
        with TemporaryDirectory() as folder:
            seconds, sweep = fault(Path(folder))
            found = sweep.summary
        equal = "equal" if found["digest"] == expected else "DIFFERENT"
        print(
            f"{name:46} again at work after {seconds:5.1f} s, slices tried again {found['work']['retried_slices']}, "
            f"failed trials {found['trials']['failed']}, digest {equal}",
            flush=True,
        )


if __name__ == "__main__":
    main()
