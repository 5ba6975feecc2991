"""The baselines of a run: fitted beside the sweep, scored on the test rows after it."""

from collections.abc import Callable
from threading import Timer
from typing import Any

from pipeline.components.fingerprints import content_hash
from pipeline.driver.context import RunContext
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.stages.baselines import LABELS, BaselineName, fit_baseline, score_baseline
from pipeline.stages.graph import StageResult

SILENT_S = 2.0  # a longer wait is announced


class BaselineRuns:
    """The baselines that the settings ask for. One that fails is a warning, and the run goes on.

    Parameters
    ----------
    context : RunContext
    data : DataPipeline
        Its rows are loaded and split. It starts the baselines when the first networks can be trained.
    """

    def __init__(self, context: RunContext, data: DataPipeline) -> None:
        self._context, self._data = context, data
        self._baselines, card = context.settings.baselines, data.card
        self._fits: dict[BaselineName, tuple[StageResult, StageResult]] = {}  # scores, and the model of the first fold
        if note := self._baselines.note(card):
            context.say(f"note: {note}")
        prepare, development = context.settings.prepare, data.development_rows
        for name in self._baselines.names(card):
            hashes = [self._content_hash(name, fit_baseline), None]
            arguments = (self._baselines, name, development, *data.prepared(prepare))
            scores, model = data.graph.call("baselines", hashes, fit_baseline, *arguments)
            self._fits[name] = scores, model
        data.start_beside([scores for scores, _ in self._fits.values()])

    def validated(self) -> dict[BaselineName, dict[str, Any]]:
        """Wait for them; by name of a baseline, its label, mean validation scores and seconds, as in summary.json."""
        finished: dict[BaselineName, dict[str, Any]] = {}
        for name, (scores, _) in self._fits.items():
            label = LABELS[name][self._data.task]
            if fitted := self._value(label, scores):
                finished[name] = {"label": label, "validation": fitted["validation"], "test": None}
                finished[name]["seconds"] = fitted["seconds"]
        return finished

    def tested(self, finished: dict[BaselineName, dict[str, Any]]) -> dict[BaselineName, dict[str, Any]]:
        """Score those that are finished on the test rows, and add these scores."""
        results, test_rows = {}, self._data.test_rows
        for name in finished:
            hashes = [self._content_hash(name, score_baseline)]
            arguments = (self._fits[name][1], test_rows, self._data.task)
            (results[name],) = self._data.graph.call("baselines", hashes, score_baseline, *arguments)
        tests = {name: self._value(finished[name]["label"], result) for name, result in results.items()}
        return {name: {**finished[name], "test": scores} for name, scores in tests.items()}

    def _content_hash(self, name: BaselineName, function: Callable[..., Any]) -> str:
        rows, prepare = self._data.development_rows.content_hash, self._context.settings.prepare
        return content_hash("baselines", function, fit_baseline, self._baselines, name, rows, prepare)

    def _value(self, label: str, result: StageResult) -> Any:
        """Wait for a result; None after a failure. A long wait is announced."""
        announcement = Timer(SILENT_S, self._context.say, [f"waiting for a baseline: {label}"])
        announcement.daemon = True
        announcement.start()
        try:
            self._data.graph.request([result])
            return self._context.executor.fetch(result.future)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self._context.say(f"warning: there is no baseline {label} ({reason})")
            return None
        finally:
            announcement.cancel()
