"""The published model of a run, for data frames."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.inference import model_file
from nncore.inference.model import ClassDecoder, ValueDecoder, predictions_in
from nncore.inference.table import read_table
from nncore.kernels.backend import Array
from pipeline.components.types import RowsToPredict
from pipeline.interface.errors import InvalidSettingError

if TYPE_CHECKING:
    import pandas as pd

MATRIX_COLUMN = re.compile("x[0-9]+")  # as pipeline.data.in_memory names the columns of a matrix


class SweepModel:
    """The model that a run has published: from raw rows to predictions.

    Rows are a data frame (of pandas, Polars or Arrow), a mapping of columns, or a matrix as the sweep was given.
    Columns are found by their names, in any order; others are ignored. Missing values and unknown categories are
    allowed.

    Parameters
    ----------
    folder : Path
        With model.json and arrays.npz.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "model.json").is_file():
            raise InvalidSettingError(f"there is no model in {folder}: the run has not ended, or has failed")
        self._folder, self.network = folder, model_file.load(folder)

    def __repr__(self) -> str:
        kind, columns = type(self.network).__name__, self.network.preprocessing.columns
        return f"SweepModel: {kind} of {len(columns)} columns, predicts {', '.join(self.targets)} ({self._folder})"

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of what is predicted."""
        return self.network.target_decoder.names

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that the model reads."""
        return tuple(column.name for column in self.network.preprocessing.columns)

    @property
    def classes(self) -> Array | None:
        """The labels (C,), in the order of `predict_proba`; None if the targets are not classes."""
        decoder = self.network.target_decoder
        return decoder.labels if isinstance(decoder, ClassDecoder) else None

    def predict(self, rows: Any) -> Array:
        """Predict the target of each row.

        Parameters
        ----------
        rows : data frame, mapping of str to array (N,), or array (N, I)

        Returns
        -------
        array (N,) or (N, T)
            The label or the value; with several targets one column for each.

        Raises
        ------
        ValueError
            Naming the columns that are missing, or the column, the row and the value that cannot be read.
        """
        return predictions_in(self.network.predict_columns(self._named(rows)), self.network.target_decoder)

    def predict_proba(self, rows: Any) -> Array:
        """Predict the probability of each class (N, C), in the order of `classes`, or of each label (N, T).

        Raises
        ------
        ValueError
            If the model predicts values, or as `predict` does.
        """
        decoder = self.network.target_decoder
        if isinstance(decoder, ValueDecoder):
            raise InvalidSettingError("predict_proba is for classes, but this model predicts values; use predict")
        columns = self.network.predict_columns(self._named(rows))
        return np.stack([values for name, values in columns.items() if name.startswith("probability_")], axis=1)

    def predict_frame(self, rows: Any) -> "pd.DataFrame":
        """Predict all that the model knows of each row.

        Returns
        -------
        DataFrame
            With the index of `rows`: the prediction and, for classes, the probability of each, or, for values, the
            interval in which the value is expected.
        """
        import pandas as pd

        index = rows.index if isinstance(rows, pd.DataFrame) else None
        return pd.DataFrame(self.network.predict_columns(self._named(rows)), index=index)

    def scores(self, rows: Any, y: Any = None) -> dict[str, float]:
        """All scores of the model for rows whose targets are known.

        Parameters
        ----------
        rows : data frame, mapping of str to array (N,), or array (N, I)
        y : array (N,) or (N, T), optional
            The targets; by default those columns of `rows`. Rows without one are left out.

        Returns
        -------
        dict of str to float
            By the names of the metrics.

        Raises
        ------
        ValueError
            If there are no targets, or as `predict` does.
        """
        from pipeline.stages.score import score  # scikit-learn takes time to load

        table = read_table(self.network.preprocessing.columns, self._named(rows))
        return score(self.network, self.network.logits(table), RowsToPredict(table, {}, self._known(rows, y))).scores

    def score(self, rows: Any, y: Any = None) -> float:
        """The accuracy for classes, the share of right labels for several, R^2 for values; see `scores`."""
        scores = self.scores(rows, y)
        return next(scores[name] for name in ("accuracy", "label_accuracy", "r2") if name in scores)

    def save(self, folder: str | Path) -> None:
        """Write the model into a new folder: arrays and JSON, which `nncore.inference.model_file.load` reads."""
        model_file.save(self.network, Path(folder))

    def to_onnx(self, path: str | Path) -> None:
        """Write the model as an ONNX file, whose predictions are compared with the model's own first.

        Raises
        ------
        ImportError
            If onnx or onnxruntime is not installed.
        NotImplementedError
            Naming an operation that ONNX does not have.
        """
        from pipeline.onnx_export.export import onnx_model  # an extra

        example = json.loads((self._folder.parent / "input_example.json").read_text(encoding="utf-8"))["rows"]
        rows = {name: np.array(example[name], dtype=object) for name in self.columns}
        content = onnx_model(self.network, read_table(self.network.preprocessing.columns, rows))
        Path(path).write_bytes(content)

    def _named(self, rows: Any) -> Any:
        """Rows whose columns have names; those of a matrix are x0, x1, ... if the model was fitted to one."""
        if isinstance(rows, list):
            rows = np.asarray(rows)
        if isinstance(rows, np.ndarray) and rows.ndim == 2 and all(map(MATRIX_COLUMN.fullmatch, self.columns)):
            return {f"x{number}": values for number, values in enumerate(rows.T)}
        return rows

    def _known(self, rows: Any, y: Any) -> dict[str, Array]:
        """The targets by name."""
        if y is not None:
            values = np.asarray(y)
            values = values[:, None] if values.ndim == 1 else values
            if values.shape[1:] != (len(self.targets),):
                raise InvalidSettingError(
                    f"y must have one column for each target of the model, {', '.join(self.targets)}, but has the "
                    f"shape {np.shape(y)}"
                )
            return dict(zip(self.targets, values.T, strict=True))
        try:
            return {name: np.asarray(rows[name]) for name in self.targets}
        except (KeyError, IndexError, TypeError):
            raise InvalidSettingError(
                f"the targets of the rows must be known, but there is no column {', '.join(self.targets)}; give y"
            ) from None
