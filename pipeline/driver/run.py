"""The order of work: load, split, prepare, reduce, sweep, select, evaluate, publish.

With several networks per trial the champion is the trial with the best mean over them. Its first network, that of the
first fold and seed, is the model.
"""

import time
from errno import ENOSPC
from typing import Any

from pipeline.components.errors import SettingError
from pipeline.config.schema import Configuration
from pipeline.config.variants import Variants
from pipeline.console.leaderboard import write_leaderboard
from pipeline.console.output import Output
from pipeline.console.progress import SweepProgress
from pipeline.driver.data_pipeline import DataPipeline, RunContext, data_pipeline, sweep_code
from pipeline.driver.finalize import Finalizer
from pipeline.driver.networks import sweep_engine
from pipeline.engine.loop import Engine
from pipeline.engine.ranking import Ranking, ranked
from pipeline.engine.records import SweepRecords
from pipeline.engine.slices.checkpoints import CheckpointStore
from pipeline.engine.slices.trainer import RungTrainer, SweepContext
from pipeline.reports.drawer import Drawer
from pipeline.runs.folder import RunFolder
from pipeline.runs.network_record import replicates
from pipeline.runs.resume import known_networks, next_stack, sweep_seconds
from pipeline.runs.summary import best_summary, sweep_summary, work_summary


def run(configuration: Configuration, output: Output, began: float) -> dict[str, Any]:
    """Do all the work of one run; returns its summary, which also stands in summary.json."""
    settings = configuration.settings
    try:
        record = RunFolder(*configuration, sweep_code(configuration.plain), began)
        try:
            with record.ending(), settings.report.drawer(record.folder) as drawer:
                with settings.execution.start() as executor, record.failing():
                    _Work(RunContext(settings, executor, record, output, Variants(configuration)), drawer).all()
                _finish_report(drawer, record, output)
        finally:
            record.close(output.say)
    except OSError as error:
        if error.errno != ENOSPC:
            raise
        raise SettingError(
            f"runs={settings.runs}: its disk must have room, but is full; make some and give the same command again: "
            "what is finished is kept"
        ) from None
    output.end(record.summary, settings.tracking.view_command(settings.runs.absolute()))
    return record.summary


