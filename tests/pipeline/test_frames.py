"""The model reads what the reader reads: the same rows have the same predictions whatever holds them, on every road.

The roads are the model itself, MLflow's pyfunc, MLflow's server with each of its formats, and the command predict.
"""

import json
import random
from functools import cache
from itertools import count

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from running import FEW, read_summary, run_command
from servers import ModelServer

from nncore.inference import model_file
from pipeline.cli import dispatch

pytestmark = pytest.mark.slow
KINDS = ("+data.kinds.zip=categorical", "+data.kinds.size=[S,M,L]")
NAMES = ("price", "rooms", "garden", "sold", "zip", "size", "floor")
ROWS = {  # plain values; a fraction, an integer, a truth value, a date, a code, an ordinal, an integer with gaps
    "price": [59.5, 22.25, 11.0, 1.75],
    "rooms": [6, 2, 5, 3],
    "garden": [False, True, False, True],
    "sold": ["2022-07-05", "2021-12-10", "2021-10-16", "2021-11-11"],
    "zip": ["20095", "80331", "10115", "80331"],
    "size": ["L", "S", "M", "M"],
    "floor": [10, None, 2, -1],
}


def times(frame):
    return frame.assign(sold=pd.to_datetime(frame.sold))


FRAMES = {  # by name: the plain values that differ from ROWS, and how pandas holds them
    "plain": ({}, lambda frame: frame),
    "fractions that are all whole": ({"price": [59, 22, 11, 2]}, lambda frame: frame.astype({"price": float})),
    "fractions as integers": ({"price": [59, 22, 11, 2]}, lambda frame: frame.astype({"price": int})),
    "fractions as small integers": ({"price": [59, 22, 11, 2]}, lambda frame: frame.astype({"price": "uint8"})),
    "a fraction in a column of integers": ({"rooms": [6.5, 2, 5, 3]}, lambda frame: frame),
    "integers with a gap": ({"rooms": [6, None, 5, 3]}, lambda frame: frame.astype({"rooms": float})),
    "integers with pd.NA": ({"rooms": [6, None, 5, 3]}, lambda frame: frame.astype({"rooms": "Int64"})),
    "codes as integers": ({}, lambda frame: frame.astype({"zip": int})),
    "codes as fractions with a gap": (
        {"zip": ["20095", None, "10115", "80331"]},
        lambda frame: frame.astype({"zip": float}),
    ),
    "truth with pd.NA": ({"garden": [False, None, False, True]}, lambda frame: frame.astype({"garden": "boolean"})),
    "truth with None": ({"garden": [False, None, False, True]}, lambda frame: frame.astype({"garden": object})),
    "truth as 0 and 1": ({}, lambda frame: frame.astype({"garden": int})),
    "truth as 0.0, 1.0 and NaN": ({"garden": [False, True, None, True]}, lambda frame: frame.astype({"garden": float})),
    "truth as yes and no": ({}, lambda frame: frame.assign(garden=["no", "yes", "no", "yes"])),
    "categories": ({}, lambda frame: frame.astype("category")),
    "nullable types": ({}, lambda frame: frame.convert_dtypes()),
    "Arrow types": ({}, lambda frame: times(frame).convert_dtypes(dtype_backend="pyarrow")),
    "objects": ({}, lambda frame: frame.astype(object)),
    "times": ({}, times),
    "times with a zone": ({}, lambda frame: frame.assign(sold=times(frame).sold.dt.tz_localize("UTC"))),
    "dates": ({}, lambda frame: frame.assign(sold=times(frame).sold.dt.date)),
    "other order, and a column more": ({}, lambda frame: frame[[*reversed(NAMES)]].assign(note="=1+1")),
    "one row": ({name: values[:1] for name, values in ROWS.items()}, lambda frame: frame),
    "unknown texts": ({"zip": ["1", "2", "3", "4"], "size": ["XXL", "", None, "S"]}, lambda frame: frame),
}
EMPTY_COLUMNS = {f"{column} empty, {label}" for column in NAMES for label in ("None", "NaN", "NA")}
EMPTY = {"None": lambda n: [None] * n, "NaN": lambda n: np.full(n, np.nan), "NA": lambda n: pd.array([pd.NA] * n)}
for column in (*NAMES, ""):
    for label, values in EMPTY.items():
        empty = [column] if column else [*NAMES]
        FRAMES[f"{column or 'every column'} empty, {label}"] = (
            {name: [None] * 4 for name in empty},
            lambda frame, empty=empty, values=values: frame.assign(**{name: values(4) for name in empty}),
        )


