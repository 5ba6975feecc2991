"""The stages before the sweep: load, split, and for each fold prepare and reduce."""

import time
from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

from pipeline.backends.base import Executor, Future
from pipeline.components.fingerprints import content_hash, settings_hash
from pipeline.components.overrides import override
from pipeline.components.protocols import Preprocessor, Reduction
from pipeline.components.secrets import masked
from pipeline.components.types import DataCard, DataWarning, PreparedFold, ViewShape, view_shape
from pipeline.config.schema import Settings, StageName
from pipeline.engine.slices.task import load_loops
from pipeline.stages.graph import StageGraph, StageResult
from pipeline.stages.load import load_dataset, split_dataset
from pipeline.stages.reduce import apply_reduction
from pipeline.stages.split import with_all_rows


class StageObserver(Protocol):
    """Is told what the stages before the sweep do."""

    def say(self, text: str) -> None:
        """A line for people."""

    def data_loaded(self, card: DataCard, content: str | None) -> None:
        """The data are loaded; the card describes them, and the hash is that of what was read, if it is known."""

    def data_warned(self, card: DataCard, warnings: Sequence[DataWarning]) -> None:
        """Something about the data should make a person look twice; the card contains it."""

    def stage_finished(self, stage: StageName) -> None:
        """A stage has finished, for the views that were needed first."""

    def views_added(self, n_views: int, seconds: float) -> None:
        """Further views were prepared and reduced later."""


