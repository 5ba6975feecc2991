"""The order of work of a run: load, split, prepare, reduce, sweep, select, evaluate, publish.

With several networks per trial the champion is the trial with the best mean over them. The published model is its first
network, that of the first fold and the first seed, the bag of all its networks, or an ensemble of networks of several
trials; see `pipeline.engine.publication`.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from math import ceil, isnan
from pathlib import Path
from shutil import disk_usage
from tempfile import gettempdir
from typing import Any

from nncore.kernels.compiled import is_disabled
from pipeline.backends.base import Executor, Future, TaskOptions
from pipeline.components.errors import MEMORY_CURES, SettingError, type_and_message
from pipeline.components.scores import headline
from pipeline.config.schema import Configuration, Settings, StageName
from pipeline.config.variants import Variants
from pipeline.console.leaderboard import write_leaderboard
from pipeline.console.output import Output
from pipeline.console.progress import SweepProgress
from pipeline.driver.assessor import TrialAssessor
from pipeline.driver.baselines import BaselineRuns
from pipeline.driver.context import RunContext, run_request, say_preset
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.driver.finalize import Finalizer
from pipeline.driver.networks import NetworkBuilder, network_factory, sweep_records
from pipeline.driver.summary import (
    best_summary,
    conclusions,
    costly_message,
    effects_summary,
    ended_message,
    repeated_message,
    sweep_summary,
    uncompared_message,
    work_summary,
)
from pipeline.engine.loop import Engine
from pipeline.engine.ranking import Ranking, ranked
from pipeline.engine.slices.checkpoints import CheckpointStore
from pipeline.engine.slices.trainer import RungTrainer, SweepContext
from pipeline.runs.folder import RunFolder
from pipeline.runs.records import TrialRecord
from pipeline.runs.resume import known_networks

LEAST_SECONDS, TIMES_THE_SECONDS = 30, 5  # what is advised, where a budget of seconds was too small for any trial
FINAL_SECONDS, FINAL_SHARE = 5.0, 0.2  # of a budget of seconds, that are kept for what follows the sweep


def run(configuration: Configuration, output: Output, began: float) -> dict[str, Any]:
    """Do all the work of one run, from the data to the published model.

    Parameters
    ----------
    configuration : Configuration
    output : Output
    began : float
        When the command was given, on the monotonic clock.

    Returns
    -------
    dict
        The run's summary, which is also written to summary.json.

    Raises
    ------
    SettingError
        If the settings do not fit the data or the machine, or if no trial can be ranked.
    """
    settings = configuration.settings
    with _disk_errors_reported(settings.runs):
        request = run_request(configuration)
        warning = settings.tracking.check(settings.runs.absolute())
        run_folder = RunFolder(request, configuration.text, began, settings.tracking)
        try:
            with run_folder.ending(), ThreadPoolExecutor(1) as thread:
                with settings.execution.start() as executor, run_folder.failing():
                    context = RunContext(settings, executor, run_folder, output, Variants(configuration))
                    _run_stages(context, configuration, warning)
                    report = thread.submit(settings.report.write, run_folder.folder)  # while the executor stops
                _report_written(report.result, run_folder, output)
        finally:
            run_folder.close(output.say)
        if run_folder.summary["model"]["uri"]:  # the address of the model, which the report did not know yet
            _path_of_report(lambda: settings.report.write(run_folder.folder), run_folder, output)
    output.end(run_folder.summary, settings.tracking.view_command(settings.runs.absolute()))
    return run_folder.summary


def _run_stages(context: RunContext, configuration: Configuration, warning: str) -> None:
    """All stages in their order; the warning is of the tracking store."""
    run_folder, output = context.run_folder, context.output
    output.begin(run_folder.folder)
    _check_stages(context.settings.stages, context.executor)
    if warning:
        output.say(f"warning: {warning}")
    if is_disabled():
        output.say("NUMBA_DISABLE_JIT is set: NumPy computes all formulas, which takes longer")
    if run_folder.message:
        output.say(run_folder.message)
    if run_folder.resumed:
        output.say(f"run {run_folder.folder.name} is resumed")
    output.stage("startup", run_folder.time("startup"))
    say_preset(configuration, output)
    run_folder.summary["preset"] = context.settings.preset
    data = DataPipeline(context.settings, context.executor, context)
    context.settings.report.load()  # while the workers load the data, this process would only wait
    data.load_and_split()
    context.variants.check(data.task)
    metrics = context.variants.metrics(data.task, len(data.card["targets"]), data.n_outputs)
    metric = run_folder.summary["metric"] = metrics.ranking._asdict()
    run_folder.summary["headline"] = headline(data.task, data.card["targets"], metrics.ranking.name)
    run_folder.journal.append("metric", **metric)
    baselines = BaselineRuns(context, data)
    builder = NetworkBuilder(context.variants, data.task, context.settings.training.loss_limit, metrics)
    trainer, engine = _sweep_engine(context, data, builder)
    _sweep(context, engine, trainer)
    run_folder.summary["work"]["cached_stages"] = data.n_cached
    run_folder.summary["baselines"] = baselines.validated() or None
    run_folder.time("baselines")
    assessor = TrialAssessor(context, data, engine, trainer, metrics)
    ranking = _select(context, engine, assessor)
    finalizer = Finalizer(context, data, engine, trainer, builder, assessor)
    model = _evaluate_and_publish(context, finalizer, trainer, ranking, data.n_test)
    baselines.tested(run_folder.summary["baselines"] or {}, model, metrics.selected)
    run_folder.summary |= conclusions(
        context.settings, data.card, data.n_folds, engine.records, ranking, run_folder.summary
    )
    run_folder.write_summary()
    output.champion(run_folder.summary, run_folder.folder)


def _check_stages(stages: Mapping[StageName, TaskOptions], executor: Executor) -> None:
    """Check the resources that the stages ask for, now that the hosts are known."""
    for stage, options in stages.items():
        try:
            executor.check(options)
        except ValueError as error:
            raise SettingError(f"stages.{stage}.{error}") from None


def _sweep_engine(context: RunContext, data: DataPipeline, builder: NetworkBuilder) -> tuple[RungTrainer, Engine]:
    """The engine of the sweep and its trainer, which know what earlier sessions of the run have trained."""
    settings, training, run_folder = context.settings, context.settings.training, context.run_folder
    metrics = builder.metrics
    known = known_networks(run_folder.folder, run_folder.history)
    records = sweep_records(training, data, metrics, known)
    clock = run_folder.history.clock
    clock_rung = clock[0] if clock and clock[1] == settings.budget.seconds else None
    sweep_context = SweepContext(
        executor=context.executor,
        options=settings.stages["sweep"],
        packing=settings.stacks,
        metrics=metrics,
        epochs=training.epochs,
        loss_limit=training.loss_limit,
        deadline=None if clock_rung else _deadline(run_folder, settings.budget.seconds),
        say=context.output.say,
    )
    checkpoints = CheckpointStore(run_folder.folder, records, run_folder.history.next_stack)
    trainer = RungTrainer(sweep_context, checkpoints, records, run_folder.journal)
    engine = Engine(
        sampler=context.variants.sampler,
        budget=settings.budget,
        epochs=training.epochs,
        objectives=settings.select.objectives(metrics.ranking),
        records=records,
        trainer=trainer,
        journal=run_folder.journal,
        build_networks=network_factory(builder, data, records.replicates_of),
        applies=lambda trial: context.variants.applies(trial, data.task),
        clock_rung=clock_rung,
    )
    return trainer, engine


def _deadline(run_folder: RunFolder, seconds: float | None) -> float | None:
    """When the sweep has to end, on the monotonic clock, so that the run ends after so many seconds; None: never."""
    if seconds is None:
        return None
    left = seconds - run_folder.elapsed_seconds - run_folder.history.elapsed_seconds
    return time.monotonic() + left - min(FINAL_SECONDS, FINAL_SHARE * seconds)


def _sweep(context: RunContext, engine: Engine, trainer: RungTrainer) -> None:
    """Train all that the search asks for; the summary counts it, also after an interrupt."""
    records, executor, summary = engine.records, context.executor, context.run_folder.summary
    start, cpu_start = time.monotonic(), time.process_time()

    def progress() -> SweepProgress:
        seconds, n_workers = time.monotonic() - start, executor.workers + executor.gpus.n
        return SweepProgress(records, seconds, n_workers, trainer.busy)

    try:
        engine.run(lambda: context.output.sweeping(progress()))
    finally:
        context.output.swept(progress())
        summary |= sweep_summary(records, trainer, context.run_folder.time("sweep"))
        cpu_seconds = round(time.process_time() - cpu_start, 3)
        summary["work"] |= work_summary(records, trainer) | {"driver_cpu_s": cpu_seconds}
    summary["ended_by"] = engine.ended_by
    messages = (
        ended_message(engine.ended_by),
        repeated_message(context.variants.sampler),
        costly_message(engine.n_costly),
    )
    for message in filter(None, messages):
        context.output.say(message)


def _select(context: RunContext, engine: Engine, assessor: TrialAssessor) -> Ranking:
    """Rank the trials, show and write the leaderboard."""
    run_folder, trials = context.run_folder, list(engine.records.trials.values())
    path, metric = run_folder.folder / "leaderboard.csv", engine.records.ranking_metric
    best = engine.records.ranking()
    if best and isnan(best[0].mean[metric.curve]):
        raise SettingError(
            f"select.metric={metric.name}: it is not defined for the validation rows and predictions of any trial; "
            "choose another metric, or other rows with split=..."
        )
    if not best:
        write_leaderboard(path, None, trials)
        run_folder.write_summary()
        _report_written(lambda: context.settings.report.write(run_folder.folder), run_folder, context.output)
        raise _no_result(context.settings, trials, run_folder.elapsed_seconds + run_folder.history.elapsed_seconds)
    ranking = ranked(engine.records, context.settings.select, assessor.assess(best), engine.n_parameters)
    write_leaderboard(path, ranking, trials, run_folder.summary["headline"])
    baselines = run_folder.summary["baselines"] or {}
    context.output.leaderboard(ranking, len(trials), baselines, run_folder.summary["headline"])
    effects = run_folder.summary["effects"] = effects_summary(ranking)
    uncompared = uncompared_message(context.variants.sampler, engine.ended_by, effects)
    run_folder.summary["effects_missing"] = uncompared
    if uncompared:
        context.output.say(uncompared)
    run_folder.time("select")
    return ranking


def _no_result(settings: Settings, trials: Sequence[TrialRecord], seconds: float) -> SettingError:
    """Why no trial can be ranked, after so many seconds, and what to do about it."""
    n_diverged, failed = sum(trial.diverged for trial in trials), [trial.reason for trial in trials if trial.failed]
    if failed:
        return SettingError(
            f"no trial has a result: of {len(trials)} trials {len(failed)} failed, the first of them {failed[0]}; "
            f"where memory is the reason, {MEMORY_CURES}"
        )
    limit = settings.budget.seconds
    if limit is not None and n_diverged < len(trials):
        others = f"{n_diverged} of {len(trials)} diverged and the others" if n_diverged else f"all {len(trials)}"
        enough = 10 * ceil(max(LEAST_SECONDS, 2 * limit, TIMES_THE_SECONDS * seconds) / 10)
        return SettingError(
            f"budget.seconds={limit:g}: no trial has a result, as {others} ran out of time, which counts from the "
            f"command on, with start, reading and preparation; give budget.seconds={enough}, or budget.seconds=null "
            "for no limit"
        )
    return SettingError(
        f"training.loss_limit={settings.training.loss_limit:g}: all {len(trials)} trials diverged "
        "(leaderboard.csv says in which epoch); choose smaller learning rates"
    )


def _evaluate_and_publish(
    context: RunContext, finalizer: Finalizer, trainer: RungTrainer, ranking: Ranking, n_test: int
) -> Future:
    """Score the champion, its bag and the ensemble on the test rows, once; publish one of them, which is returned."""
    champion, run_folder = ranking.champion, context.run_folder
    published = finalizer.models(ranking)
    tests = finalizer.test_scores(champion, published.models["champion"])
    best = run_folder.summary["best"] = best_summary(ranking, tests)
    best["n_test_rows"] = n_test
    best["test_intervals"] = published.models["champion"].test_intervals
    run_folder.summary |= published.summary(finalizer.metrics.ranking)
    run_folder.time("evaluate")
    run_folder.summary["model"] |= finalizer.publish(published.chosen.model)
    validation = {name: value["mean"] for name, value in best["validation"].items()}
    if best["networks"] > 1:
        deviations = {f"{name}_std": value["std"] for name, value in best["validation"].items()}
        validation |= {name: std for name, std in deviations.items() if std is not None}
    test = dict(published.chosen.test or {})
    for kind, model in published.others.items():
        test |= {f"{kind}_{name}": value for name, value in (model.test or {}).items()}
    trainer.checkpoints.close(context.settings.stacks.keep_gigabytes)
    run_folder.journal.append("champion", label=champion.label, validation=validation, test=test)
    finalizer.diagnose(published)
    run_folder.time("publish")
    return published.chosen.model


def _report_written(path_of_report: Callable[[], Path | None], run_folder: RunFolder, output: Output) -> None:
    """Record the report, which the function returns."""
    if path := _path_of_report(path_of_report, run_folder, output):
        run_folder.journal.append("report", file=path.name)
    run_folder.time("report")


def _path_of_report(path_of_report: Callable[[], Path | None], run_folder: RunFolder, output: Output) -> Path | None:
    """What the function returns; a warning if it fails, since a run without a report is still a finished run."""
    try:
        return path_of_report()
    except Exception as error:
        again = f"nnsweep report run={run_folder.folder.name} tries again"
        output.say(f"warning: there is no report ({type_and_message(error)}); {again}")
        return None


@contextmanager
def _disk_errors_reported(runs: Path) -> Iterator[None]:
    """Turn the error of a full disk, or of a file below the folder of runs, into one that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            if error.filename and Path(os.fsdecode(error.filename)).is_relative_to(runs.absolute()):
                raise SettingError(
                    f"runs={runs}: {os.fsdecode(error.filename)} cannot be used ({error.strerror}); make it available, "
                    "choose another folder with runs=..., or start a new run with resume=never"
                ) from None
            raise
        temporary = Path(gettempdir())
        folders = {f"runs={runs}": runs.absolute(), f"TMPDIR={temporary}": temporary}
        if error.filename and not any(Path(error.filename).is_relative_to(folder) for folder in folders.values()):
            folders = {str(error.filename): Path(error.filename)}
        fullest = min(folders, key=lambda name: _free_bytes(folders[name]))
        raise SettingError(
            f"{fullest}: its disk must have free space, but is full; free some and give the same command again: "
            "finished work is kept"
        ) from None


def _free_bytes(path: Path) -> int:
    """Free bytes on the disk of a path that may not exist yet."""
    return disk_usage(next(parent for parent in (path, *path.parents) if parent.exists())).free
