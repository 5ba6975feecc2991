"""The order of work: load, split, prepare, reduce, sweep, select, evaluate, publish."""

import time
from typing import Any, NamedTuple

from rich.console import Console

from pipeline.artefacts import Facts, facts
from pipeline.errors import SettingError
from pipeline.execution.base import Executor, Handle
from pipeline.record import Record
from pipeline.reports.end import print_champion, print_tracked
from pipeline.reports.leaderboard import print_leaderboard, write_leaderboard
from pipeline.reports.progress import sweep_progress
from pipeline.reports.summary import best_summary, plan_summary, sweep_summary
from pipeline.settings.run_settings import Settings, StageName
from pipeline.stages.evaluate import assemble, evaluate
from pipeline.stages.publish import example_rows, publish
from pipeline.sweep.loop import Sweep, run_sweep
from pipeline.sweep.planner import plan
from pipeline.sweep.results import Result, Results
from pipeline.sweep.space import Trial


class Upstream(NamedTuple):
    """What the stages before the sweep have made, by reference, and its sizes."""

    development: Handle
    test: Handle
    view: Handle
    facts: Facts


def run(settings: Settings, config: dict[str, Any], config_text: str, console: Console, began: float) -> dict[str, Any]:
    """Do all the work of one run; returns its summary, which also stands in summary.json."""
    record = Record(settings, config, config_text, began)
    try:
        with record.ending(), settings.execution.start() as executor, record.ending():
            _Work(settings, executor, record, console).all()
            print_champion(console, record.summary, record.folder)
    finally:
        record.close(lambda text: console.print(text, soft_wrap=True))
    print_tracked(console, record.summary, settings.tracking.view_command(settings.runs.absolute()))
    return record.summary


def _arrived(_: Any) -> None:
    """A task that can only run once its argument is there; the driver does not get to see it."""


class _Work:
    """One run's way through the stages."""

    def __init__(self, settings: Settings, executor: Executor, record: Record, console: Console) -> None:
        self.settings = settings
        self.executor = executor
        self.record = record
        self.console = console

    def all(self) -> None:
        """Every stage in its order."""
        for stage, options in self.settings.stages.items():
            try:
                self.executor.check(options)
            except ValueError as error:
                raise SettingError(f"stages.{stage}.{error}") from None
        self._show("startup")
        upstream = self._upstream()
        trials = self.settings.trials()
        training = self.settings.training
        results = Results(trials, training.seed, training.epochs, self.settings.select.metric)
        sweep = self._planned(upstream, trials)
        stacks = self._sweep(sweep, results)
        champion = self._select(results)
        self._finish(upstream, sweep, stacks, champion)

    def _upstream(self) -> Upstream:
        """The stages before the sweep; data pass between them by reference."""
        settings, submit, options = self.settings, self.executor.submit, self.settings.stages
        (dataset,) = submit(settings.data, options=options["load"])
        development, test = submit(settings.split, dataset, options=options["split"], returns=2)
        (prepared,) = submit(settings.prepare, development, options=options["prepare"])
        (view,) = submit(settings.reduce, prepared, options=options["reduce"])
        made: dict[StageName, Handle] = {"load": dataset, "split": development, "prepare": prepared, "reduce": view}
        for stage, handle in made.items():
            self._wait_for(stage, handle)
        (sizes,) = submit(facts, view, options=options["reduce"])
        found: Facts = self.executor.fetch(sizes)
        self._say(
            f"{found.n_train} training and {found.n_validation} validation rows, "
            f"{settings.data.n_columns} columns, {found.n_inputs} after reduction"
        )
        return Upstream(development, test, view, found)

    def _planned(self, upstream: Upstream, trials: list[Trial]) -> Sweep:
        settings, sizes = self.settings, upstream.facts
        training, shape = settings.training, settings.shape(sizes)
        workers = self.executor.workers
        networks = settings.networks(trials)
        planned = plan(networks, shape, training.epochs, sizes.n_train, workers, settings.stacks)
        described = {trial.key: {"label": trial.label, "parameters": trial.parameters} for trial in trials}
        self.record.journal.append("plan", trials=described, epochs=training.epochs)
        self.record.summary["work"] |= plan_summary(planned)
        self._say(
            f"{len(trials)} trials x {training.epochs} epochs, stacks: {len(planned.stacks)} "
            f"of up to {len(planned.stacks[0])} networks, workers: {workers}"
        )
        return Sweep(planned, shape, upstream.view, settings.data.task, training.loss_limit, settings.stages["sweep"])

    def _sweep(self, sweep: Sweep, results: Results) -> dict[int, Handle]:
        """Train everything; handles of the finished stacks."""
        began = time.monotonic()
        progress = sweep_progress(self.console)
        try:
            return run_sweep(self.executor, sweep, results, self.record.journal, lambda: progress.show(results, began))
        finally:
            progress.close()
            seconds = self.record.time("sweep")
            self.record.summary |= sweep_summary(results, seconds, sweep.plan.steps_per_epoch)
            self.record.summary["work"]["slices"] = results.n_slices

    def _select(self, results: Results) -> Result:
        """The champion; the leaderboard is shown and written."""
        ranking, everything = results.ranking(), list(results.by_key.values())
        write_leaderboard(self.record.folder / "leaderboard.csv", ranking, everything)
        if not ranking:
            raise SettingError(
                f"training.loss_limit={self.settings.training.loss_limit:g}: all {len(everything)} trials diverged "
                "(leaderboard.csv says in which epoch); choose smaller learning rates"
            )
        print_leaderboard(self.console, ranking, len(everything))
        self.record.time("select")
        return ranking[0]

    def _finish(self, upstream: Upstream, sweep: Sweep, stacks: dict[int, Handle], champion: Result) -> None:
        """Judge the champion by the test rows, once, and publish it."""
        submit, fetch, options = self.executor.submit, self.executor.fetch, self.settings.stages["evaluate"]
        key = champion.trial.key
        members = [{network.key for network in networks} for networks in sweep.plan.stacks]
        stack = next(stacks[number] for number, keys in enumerate(members) if key in keys)
        (model,) = submit(assemble, upstream.view, sweep.shape, stack, key, options=options)
        (scores,) = submit(evaluate, model, upstream.test, options=options)
        (example,) = submit(example_rows, upstream.development, options=options)
        best = best_summary(champion, fetch(scores))
        self.record.summary["best"] = best
        self.record.time("evaluate")
        path = publish(fetch(model), fetch(example), self.record.folder)
        self.record.summary["model"]["path"] = str(path)
        validation = {name: value["mean"] for name, value in best["validation"].items()}
        self.record.journal.append("champion", label=champion.trial.label, validation=validation, test=best["test"])
        self.record.time("publish")

    def _wait_for(self, stage: StageName, handle: Handle) -> None:
        """Wait until a stage's result is there, or raise what it raised; note and show how long it took."""
        (arrived,) = self.executor.submit(_arrived, handle, options=self.settings.stages[stage])
        self.executor.fetch(arrived)
        self.record.journal.append("stage", stage=stage, seconds=self._show(stage))

    def _show(self, stage: str) -> float:
        seconds = self.record.time(stage)
        self._say(f"{stage:<8} {seconds:5.1f} s")
        return seconds

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)
