"""The champion as an MLflow model ("models from code"). It carries nncore along and nothing else of ours."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel

from nncore import model_file
from nncore.model import Model


def answer(model: Model, rows: pd.DataFrame) -> pd.DataFrame:
    """One line per raw row, with its index: the prediction and, for classes, the probability of each."""
    return pd.DataFrame(model.answers(rows[list(model.columns)].to_numpy(np.float64)), index=rows.index)


class Champion(PythonModel):
    """Loads the arrays and answers raw rows."""

    def load_context(self, context: Any) -> None:
        """Read the model's folder."""
        self._model = model_file.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """See `answer`."""
        return answer(self._model, model_input)


mlflow.models.set_model(Champion())
