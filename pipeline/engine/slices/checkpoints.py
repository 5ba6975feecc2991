"""Where the states of the stacks are: by reference while networks go on, and in files for all that comes after."""

from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

from pipeline.backends.base import Future
from pipeline.engine.packing.planner import NetworkOrigin
from pipeline.engine.records import SweepRecords
from pipeline.engine.slices.task import Checkpoint
from pipeline.runs.network_record import CheckpointRef

CHECKPOINTS = "states"  # in the run's folder


class CheckpointStore:
    """The states of all stacks of a run, by the stacks' numbers.

    next_stack   the first number that no stack has
    beside       a file that is there as long as this session lasts: who sees it, sees the states
    """

    def __init__(self, folder: Path, results: SweepRecords, next_stack: int) -> None:
        self._folder, self._results, self.next_stack = folder / CHECKPOINTS, results, next_stack
        self._stacks: dict[int, Future] = {}  # as they go on, in memory
        self._kept: dict[int, Checkpoint] = {}
        self._numbers: dict[str, int] = {}  # by file
        self._folder.mkdir(exist_ok=True)
        self.beside = self._folder / f"session-{token_hex(8)}"
        self.beside.touch()

    def path(self, file: str) -> Path:
        """Of a state's file."""
        return self._folder / file

    def stack(self, number: int) -> Future | Checkpoint:
        """The stack as it goes on, from memory or from its file."""
        return self._stacks.get(number, self._kept[number])

    def fall_back(self) -> None:
        """What was in memory may have gone with a worker or a host: go on from the files."""
        self._stacks = {}

    def origin(self, place: CheckpointRef) -> NetworkOrigin:
        """The stack with a state that was kept, in this session or in an earlier one."""
        number = self._numbers.get(place.file)
        if number is None:
            number = self._numbers[place.file] = self.next_stack
            self.next_stack += 1
        self._kept[number] = self._stored(place)
        return NetworkOrigin(number, place.key)

    def holder(self, key: str) -> tuple[Checkpoint, str]:
        """What holds the weights that a network answers with, and its key there."""
        place = self._results.networks[key].place
        assert place is not None  # it has an answer
        return self._stored(place), place.key

    def held(self, number: int, keys: Sequence[str]) -> list[str]:
        """Those of the networks whose state or answer is in the stack's file now."""
        file = self._file(number)
        return [key for key in keys if file is not None and self._file_of(key) == file]

    def in_memory(self, number: int, stack: Future) -> None:
        """It is in memory, too, for as long as it goes on from there."""
        self._stacks[number] = stack

    def note(self, number: int, file: str, sha256: str, goes_on: Future | None) -> None:
        """A slice of the stack has ended; its new file, which the journal knows, takes the place of the old one.

        goes_on   the stack in memory, if it does
        """
        before = self._file(number)
        self._kept[number] = Checkpoint(self.path(file), sha256)
        self._stacks.pop(number, None)
        if goes_on is not None:
            self._stacks[number] = goes_on
        self._numbers[file] = number
        if before is not None:
            self._numbers.pop(before, None)
            self.path(before).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Forget the states that no network needs any longer, in memory and on disk."""
        going_on = {result.place.file for result in self._results.networks.values() if result.place and not result.over}
        self._stacks = {n: stack for n, stack in self._stacks.items() if self._file(n) in going_on}
        files = {result.place.file for result in self._results.known.values() if result.place}
        for path in self._all():
            if path.name not in files:
                path.unlink(missing_ok=True)

    def keep(self, gigabytes: float) -> None:
        """After the run: let go of the states if they take more than that."""
        if sum(path.stat().st_size for path in self._all()) > gigabytes * 1e9:
            for path in self._all():
                path.unlink(missing_ok=True)
        self.beside.unlink(missing_ok=True)

    def _all(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path != self.beside]

    def _file(self, number: int) -> str | None:
        """Of a stack that was trained in this session."""
        return self._kept[number].path.name if number in self._kept else None

    def _file_of(self, key: str) -> str | None:
        place = self._results.networks[key].place
        return place.file if place else None

    def _stored(self, place: CheckpointRef) -> Checkpoint:
        return Checkpoint(self.path(place.file), place.sha256)
