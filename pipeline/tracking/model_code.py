"""The champion as an MLflow model ("models from code"). Of this project it needs only nncore, which it contains."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel

from nncore.inference import model_file
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import Model
from nncore.kernels.backend import Array


def predict_frame(model: Model | Ensemble, rows: pd.DataFrame | Array) -> pd.DataFrame:
    """Return one row per raw row, with its index: the prediction and, for classes, the probability of each."""
    if not isinstance(rows, pd.DataFrame):
        return pd.DataFrame(model.predict_columns(rows))
    columns = {str(name): _values(rows[name]) for name in rows}
    return pd.DataFrame(model.predict_columns(columns), index=rows.index)


def _values(column: "pd.Series[Any]") -> Array:
    """A column as numbers or dates in UTC; whatever else it holds as plain objects, None where missing."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiubM":
        return column.to_numpy()
    return column.astype(object).where(column.notna(), None).to_numpy()


class ChampionModel(PythonModel):
    """Loads the arrays and predicts raw rows."""

    def load_context(self, context: Any) -> None:
        """Read the model's folder."""
        self._model = model_file.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """See `predict_frame`."""
        return predict_frame(self._model, model_input)


mlflow.models.set_model(ChampionModel())
