"""What is noted of a slice that came to its end: in the journal first, then in the results and among the states."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

from nncore.training import Report
from pipeline.execution.base import Handle
from pipeline.journal import Journal
from pipeline.sweep.planner import PlannedStack, steps_per_epoch
from pipeline.sweep.result import CRASHED, Place
from pipeline.sweep.results import Results
from pipeline.sweep.scheduler import Slice
from pipeline.sweep.states import States
from pipeline.sweep.training import Trained


class Running(NamedTuple):
    """A slice on its way: since when, in milliseconds since 1970, and the handle of the stack that it makes.

    trained   what it reported, while this host still fetches and keeps the stack
    """

    slice: Slice
    stack: PlannedStack
    last: bool
    started: int
    file: str
    goes_on: Handle
    trained: Trained | None = None


class Books:
    """Takes note of slices.

    n_steps   steps of all networks together
    """

    def __init__(self, states: States, results: Results, journal: Journal) -> None:
        self._states, self._results, self._journal = states, results, journal
        self.n_steps = 0

    def note(self, one: Running, trained: Trained) -> list[str]:
        """Into the journal, the results and the books; the keys of the networks that go on."""
        number = one.slice.stack
        held = self._states.held(number, [network.key for network in one.stack.networks])
        places = {key: Place(one.file, trained.sha256, key) for key in {*held, *trained.reports}}
        self._journalled(one, trained, held)
        going_on = self._added(one, trained.reports, places)
        self._states.note(number, one.file, trained.sha256, None if one.last else one.goes_on)
        return going_on

    def give_up(self, one: Running, key: str, why: str) -> None:
        """Of a network that was alone in its slice and takes its workers along."""
        reports = {key: Report(diverged=(one.slice.until, f"{CRASHED} ({why})"))}
        self._journalled(one, Trained(0.0, "", "", reports), [])
        self._added(one, reports, {})

    def _added(self, one: Running, reports: dict[str, Report], places: dict[str, Place]) -> list[str]:
        """Into the results and our own books; the keys of the networks that go on."""
        going_on = self._results.add(reports, one.slice.start, one.slice.until, places, one.last)
        left = {key: self._results.networks[key].ended for key in reports}
        until = {False: one.slice.until, True: one.stack.until}
        self._results.rungs[-1].left -= sum(until[ended] - one.slice.start for ended in left.values())
        steps = steps_per_epoch(one.stack.shape, one.stack.facts)
        self.n_steps += steps * sum(self._results.networks[key].trained - one.slice.start for key in reports)
        return going_on

    def _journalled(self, one: Running, trained: Trained, held: Sequence[str]) -> None:
        self._journal.append(
            "slice",
            **asdict(one.slice),
            last=one.last,
            started=one.started,
            worker=trained.worker,
            file=one.file,
            sha256=trained.sha256,
            held=[key for key in held if key not in trained.reports],
            networks={key: vars(report) for key, report in trained.reports.items()},
        )
