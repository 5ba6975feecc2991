"""Prepare: raw rows to numbers that a network learns well from, fitted on the training rows of a fold alone.

scikit-learn's transformers are fitted. What they found is kept as arrays in nncore's `Preprocessing`, which is part of
the model.
"""

from dataclasses import replace
from itertools import chain
from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.inference.model import ClassDecoder, LabelDecoder, ValueDecoder
from nncore.inference.preprocessing import Preprocessing, features
from nncore.inference.scaling import Affine, NormalQuantiles, Quantiles, Scaling, SmoothClip, join
from nncore.inference.table import MISSING, Column, Table
from nncore.inference.target_transforms import Logarithm, TargetTransform, YeoJohnson
from nncore.kernels.backend import Array
from nncore.random_streams import generator
from nncore.stack.data import Data, Rows
from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, PositiveInt
from pipeline.components.types import Development, PreparedView, Task

ScalingName = Literal["standard", "min_max", "robust", "robust_clip", "quantile", "quantile_normal", "none"]
MAX_QUANTILES = 1000
MIN_QUANTILES = 10  # of quantile_normal
ROWS_PER_QUANTILE = 30  # of quantile_normal
NOISE = 1e-3  # of quantile_normal, in standard deviations of the column
BLOCK_SIZE = 1 << 20  # numbers that are fitted at a time: 8 MB in float64, of which there are several copies


