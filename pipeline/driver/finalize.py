"""After the sweep: champion, bag and ensemble become models, are scored on the test rows, and one is published."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.backends.base import Future
from pipeline.components.errors import type_and_message
from pipeline.console.columns import best_columns, screening_note, write_importance
from pipeline.driver.assessor import TrialAssessor
from pipeline.driver.context import RunContext
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.driver.networks import NetworkBuilder
from pipeline.driver.published import FinishedModel, PublishedModel, RefittedModel
from pipeline.driver.refit import Refitted, refit
from pipeline.engine.loop import Engine
from pipeline.engine.publication import Kind, publication
from pipeline.engine.ranking import Ranking
from pipeline.engine.slices.task import NetworkSelector
from pipeline.engine.slices.trainer import RungTrainer
from pipeline.runs.records import NetworkRecord, TrialRecord
from pipeline.stages.calibrate import Adjustment, adjusted, fit_to_answers
from pipeline.stages.columns import describe_columns
from pipeline.stages.diagnose import diagnose
from pipeline.stages.ensemble import Candidate, build_ensemble
from pipeline.stages.evaluate import assemble, evaluate, evaluate_intervals
from pipeline.stages.mistakes import mistakes
from pipeline.stages.publication import ModelComparison, compare_with_ensemble
from pipeline.stages.publish import example_rows, onnx_file, publish
from pipeline.stages.split import Grouped, TimeSplit

MAX_CANDIDATES = 60  # from which an ensemble is selected: those of the best trials


class Finalizer:
    """The last stages of a run. Only here are the test rows read, for the champion, its bag and the ensemble alone.

    Parameters
    ----------
    context : RunContext
    data : DataPipeline
    engine : Engine
    trainer : RungTrainer
    builder : NetworkBuilder
        Of the networks of the sweep.
    assessor : TrialAssessor
        Has assessed the trials.

    Attributes
    ----------
    metrics : TrainingMetrics
    """

    def __init__(
        self,
        context: RunContext,
        data: DataPipeline,
        engine: Engine,
        trainer: RungTrainer,
        builder: NetworkBuilder,
        assessor: TrialAssessor,
    ) -> None:
        self._context, self._data, self._engine, self._trainer = context, data, engine, trainer
        self._builder, self._assessor, self.metrics = builder, assessor, builder.metrics
        self._models: dict[str, Future] = {}  # by key of the network

    def model(self, network: NetworkRecord) -> Future:
        """Return the model of one network, from raw row to prediction; it is assembled once."""
        if network.key not in self._models:
            stack, key = self._trainer.checkpoints.selected_weights(network.key)
            trained = self._engine.networks[network.key]
            self._models[network.key] = self._context.submit(
                assemble, trained.fold.data, trained.architecture, NetworkSelector(key), stack
            )
        return self._models[network.key]

    def models(self, ranking: Ranking) -> PublishedModel:
        """Make models of the champion, its bag and an ensemble, decide which is published, and test all of them.

        The decision is made, and everything is fitted, before the test rows are read.
        """
        champion, select = ranking.champion, self._context.settings.select
        comparison = self._compared(champion)
        members = self._members(champion, comparison.ensemble)
        networks = {kind: self._networks(counts) for kind, counts in members.items()}
        networks["champion"] = {champion.networks[0].key: 1}
        others = [counts.keys() for kind, counts in members.items() if kind != "ensemble"]
        is_new = comparison.ensemble.keys() not in others or select.publish == "ensemble"
        decided = publication(
            select.publish,
            select.simplest,
            {kind: len(counts) for kind, counts in networks.items() if kind != "ensemble" or is_new},
            comparison.scores,
            self.metrics.ranking,
        )
        refitted = self._refitted(networks[decided.kind]) if select.refit else None
        models = {kind: self._finished(networks[kind], self._adjustment(kind, members[kind])) for kind in networks}
        anew = None
        if refitted:
            reason = "the errors are those of networks that were not trained on all rows, as the model was"
            adjustment = self._adjustment(decided.kind, members[decided.kind], reason)
            counts = {refitted.keys[key]: count for key, count in networks[decided.kind].items()}
            model = self._finished(counts, adjustment)
            scores = self._network_scores([self._engine.records.networks[key] for key in counts], adjustment)
            anew = RefittedModel(model, refitted, dict(zip(counts, scores, strict=True)) if scores else None)
        return PublishedModel(decided, models, comparison, anew)

    def _compared(self, champion: TrialRecord) -> ModelComparison:
        """Select an ensemble, and compare it with the champion and its bag by their out-of-fold answers."""
        variants, suggested, assessed = self._context.variants, self._engine.records.suggested, self._assessor.trials
        losses = [variants.of(suggested[trial.key]).network.loss for trial in assessed]
        position = assessed.index(champion)
        averaged = [other for other, loss in enumerate(losses) if loss == losses[position]]  # can be averaged with it
        first = self._engine.networks[champion.networks[0].key]
        arguments = (first.fold.data, first.architecture, self._data.task, self.metrics.selected)
        select = self._context.settings.select
        compared = self._context.submit(
            compare_with_ensemble,
            self._assessor.answers,
            *arguments,
            select,
            position,
            averaged,
            MAX_CANDIDATES,
        )
        comparison: ModelComparison = self._context.executor.fetch(compared)
        return comparison

    def _members(self, champion: TrialRecord, ensemble: dict[Candidate, int]) -> dict[Kind, dict[Candidate, int]]:
        """What each kind of model is the mean of. There is a bag if the champion has several networks."""
        position = self._assessor.trials.index(champion)
        members: dict[Kind, dict[Candidate, int]] = {"champion": {Candidate(position, 0): 1}}
        if len(champion.networks) > 1:
            n_seeds = len({network.replicate.seed for network in champion.networks})
            members["bag"] = {Candidate(position, seed): 1 for seed in range(n_seeds)}
        if ensemble:
            members["ensemble"] = ensemble
        return members

    def _refitted(self, counts: Mapping[str, int]) -> Refitted | None:
        """Train the networks of the published model anew on all development rows; a failure is a warning."""
        self._context.say(f"refit: {len(counts)} networks are trained anew on all development rows")
        try:
            return refit(self._context, self._data, self._engine, self._trainer, self._builder, [*counts])
        except ArithmeticError as error:
            self._context.say(f"warning: select.refit=true: {error}; the model that was selected is published")
            return None

    def test_scores(self, champion: TrialRecord, finished: FinishedModel) -> list[dict[str, float]]:
        """Return the scores of each of the champion's networks on the test rows; the first is the finished model.

        They are empty if there are no test rows.
        """
        own = [] if finished.test is None else [finished.test]
        return own + self._network_scores(champion.networks[1:], finished.adjustment)

    def _network_scores(self, networks: Sequence[NetworkRecord], adjustment: Adjustment) -> list[dict[str, float]]:
        """The scores of networks on the test rows, if there are any, each alone as a model with this adjustment."""
        if not self._data.n_test:
            return []
        scores = [self._test(self._context.submit(adjusted, self.model(network), adjustment)) for network in networks]
        return [self._context.executor.fetch(score) for score in scores]

    def _networks(self, counts: Mapping[Candidate, int]) -> dict[str, int]:
        """By key, how often each network is in the mean of candidates."""
        networks: dict[str, int] = {}
        for candidate, count in counts.items():
            trial = self._assessor.trials[candidate.trial]
            seed = sorted({network.replicate.seed for network in trial.networks})[candidate.seed]
            networks |= {network.key: count for network in trial.networks if network.replicate.seed == seed}
        return networks

    def _mean_model(self, counts: Mapping[str, int]) -> Future:
        """The model of one network, or the mean of several."""
        models = [self.model(self._engine.records.networks[key]) for key in counts]
        return models[0] if len(models) == 1 else self._context.submit(build_ensemble, [*counts.values()], *models)

    def _finished(self, counts: dict[str, int], adjustment: Adjustment) -> FinishedModel:
        model = self._context.submit(adjusted, self._mean_model(counts), adjustment)
        if not self._data.n_test:
            return FinishedModel(counts, model, adjustment, None, None)
        test = self._context.executor.fetch(self._test(model))
        intervals = self._context.executor.fetch(
            self._context.submit(evaluate_intervals, model, self._data.test, self._data.task)
        )
        return FinishedModel(counts, model, adjustment, test, intervals)

    def _adjustment(self, kind: Kind, counts: Mapping[Candidate, int], *more: str) -> Adjustment:
        """Fit what the settings ask for to the out-of-fold rows, as these candidates predict them."""
        settings, n_trials, several = self._context.settings, len(self._engine.records.trials), self._data.n_folds > 1
        networks = [self._engine.records.networks[key] for key in self._networks(counts)]
        reasons = [*more]
        if any(0 < network.selected_epoch < len(network.curves["train/loss"]) for network in networks):
            reasons.append("the epoch was chosen by the same rows")
        if kind == "ensemble":
            reasons.append("its networks were chosen by the same rows")
        if n_trials > 1:
            reasons.append(f"the best of {n_trials} trials was chosen by the same rows")
        if several and kind == "champion":
            reasons.append("the errors are those of the networks of all folds, of which the first is the model")
        elif several:
            reasons.append("the errors are those of the networks of one fold at a time, and the model is their mean")
        if isinstance(settings.split, TimeSplit):
            reasons.append("later rows may differ from the validation rows")
        if isinstance(settings.split, Grouped):
            reasons.append("rows of one group are alike")
        position = next(iter(counts)).trial
        first = self._engine.networks[self._assessor.trials[position].networks[0].key]
        arguments = (first.fold.data, first.architecture, self._data.development, settings.select, reasons, counts)
        adjustment: Adjustment = self._context.executor.fetch(
            self._context.submit(fit_to_answers, self._assessor.answers, *arguments)
        )
        return adjustment

    def diagnose(self, published: PublishedModel) -> None:
        """Write what the report shows of the published model into the run's folder.

        Which columns matter is measured on the validation rows of the first fold, with those of its networks that were
        not trained on these rows. Where the model is wrong is measured on the test rows, if there are any.
        """
        data, networks, model = self._data, self._engine.records.networks, published.chosen
        compared = published.compared.counts
        unseen = {key: count for key, count in compared.items() if networks[key].replicate.fold == 0}
        unbiased = self._context.submit(adjusted, self._mean_model(unseen), model.adjustment)
        columns = self._context.submit(
            describe_columns, unbiased, data.development, 0, data.task, self.metrics.selected
        )
        parts = {"columns": columns}
        if data.n_test:
            parts["mistakes"] = self._context.submit(mistakes, model.model, data.test)
        view = self._engine.networks[next(iter(model.counts))].fold.data
        diagnosis = self._context.executor.fetch(self._context.submit(diagnose, model.model, view, data.test))
        diagnosis["calibration"] = model.adjustment.reliability
        for name, part in parts.items():
            diagnosis |= self._optional(name, part)
        run_folder = self._context.run_folder
        (run_folder.folder / "diagnosis.json").write_text(json.dumps(diagnosis), encoding="utf-8")
        if "columns" in diagnosis:
            write_importance(run_folder.folder / "importance.csv", diagnosis["columns"]["importance"])
            run_folder.summary["importance"] = best_columns(diagnosis["columns"])
            if note := screening_note(diagnosis["columns"]):
                self._context.say(f"note: {note}")

    def _optional(self, name: str, part: Future) -> dict[str, Any]:
        """A part of the diagnosis by its name; a failure is a warning."""
        try:
            return {name: self._context.executor.fetch(part)}
        except Exception as error:
            self._context.say(f"warning: the diagnosis has no {name} ({type_and_message(error)})")
            return {}

    def publish(self, model: Future) -> dict[str, str | None]:
        """Write the model into the run's folder; return the paths of its folder and of its ONNX file."""
        fetch, folder = self._context.executor.fetch, self._context.run_folder.folder
        example = fetch(self._context.submit(example_rows, self._data.development))
        return {"path": str(publish(fetch(model), example, folder)), "onnx": self._write_onnx(model)}

    def _write_onnx(self, model: Future) -> str | None:
        """Write the model as an ONNX file if the settings ask for it; a failure is a warning."""
        path = self._context.run_folder.folder / "model.onnx"
        path.unlink(missing_ok=True)  # of an earlier session of the run
        if not self._context.settings.onnx:
            return None
        try:
            path.write_bytes(
                self._context.executor.fetch(self._context.submit(onnx_file, model, self._data.development))
            )
        except Exception as error:
            self._context.output.say(f"warning: there is no model.onnx ({' '.join(str(error).split())})")
            return None
        return str(path)

    def _test(self, model: Future) -> Future:
        return self._context.submit(evaluate, model, self._data.test, self._data.task)
