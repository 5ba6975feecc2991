"""Prepare: raw rows to numbers that a network learns well from, fitted on a fold's training rows alone.

scikit-learn's transformers are fitted; what they have found out is kept as arrays in nncore's `Preprocessing`, which
applies it wherever the model goes.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.inference.model import ClassDecoder, LabelDecoder, ValueDecoder
from nncore.inference.preprocessing import Preprocessing, features
from nncore.inference.scaling import Affine, Quantiles
from nncore.inference.table import MISSING, Column, Table
from nncore.kernels.backend import Array
from nncore.stack.data import Data, Rows
from pipeline.components.fields import STRICT, PositiveInt
from pipeline.components.types import Development, PreparedView, RawRows, Task
from pipeline.components.without import without

Scaling = Literal["standard", "min_max", "robust", "quantile", "none"]
MOST_QUANTILES = 1000
NUMBERS_AT_A_TIME = 1 << 20  # 8 MB in float64, of which there are several


@dataclass(frozen=True, config=STRICT)
class Prepare:
    """Fill in what is missing, scale numbers, turn categories into one-hot columns.

    imputation       what stands for a missing number: its column's mean, median or most_frequent value, or zero
    indicators       whether a column that has missing values gets another one, which says where
    scaling          of numbers: standard (mean 0, deviation 1), min_max (0 to 1), robust (median and quartiles),
                     quantile (ranks), or none
    min_frequency    categories in fewer rows share one column; what was never seen counts with them
    max_categories   at most so many columns for one categorical column, the shared one included
    scale_targets    whether a regression's targets are brought to mean 0 and deviation 1
    class_weights    none: all rows count alike; balanced: all classes do
    """

    imputation: Literal["mean", "median", "most_frequent", "zero"]
    indicators: bool
    scaling: Scaling
    min_frequency: PositiveInt
    max_categories: PositiveInt
    scale_targets: bool
    class_weights: Literal["none", "balanced"]

    def check(self, task: Task) -> None:
        """Raise ValueError if a task's rows cannot be prepared so."""
        if self.class_weights != "none" and task != "classification":
            raise ValueError(f"prepare.class_weights must be none for {task}, but is {self.class_weights}")

    def __call__(self, development: Development, fold: int) -> PreparedView:
        """Fit on the fold's training rows, apply to its training and validation rows."""
        table, rows = development.rows.x, development.folds[fold]
        preprocessing = self._fitted(table, rows.train)
        train, validation = replace(development, rows=development.rows.bare()).part(fold)
        target_decoder = self._meaning(development, train)
        data = Data(
            Rows(preprocessing(table, rows.train), target_decoder.targets(train.y), self._weights(train)),
            Rows(
                preprocessing(table, rows.validation),
                target_decoder.targets(validation.y),
                _float32(validation.weights),
            ),
        )
        return PreparedView(preprocessing, (), target_decoder, data)

    def _fitted(self, table: Table, rows: Array) -> Preprocessing:
        """Some columns are taken from the rows at a time: all of them would take much memory, also in float64."""
        n_parts = min(len(table.columns), len(rows) * len(table.columns) // NUMBERS_AT_A_TIME + 1)
        ends = [(part[0], part[-1] + 1) for part in np.array_split(np.arange(len(table.columns)), n_parts)]
        parts = [self._fitted_to(table.select_columns(slice(*end))[rows]) for end in ends]
        fills, missing, scalings, *of_texts = zip(*parts, strict=True)
        indicators = np.flatnonzero(np.concatenate(missing)) if self.indicators else np.empty(0, np.intp)
        ranks, slots = (tuple(chain(*each)) for each in of_texts)
        return Preprocessing(table.columns, np.concatenate(fills), indicators, joined(scalings), ranks, slots)

    def _fitted_to(self, table: Table) -> tuple[Array, Array, Affine | Quantiles, tuple[Array, ...], tuple[Array, ...]]:
        """What stands for a missing value in each feature (M,), which of them have one (M,), and the rest."""
        ranks = tuple(_ranks(column, codes) for column, codes in table.column_values if column.kind == "ordinal")
        slots = tuple(
            self._slots(column, codes) for column, codes in table.column_values if column.kind == "categorical"
        )
        x = features(table, ranks)  # (N, M)
        fill, missing = self._imputed(x)
        x[np.isnan(x)] = np.broadcast_to(fill, x.shape)[np.isnan(x)]
        return fill, missing, fitted_scaling(self.scaling, x), ranks, slots

    def _imputed(self, x: Array) -> tuple[Array, Array]:
        """What stands for a missing value in each column (M,), and which columns have one."""
        with without("pandas"):  # and not at the top: the driver only needs the settings
            from sklearn.impute import SimpleImputer

        missing = np.asarray(np.isnan(x).any(axis=0))
        # scikit-learn sorts columns without gaps as if they had some, which takes twenty times as long
        simple = ~missing if self.imputation == "median" else np.zeros_like(missing)
        fill = np.empty(x.shape[1])
        fill[simple] = np.median(x if simple.all() else x[:, simple], axis=0)
        if not simple.all():
            strategy = "constant" if self.imputation == "zero" else self.imputation
            imputer = SimpleImputer(strategy=strategy, fill_value=0.0, keep_empty_features=True)
            fill[~simple] = imputer.fit(x[:, ~simple]).statistics_
        return fill, missing

    def _slots(self, column: Column, codes: Array) -> Array:
        """See Preprocessing.slots; to the encoder a missing text is one category more, the last."""
        from sklearn.preprocessing import OneHotEncoder

        encoder = OneHotEncoder(
            min_frequency=self.min_frequency,
            max_categories=self.max_categories,
            handle_unknown="infrequent_if_exist",
            sparse_output=False,
        )
        missing = len(column.levels) + 1
        encoder.fit(np.where(codes == MISSING, missing, codes)[:, None])
        one_hot = encoder.transform(np.arange(missing + 1)[:, None])
        return np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1).astype(np.int32)

    def _meaning(self, development: Development, train: RawRows) -> ClassDecoder | LabelDecoder | ValueDecoder:
        if development.labels is not None:
            return ClassDecoder(development.labels)
        if development.task == "multilabel":
            return LabelDecoder(development.targets)
        return ValueDecoder(development.targets, standard(train.y) if self.scale_targets else unscaled(train.y))

    def _weights(self, train: RawRows) -> Array | None:
        """How much the training rows count: their own weights times those of their classes."""
        if self.class_weights == "none":
            return _float32(train.weights)
        _, number, counts = np.unique(train.y, return_inverse=True, return_counts=True)
        of_class = (len(train) / (len(counts) * counts))[number]
        return _float32(of_class if train.weights is None else of_class * train.weights)


