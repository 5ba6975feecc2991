"""The order of work: load, split, prepare, reduce, sweep, select, evaluate, publish.

With several folds the champion is the trial with the best mean over them. The model that is judged by the test rows
and published is the trial's network of the first fold.
"""

import time
from typing import Any

from rich.console import Console

from pipeline.errors import SettingError
from pipeline.execution.base import Handle
from pipeline.record import Record
from pipeline.reports.end import print_champion, print_tracked
from pipeline.reports.leaderboard import print_leaderboard, write_leaderboard
from pipeline.reports.progress import sweep_progress
from pipeline.reports.summary import best_summary, plan_summary, sweep_summary
from pipeline.settings.run_settings import Settings
from pipeline.stages.evaluate import assemble, evaluate
from pipeline.stages.publish import example_rows, publish
from pipeline.sweep.loop import Sweep, run_sweep
from pipeline.sweep.planner import FoldWork, plan
from pipeline.sweep.results import MODEL_FOLD, Results, TrialResult
from pipeline.sweep.space import Trial
from pipeline.upstream import Means, Upstream, upstream


def run(settings: Settings, config: dict[str, Any], config_text: str, console: Console, began: float) -> dict[str, Any]:
    """Do all the work of one run; returns its summary, which also stands in summary.json."""
    record = Record(settings, config, config_text, began)
    try:
        with record.ending(), settings.execution.start() as executor, record.ending():
            _Work(Means(settings, executor, record, console)).all()
            print_champion(console, record.summary, record.folder)
    finally:
        record.close(lambda text: console.print(text, soft_wrap=True))
    print_tracked(console, record.summary, settings.tracking.view_command(settings.runs.absolute()))
    return record.summary


class _Work:
    """One run's way through the stages."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self.settings, self.executor, self.record, self.console = means

    def all(self) -> None:
        """Every stage in its order."""
        for stage, options in self.settings.stages.items():
            try:
                self.executor.check(options)
            except ValueError as error:
                raise SettingError(f"stages.{stage}.{error}") from None
        self.means.show("startup")
        before = upstream(self.means)
        trials, training = self.settings.trials(), self.settings.training
        results = Results(trials, len(before.views), training.seed, training.epochs, self.settings.select.metric)
        sweep = self._planned(before, trials)
        stacks = self._sweep(sweep, results)
        champion = self._select(results)
        self._finish(before, sweep, stacks, champion)

    def _planned(self, before: Upstream, trials: list[Trial]) -> Sweep:
        settings, n_folds, epochs = self.settings, len(before.views), self.settings.training.epochs
        shapes = tuple(settings.shape(sizes, before.task) for sizes in before.facts)
        work = [
            FoldWork(settings.networks(trials, fold, n_folds), shape, sizes.n_train)
            for fold, (shape, sizes) in enumerate(zip(shapes, before.facts, strict=True))
        ]
        planned = plan(work, epochs, self.executor.workers, settings.stacks)
        described = {trial.key: {"label": trial.label, "parameters": trial.parameters} for trial in trials}
        self.record.journal.append("plan", trials=described, folds=n_folds, epochs=epochs)
        self.record.summary["work"] |= plan_summary(planned)
        self.means.say(
            f"{len(trials)} trials x {f'{n_folds} folds x ' if n_folds > 1 else ''}{epochs} epochs, "
            f"stacks: {len(planned.stacks)} of up to {self.record.summary['work']['widest_stack']} networks, "
            f"workers: {self.executor.workers}"
        )
        limit = settings.training.loss_limit
        return Sweep(planned, shapes, before.views, before.task, limit, settings.stages["sweep"])

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

    def _select(self, results: Results) -> TrialResult:
        """The champion; the leaderboard is shown and written."""
        ranking, everything = results.ranking(), results.trials
        write_leaderboard(self.record.folder / "leaderboard.csv", ranking, everything)
        if not ranking:
            raise SettingError(
                f"training.loss_limit={self.settings.training.loss_limit:g}: all {len(everything)} trials diverged "
                "(leaderboard.csv says in which epoch); choose smaller learning rates"
            )
        print_leaderboard(self.console, ranking, len(everything))
        self.record.time("select")
        return ranking[0]

    def _finish(self, before: Upstream, sweep: Sweep, stacks: dict[int, Handle], champion: TrialResult) -> None:
        """Judge the champion by the test rows, once, and publish it."""
        submit, fetch, options = self.executor.submit, self.executor.fetch, self.settings.stages["evaluate"]
        key = champion.networks[MODEL_FOLD].key
        stack = stacks[sweep.plan.stack_of(key)]
        view, shape = before.views[MODEL_FOLD], sweep.shapes[MODEL_FOLD]
        (model,) = submit(assemble, view, shape, stack, key, options=options)
        (scores,) = submit(evaluate, model, before.test, before.task, options=options)
        (example,) = submit(example_rows, before.development, options=options)
        best = best_summary(champion, fetch(scores))
        self.record.summary["best"] = best
        self.record.time("evaluate")
        path = publish(fetch(model), fetch(example), self.record.folder)
        self.record.summary["model"]["path"] = str(path)
        validation = {name: value["mean"] for name, value in best["validation"].items()}
        if len(champion.networks) > 1:
            validation |= {f"{name}_std": value["std"] for name, value in best["validation"].items()}
        self.record.journal.append("champion", label=champion.trial.label, validation=validation, test=best["test"])
        self.record.time("publish")
