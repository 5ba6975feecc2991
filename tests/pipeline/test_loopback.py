"""Servers started by a sweep and by `nnsweep ui` can be reached from this machine only."""

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
from running import FEW, processes, run_command, wait_until
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
        [sys.executable, "-m", "pipeline", "training.epochs=400", "report=none", "stacks.slice_seconds=0.3"],
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


@pytest.mark.slow
def test_the_ui_listens_to_this_machine_only(tmp_path):
    run_command(tmp_path, *FEW, "execution=local", "training.epochs=1", "report=none")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "ui", f"port={port}"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while True:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                break
            assert time.monotonic() < deadline
            time.sleep(0.3)
        assert listening([server.pid, *processes("mlflow")]) == {"0100007F"}
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)
