"""After the sweep: the champion and the ensemble become models, are scored on the test rows, and one is published."""

import json
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
from pipeline.stages.diagnose import diagnose
from pipeline.stages.ensemble import build_ensemble, select_networks, validation_moments
from pipeline.stages.evaluate import assemble, evaluate
from pipeline.stages.publish import example_rows, onnx_file, publish

MAX_CANDIDATES = 60  # networks from which an ensemble is selected: those of the best trials


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
        positions, moments = self._validation_moments(candidates)
        size = self._context.settings.select.ensemble
        selection = self._submit(select_networks, first.fold.data, first.architecture, size, positions, *moments)
        counts, loss = self._context.executor.fetch(selection)
        selected = {network.key: count for network, count in zip(candidates, counts, strict=True) if count}
        models = [self.model(network) for network in candidates if network.key in selected]
        model = self._submit(build_ensemble, [*selected.values()], *models)
        test = self._context.executor.fetch(self._test(model))
        return SelectedEnsemble(model, {"networks": selected, "validation": {"loss": loss}, "test": test})

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

    def _validation_moments(self, candidates: list[NetworkRecord]) -> tuple[list[int], list[Future]]:
        """Predict the validation rows, with one task per stack and view.

        Returns each candidate's position among all predictions, and these predictions, task by task.
        """
        groups: dict[tuple[Future, str], dict[int, NetworkSelector]] = {}  # selectors by number of the candidate
        for number, network in enumerate(candidates):
            stack, selector = self._selected_weights(network)
            view = self._engine.networks[network.key].fold.content_hash
            groups.setdefault((stack, view), {})[number] = selector
        moments = []
        for (stack, _), selectors in groups.items():
            trained = self._engine.networks[candidates[min(selectors)].key]
            arguments = (trained.fold.data, trained.architecture, [*selectors.values()], stack)
            moments.append(self._submit(validation_moments, *arguments))
        order = list(chain(*groups.values()))
        return sorted(range(len(order)), key=order.__getitem__), moments

    def _test(self, model: Future) -> Future:
        return self._submit(evaluate, model, self._data.test, self._data.task)

    def _submit(self, function: Any, *arguments: Any) -> Future:
        (future,) = self._context.executor.submit(function, *arguments, options=self._options)
        return future
