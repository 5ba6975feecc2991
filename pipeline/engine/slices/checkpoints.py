"""Where the states of the stacks are: in memory while they are trained, and in files for all that comes after."""

from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

from pipeline.backends.base import Future
from pipeline.engine.packing.planner import NetworkOrigin
from pipeline.engine.records import SweepRecords
from pipeline.engine.slices.task import Checkpoint
from pipeline.runs.records import CHECKPOINTS, CheckpointRef


class CheckpointStore:
    """The states of all stacks of a run, by the stacks' numbers.

    Parameters
    ----------
    folder : Path
        The run's.
    records : SweepRecords
    next_stack : int
        The first number that no stack of an earlier session has.

    Attributes
    ----------
    next_stack : int
        The first number that no stack has.
    session_file : Path
        Exists as long as this session lasts: a worker that can read it can write checkpoints.
    """

    def __init__(self, folder: Path, records: SweepRecords, next_stack: int) -> None:
        self._folder, self._records, self.next_stack = folder / CHECKPOINTS, records, next_stack
        self._in_memory: dict[int, Future] = {}
        self._files: dict[int, Checkpoint] = {}
        self._numbers: dict[str, int] = {}  # by file
        self._folder.mkdir(exist_ok=True)
        self.session_file = self._folder / f"session-{token_hex(8)}"
        self.session_file.touch()

    def reserve(self, n: int) -> None:
        """Give the next n numbers to new stacks."""
        self.next_stack += n

    def path(self, file: str) -> Path:
        """The path of a checkpoint."""
        return self._folder / file

    def stack(self, number: int) -> Future | Checkpoint:
        """A stack to continue with: in memory if it is there, else its checkpoint."""
        return self._in_memory.get(number, self._files[number])

    def keep_in_memory(self, number: int, stack: Future) -> None:
        """Hold a stack that was loaded until it has been trained further."""
        self._in_memory[number] = stack

    def forget_memory(self) -> None:
        """Continue from the checkpoints: stacks in memory may have been lost with a worker or a host."""
        self._in_memory = {}

    def origin(self, reference: CheckpointRef) -> NetworkOrigin:
        """The stack that a checkpoint of this session or of an earlier one holds, and a network's key in it."""
        number = self._numbers.get(reference.file)
        if number is None:
            number = self._numbers[reference.file] = self.next_stack
            self.reserve(1)
        self._files[number] = self._checkpoint(reference)
        return NetworkOrigin(number, reference.key)

    def selected_weights(self, key: str) -> tuple[Checkpoint, str]:
        """The checkpoint that holds the selected weights of a network, and the network's key in it."""
        reference = self._records.networks[key].checkpoint
        assert reference is not None  # it has selected weights
        return self._checkpoint(reference), reference.key

    def networks_in(self, number: int, keys: Sequence[str]) -> list[str]:
        """Those of the networks whose state or selected weights are in a stack's current checkpoint."""
        file = self._file(number)
        references = {key: self._records.networks[key].checkpoint for key in keys}
        return [key for key, reference in references.items() if file and reference and reference.file == file]

    def replace(self, number: int, file: str, sha256: str, stack: Future | None) -> None:
        """A stack has a new checkpoint, which the journal knows; the old one is deleted.

        Parameters
        ----------
        number : int
        file, sha256 : str
        stack : Future or None
            The stack in memory, if its training continues.
        """
        before = self._file(number)
        self._files[number] = Checkpoint(self.path(file), sha256)
        self._in_memory.pop(number, None)
        if stack is not None:
            self._in_memory[number] = stack
        self._numbers[file] = number
        if before is not None:
            self._numbers.pop(before, None)
            self.path(before).unlink(missing_ok=True)

    def delete_unused(self) -> None:
        """Delete what no network needs any longer, in memory and on disk."""
        networks = self._records.networks.values()
        active = {network.checkpoint.file for network in networks if network.checkpoint and not network.finished}
        self._in_memory = {n: stack for n, stack in self._in_memory.items() if self._file(n) in active}
        used = {network.checkpoint.file for network in self._records.known.values() if network.checkpoint}
        for path in self._paths():
            if path.name not in used:
                path.unlink(missing_ok=True)

    def close(self, keep_gigabytes: float) -> None:
        """After the run: delete all checkpoints if they take more than this."""
        if sum(path.stat().st_size for path in self._paths()) > keep_gigabytes * 1e9:
            for path in self._paths():
                path.unlink(missing_ok=True)
        self.session_file.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path != self.session_file]

    def _file(self, number: int) -> str | None:
        """The name of a stack's current checkpoint."""
        return self._files[number].path.name if number in self._files else None

    def _checkpoint(self, reference: CheckpointRef) -> Checkpoint:
        return Checkpoint(self.path(reference.file), reference.sha256)
