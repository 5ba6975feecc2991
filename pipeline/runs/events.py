"""The events of a journal: what each holds. A journal may come from anywhere, so each event is checked when it is read.

Every event also has these fields:

- `event`: its kind, a key of `EVENTS`
- `time`: when it was written, in milliseconds since 1970; clocks may be set back, so that nothing is ordered by it
- `session`: the number of the session that wrote it, from 1
- `line`: its number in the journal, from 1, which increases from event to event
- `crc32`: at the end of the line, a checksum of all before it

What is written is checked by the same rules, so that the two cannot drift apart.
"""

from dataclasses import field
from typing import Annotated, Any

from pydantic import ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

FORMAT = 3  # of the journal; raise it when what is here changes so that old journals cannot be read

Event = dict[str, Any]

LARGEST = 2**53
Count = Annotated[int, Strict(), Field(ge=0, lt=LARGEST)]
Flag = Annotated[bool, Strict()]
Number = Annotated[float, Strict()]
NetworkKey = Annotated[str, Field(pattern=r"^\d{4,15}/\d{1,15}/\d{1,15}$")]
TrialKey = Annotated[str, Field(pattern=r"^\d{4,15}$")]
File = Annotated[str, Field(pattern=r"^(\d{5,15}-\d{1,15})?$")]  # in the run's folder of checkpoints, nowhere else
EpochAndCause = tuple[Count, str]

CLOSED = ConfigDict(extra="forbid")
COMMON = ("event", "time", "session", "line")  # fields of every event


@dataclass(config=CLOSED)
class RunEvent:
    """A session of the run begins. A resumed run has several.

    Parameters
    ----------
    format : int
        Of the journal.
    run_id : str
        The name of the run's folder.
    version : str
        Of nnsweep.
    code : str
        Hash of the code that computes the results.
    command : str
        What was typed, without passwords.
    settings : dict
        The whole configuration, without passwords.
    tracking : dict or None
        Where the run is tracked, without passwords.
    """

    format: Count
    run_id: str
    version: str
    code: str
    command: str
    settings: dict[str, Any]
    tracking: dict[str, Any] | None


@dataclass(config=CLOSED)
class DataEvent:
    """The data were read.

    Parameters
    ----------
    card : dict
        The data card: columns, targets, rows and the data's hash.
    content : str or None
        Hash of what the source read, such as a file; None if it is not known without reading it.
    """

    card: dict[str, Any]
    content: str | None


@dataclass(config=CLOSED)
class MetricEvent:
    """The metric by which the trials are ranked is known; in a journal without this event the settings name it.

    Parameters
    ----------
    name : str
        The trials' curve is "validation/<name>".
    label : str
        For people.
    greater_is_better : bool
    unit : str
        "target", "share" or "".
    """

    name: str
    label: str
    greater_is_better: Flag
    unit: str


@dataclass(config=CLOSED)
class StageEvent:
    """A stage is finished.

    Parameters
    ----------
    stage : str
        Its name.
    seconds : float
        How long it took.
    """

    stage: str
    seconds: Number


@dataclass(config=CLOSED)
class TrialDescription:
    """What a trial is.

    Parameters
    ----------
    labels : (str, str, str)
        For people: its optimizer, its regularizer, and the other settings that are swept.
    parameters : dict
        The same as flat settings with dotted names.
    """

    labels: tuple[str, str, str]
    parameters: dict[str, Any]


@dataclass(config=CLOSED)
class RungEvent:
    """The search has asked for trials to be trained, for the first time or further.

    Parameters
    ----------
    number : int
        Of the rung, from 1.
    trials : dict
        By key, what each trial is.
    until : dict of str to int
        By trial, the epoch to which it is to be trained.
    networks : dict of str to (str, str or None)
        By key, each network's content hash, and that of the network whose state it takes over.
    """

    number: Count
    trials: dict[TrialKey, TrialDescription]
    until: dict[TrialKey, Count]
    networks: dict[NetworkKey, tuple[str, str | None]]


@dataclass(config=CLOSED)
class RefitEvent:
    """Networks are to be trained anew on all development rows, to be published.

    Parameters
    ----------
    networks : dict of str to str
        By key, whose fold is the one after the last, their content hashes.
    until : dict of str to int
        By the same keys, the epoch to which each is to be trained.
    """

    networks: dict[NetworkKey, str]
    until: dict[NetworkKey, Count]


