"""Servers started by a sweep and by `nnsweep ui`, which can be reached from this machine only."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from interrupted import count_slices
from running import processes, wait_until
from servers import free_port

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def listening(pids):
    """The addresses on which these processes listen, in the hexadecimal notation of /proc/net."""
    addresses = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":  # LISTEN
                addresses[f"socket:[{words[9]}]"] = words[1].partition(":")[0]
    listened = set()
    for file in [path for pid in pids for path in Path(f"/proc/{pid}").glob("fd/*")]:
        with suppress(OSError):  # closed meanwhile
            listened.add(addresses.get(str(file.readlink())))
    return listened - {None}


def test_listening_addresses_are_found():
    import socket

    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        assert listening([os.getpid()]) - LOOPBACK == {"00000000"}


@pytest.mark.slow
def test_nothing_that_a_sweep_starts_listens_to_other_hosts(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "training.epochs=400", "report=none", "stacks.slice_seconds=0.3",
         "execution.cpus=1"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: sum(map(count_slices, tmp_path.glob("runs/digits/*/journal.jsonl"))) >= 2, 60)
        addresses = listening([process.pid, *processes("ray"), *processes("pipeline.tracking")])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    assert addresses
    assert addresses <= LOOPBACK


@pytest.fixture(scope="module")
def ui(main_job):
    """MLflow's interface, opened by the command that a run prints: its process and its address."""
    (line,) = (line for line in main_job.output.splitlines() if line.startswith("MLflow UI"))
    port = free_port()  # the printed one may be in use
    server = subprocess.Popen(
        ["bash", "-c", f"exec {line.removeprefix('MLflow UI').strip()} port={port}"],
        cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{address}/health"):
                break
            assert time.monotonic() < deadline
            time.sleep(0.3)
        yield server.pid, address
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)


@pytest.mark.slow
def test_the_ui_listens_to_this_machine_only(ui):
    process, _ = ui
    assert listening([process, *processes("mlflow")]) == {"0100007F"}


@pytest.mark.slow
def test_the_printed_command_opens_mlflows_interface(ui, main_job):
    _, address = ui
    experiment = main_job.summary["mlflow"]["experiment_id"]
    with urllib.request.urlopen(f"{address}/api/2.0/mlflow/experiments/get?experiment_id={experiment}") as response:
        assert json.load(response)["experiment"]["name"] == "digits"
    with urllib.request.urlopen(address) as page:
        assert b"MLflow" in page.read()