class DataPipeline:
    """Runs the stages before the sweep. Each result is computed once, when it is first needed, and kept by reference.

    Loading begins at once, and meanwhile the workers load what they need to train; `load_and_split` waits for the data.
    The content hash of a data set is the digest on its card, with the readings of its texts. So the stages after it do
    not depend on the file that it came from.

    Parameters
    ----------
    settings : Settings
    executor : Executor
    observer : StageObserver

    Attributes
    ----------
    card : dict
        Describes the data; see `pipeline.data.card`. It and the other attributes are set by `load_and_split`.
    task : str
        "classification", "regression" or "multilabel".
    n_validation : tuple of int
        Validation rows of each fold.
    n_test : int
        Test rows; 0 if there are none.
    graph : StageGraph
        All calls of stages; it exists from the beginning.
    development_rows, test_rows : StageResult
        The Development rows and the test rows, which may not have been requested.
    """

    def __init__(self, settings: Settings, executor: Executor, observer: StageObserver) -> None:
        self._settings, self._executor, self._observer = settings, executor, observer
        self.graph = StageGraph(executor, settings.cache, settings.stages)
        self._view_shapes: dict[str, ViewShape] = {}  # by content hash of the view
        self._beside: list[StageResult] = []
        self._dropped = tuple(getattr(settings.data, "drop", ()))
        settings.cache.begin()
        source, content = settings.data, settings.data.content()
        self._content = content
        hashes = [
            None if content is None else content_hash("load", load_dataset, source, content, part)
            for part in ("dataset", "card")
        ]
        self._dataset, self._loaded_card = self.graph.call("load", hashes, load_dataset, source)
        self.graph.request([self._loaded_card])
        executor.broadcast(load_loops)

    def load_and_split(self) -> None:
        """Wait for the data, report their card, and split them."""
        settings, source = self._settings, self._settings.data
        self.card: DataCard = {
            "name": source.name,
            "source": masked(source.address),
            **self._value("load", self._loaded_card),
        }
        self._observer.data_loaded(self.card, self._content)
        self.task = self.card["task"]
        readings = [column["reading"] for column in self.card["columns"]]  # are in the model, but not in the digest
        hashes = [
            content_hash("split", split_dataset, settings.split, self.card["digest"], readings, self._dropped, part)
            for part in ("development", "test", "report")
        ]
        self.development_rows, self.test_rows, split_report = self.graph.call(
            "split", hashes, split_dataset, settings.split, self._dataset, self._dropped
        )
        self.n_validation, self.n_test, warnings = self._value("split", split_report)
        self._warn(warnings)
        self._dataset.future = None  # frees the data set, which may be large

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.n_validation)

    @property
    def development(self) -> Future:
        """The Development rows."""
        self.graph.request([self.development_rows])
        return self.development_rows.future

    @property
    def test(self) -> Future:
        """The test rows. Nothing reads them before the first call."""
        self.graph.request([self.test_rows])
        return self.test_rows.future

    @property
    def n_outputs(self) -> int:
        """Values that a network predicts for a row: one for two classes, else one for each class or target."""
        n_classes = len(self.card["classes"]) if self.task == "classification" else len(self.card["targets"])
        return 1 if self.task == "classification" and n_classes == 2 else n_classes

    @property
    def n_cached(self) -> int:
        """Number of results that were found in the cache."""
        return self.graph.n_cached

    @property
    def n_computed(self) -> int:
        """Number of calls that were made because the cache lacked a result."""
        return self.graph.n_computed

    def views(self, pairs: Sequence[tuple[Preprocessor, Reduction]]) -> list[tuple[PreparedFold, ...]]:
        """Prepare and reduce the rows of all folds.

        Parameters
        ----------
        pairs : sequence of (Preprocessor, Reduction)
            Equal pairs share their views. All tasks are started before the first result is awaited.

        Returns
        -------
        list of tuple of PreparedFold
            For each pair, its views in the order of the folds.

        Raises
        ------
        SettingError
            Naming the setting that does not fit the rows.
        """
        first, start, n_computed = not self._view_shapes, time.monotonic(), self.n_computed
        keys = [settings_hash(pair) for pair in pairs]
        distinct = dict(zip(keys, pairs, strict=True))
        folds = {key: self._views_of(*pair) for key, pair in distinct.items()}
        views = list(dict.fromkeys(chain(*folds.values())))
        self.graph.request(views)
        for stage in ("prepare", "reduce"):
            self.graph.wait(stage)
            if first:
                self._observer.stage_finished(stage)
        prepared = self._prepared_folds(views)
        if first:
            self.graph.request(self._beside)  # before the prepared rows, which they need, are released
        reduced = [view for view in views if view.call.stage == "reduce"]
        self.graph.release({needed for view in reduced for needed in view.call.inputs} - {*views})
        if first:
            self._observer.say(self._summary([*distinct.values()]))
            self._warn(self._constant_columns(pairs[0][0]))
        elif self.n_computed > n_computed:
            self._observer.views_added(len(views), time.monotonic() - start)
        return [tuple(prepared[view] for view in folds[key]) for key in keys]

    def views_of_all_rows(self, pairs: Sequence[tuple[Preprocessor, Reduction]]) -> list[PreparedFold]:
        """Prepare and reduce all development rows, as training rows; for each pair its view."""
        content = content_hash("split", with_all_rows, self.development_rows.content_hash)
        (rows,) = self.graph.call("split", [content], with_all_rows, self.development_rows)
        views = [self._views_of(*pair, rows, 1)[0] for pair in pairs]
        self.graph.request(views)
        self.graph.wait("split", "prepare", "reduce")
        prepared = self._prepared_folds(list(dict.fromkeys(views)))
        return [prepared[view] for view in views]

    def prepared(
        self, prepare: Preprocessor, rows: StageResult | None = None, n_folds: int | None = None
    ) -> list[StageResult]:
        """Describe the calls that prepare the rows of each fold, by default of the development rows."""
        rows = rows or self.development_rows
        views: list[StageResult] = []
        for fold in range(self.n_folds if n_folds is None else n_folds):
            prepare_hash = content_hash("prepare", prepare, fold, rows.content_hash)
            views += self.graph.call("prepare", [prepare_hash], prepare, rows, fold)
        return views

    def start_beside(self, results: Sequence[StageResult]) -> None:
        """Request these results, which no network needs, as soon as networks can be trained."""
        self._beside += results

    def _views_of(
        self,
        prepare: Preprocessor,
        reduction: Reduction,
        rows: StageResult | None = None,
        n_folds: int | None = None,
    ) -> list[StageResult]:
        """Describe the calls that lead to the view of each fold. Reductions that share a fit share the call of it."""
        call, views = self.graph.call, []
        for view in self.prepared(prepare, rows, n_folds):
            prepare_hash = view.content_hash
            if reduction.shared is not None:
                fit_hash = content_hash("fit", reduction.shared, prepare_hash)
                (fitted,) = call("reduce", [fit_hash], reduction.shared.fit, view)
                reduce_hash = content_hash("reduce", apply_reduction, reduction, prepare_hash)
                (view,) = call("reduce", [reduce_hash], apply_reduction, reduction, view, fitted)
            views.append(view)
        return views

    def _prepared_folds(self, views: Sequence[StageResult]) -> dict[StageResult, PreparedFold]:
        """The views by reference, with their shapes; those of new views are fetched."""
        options = self._settings.stages["reduce"]
        new = [view for view in views if view.content_hash not in self._view_shapes]
        shapes = [self._executor.submit(view_shape, view.future, options=options)[0] for view in new]
        for view, shape in zip(new, shapes, strict=True):
            self._view_shapes[str(view.content_hash)] = self._executor.fetch(shape)
        hashes = {view: str(view.content_hash) for view in views}
        return {view: PreparedFold(view.future, self._view_shapes[key], key) for view, key in hashes.items()}

    def _constant_columns(self, prepare: Preprocessor) -> list[DataWarning]:
        """Warnings about text columns of which nothing is left after preparation."""
        names = dict.fromkeys(chain(*(shape.constant_columns for shape in self._view_shapes.values())))
        n_levels = {column["name"]: column.get("levels") for column in self.card["columns"]}
        min_frequency = getattr(prepare, "min_frequency", None)
        rule = "" if min_frequency is None else f", as each is in fewer rows than prepare.min_frequency={min_frequency}"
        return [
            DataWarning(
                "rare_texts",
                (name,),
                f"column {name!r} says nothing after preparation: all its {n_levels[name]:,} texts share one input"
                f"{rule}; leave it out with {override('data.drop', [*self._dropped, name])}, or lower "
                "prepare.min_frequency",
            )
            for name in names
        ]

    def _warn(self, warnings: Sequence[DataWarning]) -> None:
        """Report warnings, and add them to the card."""
        if warnings:
            self.card["warnings"] = [*self.card["warnings"], *(warning.text for warning in warnings)]
            self._observer.data_warned(self.card, warnings)

    def _value(self, stage: StageName, result: StageResult) -> Any:
        """Fetch a small result of a stage, when the whole stage has finished."""
        self.graph.request([result])
        value = self._executor.fetch(result.future)
        self.graph.wait(stage)
        self._observer.stage_finished(stage)
        return value

    def _summary(self, pairs: Sequence[tuple[Preprocessor, Reduction]]) -> str:
        """One line about the views."""
        shapes = list(self._view_shapes.values())
        widths = sorted({shape.n_inputs for shape in shapes})
        n_preparations, n_reductions = (len(set(map(settings_hash, parts))) for parts in zip(*pairs, strict=True))
        parts = [
            f"{f'{self.n_folds} folds of ' if self.n_folds > 1 else ''}{shapes[0].n_train} training and "
            f"{shapes[0].n_validation} validation rows",
            f"{len(self.card['columns'])} columns",
            f"{n_preparations} preparations" if n_preparations > 1 else "",
            f"{n_reductions} reductions" if n_reductions > 1 else "",
            f"{' to '.join(map(str, dict.fromkeys([widths[0], widths[-1]])))} after reduction",
            "predictions limited to the training targets' range (else prepare.bound_predictions=false)"
            if any(shape.bounded for shape in shapes)
            else "",
            f"{self.n_cached} stage results from the cache" if self.n_cached else "",
        ]
        return ", ".join(filter(None, parts))
