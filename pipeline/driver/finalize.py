"""After the sweep: the champion and the ensemble become models, are scored on the test rows, and one is published."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pipeline.backends.base import Future
from pipeline.components.errors import type_and_message
from pipeline.console.columns import best_columns, screening_note, write_importance
from pipeline.driver.context import RunContext
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.engine.loop import Engine
from pipeline.engine.ranking import Ranking
from pipeline.engine.selection import TrainingMetrics
from pipeline.engine.slices.task import NetworkSelector
from pipeline.engine.slices.trainer import RungTrainer
from pipeline.engine.uncertainty.assessment import Assessment
from pipeline.runs.records import NetworkRecord, TrialRecord
from pipeline.search.base import SingleRungSampler
from pipeline.stages.answers import NetworkPlace, collect_answers, validation_predictions
from pipeline.stages.assess import Axis, assess
from pipeline.stages.calibrate import Adjustment, adjusted, fit_adjustment, held_out, held_out_by_mixture
from pipeline.stages.columns import describe_columns
from pipeline.stages.diagnose import diagnose
from pipeline.stages.ensemble import build_ensemble, select_networks, validation_moments
from pipeline.stages.evaluate import assemble, evaluate, evaluate_intervals
from pipeline.stages.mistakes import mistakes
from pipeline.stages.publish import example_rows, onnx_file, publish
from pipeline.stages.split import Grouped, TimeSplit

MAX_CANDIDATES = 60  # networks from which an ensemble is selected: those of the best trials
MAX_ANSWERS = 1 << 26  # numbers that all networks predict for the validation rows: 256 MB in float32


@dataclass(frozen=True)
class SelectedEnsemble:
    """An ensemble: the model by reference, what was fitted to its predictions, and its part of the summary."""

    model: Future
    adjustment: Adjustment
    summary: dict[str, Any]


class Finalizer:
    """The last stages of a run. Only here are the test rows read, for the champion and the ensemble alone.

    Parameters
    ----------
    context : RunContext
    data : DataPipeline
    engine : Engine
    trainer : RungTrainer
    metrics : TrainingMetrics
    """

    def __init__(
        self, context: RunContext, data: DataPipeline, engine: Engine, trainer: RungTrainer, metrics: TrainingMetrics
    ) -> None:
        self._context, self._data, self._engine, self._trainer = context, data, engine, trainer
        self._metrics = metrics
        self._options = context.settings.stages["evaluate"]
        self._adjustments: dict[str, Adjustment] = {}  # by key of the network
        self._models: dict[str, Future] = {}  # by key of the network, as `model` returned them

    def calibrate(self, champion: TrialRecord) -> Adjustment:
        """Fit calibration, threshold and interval of the champion, which `model` returns with them from now on.

        They are fitted to the validation rows of all folds, which its networks of the first seed predict.
        """
        seed = min(network.replicate.seed for network in champion.networks)
        networks = [network for network in champion.networks if network.replicate.seed == seed]
        order, parts = self._by_stack(held_out, networks)
        is_early = any(0 < network.selected_epoch < len(network.curves["train/loss"]) for network in networks)
        reasons = ["the epoch was chosen by the same rows"] if is_early else []
        adjustment = self._fit_adjustment([networks[number].replicate.fold for number in order], parts, *reasons)
        self._adjustments |= dict.fromkeys([network.key for network in champion.networks], adjustment)
        self._models = {}  # any that there are have no adjustment
        return adjustment

    def model(self, network: NetworkRecord) -> Future:
        """Return the model of one network, from raw row to prediction; it is assembled once."""
        if network.key not in self._models:
            stack, selector = self._selected_weights(network)
            trained = self._engine.networks[network.key]
            model = self._submit(assemble, trained.fold.data, trained.architecture, selector, stack)
            adjustment = self._adjustments.get(network.key)
            self._models[network.key] = self._submit(adjusted, model, adjustment) if adjustment else model
        return self._models[network.key]

    def test_scores(self, champion: TrialRecord) -> list[dict[str, float]]:
        """Return the scores of each of its networks on the test rows."""
        scores = [self._test(self.model(network)) for network in champion.networks]
        return [self._context.executor.fetch(score) for score in scores]

    def n_test_rows(self) -> int:
        """Return the number of test rows."""
        return int(self._context.executor.fetch(self._submit(len, self._data.test)))

    def ensemble(self, ranking: Ranking) -> SelectedEnsemble:
        """Select the networks that predict best together on the validation rows of the first fold, and test them."""
        candidates = self._candidates(ranking)
        first = self._engine.networks[candidates[0].key]
        order, moments = self._by_stack(validation_moments, candidates)
        positions = sorted(range(len(order)), key=order.__getitem__)
        size = self._context.settings.select.ensemble
        selection = self._submit(select_networks, first.fold.data, first.architecture, size, positions, *moments)
        counts, loss = self._context.executor.fetch(selection)
        selected = {network.key: count for network, count in zip(candidates, counts, strict=True) if count}
        models = [self.model(network) for network in candidates if network.key in selected]
        mixture = self._submit(held_out_by_mixture, first.fold.data, first.architecture, counts, positions, *moments)
        adjustment = self._fit_adjustment([0], [mixture], "its networks were chosen by the same rows")
        model = self._submit(adjusted, self._submit(build_ensemble, [*selected.values()], *models), adjustment)
        summary = {
            "networks": selected,
            "validation": {"loss": loss},
            "test": self._context.executor.fetch(self._test(model)),
            "test_intervals": self.test_intervals(model),
            **adjustment.summary,
        }
        return SelectedEnsemble(model, adjustment, summary)

    def assess(self, trials: Sequence[TrialRecord]) -> Assessment:
        """Say how good the trials are, from their answers for the rows that their networks were not trained on.

        Parameters
        ----------
        trials : sequence of TrialRecord
            Those that can be ranked, best first.
        """
        best = [trial for trial in trials if trial.completed] or list(trials)
        best = best if trials[0] in best else [trials[0], *best]
        shapes = [self._engine.networks[network.key].fold.view_shape for network in trials[0].networks]
        n_fitting = max(1, MAX_ANSWERS // sum(shape.n_validation * shape.n_outputs for shape in shapes))
        answers = self._answers(best[:n_fitting])
        axes = self._axes(best[:n_fitting]) if isinstance(self._context.variants.sampler, SingleRungSampler) else {}
        is_complete = len(best) <= n_fitting
        assessment: Assessment = self._context.executor.fetch(
            self._submit(assess, answers, self._data.task, self._metrics.selected, axes, is_complete)
        )
        return assessment

    def _answers(self, trials: Sequence[TrialRecord]) -> Future:
        """What the networks of the trials predict for the rows that they were not trained on, by reference."""
        places, networks = [], []
        for number, trial in enumerate(trials):
            seeds = sorted({network.replicate.seed for network in trial.networks})
            for network in trial.networks:
                places.append(NetworkPlace(number, seeds.index(network.replicate.seed), network.replicate.fold))
                networks.append(network)
        order, predictions = self._by_stack(validation_predictions, networks)
        keys = tuple(trial.key for trial in trials)
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

    def test_intervals(self, model: Future) -> dict[str, list[float]]:
        """Return 95 % confidence intervals of a model's scores on the test rows, as summary.json has them."""
        evaluated = self._submit(evaluate_intervals, model, self._data.test, self._data.task)
        intervals: dict[str, list[float]] = self._context.executor.fetch(evaluated)
        return intervals

    def _fit_adjustment(self, folds: list[int], parts: list[Future], *approximations: str) -> Adjustment:
        """Fit what the settings ask for to validation rows of these folds; approximations make intervals inexact."""
        settings, n_trials = self._context.settings, len(self._engine.records.trials)
        reasons = [*approximations]
        if n_trials > 1:
            reasons.append(f"the best of {n_trials} trials was chosen by the same rows")
        if len(folds) > 1:
            reasons.append("the errors are those of the networks of all folds, of which the first is the model")
        if isinstance(settings.split, TimeSplit):
            reasons.append("later rows may differ from the validation rows")
        if isinstance(settings.split, Grouped):
            reasons.append("rows of one group are alike")
        arguments = (self._data.development, settings.select, reasons, folds, *parts)
        adjustment: Adjustment = self._context.executor.fetch(self._submit(fit_adjustment, *arguments))
        return adjustment

    def diagnose(self, champion: TrialRecord, adjustment: Adjustment) -> None:
        """Write what the report shows of the champion's first network into the run's folder."""
        network, model, data = champion.networks[0], self.model(champion.networks[0]), self._data
        arguments = (model, data.development, network.replicate.fold, data.task, self._metrics.selected)
        columns = self._submit(describe_columns, *arguments)
        wrong = self._submit(mistakes, model, data.test)
        view = self._engine.networks[network.key].fold.data
        diagnosis = self._context.executor.fetch(self._submit(diagnose, model, view, data.test))
        diagnosis["calibration"] = adjustment.reliability
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

    def _candidates(self, ranking: Ranking) -> list[NetworkRecord]:
        """The networks of the best trials on the first fold whose predictions can be averaged with the champion's."""
        variants, suggested = self._context.variants, self._engine.records.suggested
        champion = variants.of(suggested[ranking.champion.key])
        loss, candidates = champion.network.loss.regression.build(), []
        for trial in ranking.trials:
            variant = variants.of(suggested[trial.key])
            same_unit = variant.target_unit == champion.target_unit
            if variant.network.loss == champion.network.loss and (same_unit or not loss.deviation):
                candidates += [network for network in trial.networks if network.replicate.fold == 0]
        return candidates[:MAX_CANDIDATES]

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
