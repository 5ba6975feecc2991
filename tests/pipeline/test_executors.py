"""Executors: warming up workers, and their priority. Most other tests run tasks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import clusters
import pytest

from pipeline.backends.local import LocalExecutor

PROGRAM = Path(__file__).parents[1] / "support" / "program_everywhere.py"


def output_of_program(*arguments):
    """Run the program and parse the JSON that it prints."""
    completed = subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout.splitlines()[-1])


@pytest.mark.slow
def test_every_worker_of_a_ray_started_for_the_run_is_warmed_up():
    printed = output_of_program()
    assert printed["workers"] == 2
    assert len({worker for worker, _, _ in printed["called"]}) == 2
    assert {int(niceness) for _, _, niceness in printed["called"]} == {os.nice(0)}, "workers have normal priority"


@pytest.mark.slow
def test_every_worker_of_every_host_is_warmed_up():
    nodes = clusters.start_cluster(num_cpus=1)
    try:
        worker = clusters.add_worker(nodes, num_cpus=2)
        nodes.wait_for_nodes()
        printed = output_of_program(nodes.address)
        raylets = [
            process.process.pid for node in (nodes.head_node, worker) for process in node.all_processes["raylet"]
        ]
    finally:
        nodes.shutdown()
    assert printed["workers"] == 3
    assert sorted(int(raylet) for _, raylet, _ in printed["called"]) == sorted([*raylets, raylets[-1]])


def test_the_local_executor_warms_nothing_up():
    called = []
    LocalExecutor().broadcast(lambda: called.append(1))
    assert called == []
