"""After the sweep: champion, bag and ensemble become models, are scored on the test rows, and one is published."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Any, NamedTuple

from pipeline.backends.base import Future
from pipeline.components.errors import type_and_message
from pipeline.console.columns import best_columns, screening_note, write_importance
from pipeline.driver.context import RunContext
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.driver.networks import NetworkBuilder
from pipeline.driver.refit import Refitted, refit
from pipeline.driver.summary import means_and_deviations
from pipeline.engine.loop import Engine
from pipeline.engine.publication import Kind, Publication, publication
from pipeline.engine.ranking import Ranking
from pipeline.engine.slices.task import NetworkSelector
from pipeline.engine.slices.trainer import RungTrainer
from pipeline.engine.uncertainty.assessment import Assessment
from pipeline.runs.records import NetworkRecord, TrialRecord
from pipeline.search.base import SingleRungSampler
from pipeline.stages.answers import NetworkPlace, collect_answers, validation_predictions
from pipeline.stages.assess import Axis, assess
from pipeline.stages.calibrate import Adjustment, adjusted, fit_to_answers
from pipeline.stages.columns import describe_columns
from pipeline.stages.diagnose import diagnose
from pipeline.stages.ensemble import Candidate, build_ensemble
from pipeline.stages.evaluate import assemble, evaluate, evaluate_intervals
from pipeline.stages.mistakes import mistakes
from pipeline.stages.publication import compare_with_ensemble
from pipeline.stages.publish import example_rows, onnx_file, publish
from pipeline.stages.split import Grouped, TimeSplit

MAX_CANDIDATES = 60  # from which an ensemble is selected: those of the best trials
MAX_ANSWERS = 1 << 26  # numbers that all networks predict for the validation rows: 256 MB in float32


@dataclass(frozen=True)
class FinishedModel:
    """A model that can be published: by reference, with what was fitted to its predictions.

    Parameters
    ----------
    counts : dict of str to int
        By key, how often each network is in the mean; a single one is the model itself.
    model : Future of a Model or an Ensemble
    adjustment : Adjustment
    test, test_intervals : dict
        Its scores on the test rows, and their 95 % intervals.
    """

    counts: dict[str, int]
    model: Future
    adjustment: Adjustment
    test: dict[str, float]
    test_intervals: dict[str, list[float]]

    @property
    def summary(self) -> dict[str, Any]:
        """Its part of the summary."""
        scores = {"test": self.test, "test_intervals": self.test_intervals}
        return {"networks": self.counts, **scores, **self.adjustment.summary}


class PublishedModel(NamedTuple):
    """Which model is published, and why.

    Attributes
    ----------
    publication : Publication
    models : dict of str to FinishedModel
        By kind, those that were compared.
    refitted : FinishedModel or None
        The one of the published kind, trained anew on all development rows.
    summary : dict
        Their parts of the summary.
    """

    publication: Publication
    models: dict[Kind, FinishedModel]
    refitted: FinishedModel | None
    summary: dict[str, Any]

    @property
    def chosen(self) -> FinishedModel:
        """The model that is published."""
        return self.refitted or self.models[self.publication.kind]

    @property
    def others(self) -> dict[Kind, FinishedModel]:
        """The models that could have been published instead."""
        return {kind: model for kind, model in self.models.items() if kind != self.publication.kind}


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
    """

    def __init__(
        self, context: RunContext, data: DataPipeline, engine: Engine, trainer: RungTrainer, builder: NetworkBuilder
    ) -> None:
        self._context, self._data, self._engine, self._trainer = context, data, engine, trainer
        self._builder, self._metrics = builder, builder.metrics
        self._options = context.settings.stages["evaluate"]
        self._models: dict[str, Future] = {}  # by key of the network
        self._assessed: list[TrialRecord] = []  # the trials whose answers there are
        self._answers: Future

    def model(self, network: NetworkRecord) -> Future:
        """Return the model of one network, from raw row to prediction; it is assembled once."""
        if network.key not in self._models:
            stack, selector = self._selected_weights(network)
            trained = self._engine.networks[network.key]
            self._models[network.key] = self._submit(assemble, trained.fold.data, trained.architecture, selector, stack)
        return self._models[network.key]

    def n_test_rows(self) -> int:
        """Return the number of test rows."""
        return int(self._context.executor.fetch(self._submit(len, self._data.test)))

    def models(self, ranking: Ranking) -> PublishedModel:
        """Make models of the champion, its bag and an ensemble, decide which is published, and test all of them.

        The decision is made, and everything is fitted, before the test rows are read; see `assess`, which comes first.
        """
        champion, select = ranking.champion, self._context.settings.select
        position = self._assessed.index(champion)
        first = self._engine.networks[champion.networks[0].key]
        arguments = (first.fold.data, first.architecture, self._data.task, self._metrics.selected, select, position)
        compared = self._submit(
            compare_with_ensemble, self._answers, *arguments, self._averaged_with(champion), MAX_CANDIDATES
        )
        comparison = self._context.executor.fetch(compared)
        n_seeds = len({network.replicate.seed for network in champion.networks})
        alone = Candidate(position, 0)
        members: dict[Kind, dict[Candidate, int]] = {"champion": {alone: 1}}
        if len(champion.networks) > 1:
            members["bag"] = {Candidate(position, seed): 1 for seed in range(n_seeds)}
        is_asked_for = select.publish == "ensemble"
        is_asked_for |= comparison.ensemble.keys() not in [counts.keys() for counts in members.values()]
        if comparison.ensemble:
            members["ensemble"] = comparison.ensemble
        networks = {kind: self._networks(counts) for kind, counts in members.items()}
        networks["champion"] = {champion.networks[0].key: 1}
        published = publication(
            select.publish,
            select.simplest,
            {kind: len(counts) for kind, counts in networks.items() if kind != "ensemble" or is_asked_for},
            comparison.scores,
            self._metrics.ranking,
        )
        refitted = self._refitted(networks[published.kind]) if select.refit else None
        models = {kind: self._finished(networks[kind], self._adjustment(kind, members[kind])) for kind in networks}
        chosen, anew = models[published.kind], None
        if refitted:
            reason = "the errors are those of networks that were not trained on all rows, as the model was"
            adjustment = self._adjustment(published.kind, members[published.kind], reason)
            counts = {refitted.keys[key]: count for key, count in chosen.counts.items()}
            chosen = anew = self._finished(counts, adjustment)
        summary: dict[str, Any] = {kind: models[kind].summary for kind in ("bag", "ensemble") if kind in models}
        if "ensemble" in summary:
            summary["ensemble"]["validation"] = {"loss": comparison.loss}
        summary["published"] = {
            **published._asdict(),
            "reason": published.reason + (refitted.sentence if refitted else ""),
            "networks": chosen.counts,
            "metric": self._metrics.ranking.name,
            "scores": {
                kind: {name: value if isfinite(value) else None for name, value in comparison.scores[kind].items()}
                for kind in models
            },
            "test": chosen.test,
            "test_intervals": chosen.test_intervals,
            "refit": refitted
            and {
                "epochs": refitted.epochs,
                "test_before": models[published.kind].test,
                **self._refit_scores(chosen),
            },
        }
        return PublishedModel(published, models, anew, summary | chosen.adjustment.summary)

    def _refitted(self, counts: Mapping[str, int]) -> Refitted | None:
        """Train the networks of the published model anew on all development rows; a failure is a warning."""
        self._context.say(f"refit: {len(counts)} networks are trained anew on all development rows")
        try:
            return refit(self._context, self._data, self._engine, self._trainer, self._builder, [*counts])
        except ArithmeticError as error:
            self._context.say(f"warning: select.refit=true: {error}; the model that was selected is published")
            return None

    def test_scores(self, champion: TrialRecord, finished: FinishedModel) -> list[dict[str, float]]:
        """Return the scores of each of the champion's networks on the test rows; the first is the finished model."""
        return [finished.test, *self._network_scores(champion.networks[1:], finished.adjustment)]

    def _refit_scores(self, refitted: FinishedModel) -> dict[str, Any]:
        """The scores of each network of a refitted model on the test rows, and their means."""
        networks = [self._engine.records.networks[key] for key in refitted.counts]
        scores = self._network_scores(networks, refitted.adjustment)
        by_key = dict(zip(refitted.counts, scores, strict=True))
        return {"test_networks": means_and_deviations(scores), "test_by_network": by_key}

    def _network_scores(self, networks: Sequence[NetworkRecord], adjustment: Adjustment) -> list[dict[str, float]]:
        """The scores of networks on the test rows, each alone as a model with this adjustment."""
        scores = [self._test(self._submit(adjusted, self.model(network), adjustment)) for network in networks]
        return [self._context.executor.fetch(score) for score in scores]

    def _averaged_with(self, champion: TrialRecord) -> list[int]:
        """Positions of the trials whose predictions can be averaged with the champion's, best first."""
        variants, suggested = self._context.variants, self._engine.records.suggested
        losses = [variants.of(suggested[trial.key]).network.loss for trial in self._assessed]
        loss = losses[self._assessed.index(champion)]
        return [position for position, other in enumerate(losses) if other == loss]

    def _networks(self, counts: Mapping[Candidate, int]) -> dict[str, int]:
        """By key, how often each network is in the mean of candidates."""
        networks: dict[str, int] = {}
        for candidate, count in counts.items():
            trial = self._assessed[candidate.trial]
            seed = sorted({network.replicate.seed for network in trial.networks})[candidate.seed]
            networks |= {network.key: count for network in trial.networks if network.replicate.seed == seed}
        return networks

    def _mean_model(self, counts: Mapping[str, int]) -> Future:
        """The model of one network, or the mean of several."""
        models = [self.model(self._engine.records.networks[key]) for key in counts]
        return models[0] if len(models) == 1 else self._submit(build_ensemble, [*counts.values()], *models)

    def _finished(self, counts: dict[str, int], adjustment: Adjustment) -> FinishedModel:
        model = self._submit(adjusted, self._mean_model(counts), adjustment)
        test = self._context.executor.fetch(self._test(model))
        intervals = self._context.executor.fetch(
            self._submit(evaluate_intervals, model, self._data.test, self._data.task)
        )
        return FinishedModel(counts, model, adjustment, test, intervals)

    def assess(self, trials: Sequence[TrialRecord]) -> Assessment:
        """Say how good the trials are, from their answers for the rows that their networks were not trained on.

        Parameters
        ----------
        trials : sequence of TrialRecord
            Those that can be ranked, best first.
        """
        comparable = [trial for trial in trials if len(trial.networks) == len(trials[0].networks)]  # on the same rows
        best = [trial for trial in comparable if trial.completed] or comparable
        best = best if trials[0] in best else [trials[0], *best]
        shapes = [self._engine.networks[network.key].fold.view_shape for network in trials[0].networks]
        n_fitting = max(1, MAX_ANSWERS // sum(shape.n_validation * shape.n_outputs for shape in shapes))
        self._assessed, is_complete = best[:n_fitting], len(best) <= n_fitting
        self._answers = self._collected_answers()
        single = isinstance(self._context.variants.sampler, SingleRungSampler)
        axes = self._axes(self._assessed) if single else {}
        assessment: Assessment = self._context.executor.fetch(
            self._submit(assess, self._answers, self._data.task, self._metrics.selected, axes, is_complete)
        )
        return assessment

    def _collected_answers(self) -> Future:
        """What the networks of the trials predict for the rows that they were not trained on, by reference."""
        places, networks = [], []
        for number, trial in enumerate(self._assessed):
            seeds = sorted({network.replicate.seed for network in trial.networks})
            for network in trial.networks:
                places.append(NetworkPlace(number, seeds.index(network.replicate.seed), network.replicate.fold))
                networks.append(network)
        order, predictions = self._by_stack(validation_predictions, networks)
        keys = tuple(trial.key for trial in self._assessed)
        return self._submit(
            collect_answers, self._data.development, keys, [places[number] for number in order], *predictions
        )

    def _axes(self, trials: Sequence[TrialRecord]) -> dict[str, Axis]:
        """The optimizers and the regularizers, with what else must be equal to compare them: all but their settings."""
        found = {}
        for axis, tuned in (("optimizer", "regularizer"), ("regularizer", "optimizer")):
            if all(axis in trial.parameters for trial in trials):
                contexts = [
                    tuple(
                        (name, str(value))
                        for name, value in sorted(trial.parameters.items())
                        if name != axis and not name.startswith((f"{axis}.", f"{tuned}."))
                    )
                    for trial in trials
                ]
                values = tuple(str(trial.parameters[axis]) for trial in trials)
                found[axis] = Axis(values, tuple(contexts))
        return found

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
        first = self._engine.networks[self._assessed[position].networks[0].key]
        arguments = (first.fold.data, first.architecture, self._data.development, settings.select, reasons, counts)
        adjustment: Adjustment = self._context.executor.fetch(self._submit(fit_to_answers, self._answers, *arguments))
        return adjustment

    def diagnose(self, published: PublishedModel) -> None:
        """Write what the report shows of the published model into the run's folder.

        Which columns matter is measured on the validation rows of the first fold, with those of its networks that were
        not trained on these rows.
        """
        data, networks, model = self._data, self._engine.records.networks, published.chosen
        compared = published.models[published.publication.kind].counts
        unseen = {key: count for key, count in compared.items() if networks[key].replicate.fold == 0}
        unbiased = self._submit(adjusted, self._mean_model(unseen), model.adjustment)
        columns = self._submit(describe_columns, unbiased, data.development, 0, data.task, self._metrics.selected)
        wrong = self._submit(mistakes, model.model, data.test)
        view = self._engine.networks[next(iter(model.counts))].fold.data
        diagnosis = self._context.executor.fetch(self._submit(diagnose, model.model, view, data.test))
        diagnosis["calibration"] = model.adjustment.reliability
        diagnosis |= self._optional("columns", columns) | self._optional("mistakes", wrong)
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
        example = fetch(self._submit(example_rows, self._data.development))
        return {"path": str(publish(fetch(model), example, folder)), "onnx": self._write_onnx(model)}

    def _write_onnx(self, model: Future) -> str | None:
        """Write the model as an ONNX file if the settings ask for it; a failure is a warning."""
        path = self._context.run_folder.folder / "model.onnx"
        path.unlink(missing_ok=True)  # of an earlier session of the run
        if not self._context.settings.onnx:
            return None
        try:
            path.write_bytes(self._context.executor.fetch(self._submit(onnx_file, model, self._data.development)))
        except Exception as error:
            self._context.output.say(f"warning: there is no model.onnx ({' '.join(str(error).split())})")
            return None
        return str(path)

    def _selected_weights(self, network: NetworkRecord) -> tuple[Future, NetworkSelector]:
        stack, key = self._trainer.checkpoints.selected_weights(network.key)
        return stack, NetworkSelector(key)

    def _by_stack(
        self, function: Callable[..., Any], networks: Sequence[NetworkRecord]
    ) -> tuple[list[int], list[Future]]:
        """Call a function of (view, architecture, selectors, stack) with one task per stack and view.

        Returns the order in which the tasks return the networks, and what they return.
        """
        groups: dict[tuple[Future, str], dict[int, NetworkSelector]] = {}  # selectors by number of the network
        for number, network in enumerate(networks):
            stack, selector = self._selected_weights(network)
            view = self._engine.networks[network.key].fold.content_hash
            groups.setdefault((stack, view), {})[number] = selector
        results = []
        for (stack, _), selectors in groups.items():
            trained = self._engine.networks[networks[min(selectors)].key]
            arguments = (trained.fold.data, trained.architecture, [*selectors.values()], stack)
            results.append(self._submit(function, *arguments))
        return list(chain(*groups.values())), results

    def _test(self, model: Future) -> Future:
        return self._submit(evaluate, model, self._data.test, self._data.task)

    def _submit(self, function: Any, *arguments: Any) -> Future:
        (future,) = self._context.executor.submit(function, *arguments, options=self._options)
        return future
