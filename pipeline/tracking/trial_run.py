"""What the journal says of one trial, as MLflow is to see it: means over folds and seeds, in one run."""

import math
from array import array
from collections.abc import Iterator, Mapping
from statistics import fmean, stdev
from typing import Any, NamedTuple

from pipeline.runs.network_record import continued, given_up
from pipeline.tracking.content import Point, RunContent, run_content

# parameters whose logarithms are told as metrics, too: MLflow's charts have linear axes only
LOGARITHMS = {"optimizer.learning_rate": "log10_learning_rate", "regularizer.strength": "log10_strength"}


class NetworkCurves:
    """What is known of one of the trial's networks so far, in as few bytes as it is.

    curves   by metric, a value per epoch
    times    of each epoch, in milliseconds since 1970
    """

    def __init__(self) -> None:
        self.curves: dict[str, array[float]] = {}
        self.times: array[int] = array("q")
        self.diverged: tuple[int, str] | None = None
        self.stopped: tuple[int, str] | None = None
        self.epoch = 0

    def add(self, report: dict[str, Any], start: int, time_ms: int) -> None:
        """Add the report of one slice that began at the epoch `start`."""
        for name, values in report["curves"].items():
            self.curves[name] = continued(self.curves.get(name), start, values)
        n_epochs = max(map(len, self.curves.values()), default=0)
        self.times = self.times[:start] + array("q", [time_ms]) * (n_epochs - start)
        self.diverged, self.stopped, self.epoch = report["diverged"], report["stopped"], report["selected_epoch"]

    def copied(self) -> "NetworkCurves":
        """The same history, for a network that takes it over."""
        other = NetworkCurves()
        other.curves, other.times, other.epoch = dict(self.curves), self.times, self.epoch
        return other

    def final(self, name: str) -> tuple[float, int]:
        """The metric in the epoch whose weights answer; of a network that diverged, the last."""
        values = self.curves[name]
        return values[(self.epoch or 0) - 1], self.times[(self.epoch or len(values)) - 1]


class TrialRun:
    """What is known of one trial so far.

    description   its label and its parameters
    rung          the last one that asked for it
    pruned        (epoch, cause) if the search or the budget let it go
    run_id        of what was written of it last
    """

    def __init__(self, key: str, started: int) -> None:
        self.key = key
        self.description: dict[str, Any] = {}
        self.started = self.ended = started
        self.networks: dict[str, NetworkCurves] = {}
        self.addresses: dict[str, str] = {}
        self.finished = False
        self.rung = 0
        self.pruned: tuple[int, str] | None = None
        self.run_id = ""

    def add(self, key: str, report: dict[str, Any], start: int, time_ms: int) -> None:
        """Add one slice's report of one of its networks."""
        self.networks[key].add(report, start, time_ms)
        self.ended = time_ms

    @property
    def epochs(self) -> int:
        """Of all its networks together."""
        return sum(len(network.curves.get("train/loss", ())) for network in self.networks.values())

    @property
    def identity(self) -> tuple[str, ...]:
        """Equal for runs of the same trial with the same networks."""
        return self.key, *self.addresses.values()

    @property
    def ending(self) -> tuple[str, str]:
        """How it ended in a word, and in which epoch and why; of several networks, the first such."""
        if reason := self._first("diverged"):
            word = given_up(reason.partition(": ")[2])
            return word, f"{word} in {reason}"
        if not self.finished:
            return "killed", ""
        if reason := self._first("stopped"):
            return "stopped", f"stopped after {reason}"
        if self.pruned:
            return "pruned", f"pruned after epoch {self.pruned[0]}: {self.pruned[1]}"
        return "finished", ""

    def _first(self, word: str) -> str:
        """The epoch and the cause for the first of the networks that ended so."""
        for key, network in self.networks.items():
            if ended := getattr(network, word):
                _, fold, seed = key.split("/")
                one = f" of fold {fold}, seed {seed}" if len(self.networks) > 1 else ""
                return f"epoch {ended[0]}{one}: {ended[1]}"
        return ""

    @property
    def status(self) -> str:
        """MLflow's word for how it ended."""
        return {"diverged": "FAILED", "failed": "FAILED", "killed": "KILLED"}.get(self.ending[0], "FINISHED")

    def content(self, tags: Mapping[str, str], n_points: int) -> RunContent:
        """The nested run, with curves of at most so many points."""
        return run_content(
            self.description["label"],
            {**tags, **self.tags()},
            self.description["parameters"],
            self.metrics(n_points),
            self.status,
            self.started,
            self.ended,
        )

    @property
    def metric_names(self) -> list[str]:
        """The metrics that all its networks have."""
        networks = list(self.networks.values())
        return [name for name in networks[0].curves if all(name in network.curves for network in networks)]

    def score(self, metric: str) -> float:
        """The mean of a validation metric's final values."""
        return fmean(network.final(f"validation/{metric}")[0] for network in self.networks.values())

    def tags(self) -> dict[str, str]:
        """What to filter and group by."""
        word, reason = self.ending
        parameters = self.description["parameters"]
        axes = {axis: str(parameters[axis]) for axis in ("optimizer", "regularizer", "reduce") if axis in parameters}
        if "reduce" in axes:
            axes["reduction"] = axes.pop("reduce")
        own = {"kind": "trial", "trial_key": self.key, "status": word, "rung": str(self.rung)}
        if len(self.networks) > 1:
            own["networks"] = str(len(self.networks))
        return own | axes | ({"stop_reason": reason} if reason else {})

    def metrics(self, n_points: int) -> list[Point]:
        """The means over the networks: curves by epoch, and under names of their own the values of the final weights.

        An epoch counts as long as all networks have it. With several "<name>_std" is the final values' sample
        standard deviation, and "network/<name>" the value of each, with its number as the step.
        """
        networks, names = list(self.networks.values()), self.metric_names
        values = ((told, self.description["parameters"].get(name)) for name, told in LOGARITHMS.items())
        logarithms = [
            Point(told, math.log10(value), self.ended, 0)
            for told, value in values
            if isinstance(value, int | float) and value > 0
        ]
        return [
            *curve_points(networks, names, n_points),
            *final_points(networks, names),
            *(logarithms if names else ()),
        ]


