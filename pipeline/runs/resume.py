"""Whether a run continues an earlier one, and what it takes over from there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipeline.components.errors import SettingError
from pipeline.components.secrets import masked
from pipeline.runs.events import Event
from pipeline.runs.journal import JOURNAL, events, last_data, last_event, last_session, process_at_work
from pipeline.runs.names import failed_before_training, has_trained, is_ours, named_run, run_folders
from pipeline.runs.records import CHECKPOINTS, CheckpointRef, NetworkRecord
from pipeline.runs.replay import RunHistory

# settings that may differ between the sessions of any run, as results do not depend on them
FREE = (
    "preset",  # only a name: what it sets counts
    "runs",
    "baselines",
    "execution",
    "stages",
    "stacks",
    "cache",
    "report",
    "tracking",
    "resume",
    "run",
    "onnx",
    "plan",
    "output",
)
# settings that may also differ when a run that is named by run=... is extended
EXTENDABLE = ("space", "search", "budget", "select", "training.epochs", "training.seeds", "training.schedule")


@dataclass(frozen=True)
class RunRequest:
    """Which run is asked for: a new one, or the continuation of an earlier one.

    Parameters
    ----------
    parent : Path
        The folder of all runs of the same name.
    run : str or None
        The run to continue or extend, as `pipeline.runs.names.named_run` takes it; None: decide by `resume`.
    resume : {"auto", "never", "required"}
        Whether an interrupted run of the same settings and code is continued.
    epochs : int
        Epochs of each network; an extended run has at least as many as before.
    config : dict
        The whole configuration as plain values.
    code_of : callable
        From such a configuration, the hash of the code that computes its results.
    content_of_data : callable
        Returns the hash of what the run would read, such as a file, or None if it is not known.
    command : str, default ""
        That repeats the run, for people.
    """

    parent: Path
    run: str | None
    resume: Literal["auto", "never", "required"]
    epochs: int
    config: dict[str, Any]
    code_of: Callable[[dict[str, Any]], str]
    content_of_data: Callable[[], str | None]
    command: str = ""

    @cached_property
    def content(self) -> str | None:
        """The hash of what the run would read."""
        return self.content_of_data()

    @property
    def code(self) -> str:
        """The hash of the code that computes this run's results."""
        return self.code_of(self.config)


class EarlierRun(NamedTuple):
    """The folder of the run to continue, or None, and what a person should know about it."""

    folder: Path | None
    message: str = ""


def earlier_run(request: RunRequest) -> EarlierRun:
    """Find the run that is to be continued: the one named, or the latest of the same settings and code, if unfinished.

    Raises
    ------
    SettingError
        If one is required and there is none, or if the one that is named does not fit, with the differences.
    """
    if request.run is not None:
        return EarlierRun(_named_run(request))
    if request.resume == "never":
        return EarlierRun(None)
    problem = ""  # of the latest run that was interrupted
    for folder in _unfinished(request.parent):
        session = last_session(folder)
        if not session["settings"]:
            if last_event(folder / JOURNAL)["line"]:  # else it was interrupted before it began
                problem = problem or f"run {folder.name} was interrupted, but the line with its settings is damaged"
        elif differences := _differences(folder, session, request, FREE):
            if has_trained(folder):
                problem = problem or f"run {folder.name} was interrupted, but has other settings: {differences}"
        elif process := process_at_work(folder):
            problem = problem or f"run {folder.name} has the same settings and is in use by process {process}"
        else:
            return EarlierRun(folder)
    if request.resume == "required":
        problem = problem or f"there is no interrupted run in {request.parent}"
        raise SettingError(f"resume=required: {problem}; start a new run with resume=auto")
    return EarlierRun(None, problem and f"{problem}; this is a new run")


def _unfinished(parent: Path) -> Iterator[Path]:
    """The folders of the runs that can be resumed: neither finished nor failed before training; the latest first."""
    for journal in sorted(parent.glob(f"*/{JOURNAL}"), reverse=True):
        if not is_ours(journal.parent):  # that of another user is not resumed
            continue
        last = last_event(journal)
        is_finished = last["event"] == "end" and last["status"] == "FINISHED"
        if not is_finished and not failed_before_training(journal.parent):
            yield journal.parent