def fitted_scaling(scaling: Scaling, x: Array) -> Affine | Quantiles:
    """The scaling of numbers (N, M) without missing ones."""
    from sklearn import preprocessing

    if scaling == "none" or not x.shape[1]:
        return unscaled(x)
    if scaling == "standard":
        return standard(x)
    if scaling == "min_max":
        min_max = preprocessing.MinMaxScaler().fit(x)
        return Affine(np.asarray(min_max.data_min_), 1 / np.asarray(min_max.scale_))
    if scaling == "robust":
        robust = preprocessing.RobustScaler().fit(x)
        return Affine(np.asarray(robust.center_), np.asarray(robust.scale_))
    ranks = preprocessing.QuantileTransformer(n_quantiles=min(MOST_QUANTILES, len(x)), subsample=None).fit(x)
    return Quantiles(np.asarray(ranks.references_), np.asarray(ranks.quantiles_))


def joined(scalings: Sequence[Affine | Quantiles]) -> Affine | Quantiles:
    """One scaling of the columns of all of them, which are of one kind; that of no columns is always affine."""
    ranks = [one for one in scalings if isinstance(one, Quantiles)]
    if ranks:
        return Quantiles(ranks[0].levels, np.concatenate([one.boundaries for one in ranks], axis=1))
    affine = [one for one in scalings if isinstance(one, Affine)]
    return Affine(*(np.concatenate([getattr(one, name) for one in affine]) for name in ("centre", "scale")))


def standard(x: Array) -> Affine:
    """The scaling to mean 0 and standard deviation 1; columns that are constant become 0."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    return Affine(np.asarray(scaler.mean_), np.asarray(scaler.scale_))


def unscaled(x: Array) -> Affine:
    """The scaling that changes nothing."""
    return Affine(np.zeros(x.shape[1]), np.ones(x.shape[1]))


def _ranks(column: Column, codes: Array) -> Array:
    """See Preprocessing.ranks; a value that is not there to fit to is half a step before the next that is."""
    every = np.arange(len(column.levels))
    seen = np.unique(codes[codes != MISSING])
    return np.append(np.searchsorted(seen, every) - np.where(np.isin(every, seen), 0, 0.5), [np.nan, np.nan])


def _float32(weights: Array | None) -> Array | None:
    """Weights of mean 1: however small they are, float32 can hold them."""
    return None if weights is None else (weights / weights.mean()).astype(np.float32)
