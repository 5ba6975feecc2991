"""The views of a run: one call for several preparations and reductions, on one or more folds."""

import json
from dataclasses import replace

import numpy as np
import pytest
from running import FEW, compose, run_sweep
from upstreams import CountedSource, data_pipeline, take_lines

import nncore.reduction.pca
from pipeline.components.errors import SettingError
from pipeline.components.types import view_shape
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.stages.reduce import SHARED_COMPONENTS, AutoencoderReduction, Identity, PcaReduction, apply_reduction


def prepared(name="digits"):
    settings, _ = compose(f"data={name}")
    return settings.prepare(settings.split(settings.data())[0], 0)


@pytest.mark.parametrize("n", [1, 2, 16, 32, 61])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_part_of_a_shared_pca_is_bit_equal_to_a_pca_fitted_alone(n, dtype):
    view = prepared()
    x = view.data.train.x
    rows = [part.x.astype(dtype) for part in view.data]
    alone = nncore.reduction.pca.fit_pca(x, n)
    part = PcaReduction(n).narrowed(PcaReduction(n).shared.fit(view), view)
    np.testing.assert_array_equal(part.components, alone.components)
    np.testing.assert_array_equal(part.explained_variance, alone.explained_variance)
    assert part.explained_share == alone.explained_share
    in_order = replace(alone, components=np.ascontiguousarray(alone.components))
    for matrix in rows:
        np.testing.assert_array_equal(part(matrix), in_order(matrix))
    assert part.components.base is None  # and keeps no reference to the others
    made = PcaReduction(n)(view)
    np.testing.assert_array_equal(made.data.train.x, in_order(x))


def test_which_reductions_share_a_fit():
    assert (
        PcaReduction(2).shared
        == PcaReduction("auto").shared
        == PcaReduction(SHARED_COMPONENTS).shared
        == PcaReduction(SHARED_COMPONENTS)
    )
    assert PcaReduction(SHARED_COMPONENTS + 1).shared == PcaReduction(SHARED_COMPONENTS + 1)
    assert Identity().shared is None
    coder = compose("reduce=autoencoder")[0].reduce
    assert isinstance(coder, AutoencoderReduction)
    assert coder.shared == coder != replace(coder, n_components=3).shared


def test_views_equal_those_of_the_stages_applied_in_sequence(tmp_path):
    settings, _ = compose("reduce=autoencoder", "reduce.epochs=2")
    prepares = [replace(settings.prepare, scaling=scaling) for scaling in ("standard", "quantile")]
    pairs = [
        (prepare, reduction)
        for prepare in prepares
        for reduction in (PcaReduction("auto"), settings.reduce, Identity())
    ]
    with data_pipeline(tmp_path, "data=wine", "split.folds=3") as (data, context):
        prepared = data.views(pairs)
        development = context.executor.fetch(data.development)
        assert data.task == "classification"
        assert data.n_folds == len(development.folds) == 3
        assert json.loads((context.run_folder.folder / "data_card.json").read_text()) == data.card
        assert data.card["name"] == "wine"
        for (prepare, reduction), folds in zip(pairs, prepared, strict=True):
            for fold, view in enumerate(folds):
                view_data, alone = context.executor.fetch(view.data), reduction(prepare(development, fold))
                assert view.view_shape == view_shape(alone)
                for part, expected in zip(view_data.data, alone.data, strict=True):
                    np.testing.assert_array_equal(part.x, expected.x)
                    np.testing.assert_array_equal(part.t, expected.t)
        content_hashes = {view.content_hash for folds in prepared for view in folds}
        assert len(content_hashes) == 6 * 3
    with data_pipeline(tmp_path / "elsewhere", "data=wine", "split.folds=3", "cache=none") as (again, _):
        assert {view.content_hash for pair in pairs for view in again.views([pair])[0]} == content_hashes


@pytest.mark.parametrize("cache", ["none", "folder"])
def test_setting_errors_of_a_stage_are_raised(tmp_path, cache):
    overrides = "data=iris", f"cache={cache}"
    for _ in range(2):
        with data_pipeline(tmp_path, *overrides) as (data, context):
            prepare = context.settings.prepare
            with pytest.raises(
                SettingError, match=r"reduce\.n_components must be from 1 to 4 \(90 rows, 4 columns\), but"
            ):
                data.views([(prepare, Identity()), (prepare, PcaReduction(5))])
        with (
            pytest.raises(SettingError, match=r"^split\.folds=40 with split\.test=0\.5 does not fit the data"),
            data_pipeline(tmp_path, *overrides, "split.folds=40", "split.test=0.5"),
        ):
            pass