@dataclass(config=CLOSED)
class SliceReport:
    """What a slice reports of one network; see `nncore.stack.training.Report`.

    Parameters
    ----------
    content_hash : str
        Of the network, as the rung or the refit that asked for it says.
    curves : dict of str to list of float
        By metric, the value after each epoch of the slice.
    diverged : (int, str) or None
        Epoch and cause.
    stopped : (int, str) or None
        Epoch and cause, if early stopping ended the training.
    selected_epoch : int
        The epoch whose weights are the network's result so far.
    fingerprint : str
        SHA-256 of these weights.
    scores : dict of str to float
        By metric, what these weights score by the metrics that have no curves.
    """

    content_hash: str
    curves: dict[str, list[Number]]
    diverged: EpochAndCause | None
    stopped: EpochAndCause | None
    selected_epoch: Count
    fingerprint: str
    scores: dict[str, Number] = field(default_factory=dict)


@dataclass(config=CLOSED)
class SliceEvent:
    """A slice of a stack is finished: its networks were trained for the epochs start + 1 to until.

    Parameters
    ----------
    stack : int
        Number of the stack.
    start, until : int
        The epoch before the first one, and the last one.
    gpu : bool
        Whether it was trained on a GPU.
    last : bool
        Whether `until` is the last epoch of a network that is not pruned.
    started : int
        When the task was sent, in milliseconds since 1970.
    worker : str
        Host and process that trained it.
    file : str
        The checkpoint of the stack, in the run's folder of checkpoints.
    sha256 : str
        Of the file's content.
    held : dict of str to str
        By key, the content hashes of further networks whose state or selected weights are in the file.
    networks : dict
        By key, what it reports of each network.
    """

    stack: Count
    start: Count
    until: Count
    gpu: Flag
    last: Flag
    started: Count
    worker: str
    file: File
    sha256: str
    held: dict[NetworkKey, str]
    networks: dict[NetworkKey, SliceReport]


@dataclass(config=CLOSED)
class FinishedEvent:
    """Trials are finished.

    Parameters
    ----------
    trials : list of str
        Their keys.
    pruned : dict of str to (int, str)
        By key, those of their networks that the search or the budget pruned: epoch and cause.
    """

    trials: list[TrialKey]
    pruned: dict[NetworkKey, EpochAndCause]


@dataclass(config=CLOSED)
class ClockEvent:
    """The budget of seconds has ended the sweep.

    Parameters
    ----------
    rung : int
        The number of the rung that was not trained to its end, or the last one that was.
    seconds : float
        The budget.
    """

    rung: Count
    seconds: Number


@dataclass(config=CLOSED)
class ChampionEvent:
    """The best trial is selected and evaluated on the test rows.

    Parameters
    ----------
    label : str
        The trial, for people.
    validation : dict of str to float or None
        By metric, its mean over the trial's networks, and "<metric>_std".
    test : dict of str to float or None
        By metric, the value of the published model, and "champion_<metric>", "bag_<metric>" and "ensemble_<metric>" of
        the others that could be published.
    """

    label: str
    validation: dict[str, Number | None]
    test: dict[str, Number | None]


@dataclass(config=CLOSED)
class ReportEvent:
    """The report is written.

    Parameters
    ----------
    file : str
        Its name in the run's folder.
    """

    file: Annotated[str, Field(pattern=r"^[\w-]+\.html$")]


@dataclass(config=CLOSED)
class EndEvent:
    """The session is over.

    Parameters
    ----------
    status : str
        FINISHED, FAILED, or KILLED by Ctrl-C or a signal.
    """

    status: str


EVENTS: dict[str, type] = {
    "run": RunEvent,
    "data": DataEvent,
    "metric": MetricEvent,
    "stage": StageEvent,
    "rung": RungEvent,
    "refit": RefitEvent,
    "slice": SliceEvent,
    "finished": FinishedEvent,
    "clock": ClockEvent,
    "champion": ChampionEvent,
    "report": ReportEvent,
    "end": EndEvent,
}
ADAPTERS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(kind) for name, kind in EVENTS.items()}


class OtherFormatError(ValueError):
    """The journal was written by another version of nnsweep."""


def check(event: Any) -> Event:
    """Return the event unchanged if a journal may hold it.

    Raises
    ------
    OtherFormatError
        If it begins a session of a journal of another format.
    ValueError
        Naming the field and what is wrong with it.
    """
    common = [event.get(name) for name in COMMON[1:]] if isinstance(event, dict) else [None]
    if any(type(number) is not int or not 0 <= number < LARGEST for number in common):
        raise ValueError("it is not an event")
    adapter = ADAPTERS.get(str(event.get("event")))
    if adapter is None:
        raise ValueError(f"there are no events {event.get('event')!r:.40}")
    content = {name: value for name, value in event.items() if name not in COMMON}
    if event["event"] == "run" and content.get("format") != FORMAT:
        raise OtherFormatError("its journal was written by another version of nnsweep")
    try:
        adapter.validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return event
