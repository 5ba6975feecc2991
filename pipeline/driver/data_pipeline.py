"""The stages before the sweep: load, split, and for each fold prepare and reduce."""

import json
import time
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from pipeline.backends.base import Executor, Future
from pipeline.components.code_version import code_version
from pipeline.components.fingerprints import content_hash, settings_hash
from pipeline.components.protocols import Preprocessor, Reduction
from pipeline.components.secrets import masked
from pipeline.components.types import DataCard, PreparedFold, ViewShape, view_shape
from pipeline.config.schema import Settings, StageName
from pipeline.config.variants import Variants
from pipeline.console.output import Output
from pipeline.engine.slices.task import load_loops, train_slice
from pipeline.runs.folder import RunFolder
from pipeline.stages.graph import StageGraph, StageResult
from pipeline.stages.load import divided, loaded
from pipeline.stages.reduce import applied

COMPUTED = ("data", "split", "prepare", "reduce", "network", "training", "space", "search")


def sweep_code(config: dict[str, Any]) -> str:
    """Identify the code of a sweep's results: of the stages, of training, and of all that the configuration names.

    Parameters
    ----------
    config : dict
        The configuration as plain values; what reports, tracks or schedules has no part in the results.

    """
    return code_version(loaded, divided, applied, train_slice, *(config[name] for name in COMPUTED))


class RunContext(NamedTuple):
    """What the stages of a run work with."""

    settings: Settings
    executor: Executor
    record: RunFolder
    output: Output
    variants: Variants

    def show(self, stage: str) -> float:
        """Note and say how many seconds a stage took, which ended just now."""
        seconds = self.record.time(stage)
        self.output.stage(stage, seconds)
        return seconds

    def ended(self, stage: StageName) -> None:
        """See `show`; the journal gets to know it, too."""
        self.record.journal.append("stage", stage=stage, seconds=self.show(stage))


def data_pipeline(context: RunContext) -> "DataPipeline":
    """Load, look at the card, split; the views are made as they are asked for. Workers get ready to train before."""
    context.executor.broadcast(load_loops)
    context.settings.cache.begin()
    return DataPipeline(context)


