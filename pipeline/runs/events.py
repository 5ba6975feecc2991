"""What the events of a journal hold. A journal may come from anywhere: what it says is checked before it is used."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

LARGEST = 2**53
Count = Annotated[int, Strict(), Field(ge=0, lt=LARGEST)]
Flag = Annotated[bool, Strict()]
Number = Annotated[float, Strict()]
Key = Annotated[str, Field(pattern=r"^\d{4,15}/\d{1,15}/\d{1,15}$")]  # of a network; a trial's is its first part
TrialKey = Annotated[str, Field(pattern=r"^\d{4,15}$")]
File = Annotated[str, Field(pattern=r"^(\d{5,15}-\d{1,15})?$")]  # below the run's states, and nowhere else
Ended = tuple[Count, str] | None  # (epoch, cause)


@dataclass
class RunEvent:
    """A session begins."""

    run_id: str
    version: str
    code: str
    command: str
    settings: dict[str, Any]
    tracking: dict[str, Any] | None


@dataclass
class TrialDescription:
    """A trial for people, and its flat parameters."""

    label: str
    parameters: dict[str, Any]


@dataclass
class RungEvent:
    """The search has asked for trials; of their networks the address, and that of which they take over, or None."""

    number: Count
    trials: dict[TrialKey, TrialDescription]
    until: dict[TrialKey, Count]
    networks: dict[Key, tuple[str, str | None]]


@dataclass(config=ConfigDict(extra="forbid"))
class SliceReport:
    """See nncore.stack.training.Report."""

    curves: dict[str, list[Number]]
    diverged: Ended
    stopped: Ended
    selected_epoch: Count
    fingerprint: str


@dataclass
class SliceEvent:
    """A slice has come to its end."""

    stack: Count
    start: Count
    until: Count
    last: Flag
    started: Count
    file: File
    sha256: str
    held: list[Key]
    networks: dict[Key, SliceReport]


@dataclass
class FinishedEvent:
    """Trials have ended."""

    trials: list[TrialKey]
    pruned: dict[TrialKey, tuple[Count, str]]


@dataclass
class ChampionEvent:
    """The search has come to its end."""

    label: str
    validation: dict[str, Number | None]
    test: dict[str, Number | None]


@dataclass
class DataEvent:
    """The data were read."""

    card: dict[str, Any]


@dataclass
class StageEvent:
    """A stage has come to its end."""

    stage: str
    seconds: Number


@dataclass
class ReportEvent:
    """There is a report, beside the journal."""

    file: Annotated[str, Field(pattern=r"^[\w-]+\.html$")]


@dataclass
class EndEvent:
    """The session has come to its end."""

    status: str


KINDS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(kind)
    for name, kind in {
        "run": RunEvent,
        "data": DataEvent,
        "stage": StageEvent,
        "rung": RungEvent,
        "slice": SliceEvent,
        "finished": FinishedEvent,
        "champion": ChampionEvent,
        "report": ReportEvent,
        "end": EndEvent,
    }.items()
}


def check(happened: Any) -> None:
    """Raise ValueError if this is no event of a journal, with what is wrong."""
    time = happened.get("time") if isinstance(happened, dict) else None
    if type(time) is not int or not 0 <= time < LARGEST:
        raise ValueError("it is no event")
    kind = KINDS.get(str(happened.get("event")))
    if kind is None:
        raise ValueError(f"there are no events {happened.get('event')!r:.40}")
    try:
        kind.validate_python(happened)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
