"""The champion as an MLflow model ("models from code"). Of this project it needs only nncore, which it contains."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc.model import PythonModel

from nncore.inference import model_file
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import Model


class InvalidRowsError(MlflowException, ValueError):
    """Rows that the model cannot read; MLflow's server answers with the text and status 400."""


def predict_frame(model: Model | Ensemble, rows: Any) -> pd.DataFrame:
    """Return one row per raw row, with its index: the prediction and, for classes, the probability of each.

    Parameters
    ----------
    model : Model or Ensemble
    rows : data frame, mapping, matrix or list
        A data frame, a matrix with all columns in their order, or what MLflow's server makes of JSON: arrays or single
        values by column, or a list with one mapping or one list per row. Each value may be an array without dimensions.

    Raises
    ------
    ValueError
        See `Model.predict_columns`.
    """
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        rows = pd.DataFrame([{name: _plain(value) for name, value in row.items()} for row in rows])
    elif isinstance(rows, dict):
        rows = {name: _column(values) for name, values in rows.items()}
    return pd.DataFrame(model.predict_columns(rows), index=rows.index if isinstance(rows, pd.DataFrame) else None)


def _column(values: Any) -> Any:
    array: Any = values if isinstance(values, list) else np.atleast_1d(values)
    return list(map(_plain, array)) if isinstance(values, list) or array.dtype == object else array


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


class ChampionModel(PythonModel):
    """Loads the arrays and predicts raw rows."""

    def load_context(self, context: Any) -> None:
        """Read the model's folder."""
        self._model = model_file.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """See `predict_frame`."""
        try:
            return predict_frame(self._model, model_input)
        except ValueError as error:
            raise InvalidRowsError(str(error), error_code=BAD_REQUEST) from None


mlflow.models.set_model(ChampionModel())
