"""The thin shell around the scheduler: starts slices on an executor and notes what they report."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import NamedTuple

from nncore.shape import Shape
from nncore.training import Report
from pipeline.artefacts import Task
from pipeline.execution.base import Executor, Handle, TaskOptions
from pipeline.journal import Journal
from pipeline.sweep.planner import Plan
from pipeline.sweep.results import Results
from pipeline.sweep.scheduler import Scheduler, Slice
from pipeline.sweep.training import FreshStack, train_slice


class Sweep(NamedTuple):
    """What the slices of a sweep have in common; shapes and views are by fold."""

    plan: Plan
    shapes: tuple[Shape, ...]
    views: tuple[Handle, ...]
    task: Task
    loss_limit: float
    options: TaskOptions


class Running(NamedTuple):
    """A slice on its way: since when, in milliseconds since 1970, and the handle of the stack it makes."""

    slice: Slice
    started: int
    stack: Handle


def run_sweep(
    executor: Executor, sweep: Sweep, results: Results, journal: Journal, show: Callable[[], None]
) -> dict[int, Handle]:
    """Run the plan to its end; handles of the stacks as they are then. Slices go to the journal and `results`."""
    scheduler = Scheduler(sweep.plan)
    stacks: dict[int, Handle] = {}
    running: dict[Handle, Running] = {}
    while not scheduler.done:
        while len(running) < executor.workers and (chosen := scheduler.next()):
            stack, reports = _submit(executor, sweep, chosen, stacks)
            running[reports] = Running(chosen, _now(), stack)
        finished = executor.wait(list(running))
        done = running.pop(finished)
        stacks[done.slice.stack] = done.stack
        found: dict[str, Report] = executor.fetch(finished)
        _write(journal, done, found, sweep.plan)
        scheduler.finished(done.slice, results.add(found, done.slice.start, done.slice.until))
        show()
    return stacks


def _submit(executor: Executor, sweep: Sweep, chosen: Slice, stacks: dict[int, Handle]) -> tuple[Handle, Handle]:
    """Start one slice; handles of its stack and of its reports."""
    fold, networks = sweep.plan.stacks[chosen.stack]
    stack = stacks[chosen.stack] if chosen.start else FreshStack(sweep.shapes[fold], networks)
    arguments = (stack, sweep.views[fold], chosen.until, sweep.task, sweep.loss_limit)
    after, reports = executor.submit(train_slice, *arguments, options=sweep.options, returns=2)
    return after, reports


def _write(journal: Journal, done: Running, reports: dict[str, Report], plan: Plan) -> None:
    networks = {key: asdict(report) for key, report in reports.items()}
    last = done.slice.until == plan.epochs
    journal.append("slice", **asdict(done.slice), started=done.started, last=last, networks=networks)


def _now() -> int:
    return int(time.time() * 1000)
