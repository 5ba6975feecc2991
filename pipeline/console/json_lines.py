"""Output for programs: each line on standard output is a JSON object with an "event"."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from pipeline.components.types import DataCard
from pipeline.console.leaderboard import shown_scores
from pipeline.console.progress import Pace, SweepProgress
from pipeline.engine.ranking import Ranking


class JsonOutput:
    """See Output."""

    def __init__(self, file: TextIO, pace: Pace) -> None:
        self._file, self._pace = file, pace

    def begin(self, folder: Path) -> None:
        """See Output."""
        self._write("run", run_id=folder.name, folder=str(folder))

    def say(self, text: str) -> None:
        """See Output."""
        is_warning = text.startswith("warning:")
        self._write("warning" if is_warning else "note", text=text.removeprefix("warning:").strip())

    def stage(self, name: str, seconds: float) -> None:
        """See Output."""
        self._write("stage", name=name, seconds=round(seconds, 3))

    def data(self, card: DataCard) -> None:
        """See Output."""
        self._write("data", **card)

    def plan(self, figures: dict[str, Any], lines: list[str]) -> None:
        """See Output."""
        self._write("plan", **figures)

    def sweeping(self, progress: SweepProgress) -> None:
        """See Output."""
        if self._pace.due():
            self._progress(progress)

    def swept(self, progress: SweepProgress) -> None:
        """See Output."""
        self._progress(progress)

    def leaderboard(self, ranking: Ranking, n_trials: int, baselines: dict[str, Any], headline: Sequence[str]) -> None:
        """See Output."""
        names, trials = shown_scores(ranking, headline), []
        for rank, (trial, estimates) in enumerate(zip(ranking.trials[:10], ranking.estimates, strict=False), start=1):
            known = {name: estimates.get(f"validation/{name}") for name in names}
            scores = {name: estimate.value for name, estimate in known.items() if estimate}
            content = {"rank": rank, "trial": trial.key, "parameters": trial.parameters}
            trials.append(content | {"scores": scores, "mean": trial.mean})
        self._write("leaderboard", trials=trials, baselines=baselines)

    def champion(self, summary: dict[str, Any], folder: Path) -> None:
        """See Output; the summary contains it."""

    def end(self, summary: dict[str, Any], view_command: str | None) -> None:
        """See Output."""
        self._write("summary", **summary)

    def _progress(self, progress: SweepProgress) -> None:
        results, best = progress.results, progress.results.best
        self._write(
            "progress",
            seconds=round(progress.seconds, 3),
            seconds_left=None if progress.seconds_left is None else round(progress.seconds_left, 3),
            trials=len(results.trials),
            trials_finished=results.n_finished,
            network_epochs=results.epochs_trained,
            network_epochs_per_s=round(progress.rate, 1),
            rungs=[{"until": rung.until, "networks": rung.networks, "network_epochs": rung.epochs,
                    "network_epochs_left": rung.epochs_left} for rung in results.rungs],
            workers=progress.workers,
            workers_busy=progress.busy,
            metric=results.metric,
            best=best and {"trial": best.key, "parameters": best.parameters, "mean": best.mean},
        )  # fmt: skip

    def _write(self, event: str, **content: Any) -> None:
        self._file.write(json.dumps({"event": event, **content}) + "\n")
        self._file.flush()