def curve_points(networks: list[NetworkCurves], names: list[str], n_points: int) -> Iterator[Point]:
    """Means over the networks by epoch."""
    for name in names:
        for at in thinned(min(len(network.curves[name]) for network in networks), n_points):
            value = fmean(network.curves[name][at] for network in networks)
            yield Point(name, value, max(network.times[at] for network in networks), at + 1)


def final_points(networks: list[NetworkCurves], names: list[str]) -> Iterator[Point]:
    """Means, deviations and each network's own of the values of the final weights."""
    for name in names:
        values, times = zip(*(network.final(name) for network in networks), strict=True)
        plain, time = name.replace("/", "_"), max(times)
        yield Point(plain, fmean(values), time, 0)
        if len(values) > 1:
            yield Point(f"{plain}_std", stdev(values), time, 0)
            yield from (Point(f"network/{plain}", value, time, at) for at, value in enumerate(values))


def reduction(settings: Mapping[str, Any]) -> str:
    """The reduction of all trials that have none of their own: pca, autoencoder, keep."""
    return str(settings["reduce"]["_target_"]).rpartition(".")[2].lower()


def thinned(n_epochs: int, n_points: int) -> list[int]:
    """Which epochs (from 0) a curve shows if it may have so many points: the first, the last, and evenly between."""
    if n_epochs <= n_points:
        return list(range(n_epochs))
    if n_points < 2:
        return [n_epochs - 1] * n_points
    return [round(at * (n_epochs - 1) / (n_points - 1)) for at in range(n_points)]


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
        elif happened["event"] == "finished":
            for key in happened["trials"]:
                self.runs[key].finished = True
                self.runs[key].pruned = happened.get("pruned", {}).get(key)

    def _asked_for(self, rung: dict[str, Any]) -> None:
        for key, description in rung["trials"].items():
            self.runs.setdefault(key, TrialRun(key, rung["time"])).description = description
        histories = {address: curves.copied() for address, curves in self._curves.items()}
        for key, (address, origin) in rung["networks"].items():
            trial = self.runs[key.partition("/")[0]]
            trial.finished, trial.pruned, trial.rung = False, None, rung["number"]
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
