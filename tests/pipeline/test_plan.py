"""plan=true: its numbers are right, it writes nothing but the cache, and its time is a good estimate."""

import json
import re
import time
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from running import FEW, compose, run_sweep
from sweeps import trial_network

from pipeline.cli.dispatch import dispatch
from pipeline.components.errors import SettingError
from pipeline.config.schema import Configuration
from pipeline.console.output import LineOutput
from pipeline.driver.dry_run import show_plan, simulate
from pipeline.engine.packing.planner import PackingSettings, plan

ADAM = ("space=learning_rates", *(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop")))
IRIS = ("data=iris", "reduce=none", "network.hidden=[8]", "training.batch_size=16", "stacks.width=unlimited")


def run_plan(folder, *overrides):
    """Run a plan; return its estimate and the printed text."""
    configuration = Configuration(*compose("execution=local", f"runs={folder}", "plan=true", *overrides), "")
    console = Console(file=StringIO(), width=200)
    return show_plan(configuration, LineOutput(console, live=False), time.monotonic()), console.file.getvalue()


def entries(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_the_plan_of_a_small_sweep_equals_a_calculation_by_hand(tmp_path):
    """9 trials on 2 folds with 3 seeds; of 150 rows 30 are for the test, 60 and 60 are the folds."""
    estimate, printed = run_plan(
        tmp_path, *ADAM, *IRIS, "split=k_fold", "split.folds=2", "training.seeds=3", "training.epochs=10"
    )
    steps = 4  # batches of 16 out of 60 rows
    assert (estimate["trials"], estimate["networks"], estimate["network_epochs"]) == (9, 54, 540)
    assert (estimate["rungs"], estimate["stacks"], estimate["workers"]) == (1, 1, 1)
    assert estimate["flops"] == 540 * steps * 6 * 16 * (4 * 8 + 8 * 3)
    assert estimate["view_bytes"] == 2 * 4 * 120 * (4 + 3)  # float32: 4 columns, 3 classes, both parts of both folds
    n_parameters = 5 * 8 + 9 * 3
    arrays = (4 + 2) * n_parameters + 16 * 2 * (4 + 8 + 3) + 60 * 3  # Adam's means; a batch both ways; validation
    assert 1 < estimate["worker_bytes"] / (54 * 4 * arrays) < 10  # an upper bound, generous for tiny networks
    assert "plan       9 trials, 54 networks, 540 network-epochs, 1 rungs, 1 stacks, " in printed
    assert re.search(r"^sweep      about \d+\.\d s on 1 workers, if nothing stops early$", printed, re.MULTILINE)
    assert entries(tmp_path) <= {"cache"}


def test_rungs_are_planned_with_the_trials_that_survive(tmp_path):
    estimate, _ = run_plan(tmp_path, *ADAM, *IRIS, "search=halving", "training.epochs=9")
    assert (estimate["trials"], estimate["rungs"]) == (9, 3)
    assert estimate["network_epochs"] == 9 * 1 + 3 * 2 + 1 * 6


def test_the_plan_respects_the_budget(tmp_path):
    estimate, _ = run_plan(tmp_path, *ADAM, *IRIS, "budget.trials=4", "training.epochs=5")
    assert (estimate["trials"], estimate["network_epochs"]) == (4, 20)


def test_the_plan_says_what_the_limits_leave_out(tmp_path):
    """Only the cheaper of two recipes is planned; a run has no time for it."""
    few = ("search.recipes=2", "split.folds=2", "training.epochs=2")
    _, printed = run_plan(tmp_path, "data=iris", "preset=quick", *few, "search.teraflops=1e-9", "budget.seconds=0.001")
    assert "search.teraflops left out 1 trial that takes more arithmetic" in printed
    assert printed.rstrip().endswith("; budget.seconds=0.001 ends it earlier, with fewer trials")


def test_the_plan_of_an_extended_run_has_only_the_new_work(tmp_path):
    settings = (*ADAM, *IRIS, "training.epochs=3")
    run = f"run={run_sweep(tmp_path, *settings)['run_id']}"
    estimate, printed = run_plan(tmp_path, *settings, run, "training.epochs=5")
    assert (estimate["networks"], estimate["network_epochs"]) == (9, 9 * 2)
    assert "; 9 networks have begun before" in printed
    assert run_plan(tmp_path, *settings, run)[0]["network_epochs"] == 0
    with pytest.raises(SettingError, match="there is no such run"):
        run_plan(tmp_path, *settings, "run=nothing")


def test_the_results_in_the_cache_are_counted(tmp_path):
    first, _ = run_plan(tmp_path, *ADAM, *IRIS)
    again, printed = run_plan(tmp_path, *ADAM, *IRIS)
    assert first["upstream_computed"] > 0
    assert first["upstream_cached"] == 0
    assert again["upstream_computed"] == 0
    assert f"0 stage results computed just now, {again['upstream_cached']} found in the cache" in printed


@pytest.mark.slow
def test_a_sweep_takes_about_as_long_as_planned(tmp_path):
    """The factor of four allows for other load on the machine."""
    settings = (*FEW, "training.epochs=30")
    estimate, _ = run_plan(tmp_path / "plan", *settings)
    measured = run_sweep(tmp_path / "run", *settings)["timings"]["sweep_s"]
    assert 1 / 4 < estimate["sweep_seconds"] / measured < 4


@pytest.mark.parametrize(("workers", "expected"), [(1, 24.0), (2, 12.0), (4, 6.0)])
def test_the_simulation_divides_stacks_among_the_workers(workers, expected):
    """Four stacks of 6 seconds, plus the overhead of each slice."""
    stacks = plan([trial_network(number) for number in range(8)], 1, PackingSettings(2, 1.0, 0.0))
    timed = [replace(stack, epoch_seconds=0.6) for stack in stacks]
    seconds, slices = simulate(timed, workers, 1.0)
    assert slices == 4 * 10  # each of one epoch
    assert seconds == pytest.approx(expected + slices / workers * 0.03)


def test_the_plan_command_prints_the_plan_and_creates_no_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dispatch([*ADAM, *IRIS, "execution=local", "plan=true"], time.monotonic())
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line and not line.startswith(" ")]
    assert lines[-5:] == ["plan", "upstream", "memory", "arithmetic", "sweep"]
    assert entries(tmp_path) == {"runs"}
    assert entries(tmp_path / "runs") == {"cache"}


def test_the_plan_of_an_interrupted_run_has_only_the_remaining_work(tmp_path):
    """The run is not modified."""
    run_sweep(tmp_path, *ADAM, *IRIS)
    (path,) = tmp_path.glob("*/*/journal.jsonl")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")
    before = path.read_bytes()
    assert json.loads(lines[-1])["event"] == "end"
    estimate, _ = run_plan(tmp_path, *ADAM, *IRIS, "training.epochs=3")
    assert estimate["network_epochs"] == 0
    assert run_plan(tmp_path, *ADAM, *IRIS, "training.epochs=3", "resume=never")[0]["network_epochs"] == 27
    assert path.read_bytes() == before


def test_the_plan_of_an_interrupted_halving_is_what_the_resumed_run_trains(tmp_path):
    """The scores of the finished rungs decide which trials are trained further, as in the run itself."""
    settings = (*ADAM, *IRIS, "search=halving", "training.epochs=9")
    run_sweep(tmp_path, *settings)
    (path,) = tmp_path.glob("*/*/journal.jsonl")
    lines = path.read_text().splitlines()
    rungs = [number for number, line in enumerate(lines) if json.loads(line)["event"] == "rung"]
    path.write_text("\n".join(lines[: rungs[2]]) + "\n")  # the last rung is missing
    estimate, printed = run_plan(tmp_path, *settings)
    assert "9 networks have begun before" in printed
    assert (estimate["trials"], estimate["network_epochs"]) == (9, 1 * 6)
    n_lines = len(path.read_text().splitlines())
    run_sweep(tmp_path, *settings)
    resumed = [json.loads(line) for line in path.read_text().splitlines()[n_lines:]]
    slices = [event for event in resumed if event["event"] == "slice"]
    assert sum((event["until"] - event["start"]) * len(event["networks"]) for event in slices) == 6