def known_networks(folder: Path, history: RunHistory) -> dict[str, NetworkRecord]:
    """What is known of each network, by content hash, without the checkpoints whose files are missing or damaged.

    A network that began as a copy of another cannot be trained again from its initial weights. If its state is lost,
    neither it nor its origin is known any longer, so that the origin is trained again, and copied again.
    """
    if history.lost_copies:
        return {}
    known, intact = history.known, dict[CheckpointRef, bool]()
    for record in known.values():
        if record.checkpoint:
            checkpoint = record.checkpoint._replace(key="")
            if checkpoint not in intact:
                path = folder / CHECKPOINTS / checkpoint.file
                intact[checkpoint] = path.is_file() and sha256(path.read_bytes()).hexdigest() == checkpoint.sha256
            if not intact[checkpoint]:
                record.checkpoint = None
    lost = [
        content_hash
        for content_hash, record in known.items()
        if record.inherited and not (record.checkpoint or record.diverged)
    ]
    for content_hash in lost:
        known.pop(content_hash, None)
        if (origin := history.origins.get(content_hash, "")) in known:
            lost.append(origin)
    return known


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings with dotted names.

    Examples
    --------
    >>> dict(flat({"a": 1, "b": {"c": 2, "d": {}}}))
    {'a': 1, 'b.c': 2, 'b.d': {}}
    """
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _named_run(request: RunRequest) -> Path:
    """The folder of the run that is named by run=...; its space, its search and its epochs may be extended."""
    if request.resume == "never":
        raise SettingError(f"resume=never and run={request.run} exclude each other; leave one of them out")
    folders = run_folders(request.parent, "*")
    folder = named_run(folders, str(request.run), f"in {request.parent}; the names of its folders are the ids")
    if not is_ours(folder):
        raise SettingError(
            f"run={request.run}: {folder} must be writable, but belongs to another user; copy it, "
            "or leave run=... out to start a new run"
        )
    session = last_session(folder)
    if not session["settings"]:
        events(folder / JOURNAL)  # raises if it is damaged or of another version
        raise SettingError(
            f"run={folder.name}: its journal does not say with which settings it began; leave run=... out"
        )
    if differences := _differences(folder, session, request, (*FREE, *EXTENDABLE)):
        raise SettingError(
            f"run={folder.name} cannot be resumed, as it was made with other settings: {differences}; "
            "use the same settings and data, or leave run=... out to start a new run"
        )
    epochs = session["settings"]["training"]["epochs"]
    if request.epochs < epochs:
        raise SettingError(
            f"training.epochs={request.epochs} must be at least {epochs}, to which the networks of run={folder.name} "
            "are trained; or leave run=... out to start a new run"
        )
    return folder


def _differences(folder: Path, session: Event, request: RunRequest, exempt: tuple[str, ...]) -> str:
    """In words, which settings differ from those of an earlier session, and whether its code or data have changed.

    An extension may name further components, whose code the earlier session did not need: what counts is whether the
    earlier session's own settings would be computed by the same code today.
    """
    then, now = dict(flat(session["settings"])), dict(flat(masked(request.config)))
    then["code"], now["code"] = session["code"], request.code_of(session["settings"])
    names = [
        name
        for name in dict.fromkeys([*then, *now])
        if then.get(name) != now.get(name) and not any(f"{name}.".startswith(f"{free}.") for free in exempt)
    ]
    if not names:  # else there may be no such file
        before = last_data(folder).get("content")
        if before is not None and request.content not in (before, None):
            then["the content of the data"], now["the content of the data"] = before[:12], str(request.content)[:12]
            names = ["the content of the data"]
    shown = [f"{name} was {then.get(name, 'absent')}, is {now.get(name, 'absent')}" for name in names[:5]]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