class DataPipeline:
    """What the stages before the sweep make, by reference. Each result is computed once, and only if it is wanted.

    A data set's address is the digest on its card, whatever file it came from: so what is below needs no load.
    """

    def __init__(self, context: RunContext) -> None:
        settings = context.settings
        self._context = context
        self._once = StageGraph(context.executor, settings.cache, settings.stages)
        self._facts: dict[str, ViewShape] = {}
        content = settings.data.content()
        at = [
            None if content is None else content_hash("load", loaded, settings.data, content, of)
            for of in ("dataset", "card")
        ]
        dataset, card = self._once.call("load", at, loaded, settings.data)
        self.card = _shown(context, self._plain("load", card))
        self.task = self.card["task"]
        parts = [
            content_hash("split", divided, settings.split, self.card["digest"], of)
            for of in ("development", "test", "folds")
        ]
        self._development, self._test, n_folds = self._once.call("split", parts, divided, settings.split, dataset)
        self.n_folds: int = self._plain("split", n_folds)
        dataset.future = None  # the driver needs it no more, and it may be large

    @property
    def development(self) -> Future:
        """Of the Development rows."""
        self._once.want([self._development])
        return self._development.future

    @property
    def test(self) -> Future:
        """Of the test rows; nothing has read them before they are asked for."""
        self._once.want([self._test])
        return self._test.future

    @property
    def n_cached(self) -> int:
        """Results of stages that were found in the cache."""
        return self._once.n_cached

    @property
    def n_computed(self) -> int:
        """Calls of stages that were made, because the cache lacked a result."""
        return self._once.n_computed

    def views(self, wanted: Sequence[tuple[Preprocessor, Reduction]]) -> list[tuple[PreparedFold, ...]]:
        """For each pair the views of all folds. They are on their way before any is awaited.

        Raises   SettingError naming the setting that the rows do not allow
        """
        first, began, n_computed = not self._facts, time.monotonic(), self.n_computed
        pairs = {(id(prepare), id(reduction)): (prepare, reduction) for prepare, reduction in wanted}
        of_pair = {ids: [self._view(*pair, fold) for fold in range(self.n_folds)] for ids, pair in pairs.items()}
        each = list(dict.fromkeys(chain(*of_pair.values())))
        self._once.want(each)
        for stage in ("prepare", "reduce"):
            self._once.finish(stage)
            if first:
                self._context.ended(stage)
        self._count(each)
        self._once.release(
            {part for view in each if view.call.stage == "reduce" for part in view.call.inputs} - {*each}
        )
        if first:
            self._context.output.say(self._sizes([*pairs.values()]))
        elif self.n_computed > n_computed:
            self._add(time.monotonic() - began, len(each))
        made = {ids: tuple(self._fold_view(view) for view in views) for ids, views in of_pair.items()}
        return [made[id(prepare), id(reduction)] for prepare, reduction in wanted]

    def _view(self, prepare: Preprocessor, reduction: Reduction, fold: int) -> StageResult:
        call = self._once.call
        of_fold = content_hash("prepare", prepare, fold, self._development.content_hash)
        (prepared,) = call("prepare", [of_fold], prepare, self._development, fold)
        if reduction.shared is None:
            return prepared
        fit = content_hash("fit", reduction.shared, of_fold)
        (fitted,) = call("reduce", [fit], reduction.shared.fit, prepared)
        (view,) = call(
            "reduce", [content_hash("reduce", applied, reduction, of_fold)], applied, reduction, prepared, fitted
        )
        return view

    def _count(self, views: list[StageResult]) -> None:
        """Find out the sizes of views that are new."""
        context, options = self._context, self._context.settings.stages["reduce"]
        new = [view for view in views if view.content_hash not in self._facts]
        sizes = [context.executor.submit(view_shape, view.future, options=options)[0] for view in new]
        self._facts |= {
            str(view.content_hash): context.executor.fetch(size) for view, size in zip(new, sizes, strict=True)
        }

    def _fold_view(self, view: StageResult) -> PreparedFold:
        return PreparedFold(view.future, self._facts[str(view.content_hash)], str(view.content_hash))

    def _plain(self, stage: StageName, result: StageResult) -> Any:
        """A small result of a stage, itself, when the stage has ended."""
        self._once.want([result])
        plain = self._context.executor.fetch(result.future)
        self._once.finish(stage)
        self._context.ended(stage)
        return plain

    def _sizes(self, pairs: Sequence[tuple[Preprocessor, Reduction]]) -> str:
        """The line that says what has come out."""
        example, found = next(iter(self._facts.values())), self.n_cached
        widths = sorted({sizes.n_inputs for sizes in self._facts.values()})
        counts = [len({settings_hash(pair[at]) for pair in pairs}) for at in (0, 1)]
        parts = [
            f"{f'{self.n_folds} folds of ' if self.n_folds > 1 else ''}{example.n_train} training and "
            f"{example.n_validation} validation rows",
            f"{len(self.card['columns'])} columns",
            *(f"{n} {what}" for n, what in zip(counts, ("preparations", "reductions"), strict=True) if n > 1),
            f"{' to '.join(map(str, dict.fromkeys([widths[0], widths[-1]])))} after reduction",
            *([f"{found} stage results from the cache"] if found else []),
        ]
        return ", ".join(parts)

    def _add(self, seconds: float, n_views: int) -> None:
        """Note and print what a later call has cost."""
        timings = self._context.record.summary["timings"]
        timings["reduce_s"] = round(timings["reduce_s"] + seconds, 3)
        self._context.output.say(f"{'reduce':<8} {seconds:5.1f} s for {n_views} more view{'s' if n_views > 1 else ''}")


def _shown(context: RunContext, made: DataCard) -> DataCard:
    """What the data are like: shown and noted."""
    source = context.settings.data
    card: DataCard = {"name": source.name, "source": masked(source.address), **made}
    text = json.dumps(card, indent=1)
    (context.record.folder / "data_card.json").write_text(text + "\n", encoding="utf-8")
    context.record.journal.append("data", card=card)
    context.output.data(card)
    return card
