"""Where the states of the stacks are: by reference while networks go on, and in files for all that comes after."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.execution.base import Handle
from pipeline.sweep.planner import Origin
from pipeline.sweep.result import Place
from pipeline.sweep.results import Results
from pipeline.sweep.training import StoredStack

STATES = "states"  # in the run's folder


class States:
    """The states of all stacks of a run, by the stacks' numbers.

    next_stack   the first number that no stack has
    """

    def __init__(self, folder: Path, results: Results, next_stack: int) -> None:
        self._folder, self._results, self.next_stack = folder / STATES, results, next_stack
        self._stacks: dict[int, Handle] = {}  # as they go on
        self._files: dict[int, str] = {}
        self._numbers: dict[str, int] = {}  # the other way round
        self._folder.mkdir(exist_ok=True)

    def path(self, file: str) -> Path:
        """Of a state's file."""
        return self._folder / file

    def stack(self, number: int) -> Handle:
        """The stack as it goes on."""
        return self._stacks[number]

    def origin(self, place: Place) -> Origin:
        """The stack with a state that was kept, in this session or in an earlier one."""
        number = self._numbers.get(place.file)
        if number is None:
            number = self._numbers[place.file] = self.next_stack
            self.next_stack += 1
        if number not in self._stacks:
            self._stacks[number] = self._stored(place)
        return Origin(number, place.key)

    def holder(self, key: str) -> tuple[StoredStack, str]:
        """What holds the weights that a network answers with, and its key there."""
        place = self._results.networks[key].place
        assert place is not None  # it has an answer
        return self._stored(place), place.key

    def held(self, number: int, keys: Sequence[str]) -> list[str]:
        """Those of the networks whose state or answer is in the stack's file now."""
        file = self._files.get(number)
        return [key for key in keys if file is not None and self._file_of(key) == file]

    def note(self, number: int, file: str, goes_on: Handle) -> None:
        """A slice of the stack has ended; its new file, which the journal knows, takes the place of the old one."""
        before = self._files.get(number)
        self._stacks[number], self._files[number], self._numbers[file] = goes_on, file, number
        if before is not None:
            self.path(before).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Forget the states that no network needs any longer, in memory and on disk."""
        going_on = {result.place.file for result in self._results.networks.values() if result.place and not result.over}
        self._stacks = {n: stack for n, stack in self._stacks.items() if self._files.get(n) in going_on}
        files = {result.place.file for result in self._results.known.values() if result.place}
        for path in self._all():
            if path.name not in files:
                path.unlink(missing_ok=True)

    def keep(self, gigabytes: float) -> None:
        """After the run: let go of the states if they take more than that."""
        if sum(path.stat().st_size for path in self._all()) > gigabytes * 1e9:
            for path in self._all():
                path.unlink(missing_ok=True)

    def _all(self) -> Iterator[Path]:
        return iter(list(self._folder.iterdir()))

    def _file_of(self, key: str) -> str | None:
        place = self._results.networks[key].place
        return place.file if place else None

    def _stored(self, place: Place) -> StoredStack:
        return StoredStack(self.path(place.file), place.sha256)
