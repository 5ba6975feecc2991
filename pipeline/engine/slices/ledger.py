"""What is noted of a slice that came to its end: in the journal first, then in the results and among the states."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

from nncore.stack.training import Report
from pipeline.backends.base import Future
from pipeline.engine.packing.cost_model import steps_per_epoch
from pipeline.engine.packing.planner import PlannedStack
from pipeline.engine.packing.scheduler import Slice
from pipeline.engine.records import SweepRecords
from pipeline.engine.slices.checkpoints import CheckpointStore
from pipeline.engine.slices.task import SliceOutcome
from pipeline.runs.journal import Journal
from pipeline.runs.network_record import CRASHED, CheckpointRef


class RunningSlice(NamedTuple):
    """A slice on its way: since when, in milliseconds since 1970, and the future of the stack that it makes.

    trained   what it reported, while this host still fetches and keeps the stack
    """

    slice: Slice
    stack: PlannedStack
    last: bool
    started: int
    file: str
    goes_on: Future
    trained: SliceOutcome | None = None


class SliceLedger:
    """Takes note of slices.

    n_steps   steps of all networks together
    """

    def __init__(self, states: CheckpointStore, results: SweepRecords, journal: Journal) -> None:
        self._states, self._results, self._journal = states, results, journal
        self.n_steps = 0

    def note(self, one: RunningSlice, trained: SliceOutcome) -> list[str]:
        """Into the journal, the results and the books; the keys of the networks that go on."""
        number = one.slice.stack
        held = self._states.held(number, [network.key for network in one.stack.networks])
        places = {key: CheckpointRef(one.file, trained.sha256, key) for key in {*held, *trained.reports}}
        self._journalled(one, trained, held)
        going_on = self._added(one, trained.reports, places)
        self._states.note(number, one.file, trained.sha256, None if one.last else one.goes_on)
        return going_on

    def give_up(self, one: RunningSlice, key: str, why: str) -> None:
        """Of a network that was alone in its slice and takes its workers along."""
        reports = {key: Report(diverged=(one.slice.until, f"{CRASHED} ({why})"))}
        self._journalled(one, SliceOutcome(0.0, "", "", reports), [])
        self._added(one, reports, {})

    def _added(self, one: RunningSlice, reports: dict[str, Report], places: dict[str, CheckpointRef]) -> list[str]:
        """Into the results and our own books; the keys of the networks that go on."""
        going_on = self._results.add(reports, one.slice.start, one.slice.until, places, one.last)
        left = {key: self._results.networks[key].ended for key in reports}
        until = {False: one.slice.until, True: one.stack.until}
        self._results.rungs[-1].left -= sum(until[ended] - one.slice.start for ended in left.values())
        steps = steps_per_epoch(one.stack.architecture, one.stack.view_shape)
        self.n_steps += steps * sum(self._results.networks[key].trained - one.slice.start for key in reports)
        return going_on

    def _journalled(self, one: RunningSlice, trained: SliceOutcome, held: Sequence[str]) -> None:
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