def case(name):
    """The plain values and the frame of a case."""
    changes, hold = FRAMES[name]
    plain = ROWS | changes
    return plain, hold(pd.DataFrame(plain))


class Shop:
    """A run over a table with a column of each kind, its registered model, and that model's server."""

    def __init__(self, folder):
        self.folder, draw = folder, random.Random(0)
        rows = [
            {
                "price": round(draw.lognormvariate(2.7, 0.8), 2), "rooms": draw.randint(1, 6),
                "garden": draw.choice([True, False]), "sold": f"202{draw.randint(1, 2)}-{draw.randint(1, 12):02}-11",
                "zip": draw.choice(["20095", "80331", "10115", "01067"]), "size": draw.choice("SML"),
                "floor": draw.choice([None, *range(-1, 12)]),
            }
            for _ in range(120)
        ]  # fmt: skip
        self.table = pd.DataFrame(rows)
        score = self.table.price - 2 * self.table.rooms + 8 * (self.table["size"] == "L")
        self.table["cheap"] = np.where(score < score.median(), "yes", "no")
        self.table.to_csv(folder / "shop.csv", index=False)
        settings = ("data=csv", "data.path=shop.csv", "data.target=cheap", *KINDS, "training.epochs=20")
        run_command(folder, *FEW, *settings, "execution=local", "report=none", "cache=none")
        self.uri = f"sqlite:///{folder}/runs/mlflow.db"
        self.path = read_summary(folder)["model"]["path"]
        self.model = model_file.load(self.path)
        mlflow.set_tracking_uri(self.uri)
        self.pyfunc = mlflow.pyfunc.load_model("models:/shop@champion")
        self.server = ModelServer(folder, self.uri, "models:/shop@champion")
        self._numbers = count()

    def answers(self, road, frame):
        """The predictions of a frame on a road."""
        if road == "pyfunc":
            return self.pyfunc.predict(frame)
        if road == "predict parquet":
            return self._command("parquet", frame.to_parquet(index=False))
        if road in ("predict csv", "text/csv"):
            text = frame.to_csv(index=False)
            return self._command("csv", text.encode()) if road == "predict csv" else self._response(text, road)
        shown = json.loads(frame.to_json(orient="split", date_format="iso", double_precision=15, index=False))
        records = [dict(zip(shown["columns"], row, strict=True)) for row in shown["data"]]
        columns = {name: [record[name] for record in records] for name in shown["columns"]}
        contents = {"dataframe_split": shown, "dataframe_records": records, "instances": records, "inputs": columns}
        content = {road: contents[road]} if road in contents else {"inputs": records}
        return self._response(json.dumps(content), "application/json")

    @cache  # noqa: B019 - as long as the module
    def _response(self, text, kind):
        status, response = self.server.post(text, kind)
        assert status == 200, response
        return pd.DataFrame(json.loads(response)["predictions"])

    @cache  # noqa: B019
    def _command(self, ending, content):
        number = next(self._numbers)
        path, out = (self.folder / f"{number}.{name}" for name in (ending, "out.csv"))
        path.write_bytes(content)
        dispatch.dispatch(["predict", f"model={self.path}", f"data={ending}", f"data.path={path}", f"out={out}"], 0.0)
        return pd.read_csv(out, dtype={"prediction": str}, keep_default_na=False).drop(columns="row")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    made = Shop(tmp_path_factory.mktemp("shop"))
    try:
        made.server.wait()
        yield made
    finally:
        made.server.kill()


ROADS = (
    *("pyfunc", "dataframe_split", "dataframe_records", "instances", "inputs", "inputs, as records", "text/csv"),
    *("predict csv", "predict parquet"),
)