@dataclass(frozen=True, config=STRICT)
class Prepare:
    """Impute missing values, scale numbers, and turn categories into one-hot columns.

    Parameters
    ----------
    imputation : {"mean", "median", "most_frequent", "zero"}
        What replaces a missing number: a statistic of its column, or 0.
    indicators : bool
        Add, for each column with missing values, a column that is 1 where the value is missing.
    scaling : {"standard", "min_max", "robust", "robust_clip", "quantile", "quantile_normal", "none"}
        Of numbers: mean 0 and standard deviation 1; 0 to 1; by median and quartiles; the same, smoothly limited to the
        range from -3 to 3, and applied to indicators and one-hot columns too; ranks, uniform with standard deviation 1;
        ranks mapped to a normal distribution, fitted with a little noise; none.
    min_frequency : int, > 0
        Categories in fewer rows share one column, together with categories that training has not seen.
    max_categories : int, > 0
        The most columns for one categorical column, the shared one included.
    max_one_hot : int, > 0, or None
        Categorical columns that would have more one-hot columns become integer codes, and networks learn a vector for
        each category. None: there are none.
    target : {"none", "log", "yeo_johnson"}
        What networks learn in a regression: the targets; their natural logarithms, if all targets are above 0; or a
        power transform of targets of any sign, fitted to the training rows, that makes them more symmetric. Predictions
        and scores are in the target's own unit.
    scale_targets : bool
        Scale the (transformed) targets of a regression to mean 0 and standard deviation 1.
    bound_predictions : bool or "auto"
        Limit a regression's predictions to the range of the training rows' targets; auto: unless the split is by time.
    class_weights : {"none", "balanced"}
        none: all rows have equal weight; balanced: all classes have.
    """

    imputation: Literal["mean", "median", "most_frequent", "zero"]
    indicators: bool
    scaling: ScalingName
    min_frequency: PositiveInt
    max_categories: PositiveInt
    max_one_hot: PositiveInt | None
    target: Literal["none", "log", "yeo_johnson"]
    scale_targets: bool
    bound_predictions: bool | Literal["auto"]
    class_weights: Literal["none", "balanced"]

    def check(self, task: Task) -> None:
        """Raise ValueError if these settings do not fit the task."""
        if self.class_weights != "none" and task != "classification":
            raise ValueError(f"prepare.class_weights must be none for {task}, but is {self.class_weights}")
        if task != "regression" and self.target != "none":
            raise ValueError(f"prepare.target must be none for {task}, but is {self.target}")
        if task != "regression" and self.bound_predictions is True:
            raise ValueError(f"prepare.bound_predictions must be auto or false for {task}, but is true")

    def __call__(self, development: Development, fold: int) -> PreparedView:
        """Fit on the fold's training rows, apply to its training and validation rows."""
        table, rows = development.rows.x, development.folds[fold]
        preprocessing = self._fit(table, rows.train)
        train, validation = replace(development, rows=development.rows.bare()).part(fold)
        target_decoder = self._target_decoder(development, train.y)
        data = Data(
            Rows(
                preprocessing(table, rows.train), target_decoder.targets(train.y), self._weights(train.y, train.weights)
            ),
            Rows(
                preprocessing(table, rows.validation),
                target_decoder.targets(validation.y),
                _float32(validation.weights),
            ),
        )
        if not any((row != data.train.x[0]).any() for row in data.train.x[1:]):
            names = list(preprocessing.constant_columns) or [column.name for column in table.columns]
            raise SettingError(
                f"prepare.min_frequency={self.min_frequency}: after preparation all training rows are equal, so "
                f"nothing is left to learn from (the columns were {', '.join(map(repr, names[:10]))}); keep rarer "
                "texts with prepare.min_frequency=1, or choose other columns"
            )
        return PreparedView(preprocessing, (), target_decoder, data)

    def _fit(self, table: Table, rows: Array) -> Preprocessing:
        """Fit block by block: a copy of all columns of the rows, in float64, would take too much memory."""
        n_parts = min(len(table.columns), len(rows) * len(table.columns) // BLOCK_SIZE + 1)
        ends = [(part[0], part[-1] + 1) for part in np.array_split(np.arange(len(table.columns)), n_parts)]
        parts = [self._fit_block(table.select_columns(slice(*end))[rows]) for end in ends]
        fills, missing, scalings, ranks, slots = zip(*parts, strict=True)
        indicators = np.flatnonzero(np.concatenate(missing)) if self.indicators else np.empty(0, np.intp)
        all_slots = tuple(chain(*slots))
        limit = self.max_one_hot or self.max_categories
        preprocessing = Preprocessing(
            *(table.columns, np.concatenate(fills), indicators, join(scalings), tuple(chain(*ranks)), all_slots),
            coded=tuple(position for position, slots in enumerate(all_slots) if slots.max() >= limit),
        )
        if self.scaling != "robust_clip" or not preprocessing.n_binary:
            return preprocessing
        first = len(preprocessing.fill)
        binary = preprocessing(table, rows)[:, first : first + preprocessing.n_binary]
        n_ones = binary.sum(axis=0, dtype=np.float64)
        clip = robust_clip(quartiles_of_binary(n_ones, len(rows)), n_ones == len(rows), n_ones > 0)
        return replace(preprocessing, binary=clip(np.arange(2)[:, None]))

    def _fit_block(self, table: Table) -> tuple[Array, Array, Scaling, tuple[Array, ...], tuple[Array, ...]]:
        """The imputed value of each feature (M,), which features have missing values (M,), scaling, ranks and slots."""
        ranks = tuple(_ranks(column, codes) for column, codes in table.column_values if column.kind == "ordinal")
        slots = tuple(
            self._slots(column, codes) for column, codes in table.column_values if column.kind == "categorical"
        )
        x = features(table, ranks)  # (N, M)
        fill, missing = self._imputed(x)
        x[np.isnan(x)] = np.broadcast_to(fill, x.shape)[np.isnan(x)]
        return fill, missing, fit_scaling(self.scaling, x), ranks, slots

    def _imputed(self, x: Array) -> tuple[Array, Array]:
        """The imputed value of each column (M,), and which columns have missing values (M,)."""
        from sklearn.impute import SimpleImputer  # not at the top: the driver only needs the settings

        missing = np.asarray(np.isnan(x).any(axis=0))
        # NumPy's median: scikit-learn's is 20 times slower on columns without missing values
        simple = ~missing if self.imputation == "median" else np.zeros_like(missing)
        fill = np.empty(x.shape[1])
        fill[simple] = np.median(x if simple.all() else x[:, simple], axis=0)
        if not simple.all():
            strategy = "constant" if self.imputation == "zero" else self.imputation
            imputer = SimpleImputer(strategy=strategy, fill_value=0.0, keep_empty_features=True)
            fill[~simple] = imputer.fit(x[:, ~simple]).statistics_
        return fill, missing

    def _slots(self, column: Column, codes: Array) -> Array:
        """See Preprocessing.slots. For the encoder a missing text is one more category, the last."""
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

    def _target_decoder(self, development: Development, y: Array) -> ClassDecoder | LabelDecoder | ValueDecoder:
        if development.labels is not None:
            return ClassDecoder(development.labels, development.targets)
        if development.task == "multilabel":
            return LabelDecoder(development.targets)
        transform = self._target_transform(development, y)
        transformed = transform(y) if transform else y
        scaling = standard(transformed) if self.scale_targets else unscaled(y)
        is_bounded = self.bound_predictions is True or (self.bound_predictions == "auto" and not development.by_time)
        bounds = np.stack([y.min(axis=0), y.max(axis=0)]) if is_bounded else None
        return ValueDecoder(development.targets, scaling, None, transform, bounds)

    def _target_transform(self, development: Development, y: Array) -> TargetTransform | None:
        """The transform of targets, fitted to those of the training rows y (N, T)."""
        if self.target == "none":
            return None
        if self.target == "yeo_johnson":
            return yeo_johnson(y)
        refused = np.asarray((development.rows.y <= 0).any(axis=1))  # a validation row, too, must have a logarithm
        if refused.any():
            smallest = development.rows.y.min(axis=0)
            raise SettingError(
                f"prepare.target=log: every target must be above 0, but {refused.sum()} of {len(refused)} development "
                f"rows have one that is not, such as {smallest.min():g} ({development.targets[smallest.argmin()]!r}); "
                "choose prepare.target=yeo_johnson or prepare.target=none"
            )
        return Logarithm()

    def _weights(self, y: Array, weights: Array | None) -> Array | None:
        """Weights of the training rows: their own times those of their classes."""
        if self.class_weights == "none":
            return _float32(weights)
        _, number, counts = np.unique(y, return_inverse=True, return_counts=True)
        of_class = (len(y) / (len(counts) * counts))[number]
        return _float32(of_class if weights is None else of_class * weights)


def fit_scaling(scaling: ScalingName, x: Array) -> Scaling:
    """Fit a scaling to numbers (N, M), none of them missing."""
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
    if scaling == "robust_clip":
        return robust_clip(np.percentile(x, (25, 50, 75), axis=0), x.min(axis=0), x.max(axis=0))
    if scaling == "quantile_normal":
        return normal_quantiles(x)
    ranks = preprocessing.QuantileTransformer(n_quantiles=min(MAX_QUANTILES, len(x)), subsample=None).fit(x)
    return Quantiles(np.asarray(ranks.references_), np.asarray(ranks.quantiles_))


def robust_clip(quartiles: Array, smallest: Array, largest: Array) -> SmoothClip:
    """Return the scaling by median and interquartile range with a smooth limit of 3.

    Parameters
    ----------
    quartiles : array (3, M)
    smallest, largest : array (M,)
        Where the interquartile range is 0, half of the range replaces it; constant columns become 0.
    """
    spread, full = quartiles[2] - quartiles[0], np.subtract(largest, smallest, dtype=np.float64)
    width = np.where(spread > 0, spread, full / 2)
    return SmoothClip(quartiles[1], np.divide(1, width, out=np.zeros_like(width), where=width > 0))


def quartiles_of_binary(n_ones: Array, n_rows: int) -> Array:
    """Return the quartiles (3, M), as np.percentile interpolates them, of columns of 0 and 1 with so many ones (M,)."""
    position = np.array([[0.25], [0.5], [0.75]]) * (n_rows - 1)
    return np.clip(position - (n_rows - n_ones - 1), 0, 1)


def normal_quantiles(x: Array) -> NormalQuantiles:
    """Fit ranks, mapped to a normal distribution, to numbers (N, M).

    Notes
    -----
    As many quantiles as a 30th of the rows, but from 10 to 1000. Noise with a thousandth of the column's standard
    deviation spreads equal values over their ranks, so that few distinct values do not become extreme ones. (The
    published recipe divides the noise by the standard deviation, so that there it depends on the column's unit.)

    References
    ----------
    Gorishniy, Rubachev, Khrulkov & Babenko (2021), "Revisiting deep learning models for tabular data", section 4.
    """
    from sklearn.preprocessing import QuantileTransformer

    noise = generator(0, "quantile noise").standard_normal((len(x), 1))  # one draw per row: any part of the columns
    n_quantiles = min(max(MIN_QUANTILES, min(len(x) // ROWS_PER_QUANTILE, MAX_QUANTILES)), len(x))
    ranks = QuantileTransformer(n_quantiles=n_quantiles, subsample=None).fit(x + NOISE * x.std(axis=0) * noise)
    return NormalQuantiles(np.asarray(ranks.references_), np.asarray(ranks.quantiles_))


def yeo_johnson(y: Array) -> YeoJohnson:
    """Fit the power transform to values (N, T), each first scaled by its median and interquartile range.

    Notes
    -----
    The power with the largest likelihood, from 0 to 2, so that the transform is at most logarithmic in each tail.
    """
    from sklearn.preprocessing import PowerTransformer

    clip = robust_clip(np.percentile(y, (25, 50, 75), axis=0), y.min(axis=0), y.max(axis=0))
    scaling = Affine(clip.centre, 1 / np.where(clip.factor > 0, clip.factor, 1))
    fitted = PowerTransformer(method="yeo-johnson", standardize=False).fit(scaling(y))
    return YeoJohnson(scaling, np.clip(np.asarray(fitted.lambdas_), 0, 2))


def standard(x: Array) -> Affine:
    """Fit the scaling to mean 0 and standard deviation 1; constant columns become 0."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    return Affine(np.asarray(scaler.mean_), np.asarray(scaler.scale_))


def unscaled(x: Array) -> Affine:
    """Return the scaling that changes nothing."""
    return Affine(np.zeros(x.shape[1]), np.ones(x.shape[1]))


def _ranks(column: Column, codes: Array) -> Array:
    """See Preprocessing.ranks. A value without training rows ranks half a step before the next one that has some."""
    levels = np.arange(len(column.levels))
    present = np.unique(codes[codes != MISSING])
    ranks = np.searchsorted(present, levels) - np.where(np.isin(levels, present), 0, 0.5)
    return np.append(ranks, [np.nan, np.nan])


def _float32(weights: Array | None) -> Array | None:
    """Weights scaled to mean 1, so that float32 can hold them however small they are."""
    return None if weights is None else (weights / weights.mean()).astype(np.float32)
