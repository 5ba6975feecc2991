"""What the journal says of one trial, as MLflow is to see it: means over folds and seeds, in one run."""

from collections.abc import Iterator
from statistics import fmean, stdev
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A metric's value, when it was known in milliseconds since 1970, and the epoch it is of, or 0."""

    name: str
    value: float
    time: int
    step: int


class NetworkCurves:
    """What is known of one of the trial's networks so far: points (value, time) by metric and epoch."""

    def __init__(self) -> None:
        self.curves: dict[str, list[tuple[float, int]]] = {}
        self.diverged: tuple[int, str] | None = None
        self.stopped: tuple[int, str] | None = None
        self.epoch = 0

    def add(self, report: dict[str, Any], start: int, time_ms: int) -> None:
        """Add the report of one slice that began at the epoch `start`."""
        for name, values in report["curves"].items():
            before = self.curves.get(name, [])[:start]
            self.curves[name] = [*before, *((value, time_ms) for value in values)]
        self.diverged, self.stopped, self.epoch = report["diverged"], report["stopped"], report["epoch"]

    def copied(self) -> "NetworkCurves":
        """The same history, for a network that takes it over."""
        other = NetworkCurves()
        other.curves, other.epoch = dict(self.curves), self.epoch
        return other

    def final(self, name: str) -> tuple[float, int]:
        """The metric in the epoch whose weights answer; of a network that diverged, the last."""
        return self.curves[name][(self.epoch or 0) - 1]


class TrialRun:
    """What is known of one trial so far."""

    def __init__(self, key: str, started: int) -> None:
        self.key = key
        self.description: dict[str, Any] = {}
        self.started = self.ended = started
        self.networks: dict[str, NetworkCurves] = {}
        self.addresses: dict[str, str] = {}
        self.over = False
        self.run_id = ""  # of what was written of it last

    def add(self, key: str, report: dict[str, Any], start: int, time_ms: int) -> None:
        """Add one slice's report of one of its networks."""
        self.networks[key].add(report, start, time_ms)
        self.ended = time_ms

    @property
    def epochs(self) -> int:
        """Of all its networks together."""
        return sum(len(network.curves.get("train/loss", ())) for network in self.networks.values())

    @property
    def status(self) -> str:
        """MLflow's word for how it ended."""
        return "FAILED" if any(network.diverged for network in self.networks.values()) else "FINISHED"

    def tags(self) -> dict[str, str]:
        """What to filter and group by."""
        tags = {"kind": "trial", "trial_key": self.key}
        tags |= {axis: self.description["parameters"][axis] for axis in ("optimizer", "regularizer")}
        if len(self.networks) > 1:
            tags["networks"] = str(len(self.networks))
        if reason := self._stop_reason():
            tags["stop_reason"] = reason
        return tags

    def _stop_reason(self) -> str:
        """In which epoch it diverged or was stopped, and why; of several networks, the first such."""
        for said in ("diverged in", "stopped after"):
            for key, network in self.networks.items():
                left = network.diverged if said == "diverged in" else network.stopped
                if left:
                    _, fold, seed = key.split("/")
                    one = f"fold {fold}, seed {seed} " if len(self.networks) > 1 else ""
                    return f"{one}{said} epoch {left[0]}: {left[1]}"
        return ""

    def metrics(self) -> list[Point]:
        """The means over the networks: curves by epoch, and under names of their own the values of the final weights.

        An epoch counts as long as all networks have it. With several "<name>_std" is the final values' sample
        standard deviation.
        """
        networks = list(self.networks.values())
        names = [name for name in networks[0].curves if all(name in network.curves for network in networks)]
        return [*self._curves(networks, names), *self._finals(networks, names)]

    def _curves(self, networks: list[NetworkCurves], names: list[str]) -> Iterator[Point]:
        for name in names:
            epochs = zip(*(network.curves[name] for network in networks), strict=False)
            for epoch, points in enumerate(epochs, start=1):
                values, times = zip(*points, strict=True)
                yield Point(name, fmean(values), max(times), epoch)

    def _finals(self, networks: list[NetworkCurves], names: list[str]) -> Iterator[Point]:
        for name in names:
            values, times = zip(*(network.final(name) for network in networks), strict=True)
            plain, time = name.replace("/", "_"), max(times)
            yield Point(plain, fmean(values), time, 0)
            if len(values) > 1:
                yield Point(f"{plain}_std", stdev(values), time, 0)


class Trials:
    """What a run's journal says of its trials, told event by event.

    runs   by trial, in the order in which they were asked for
    """

    def __init__(self) -> None:
        self.runs: dict[str, TrialRun] = {}
        self._curves: dict[str, NetworkCurves] = {}  # by address

    def handle(self, happened: dict[str, Any]) -> None:
        """Take note of one event."""
        if happened["event"] == "rung":
            self._asked_for(happened)
        elif happened["event"] == "slice":
            for network, report in happened["networks"].items():
                self.runs[network.partition("/")[0]].add(network, report, happened["start"], happened["time"])
        elif happened["event"] == "over":
            for key in happened["trials"]:
                self.runs[key].over = True

    def _asked_for(self, rung: dict[str, Any]) -> None:
        for key, description in rung["trials"].items():
            self.runs.setdefault(key, TrialRun(key, rung["time"])).description = description
        histories = {address: curves.copied() for address, curves in self._curves.items()}
        for key, (address, origin) in rung["networks"].items():
            trial = self.runs[key.partition("/")[0]]
            trial.over = False
            if address not in self._curves:
                self._curves[address] = histories.get(origin) or NetworkCurves()
            trial.networks[key] = self._curves[address]
            trial.addresses[key] = address


class Written(NamedTuple):
    """A nested run that is there, the epochs of all its networks together, and how it ended."""

    run_id: str
    epochs: int
    status: str


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings with dotted names."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value)