@pytest.mark.parametrize("name", FRAMES)
def test_every_frame_has_the_same_predictions_on_every_road(name, shop):
    plain, frame = case(name)
    expected = shop.model.predict_columns({column: np.array(values, object) for column, values in plain.items()})
    assert np.isfinite(expected["probability_yes"]).all()
    np.testing.assert_array_equal(shop.model.predict(frame), expected["prediction"])
    for road in ROADS[: -1 if name in EMPTY_COLUMNS else None]:  # a Parquet file of each would take too long
        answers = shop.answers(road, frame)
        assert [*answers] == ["prediction", "probability_no", "probability_yes"], road
        assert answers["prediction"].tolist() == expected["prediction"].tolist(), road
        probabilities = answers["probability_yes"].to_numpy(np.float32)
        np.testing.assert_array_equal(probabilities, expected["probability_yes"], err_msg=road)


def test_the_training_file_as_pandas_reads_it_is_predicted(shop):
    frame = pd.read_csv(shop.folder / "shop.csv")
    expected = shop.model.predict(frame)
    assert (expected == frame.cheap).mean() > 0.8
    for road in ROADS:
        assert shop.answers(road, frame)["prediction"].tolist() == expected.tolist(), road


def test_a_matrix_and_a_single_row_are_predicted(shop):
    _, frame = case("plain")
    matrix = frame[[*NAMES]].to_numpy().tolist()
    expected = shop.model.predict(frame).tolist()
    assert shop.pyfunc.predict(frame[[*NAMES]].to_numpy())["prediction"].tolist() == expected
    for content in ({"inputs": matrix}, {"instances": matrix}, {"dataframe_split": {"columns": NAMES, "data": matrix}}):
        assert shop._response(json.dumps(content), "application/json")["prediction"].tolist() == expected
    row = {name: values[0] for name, values in ROWS.items()}
    for content in ({"inputs": row}, {"inputs": [row]}, {"instances": [row]}, {"dataframe_records": [row]}):
        assert shop._response(json.dumps(content), "application/json")["prediction"].tolist() == expected[:1]
    assert shop.pyfunc.predict(row)["prediction"].tolist() == expected[:1]


def test_the_index_of_a_frame_is_that_of_its_predictions(shop):
    _, frame = case("plain")
    assert shop.pyfunc.predict(frame.set_axis([9, 7, 7, 1])).index.tolist() == [9, 7, 7, 1]
    by_name = frame.set_index("zip")
    assert shop.pyfunc.predict(by_name)["prediction"].tolist() == shop.model.predict(frame).tolist()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda frame: frame.drop(columns=["zip", "price"]), "columns 'price', 'zip' are missing; there are 'rooms'"),
        (lambda frame: frame.assign(rooms=["6", "two", "5", "3"]), "column 'rooms' is numeric, but row 1 has 'two'"),
    ],
)
def test_rows_that_cannot_be_read_are_named_on_every_road(spoil, words, shop):
    frame = spoil(case("plain")[1])
    for error in (ValueError, mlflow.exceptions.MlflowException):
        with pytest.raises(error, match=words):
            shop.pyfunc.predict(frame)
    records = json.loads(frame.to_json(orient="records"))
    for content, kind in (
        (json.dumps({"dataframe_records": records}), "application/json"),
        (json.dumps({"instances": records}), "application/json"),
        (frame.to_csv(index=False), "text/csv"),
    ):
        status, response = shop.server.post(content, kind)
        assert status == 400
        assert words in response


def test_mlflow_knows_the_columns_with_their_kinds_and_what_the_model_predicts(shop):
    metadata = shop.pyfunc.metadata
    assert metadata.signature.outputs.input_names() == ["prediction", "probability_no", "probability_yes"]
    assert metadata.metadata["columns"] == {
        "price": "numeric", "rooms": "numeric", "garden": "boolean", "sold": "date", "zip": "categorical",
        "size": "ordinal", "floor": "numeric",
    }  # fmt: skip
    (version,) = MlflowClient(shop.uri).search_model_versions("name = 'shop'")
    example = mlflow.models.Model.load(version.source).load_input_example(version.source)
    assert [*example] == [*NAMES]
