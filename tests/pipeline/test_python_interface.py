"""The Python interface: the same results as on the command line, from data in memory, with nothing left changed."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from running import read_summary, run_command
from sklearn.metrics import accuracy_score
from test_architecture import ROOT
from threadpoolctl import threadpool_info

import nnsweep
import pipeline
from nncore.components import allow, allowed
from pipeline import InvalidSettingError, load_run, plan, sweep
from pipeline.components.errors import SettingError
from pipeline.config.compose import configuration
from pipeline.data.in_memory import stored, table_of
from pipeline.interface.errors import in_words_of_python
from pipeline.interface.exclusive import exclusive
from pipeline.interface.sweeps import _request

N_ROWS = 120
SPACE = {"optimizer": {"adam": {"learning_rate": [0.01, 0.03]}}, "regularizer": {"dropout": {"rate": [0.1]}}}
SMALL = ("training.epochs=3", "baselines=none", "output=quiet")
HEAVY = ("sklearn", "ray", "mlflow", "hydra", "pandas", "numba", "pyarrow")


def frame() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    size, colour = generator.normal(size=N_ROWS), generator.choice(["red", "blue"], N_ROWS)
    bought = np.where(size + (colour == "red") + generator.normal(size=N_ROWS) > 0.5, "yes", "no")
    return pd.DataFrame({"size": size, "colour": colour, "bought": bought})


def small_sweep(folder, **arguments):
    return sweep(frame(), target="bought", space=SPACE, overrides=SMALL, runs=folder, **arguments)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return small_sweep(tmp_path_factory.mktemp("runs"))


def test_the_interface_loads_no_library_before_it_is_used():
    code = "import sys, pipeline, nnsweep; print(nnsweep.__version__, pipeline.__all__); print(*sys.modules)"
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    modules = {name.partition(".")[0] for name in output.splitlines()[1].split()}
    assert not modules & {*HEAVY, "numpy"}


def test_nnsweep_offers_what_pipeline_offers():
    assert {*dir(nnsweep)} == {*pipeline.__all__} <= {*dir(pipeline)}
    for name in pipeline.__all__:
        assert getattr(nnsweep, name) is getattr(pipeline, name)
    for package in (nnsweep, pipeline):
        with pytest.raises(AttributeError, match="has no attribute 'swep'"):
            _ = package.swep


@pytest.mark.parametrize("file", ["pipeline.py", "pipeline/__init__.py"])
def test_a_pipeline_of_the_users_own_is_named_and_not_run(file, tmp_path):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("print('it ran')\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "import nnsweep"]  # Python looks into the current folder first
    failed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert f"finds {path}: rename that" in failed.stderr


@pytest.mark.slow
def test_a_sweep_of_a_frame_is_that_of_its_file_on_the_command_line(result, tmp_path):
    command = json.loads((result.folder / "journal.jsonl").read_text().partition("\n")[0])["command"]
    run_command(tmp_path, *(word for word in shlex.split(command)[1:] if not word.startswith("runs=")))
    assert read_summary(tmp_path)["digest"] == result.summary["digest"]
    frame().to_parquet(tmp_path / "table.parquet")
    spaces = [word for word in shlex.split(command) if "space" in word]
    run_command(tmp_path, "table.parquet", "target=bought", "execution=local", "tracking=none", *spaces, *SMALL)
    assert load_run("last", tmp_path / "runs").summary["digest"] == result.summary["digest"]


def test_the_result_is_what_the_files_of_the_run_say(result):
    board, summary = result.leaderboard, result.summary
    assert [*board["rank"]] == [1, 2]
    assert {*board["trial"]} == {*result.trials["trial"]} == {"0000", "0001"}
    assert {*result.trials["optimizer.learning_rate"]} == {0.01, 0.03}
    assert {*result.trials["epochs"]} == {3}
    assert result.best["trial"] == board["trial"][0]
    curves = result.curves()
    assert [*curves["epoch"]] == [1, 2, 3]
    assert curves["validation/loss"].min() == pytest.approx(board["validation/loss"][0], rel=1e-6)
    assert result.curves(int(board["trial"][1])).equals(result.curves(board["trial"][1]))
    assert {*result.importance["column"]} == {"size", "colour"}
    assert result.verdict in repr(result)
    assert summary["run_id"] in repr(result)
    assert "<td>adam</td>" in result._repr_html_()
    again = load_run(summary["run_id"], result.folder.parents[1])
    assert again.folder == load_run(result.folder).folder == load_run("last", again.folder.parents[1]).folder
    page = result.report(show=False)
    assert summary["run_id"] in page.read_text()
    with pytest.raises(InvalidSettingError, match="trial='0007': there is no such trial"):
        result.curves("0007")


def test_names_are_shown_as_text_and_not_as_html(result, tmp_path):
    summary = result.summary | {"verdict": "<b>bold</b>"}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert "&lt;b&gt;bold" in pipeline.SweepResult(tmp_path)._repr_html_()


def test_the_model_predicts_frames_columns_and_tables_alike(result, tmp_path):
    model, rows = result.model, frame()
    predicted, probabilities = model.predict(rows), model.predict_proba(rows)
    assert [*model.classes] == ["no", "yes"]
    assert probabilities.shape == (N_ROWS, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    for same in (rows[::-1][::-1], pa.Table.from_pandas(rows), {name: rows[name].to_numpy() for name in rows}):
        assert (model.predict(same) == predicted).all()
    assert model.score(rows) == model.score(rows.drop(columns="bought"), rows["bought"])
    assert model.score(rows) == pytest.approx(accuracy_score(rows["bought"], predicted))
    tail = model.predict_frame(rows.tail(3))
    assert [*tail.index] == [117, 118, 119]
    assert [*tail.columns] == ["prediction", "probability_no", "probability_yes"]
    model.save(tmp_path / "model")
    assert (pipeline.SweepModel(tmp_path / "model").predict(rows) == predicted).all()
    with pytest.raises(InvalidSettingError, match="there is no column bought; give y"):
        model.score(rows.drop(columns="bought"))
    with pytest.raises(ValueError, match="'colour'"):
        model.predict(rows[["size"]])


def test_the_model_becomes_an_onnx_file(result, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    result.model.to_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession((tmp_path / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    rows = frame()
    inputs = {"numbers": rows[["size"]].to_numpy(), "texts": rows[["colour"]].to_numpy(dtype=object)}
    (predicted,) = session.run(["prediction"], inputs)
    assert [*predicted] == [*result.model.predict(rows)]


@pytest.mark.slow
def test_two_threads_sweep_as_one_and_leave_the_process_as_it_was(result, tmp_path):
    def state():
        threads = [(pool["user_api"], pool["num_threads"]) for pool in threadpool_info()]
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        return (
            threads,
            handlers,
            allowed(),
            GlobalHydra.instance().hydra,
            OmegaConf.create("a: ${stem:x}").a,
            [*sys.argv],
        )

    OmegaConf.register_new_resolver("stem", lambda path: "the user's own")
    allow(["json"])
    try:
        with initialize_config_dir(str(tmp_path), version_base="1.3"), ThreadPoolExecutor(2) as threads:
            before = state()
            futures = [threads.submit(small_sweep, tmp_path / name, name=name) for name in ("one", "other")]
            digests = {future.result().summary["digest"] for future in futures}
            assert state() == before
    finally:
        OmegaConf.clear_resolver("stem")
        allow([])
    assert digests == {result.summary["digest"]}


def test_one_thread_sweeps_at_a_time():
    entered = threading.Event()

    def enter():
        with exclusive():
            entered.set()

    with ThreadPoolExecutor(1) as thread:
        with exclusive(), exclusive():  # the same thread may
            waiting = thread.submit(enter)
            assert not entered.wait(0.2)
        waiting.result(timeout=60)
    assert entered.is_set()


@pytest.mark.slow
def test_a_run_is_extended_without_training_its_networks_again(tmp_path):
    space = {"optimizer": {"adam": {"learning_rate": {"low": 0.001, "high": 0.1, "scale": "log"}}}}
    drawing = ["search=random", "search.trials=1", *SMALL]
    drawn = sweep(frame(), target="bought", space=space, overrides=drawing, runs=tmp_path)
    first = drawn.curves("0000")
    extended = drawn.extend(trials=3)
    assert extended.folder == drawn.folder
    assert len(extended.trials) == 3
    assert extended.curves("0000").equals(first)
    slices = [json.loads(line) for line in (drawn.folder / "journal.jsonl").read_text().splitlines()]
    trained = [key for event in slices if event["event"] == "slice" for key in event["networks"]]
    assert sorted(trained) == ["0000/1/0", "0001/1/0", "0002/1/0"]


def test_a_grid_has_no_number_of_trials(result):
    with pytest.raises(InvalidSettingError, match=r"trials=9: the search of run [0-9a-f-]+ has no number of trials"):
        result.extend(trials=9)


def test_a_plan_trains_nothing(tmp_path, capsys):
    figures = plan(frame(), target="bought", space=SPACE, overrides=SMALL, runs=tmp_path)
    assert (figures["trials"], figures["network_epochs"]) == (2, 6)
    assert "2 trials, 2 networks" in capsys.readouterr().out
    with pytest.raises(InvalidSettingError, match="there is no run in this folder"):
        load_run(runs=tmp_path)


def overrides(**arguments):
    given = {"data": None, "y": None, "target": None, "runs": "runs", "preset": None, "space": None}
    return _request(**given | {"seconds": None, "cpus": None, "name": None, "overrides": []} | arguments).overrides


def test_arguments_become_overrides():
    assert overrides() == ["execution=local", "tracking=none", "report=none", "runs=runs"]
    assert overrides(data="iris", overrides=["tracking=mlflow", "execution=cluster"]) == [
        "data=iris",
        "report=none",
        "runs=runs",
        "tracking=mlflow",
        "execution=cluster",
    ]
    given = {"target": ["a b", "c"], "preset": "good", "seconds": 60, "cpus": 2, "name": "houses", "space": "ranges"}
    assert overrides(data="s3://bucket/houses.csv", **given) == [
        "s3://bucket/houses.csv",
        'data.target=["a b",c]',
        *("execution=ray", "tracking=none", "report=none", "execution.cpus=2"),
        *("preset=good", "budget.seconds=60", "name=houses", "runs=runs", "space=ranges"),
    ]


def test_a_space_replaces_that_of_the_settings():
    space = {
        "optimizer": {"adamw": {"learning_rate": {"low": 1e-4, "high": 1e-2, "scale": "log"}}, "lion": None},
        "network": {"hidden": [[64], [128, 64]]},
        "training": {"batch_size": [32, 64]},
    }
    composed = configuration(*overrides(space=space, overrides=["search=random"])).settings
    assert {*composed.space.optimizer} == {"adamw", "lion"}
    assert {*composed.space.regularizer} == {"none"}
    trials = [request.trial for request in composed.search.begin(composed.space, 30, 1).ask()]
    assert {dict(trial.overrides)["network.hidden"][0] for trial in trials} == {64, 128}
    own = {"optimizer": {"mine": {"_target_": "nncore.optimizers.sgd.sgd", "learning_rate": [0.1, 0.2]}}}
    assert configuration(*overrides(space=own)).settings.space.grid_size == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overrides": "search=tpe"}, "overrides must be a list of texts"),
        ({"cpus": 0}, "cpus must be a whole number of at least 1, but is 0"),
        ({"space": {"regularizer": {"l2": {}}}}, "space must have the entry optimizer"),
        ({"data": "houses.csv", "y": [1, 2]}, "y belongs to data in memory"),
        ({"data": {"a": [1, 2]}}, "target must be given"),
        ({"data": np.zeros(3)}, r"data must be a data frame .* but is ndarray of shape \(3,\)"),
        ({"data": {"a": [1, "b"]}, "target": "a"}, "data cannot be read as a table .*each column must hold one kind"),
        ({"data": ({"a": [1, 2]}, [1])}, "y must have as many rows as the data, but has 1, and they 2"),
        ({"data": ({"y": [1, 2]}, [1, 2])}, "y is named 'y', as a column of the data is"),
    ],
)
def test_what_cannot_be_swept_is_said_at_once(arguments, message):
    with pytest.raises(SettingError, match=message):
        overrides(**arguments)


def test_errors_are_value_errors_in_words_of_python(tmp_path):
    with pytest.raises(ValueError, match=r"^the data: there is no column 'bougt', which .* did you mean 'bought'\?"):
        sweep(frame(), target="bougt", overrides=SMALL, runs=tmp_path)
    cures = {
        "choose another with target=price or preset=none": 'choose another with target="price" or preset="none"',
        "raise budget.seconds": "raise budget.seconds",
        "leave it out with 'data.drop=[a]'": "leave it out with 'data.drop=[a]'; in Python such settings are given as "
        "overrides=['name=value']",
    }
    for cure, words in cures.items():
        with pytest.raises(ValueError) as caught, in_words_of_python():  # noqa: PT011
            raise SettingError(cure)
        assert str(caught.value) == words


def test_data_in_memory_become_tables(tmp_path):
    x, y = np.arange(6.0).reshape(3, 2), np.array(["a", "b", "a"])
    table, target = table_of(x, y)
    assert table.to_pydict() == {"x0": [0, 2, 4], "x1": [1, 3, 5], "y": ["a", "b", "a"]}
    assert target == ["y"]
    assert table_of(x, pd.Series(y, name="kind"))[1] == ["kind"]
    assert table_of(x, y, ["label"])[1] == ["label"]
    assert table_of(x, np.zeros((3, 2)))[1] == ["y0", "y1"]
    assert table_of(x, pd.DataFrame({"p": y, "q": y}))[1] == ["p", "q"]
    named = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["u", "v"], name="key"))
    assert table_of(named)[0].to_pydict() == {"a": [1, 2], "key": ["u", "v"]}
    missing = np.array([[1, None], [np.nan, "b"]], dtype=object)
    assert table_of(missing)[0].to_pydict() == {"x0": [1, None], "x1": [None, "b"]}
    path = stored(table, tmp_path / "tables")
    assert stored(pa.concat_tables([table[:1], table[1:]]), tmp_path / "tables") == path
    assert [*path.parent.iterdir()] == [path]
    assert stored(table[:2], tmp_path / "tables") != path


@pytest.mark.slow
def test_a_matrix_is_predicted_as_a_matrix_even_if_a_column_was_left_out(tmp_path):
    rows = frame()
    x = np.stack([np.ones(N_ROWS), rows["size"]], axis=1)  # x0 is constant
    fitted = sweep((x, rows["size"] * 2), space=SPACE, overrides=SMALL, runs=tmp_path).model
    assert fitted.targets == ("size",)
    assert fitted.columns == ("x1",)
    assert (fitted.predict(x) == fitted.predict({"x1": x[:, 1]})).all()
    residuals, deviations = rows["size"] * 2 - fitted.predict(x), rows["size"] * 2 - 2 * rows["size"].mean()
    assert fitted.score(x, rows["size"] * 2) == pytest.approx(1 - (residuals**2).sum() / (deviations**2).sum())
    with pytest.raises(InvalidSettingError, match="predict_proba is for classes"):
        fitted.predict_proba(x)
