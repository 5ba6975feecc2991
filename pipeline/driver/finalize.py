"""After the sweep: the champion and the ensemble become models, are judged by the test rows, and one is published."""

import json
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pipeline.backends.base import Future
from pipeline.driver.data_pipeline import DataPipeline, RunContext
from pipeline.engine.loop import Engine
from pipeline.engine.ranking import Ranking
from pipeline.engine.records import TrialRecord
from pipeline.engine.slices.task import NetworkSelector
from pipeline.engine.slices.trainer import RungTrainer
from pipeline.runs.network_record import NetworkRecord
from pipeline.stages.diagnose import diagnose
from pipeline.stages.ensemble import chosen, together, validation_moments
from pipeline.stages.evaluate import assemble, evaluate
from pipeline.stages.publish import example_rows, onnx_file, publish

MOST_CANDIDATES = 60  # networks that an ensemble is chosen from: those of the best trials


@dataclass(frozen=True)
class SelectedEnsemble:
    """An ensemble: the model by reference, and what there is to say about it."""

    model: Future
    summary: dict[str, Any]


class Finalizer:
    """The last stages of a run. The test rows are opened here, for the champion and the ensemble alone."""

    def __init__(self, context: RunContext, before: DataPipeline, engine: Engine, trainer: RungTrainer) -> None:
        self._context, self._before, self._engine, self._trainer = context, before, engine, trainer
        self._options = context.settings.stages["evaluate"]

    def model(self, result: NetworkRecord) -> Future:
        """A network as a model."""
        stack, answering = self._answering(result)
        one = self._engine.networks[result.key]
        return self._submit(assemble, one.fold.data, one.architecture, answering, stack)

    def tests(self, champion: TrialRecord) -> list[dict[str, float]]:
        """The scores of each of its networks on the test rows."""
        scores = [self._test(self.model(result)) for result in champion.networks]
        return [self._context.executor.fetch(score) for score in scores]

    def ensemble(self, ranking: Ranking) -> SelectedEnsemble:
        """The networks that answer best together, by the validation rows of the first fold; and their test."""
        candidates = self._candidates(ranking)
        first = self._engine.networks[candidates[0].key]
        places, said = self._said(candidates)
        size = self._context.settings.select.ensemble
        choice = self._submit(chosen, first.fold.data, first.architecture, size, places, *said)
        counts, loss = self._context.executor.fetch(choice)
        members = [(result, count) for result, count in zip(candidates, counts, strict=True) if count]
        models = [self.model(result) for result, _ in members]
        model = self._submit(together, [count for _, count in members], *models)
        summary = {
            "networks": {result.key: count for result, count in members},
            "validation": {"loss": loss},
            "test": self._context.executor.fetch(self._test(model)),
        }
        return SelectedEnsemble(model, summary)

    def diagnose(self, champion: TrialRecord) -> None:
        """Write into the run's folder what plots show of the champion's first network."""
        result = champion.networks[0]
        view = self._engine.networks[result.key].fold.data
        found = self._context.executor.fetch(self._submit(diagnose, self.model(result), view, self._before.test))
        path = self._context.record.folder / "diagnosis.json"
        path.write_text(json.dumps(found), encoding="utf-8")

    def publish(self, model: Future) -> dict[str, str | None]:
        """Write the model to the run's folder; the paths of its folder and of its ONNX file."""
        fetch, folder = self._context.executor.fetch, self._context.record.folder
        example = fetch(self._submit(example_rows, self._before.development))
        return {"path": str(publish(fetch(model), example, folder)), "onnx": self._onnx(model)}

    def _onnx(self, model: Future) -> str | None:
        """Write the model as an ONNX file if that is asked for; the run does not fail with it."""
        path = self._context.record.folder / "model.onnx"
        path.unlink(missing_ok=True)  # of an earlier session of the run
        if not self._context.settings.onnx:
            return None
        try:
            path.write_bytes(self._context.executor.fetch(self._submit(onnx_file, model, self._before.development)))
        except Exception as error:
            self._context.output.say(f"warning: there is no model.onnx ({' '.join(str(error).split())})")
            return None
        return str(path)

    def _candidates(self, ranking: Ranking) -> list[NetworkRecord]:
        """The networks of the best trials on the first fold, whose answers mean the same as the champion's."""
        best = self._context.variants.of(ranking.champion.trial)
        same = [
            trial
            for trial in ranking.trials
            if (variant := self._context.variants.of(trial.trial)).network.loss == best.network.loss
            and variant.prepare.scale_targets == best.prepare.scale_targets
        ]
        found = [result for trial in same for result in trial.networks if result.replicate.fold == 0]
        return found[:MOST_CANDIDATES]

    def _answering(self, result: NetworkRecord) -> tuple[Future, NetworkSelector]:
        stack, key = self._trainer.checkpoints.selected_weights(result.key)
        return stack, NetworkSelector(key)

    def _said(self, candidates: list[NetworkRecord]) -> tuple[list[int], list[Future]]:
        """What the networks say of the validation rows, stack by stack, and where in that each of them is."""
        groups: dict[tuple[Future, str], dict[int, NetworkSelector]] = {}
        for at, result in enumerate(candidates):
            stack, answering = self._answering(result)
            groups.setdefault((stack, self._engine.networks[result.key].fold.content_hash), {})[at] = answering
        said = []
        for (stack, _), members in groups.items():
            one = self._engine.networks[candidates[min(members)].key]
            said.append(self._submit(validation_moments, one.fold.data, one.architecture, [*members.values()], stack))
        order = list(chain(*groups.values()))
        return sorted(range(len(order)), key=order.__getitem__), said

    def _test(self, model: Future) -> Future:
        return self._submit(evaluate, model, self._before.test, self._before.task)

    def _submit(self, function: Any, *arguments: Any) -> Future:
        (future,) = self._context.executor.submit(function, *arguments, options=self._options)
        return future
