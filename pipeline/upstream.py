"""The stages before the sweep: load, split, and for each fold prepare and reduce."""

import json
import time
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from pipeline.addresses import address
from pipeline.artefacts import DataCard, Facts, facts
from pipeline.execution.base import Executor, Handle
from pipeline.once import Once, Result
from pipeline.record import Record
from pipeline.reports.output import Output
from pipeline.secrets import masked
from pipeline.settings.run_settings import Settings, StageName
from pipeline.settings.variants import Variants
from pipeline.stages.kinds import Preparing, Reduction
from pipeline.stages.reduce import applied
from pipeline.stages.rows import divided, loaded
from pipeline.sweep.training import load_loops


class Means(NamedTuple):
    """What the stages of a run work with."""

    settings: Settings
    executor: Executor
    record: Record
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


class FoldView(NamedTuple):
    """One fold as the networks see it.

    data      of a View
    address   its content address: the same in every run with the same data, settings and code
    """

    data: Handle
    facts: Facts
    address: str


def upstream(means: Means) -> "Upstream":
    """Load, look at the card, split; the views are made as they are asked for. Workers get ready to train before."""
    means.executor.everywhere(load_loops)
    means.settings.cache.begin()
    return Upstream(means)


class Upstream:
    """What the stages before the sweep make, by reference. Each result is computed once, and only if it is wanted.

    A data set's address is the digest on its card, whatever file it came from: so what is below needs no load.
    """

    def __init__(self, means: Means) -> None:
        settings = means.settings
        self._means = means
        self._once = Once(means.executor, settings.cache, settings.stages)
        self._facts: dict[str, Facts] = {}
        content = settings.data.content()
        at = [None if content is None else address("load", settings.data, content, of) for of in ("dataset", "card")]
        dataset, card = self._once.call("load", at, loaded, settings.data)
        self.card = _shown(means, self._plain("load", card))
        self.task = self.card["task"]
        parts = [address("split", settings.split, self.card["digest"], of) for of in ("development", "test", "folds")]
        self._development, self._test, n_folds = self._once.call("split", parts, divided, settings.split, dataset)
        self.n_folds: int = self._plain("split", n_folds)
        dataset.handle = None  # the driver needs it no more, and it may be large

    @property
    def development(self) -> Handle:
        """Of the Development rows."""
        self._once.want([self._development])
        return self._development.handle

    @property
    def test(self) -> Handle:
        """Of the test rows; nothing has read them before they are asked for."""
        self._once.want([self._test])
        return self._test.handle

    @property
    def n_cached(self) -> int:
        """Results of stages that were found in the cache."""
        return self._once.n_cached

    @property
    def n_computed(self) -> int:
        """Calls of stages that were made, because the cache lacked a result."""
        return self._once.n_computed

    def views(self, wanted: Sequence[tuple[Preparing, Reduction]]) -> list[tuple[FoldView, ...]]:
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
                self._means.ended(stage)
        self._count(each)
        self._once.release(
            {part for view in each if view.call.stage == "reduce" for part in view.call.inputs} - {*each}
        )
        if first:
            self._means.output.say(self._sizes([*pairs.values()]))
        elif self.n_computed > n_computed:
            self._add(time.monotonic() - began, len(each))
        made = {ids: tuple(self._fold_view(view) for view in views) for ids, views in of_pair.items()}
        return [made[id(prepare), id(reduction)] for prepare, reduction in wanted]

    def _view(self, prepare: Preparing, reduction: Reduction, fold: int) -> Result:
        call = self._once.call
        of_fold = address("prepare", prepare, fold, self._development.address)
        (prepared,) = call("prepare", [of_fold], prepare, self._development, fold)
        if reduction.shared is None:
            return prepared
        fit = address("fit", reduction.shared, of_fold)
        (fitted,) = call("reduce", [fit], reduction.shared.fit, prepared)
        (view,) = call("reduce", [address("reduce", reduction, of_fold)], applied, reduction, prepared, fitted)
        return view

    def _count(self, views: list[Result]) -> None:
        """Find out the sizes of views that are new."""
        means, options = self._means, self._means.settings.stages["reduce"]
        new = [view for view in views if view.address not in self._facts]
        sizes = [means.executor.submit(facts, view.handle, options=options)[0] for view in new]
        self._facts |= {str(view.address): means.executor.fetch(size) for view, size in zip(new, sizes, strict=True)}

    def _fold_view(self, view: Result) -> FoldView:
        return FoldView(view.handle, self._facts[str(view.address)], str(view.address))

    def _plain(self, stage: StageName, result: Result) -> Any:
        """A small result of a stage, itself, when the stage has ended."""
        self._once.want([result])
        plain = self._means.executor.fetch(result.handle)
        self._once.finish(stage)
        self._means.ended(stage)
        return plain

    def _sizes(self, pairs: Sequence[tuple[Preparing, Reduction]]) -> str:
        """The line that says what has come out."""
        example, found = next(iter(self._facts.values())), self.n_cached
        widths = sorted({sizes.n_inputs for sizes in self._facts.values()})
        counts = [len({address("", pair[at]) for pair in pairs}) for at in (0, 1)]
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
        timings = self._means.record.summary["timings"]
        timings["reduce_s"] = round(timings["reduce_s"] + seconds, 3)
        self._means.output.say(f"{'reduce':<8} {seconds:5.1f} s for {n_views} more view{'s' if n_views > 1 else ''}")


def _shown(means: Means, made: DataCard) -> DataCard:
    """What the data are like: shown and noted."""
    source = means.settings.data
    card: DataCard = {"name": source.name, "source": masked(source.address), **made}
    text = json.dumps(card, indent=1)
    (means.record.folder / "data_card.json").write_text(text + "\n", encoding="utf-8")
    means.record.journal.append("data", card=card)
    means.output.data(card)
    return card
