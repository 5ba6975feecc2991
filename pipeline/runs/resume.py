"""What a run's earlier sessions have left in its journal, and whether a new one may go on from there."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from nncore.stack.training import Report
from pipeline.components.errors import SettingError
from pipeline.components.secrets import masked
from pipeline.config.schema import Settings
from pipeline.engine.slices.checkpoints import CHECKPOINTS
from pipeline.runs.journal import Event, damaged, last_event, last_session, worker
from pipeline.runs.network_record import CheckpointRef, NetworkRecord, Replicate

FREE = (
    "runs",
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
)  # results do not change
GROWING = ("space", "search", "budget", "select", "training.epochs", "training.seeds", "training.schedule")


class EarlierRun(NamedTuple):
    """A run to go on with, or none, and what there is to say about it."""

    folder: Path | None
    said: str = ""


def earlier_run(settings: Settings, config: dict[str, Any], code: str) -> EarlierRun:
    """The run that is to be gone on with.

    Raises   SettingError if there must be one and there is none, or if it does not fit, with the differences
    """
    parent = settings.runs.absolute() / settings.name
    if settings.run is not None:
        return EarlierRun(_asked_for(parent / settings.run, settings, config, code))
    if settings.resume == "never":
        return EarlierRun(None)
    found = _cut_off(parent, config, code)
    if settings.resume == "required" and found.folder is None:
        raise SettingError(f"resume=required: {found.said or f'no run below {parent} was cut off'}")
    return found


def known_networks(folder: Path, happened: list[Event]) -> dict[str, NetworkRecord]:
    """Of every network the epochs that the journal holds, by address; states whose files are damaged are forgotten."""
    known: dict[str, NetworkRecord] = {}
    by_key: dict[str, NetworkRecord] = {}
    for number, event in enumerate(happened, start=1):
        try:
            if event["event"] == "rung":
                for key, (content_hash, origin) in event["networks"].items():
                    if key not in by_key or by_key[key].content_hash != content_hash:
                        history = known.get(content_hash) or known.get(origin)
                        by_key[key] = known[content_hash] = _result(key, content_hash, history)
            elif event["event"] == "slice":
                _add(by_key, event)
                known |= {by_key[key].content_hash: by_key[key] for key in event["networks"]}
        except (ValueError, OverflowError) as error:
            raise damaged(folder / "journal.jsonl", number, error) from None
    _verify(folder, known)
    return known


def next_stack(happened: list[Event]) -> int:
    """The first number that no stack has had."""
    return 1 + max((event["stack"] for event in happened if event["event"] == "slice"), default=-1)


def sweep_seconds(happened: list[Event]) -> float:
    """How long the earlier sessions swept."""
    total, began = 0.0, None
    for event in happened:
        if event["event"] == "run":
            began = None
        elif event["event"] == "rung":
            began = event["time"] if began is None else began
        elif event["event"] == "slice" and began is not None:
            total, began = total + max(0, event["time"] - began) / 1000, event["time"]  # clocks may be set back
    return total


def _result(key: str, content_hash: str, history: NetworkRecord | None) -> NetworkRecord:
    _, fold, seed = key.split("/")
    repeat = Replicate(int(fold) - 1, int(seed))
    return history.copied(key, repeat, content_hash) if history else NetworkRecord(key, repeat, content_hash)


def _add(by_key: dict[str, NetworkRecord], event: Event) -> None:
    """What a slice came to. Raises ValueError if it does not follow from what was before."""
    if unknown := [key for key in (*event["networks"], *event["held"]) if key not in by_key]:
        raise ValueError(f"nobody has asked for network {unknown[0]}")
    for key, content in event["networks"].items():
        ended = content["diverged"] or content["stopped"]
        n_epochs = {len(values) for values in content["curves"].values()}
        if by_key[key].epochs_trained < event["start"] or len(n_epochs) > 1 or (not ended and not n_epochs):
            raise ValueError(f"the curves of network {key} do not follow from those before")
        if not ended and n_epochs != {event["until"] - event["start"]}:
            raise ValueError(f"the curves of network {key} do not go from epoch {event['start']} to {event['until']}")
        ended = {name: content[name] and tuple(content[name]) for name in ("diverged", "stopped")}
        place = CheckpointRef(event["file"], event["sha256"], key)
        by_key[key].add(Report(**content | ended), event["start"], event["until"], place, last=False)
    for key in event["held"]:
        by_key[key].checkpoint = CheckpointRef(event["file"], event["sha256"], key)


def _verify(folder: Path, known: dict[str, NetworkRecord]) -> None:
    right: dict[CheckpointRef, bool] = {}
    for result in known.values():
        if result.checkpoint:
            place = result.checkpoint._replace(key="")
            if place not in right:
                path = folder / CHECKPOINTS / place.file
                right[place] = path.is_file() and sha256(path.read_bytes()).hexdigest() == place.sha256
            if not right[place]:
                result.checkpoint = None


def _asked_for(folder: Path, settings: Settings, config: dict[str, Any], code: str) -> Path:
    if settings.resume == "never":
        raise SettingError(f"resume=never and run={settings.run} exclude each other; leave one out")
    if not (folder / "journal.jsonl").is_file():
        raise SettingError(
            f"run={settings.run}: there is no such run in {folder.parent}; its folders' names are the ids"
        )
    session = last_session(folder)
    if not session["settings"]:
        raise SettingError(f"run={settings.run}: its journal does not say how it was made; leave run=... out")
    differs = _differences(session, config, code, (*FREE, *GROWING))
    if differs:
        raise SettingError(
            f"run={settings.run} cannot be gone on with, as it was made with other settings: {differs}; "
            "give these again, or leave run=... out for a new run"
        )
    epochs = session["settings"]["training"]["epochs"]
    if settings.training.epochs < epochs:
        raise SettingError(
            f"training.epochs={settings.training.epochs} must be at least the {epochs} of run={settings.run}, "
            "whose networks have learnt so long; or leave run=... out for a new run"
        )
    return folder


def _cut_off(parent: Path, config: dict[str, Any], code: str) -> EarlierRun:
    """The youngest run that did not come to its end and is of the same settings and code."""
    said = ""
    for folder in sorted(parent.glob("*/journal.jsonl"), reverse=True):
        folder = folder.parent
        if _is_finished(folder) or not last_session(folder)["settings"]:  # which was cut off before it began
            continue
        differs = _differences(last_session(folder), config, code, FREE)
        if not differs:
            process = worker(folder)
            if process is None:
                return EarlierRun(folder)
            said = (
                said or f"run {folder.name} of these settings is being worked on by process {process}: this is another"
            )
        said = said or f"run {folder.name} was cut off, but is of other settings: {differs}"
    return EarlierRun(None, said)


def _is_finished(folder: Path) -> bool:
    last = last_event(folder / "journal.jsonl")
    return last["event"] == "end" and last["status"] == "FINISHED"


def _differences(session: Event, config: dict[str, Any], code: str, apart_from: tuple[str, ...]) -> str:
    """In words, which settings are others than in an earlier session, and whether the code is."""
    then, now = (dict(_flat(one)) for one in (session["settings"], masked(config)))
    then["code"], now["code"] = session["code"], code
    names = [
        name
        for name in dict.fromkeys([*then, *now])
        if then.get(name) != now.get(name) and not any(f"{name}.".startswith(f"{free}.") for free in apart_from)
    ]
    shown = [f"{name} was {then.get(name, 'not there')}, is {now.get(name, 'not there')}" for name in names[:5]]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _flat(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
