"""After the sweep: the champion and the ensemble become models, are scored on the test rows, and one is published."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pipeline.backends.base import Future
from pipeline.driver.context import RunContext
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.engine.loop import Engine
from pipeline.engine.ranking import Ranking
from pipeline.engine.slices.task import NetworkSelector
from pipeline.engine.slices.trainer import RungTrainer
from pipeline.runs.records import NetworkRecord, TrialRecord
from pipeline.stages.answers import NetworkPlace, collect_answers, validation_predictions
from pipeline.stages.diagnose import diagnose
from pipeline.stages.ensemble import build_ensemble, select_networks, validation_moments
from pipeline.stages.evaluate import assemble, evaluate
from pipeline.stages.publish import example_rows, onnx_file, publish

MAX_CANDIDATES = 60  # networks from which an ensemble is selected: those of the best trials
MAX_ANSWERS = 1 << 28  # numbers that all networks predict for the validation rows: 1 GB in float32


@dataclass(frozen=True)
class SelectedEnsemble:
    """An ensemble: the model by reference, and its part of the summary."""

    model: Future
    summary: dict[str, Any]


class Finalizer:
    """The last stages of a run. Only here are the test rows read, for the champion and the ensemble alone.

    Parameters
    ----------
    context : RunContext
    data : DataPipeline
    engine : Engine
    trainer : RungTrainer
    """

    def __init__(self, context: RunContext, data: DataPipeline, engine: Engine, trainer: RungTrainer) -> None:
        self._context, self._data, self._engine, self._trainer = context, data, engine, trainer
        self._options = context.settings.stages["evaluate"]

    def model(self, network: NetworkRecord) -> Future:
        """Return the model of one network, from raw row to prediction."""
        stack, selector = self._selected_weights(network)
        trained = self._engine.networks[network.key]
        return self._submit(assemble, trained.fold.data, trained.architecture, selector, stack)

    def test_scores(self, champion: TrialRecord) -> list[dict[str, float]]:
        """Return the scores of each of its networks on the test rows."""
        scores = [self._test(self.model(network)) for network in champion.networks]
        return [self._context.executor.fetch(score) for score in scores]

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
        model = self._submit(build_ensemble, [*selected.values()], *models)
        test = self._context.executor.fetch(self._test(model))
        return SelectedEnsemble(model, {"networks": selected, "validation": {"loss": loss}, "test": test})

    def answers(self, ranking: Ranking) -> Future:
        """Return what the networks of the best trials predict for the rows that they were not trained on, by reference.

        These are the trials that were trained to the end, the champion and, if none was, all trials; the best of them
        if they are too many, see `has_all_answers`.
        """
        trials = self._answering(ranking)[: self._n_answers(ranking)]
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

    def has_all_answers(self, ranking: Ranking) -> bool:
        """Whether `answers` holds those of all trials that were trained to the end."""
        return self._n_answers(ranking) >= len(self._answering(ranking))

    def _answering(self, ranking: Ranking) -> list[TrialRecord]:
        completed = [trial for trial in ranking.trials if trial.completed or trial is ranking.champion]
        return completed if any(trial.completed for trial in completed) else ranking.trials

    def _n_answers(self, ranking: Ranking) -> int:
        """How many trials `answers` can hold, at least 1."""
        networks = ranking.champion.networks
        shapes = [self._engine.networks[network.key].fold.view_shape for network in networks]
        return max(1, MAX_ANSWERS // sum(shape.n_validation * shape.n_outputs for shape in shapes))

    def diagnose(self, champion: TrialRecord) -> None:
        """Write what plots show of the champion's first network into the run's folder."""
        network = champion.networks[0]
        view = self._engine.networks[network.key].fold.data
        diagnosis = self._context.executor.fetch(self._submit(diagnose, self.model(network), view, self._data.test))
        path = self._context.run_folder.folder / "diagnosis.json"
        path.write_text(json.dumps(diagnosis), encoding="utf-8")

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
        candidates = []
        for trial in ranking.trials:
            variant = variants.of(suggested[trial.key])
            same_loss = variant.network.loss == champion.network.loss
            if same_loss and variant.prepare.scale_targets == champion.prepare.scale_targets:
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