class UnknownContentSource(CountedSource):
    """A source whose content is unknown before it is loaded."""

    def content(self) -> None:
        return None


def test_a_source_of_unknown_content_is_loaded_each_time_and_later_stages_are_cached(tmp_path):
    source, log = compose("data=iris")[0].data, tmp_path / "log"
    for n_cached in (0, 2):  # the number of folds, the view
        with data_pipeline(tmp_path, "data=iris", data=UnknownContentSource(source, log)) as (data, context):
            data.views([(context.settings.prepare, Identity())])
            assert take_lines(log) == ["load"]
            assert data.n_cached == n_cached


def test_without_a_reduction_there_is_neither_a_task_nor_a_copy(tmp_path):
    with data_pipeline(tmp_path, "data=iris", "cache=none") as (data, context):
        first, second = (data.views([(context.settings.prepare, Identity())])[0][0] for _ in range(2))
        assert first == second
        assert first.data is second.data
        assert data.n_computed == 3  # load, split, prepare
        view = context.executor.fetch(first.data)
        assert view.transforms == ()
        assert Identity()(view) is view
        assert apply_reduction(PcaReduction(2), view, PcaReduction(2).shared.fit(view)).data.train.x.shape == (90, 2)


def test_timings_of_later_calls_add_up_and_are_shown(tmp_path):
    with data_pipeline(tmp_path, "data=iris") as (data, context):
        prepare, timings = context.settings.prepare, context.run_folder.summary["timings"]
        data.views([(prepare, PcaReduction(2))])
        first = timings["reduce_s"]
        data.views([(prepare, PcaReduction(2))])
        assert timings["reduce_s"] == first
        data.views([(prepare, PcaReduction(3))])
        assert timings["reduce_s"] >= first
        last = context.output._console.file.getvalue().splitlines()[-1]
        assert last.startswith("reduce ")
        assert last.endswith(" s for 1 more view")
    with data_pipeline(tmp_path, "data=iris") as (data, context):
        data.views([(context.settings.prepare, PcaReduction(2))])
        assert (
            context.output._console.file.getvalue()
            .splitlines()[-1]
            .endswith("2 after reduction, 3 stage results from the cache")
        )


class RecordingObserver(list):
    """An observer that records its calls."""

    def say(self, text):
        self.append(("say", text))

    def data_loaded(self, card, content):
        self.append(("data_loaded", card["name"]))

    def stage_finished(self, stage):
        self.append(("stage_finished", stage))

    def views_added(self, n_views, seconds):
        assert seconds > 0
        self.append(("views_added", n_views))


def test_an_observer_is_told_what_the_stages_do_and_no_run_is_needed(tmp_path):
    settings, _ = compose("data=iris", "execution=local", f"runs={tmp_path}", "split.folds=2", "cache=none")
    calls = RecordingObserver()
    with settings.execution.start() as executor:
        data = DataPipeline(settings, executor, calls)
        data.load_and_split()
        for reduction in (PcaReduction(2), PcaReduction(2), PcaReduction(3)):
            data.views([(settings.prepare, reduction)])
    stages = [("stage_finished", stage) for stage in ("load", "split", "prepare", "reduce")]
    text = "2 folds of 60 training and 60 validation rows, 4 columns, 2 after reduction"
    expected = [stages[0], ("data_loaded", "iris"), *stages[1:], ("say", text), ("views_added", 2)]
    assert calls == expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_share_of_the_variance_chooses_the_number_of_components(share):
    from sklearn.decomposition import PCA

    view = prepared()
    reduced = PcaReduction(share)(view)
    theirs = PCA(share, svd_solver="full").fit(view.data.train.x.astype(float))
    assert reduced.data.train.x.shape[1] == theirs.n_components_
    assert reduced.transforms[-1].explained_share >= share
    assert PcaReduction(share).shared == PcaReduction("auto").shared


def test_a_share_may_take_other_numbers_of_components_on_other_folds(tmp_path):
    summary = run_sweep(tmp_path, "data=wine", *FEW, "split.folds=3", "reduce.n_components=0.8")
    assert summary["networks"]["finished"] == 21
