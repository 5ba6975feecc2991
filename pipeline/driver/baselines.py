"""The baselines of a run: fitted beside the sweep, scored on the test rows after it."""

from collections.abc import Callable
from threading import Timer
from typing import Any

from nncore.components import Component
from pipeline.backends.base import Future
from pipeline.components.errors import type_and_message
from pipeline.components.fingerprints import content_hash
from pipeline.driver.context import RunContext
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.stages.baselines import LABELS, BaselineName, compare_with_model, fit_baseline, score_baseline
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
            self._data.graph.request([scores])
            if fitted := self._fetched(label, scores.future):
                parts = {"validation": fitted["validation"], "test": None, "comparison": None}
                finished[name] = {"label": label, **parts, "seconds": fitted["seconds"]}
        return finished

    def tested(
        self, finished: dict[BaselineName, dict[str, Any]], model: Future, selected: Component | None
    ) -> dict[BaselineName, dict[str, Any]]:
        """Score those that are finished on the test rows, and add these scores and how they compare with the model's.

        Without test rows nothing is added.

        Parameters
        ----------
        finished : dict
            What `validated` has returned.
        model : Future of a Model or an Ensemble
            The one that is published.
        selected : Component or None
            The metric by which trials are ranked; None for the loss.
        """
        data, executor, options = self._data, self._context.executor, self._context.settings.stages["baselines"]
        for name, baseline in finished.items() if data.n_test else ():
            hashes = [self._content_hash(name, score_baseline, part) for part in ("scores", "predictions")]
            arguments = (self._fits[name][1], data.test_rows, data.task)
            scores, predictions = data.graph.call("baselines", hashes, score_baseline, *arguments)
            data.graph.request([scores, predictions])
            compared_with = (model, data.test, data.task, selected, predictions.future)
            (comparison,) = executor.submit(compare_with_model, *compared_with, options=options)
            baseline["test"] = self._fetched(baseline["label"], scores.future)
            baseline["comparison"] = baseline["test"] and self._fetched(baseline["label"], comparison)
        return finished

    def _content_hash(self, name: BaselineName, function: Callable[..., Any], part: str = "") -> str:
        rows, prepare = self._data.development_rows.content_hash, self._context.settings.prepare
        return content_hash("baselines", function, fit_baseline, self._baselines, name, rows, prepare, part)

    def _fetched(self, label: str, result: Future) -> Any:
        """Wait for a result; None after a failure. A long wait is announced."""
        announcement = Timer(SILENT_S, self._context.say, [f"waiting for a baseline: {label}"])
        announcement.daemon = True
        announcement.start()
        try:
            return self._context.executor.fetch(result)
        except Exception as error:
            self._context.say(f"warning: there is no baseline {label} ({type_and_message(error)})")
            return None
        finally:
            announcement.cancel()
