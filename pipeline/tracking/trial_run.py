"""What the journal says of one trial, as MLflow is to see it: means over the folds, in one run."""

from collections.abc import Iterator
from statistics import fmean, stdev
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A metric's value, when it was known in milliseconds since 1970, and the epoch it is of, or 0."""

    name: str
    value: float
    time: int
    step: int


class FoldCurves:
    """What is known of one of the trial's networks so far: points (value, time) by metric and epoch."""

    def __init__(self) -> None:
        self.curves: dict[str, list[tuple[float, int]]] = {}
        self.diverged: tuple[int, str] | None = None
        self.stopped: tuple[int, str] | None = None
        self.epoch = 0
        self.over = False

    def add(self, report: dict[str, Any], time_ms: int, last: bool) -> None:
        """Add one slice's report; `last` says that it reached the last epoch."""
        for name, values in report["curves"].items():
            self.curves.setdefault(name, []).extend((value, time_ms) for value in values)
        self.diverged, self.stopped, self.epoch = report["diverged"], report["stopped"], report["epoch"]
        self.over = bool(last or self.diverged or self.stopped)

    def final(self, name: str) -> tuple[float, int]:
        """The metric in the epoch whose weights answer; of a network that diverged, the last."""
        return self.curves[name][(self.epoch or 0) - 1]


class TrialRun:
    """What is known of one trial so far."""

    def __init__(self, key: str, description: dict[str, Any], n_folds: int, started: int) -> None:
        self.key = key
        self.description = description
        self.started = self.ended = started
        self._n_folds = n_folds
        self._folds: dict[int, FoldCurves] = {}

    def add(self, fold: int, report: dict[str, Any], time_ms: int, last: bool) -> None:
        """Add one slice's report of the network of a fold."""
        self._folds.setdefault(fold, FoldCurves()).add(report, time_ms, last)
        self.ended = time_ms

    @property
    def over(self) -> bool:
        """All folds have come to their end."""
        return len(self._folds) == self._n_folds and all(fold.over for fold in self._folds.values())

    @property
    def status(self) -> str:
        """MLflow's word for how it ended."""
        return "FAILED" if any(fold.diverged for fold in self._folds.values()) else "FINISHED"

    def tags(self) -> dict[str, str]:
        """What to filter and group by."""
        tags = {"kind": "trial", "trial_key": self.key}
        tags |= {axis: self.description["parameters"][axis] for axis in ("optimizer", "regularizer")}
        if self._n_folds > 1:
            tags["folds"] = str(self._n_folds)
        if reason := self._stop_reason():
            tags["stop_reason"] = reason
        return tags

    def _stop_reason(self) -> str:
        """In which epoch it diverged or was stopped, and why; with several folds, in the first such fold."""
        for said in ("diverged in", "stopped after"):
            for fold in sorted(self._folds):
                network = self._folds[fold]
                left = network.diverged if said == "diverged in" else network.stopped
                if left:
                    of_fold = f"fold {fold + 1} " if self._n_folds > 1 else ""
                    return f"{of_fold}{said} epoch {left[0]}: {left[1]}"
        return ""

    def metrics(self) -> list[Point]:
        """The means over the folds: curves by epoch, and under names of their own the values of the final weights.

        An epoch counts as long as all folds have it. With several folds "<name>_std" is the final values' sample
        standard deviation.
        """
        folds = [self._folds[fold] for fold in sorted(self._folds)]
        if len(folds) < self._n_folds:
            return []
        names = [name for name in folds[0].curves if all(name in fold.curves for fold in folds)]
        return [*self._curves(folds, names), *self._finals(folds, names)]

    def _curves(self, folds: list[FoldCurves], names: list[str]) -> Iterator[Point]:
        for name in names:
            epochs = zip(*(fold.curves[name] for fold in folds), strict=False)
            for epoch, points in enumerate(epochs, start=1):
                values, times = zip(*points, strict=True)
                yield Point(name, fmean(values), max(times), epoch)

    def _finals(self, folds: list[FoldCurves], names: list[str]) -> Iterator[Point]:
        for name in names:
            values, times = zip(*(fold.final(name) for fold in folds), strict=True)
            plain, time = name.replace("/", "_"), max(times)
            yield Point(plain, fmean(values), time, 0)
            if len(values) > 1:
                yield Point(f"{plain}_std", stdev(values), time, 0)