class _Work:
    """One run's way through the stages."""

    def __init__(self, context: RunContext, drawer: Drawer) -> None:
        self.context, self.drawer = context, drawer
        self.settings, self.record, self.output = context.settings, context.record, context.output

    def all(self) -> None:
        """Every stage in its order."""
        self._begin()
        before = data_pipeline(self.context)
        self.context.variants.check(before.task)
        engine = self._engine(before)
        self._sweep(engine)
        ranking = self._select(engine, before)
        self._finish(Finalizer(self.context, before, engine, self.trainer), ranking)

    def _begin(self) -> None:
        self.output.begin(self.record.folder)
        for stage, options in self.settings.stages.items():
            try:
                self.context.executor.check(options)
            except ValueError as error:
                raise SettingError(f"stages.{stage}.{error}") from None
        if self.record.said:
            self.output.say(self.record.said)
        if self.record.earlier:
            self.output.say(f"run {self.record.folder.name} goes on")
        self.context.show("startup")
        self.drawer.load()  # not before: Ray's start needs both cores

    def _engine(self, before: DataPipeline) -> Engine:
        settings, training, record = self.settings, self.settings.training, self.record
        known = known_networks(record.folder, record.earlier)
        results = SweepRecords(replicates(before.n_folds, training.seed, training.seeds), settings.select.metric, known)
        seconds = settings.budget.seconds
        sweep_context = SweepContext(
            executor=self.context.executor,
            options=settings.stages["sweep"],
            packing=settings.stacks,
            task=before.task,
            epochs=training.epochs,
            loss_limit=training.loss_limit,
            deadline=None if seconds is None else time.monotonic() + seconds - sweep_seconds(record.earlier),
            say=self.output.say,
        )
        checkpoints = CheckpointStore(record.folder, results, next_stack(record.earlier))
        self.trainer = RungTrainer(sweep_context, checkpoints, results, record.journal)
        return sweep_engine(self.context, before, results, self.trainer)

    def _sweep(self, engine: Engine) -> None:
        """Train everything."""
        began, results, executor = time.monotonic(), engine.records, self.context.executor
        cpu_before = time.process_time()

        def now() -> SweepProgress:
            return SweepProgress(
                results, time.monotonic() - began, executor.workers + executor.gpus.n, self.trainer.busy
            )

        try:
            engine.run(lambda: self.output.sweeping(now()))
        finally:
            self.output.swept(now())
            seconds = self.record.time("sweep")
            self.record.summary |= sweep_summary(results, self.trainer, seconds)
            driver = {"driver_cpu_s": round(time.process_time() - cpu_before, 3)}
            self.record.summary["work"] |= work_summary(results, self.trainer) | driver

    def _select(self, engine: Engine, before: DataPipeline) -> Ranking:
        """The order of the trials; the leaderboard is shown and written."""
        self.record.summary["work"]["cached_stages"] = before.n_cached
        everything = list(engine.records.trials.values())
        ranking = ranked(engine.records, self.settings.select, engine.overlap, engine.n_parameters)
        write_leaderboard(self.record.folder / "leaderboard.csv", ranking, everything)
        self.drawer.go_on()
        if ranking is None:
            self._complete_report()
            _finish_report(self.drawer, self.record, self.output)
            n_diverged = sum(trial.diverged for trial in everything)
            if n_diverged < len(everything):
                raise SettingError(
                    f"budget.seconds={self.settings.budget.seconds}: no trial has an answer, as {n_diverged} of "
                    f"{len(everything)} diverged and the others had no time to learn; allow more"
                )
            raise SettingError(
                f"training.loss_limit={self.settings.training.loss_limit:g}: all {len(everything)} trials diverged "
                "(leaderboard.csv says in which epoch); choose smaller learning rates"
            )
        self.output.leaderboard(ranking, len(everything))
        self.record.time("select")
        return ranking

    def _finish(self, final: Finalizer, ranking: Ranking) -> None:
        """Judge the champion and the ensemble by the test rows, once, and publish one of them."""
        champion, record = ranking.champion, self.record
        ensemble = final.ensemble(ranking) if self.settings.select.ensemble else None
        best = record.summary["best"] = best_summary(ranking, final.tests(champion))
        record.summary["ensemble"] = ensemble and ensemble.summary
        record.time("evaluate")
        as_ensemble = ensemble is not None and self.settings.select.publish == "ensemble"
        model = ensemble.model if ensemble and as_ensemble else final.model(champion.networks[0])
        record.summary["model"] |= final.publish(model)
        validation = {name: value["mean"] for name, value in best["validation"].items()}
        if best["networks"] > 1:
            validation |= {f"{name}_std": value["std"] for name, value in best["validation"].items()}
        together = ensemble.summary["test"] if ensemble else {}
        test = best["test"] | {f"ensemble_{name}": value for name, value in together.items()}
        self.trainer.checkpoints.close(self.settings.stacks.keep_gigabytes)
        record.journal.append("champion", label=champion.trial.label, validation=validation, test=test)
        final.diagnose(champion)
        record.time("publish")
        self._complete_report()
        self.output.champion(record.summary, record.folder)

    def _complete_report(self) -> None:
        self.record.write_summary()
        self.drawer.go_on()


def _finish_report(drawer: Drawer, record: RunFolder, output: Output) -> None:
    """Wait for the report; the run does not fail with it."""
    try:
        path = drawer.finish()
    except RuntimeError as error:
        output.say(f"warning: there is no report ({error}); nnsweep report run={record.folder.name} tries again")
        return
    if path:
        record.journal.append("report", file=path.name)
    record.time("report")
