"""The settings as the trials change them, and the networks that they describe."""

import copy
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from nncore.architecture import Architecture, Layer
from nncore.components import Component
from nncore.regularizers.base import AUTO, EarlyStopping
from nncore.stack.state import Network, check_networks, check_rows_are_not_mixed
from pipeline.components.errors import SettingError
from pipeline.components.protocols import Preprocessor, Reduction
from pipeline.components.scores import LOSS
from pipeline.components.types import Task, ViewShape
from pipeline.config.build import build_setting
from pipeline.config.schema import Configuration, NetworkSettings, TrainingSettings
from pipeline.engine.selection import (
    TrainingMetrics,
    check_computed,
    check_watched,
    metric_component,
    training_metrics,
)
from pipeline.search.base import Sampler, TrainRequest
from pipeline.search.recipes import Recipes
from pipeline.search.trial import Trial

PARTS = ("prepare", "reduce", "network", "training")  # the parts of the configuration that a trial may change
NONE = "nncore.regularizers.penalties.none"
BATCH_SIZES = {1024: 64, 8192: 128, 30_000: 256, 100_000: 512}  # auto: by the largest number of training rows
LARGEST_BATCH = 1024


class Variant(NamedTuple):
    """The settings of one trial, in the parts that trials may change."""

    prepare: Preprocessor
    reduce: Reduction
    network: NetworkSettings
    training: TrainingSettings

    def losses(self, task: Task) -> list[Component]:
        """The losses that the task may need; which of the two for classes depends on their number."""
        losses = self.network.loss
        by_task = {"regression": [losses.regression], "multilabel": [losses.binary]}
        return by_task.get(task) or [losses.multiclass, losses.binary]

    def architecture(self, view_shape: ViewShape, task: Task) -> Architecture:
        """The architecture of the networks for a view; the loss follows the task and the number of classes."""
        loss = self.losses(task)[-1]
        if task == "classification" and view_shape.n_outputs > 1:
            loss = self.network.loss.multiclass
        settings, layers, width = self.network, [], view_shape.n_inputs
        for outputs in settings.hidden:
            residual = settings.residual and outputs == width
            layers.append(Layer(outputs, settings.activation, settings.normalisation, residual))
            width = outputs
        return Architecture(
            inputs=view_shape.n_inputs,
            layers=(*layers, Layer(view_shape.n_outputs * loss.build().outputs_per_target)),
            loss=loss,
            initializer=settings.initializer,
            batch_size=_batch_size(self.training.batch_size, view_shape.n_train),
            embedding=settings.embedding,
            n_numeric=view_shape.n_numeric if settings.embedding.build().size else 0,
            levels=view_shape.levels,
            category_size=settings.category_size if view_shape.levels else Architecture.category_size,
            scaling_layer=settings.scaling_layer,
            parametrization=settings.parametrization,
            members=settings.members,
            adapters=settings.adapters,
        )

    def build_network(self, trial: Trial, key: str, seed: int, curve: str = AUTO) -> Network:
        """One network of the trial: with its own regularizer, then those of every trial.

        Early stopping by the metric of the selection (watch: auto) watches `curve`.
        """
        shared = [regularizer for regularizer in self.training.regularizers.values() if regularizer.name != NONE]
        regularizers = tuple(_watching(regularizer, curve) for regularizer in (trial.regularizer, *shared))
        return Network(key, seed, trial.optimizer, regularizers, self.training.schedule)

    @property
    def max_one_hot(self) -> int | None:
        """Categorical columns with more one-hot columns become integer codes; a person's own preparation has none."""
        return getattr(self.prepare, "max_one_hot", None)

    def check_codes(self) -> None:
        """Raise ValueError if categories become integer codes, which are then reduced."""
        if self.max_one_hot and self.reduce.shared is not None:
            raise ValueError(
                f"prepare.max_one_hot must be null if columns are reduced, as codes of categories are no numbers, but "
                f"is {self.max_one_hot}; choose reduce=none or prepare.max_one_hot=null"
            )

    def check(self, task: Task) -> None:
        """Raise ValueError if the settings are not compatible with the task."""
        self.prepare.check(task)
        for loss in self.losses(task):
            built = loss.build()
            if built.targets == "count" and self.prepare.scale_targets:
                raise ValueError(
                    f"prepare.scale_targets must be false for {loss.short_name}, as it takes counts, but is true"
                )
            if self.target_unit[0] != "none" and (built.targets == "count" or built.deviation):
                what = "takes counts" if built.targets == "count" else "predicts a deviation in the target's own unit"
                raise ValueError(
                    f"prepare.target must be none for {loss.short_name}, which {what}, but is {self.target_unit[0]}"
                )

    @property
    def target_unit(self) -> tuple[str, bool]:
        """What the unit of a regression's loss depends on: the targets' transform, and whether they are scaled."""
        return getattr(self.prepare, "target", "none"), self.prepare.scale_targets


def _batch_size(setting: int | Literal["auto"], n_rows: int) -> int:
    """Rows per step for so many training rows; see `TrainingSettings`."""
    if setting != "auto":
        return setting
    return next((size for most, size in BATCH_SIZES.items() if n_rows <= most), LARGEST_BATCH)


class Variants:
    """The variants of a configuration. Equal parts of variants are one object, and so are equal architectures.

    Parameters
    ----------
    configuration : Configuration
        Trials replace some of its plain values.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._settings, self._plain = configuration.settings, configuration.plain
        self._parts: dict[str, Any] = {}
        self._architectures: dict[object, Architecture] = {}
        self._watched: set[str] = set()  # metrics
        self._target_units: set[tuple[str, bool]] = set()

    @cached_property
    def sampler(self) -> Sampler:
        """The search of the run, begun once. Raises ValueError if it is not compatible with the space."""
        settings = self._settings
        return settings.search.begin(settings.space, settings.training.epochs, 1 + len(settings.select.tradeoffs))

    def of(self, trial: Trial) -> Variant:
        """The variant of a trial. Raises SettingError naming the setting that is invalid."""
        return Variant(*(self._part(name, trial.overrides) for name in PARTS))

    def architecture(self, variant: Variant, view_shape: ViewShape, task: Task) -> Architecture:
        """The architecture of a variant for a view, built once, as checking one takes time."""
        key = (id(variant.network), id(variant.training), view_shape, task)
        if key not in self._architectures:
            self._architectures[key] = variant.architecture(view_shape, task)
        return self._architectures[key]

    def metrics(self, task: Task, n_targets: int, n_outputs: int) -> TrainingMetrics:
        """The metrics of the sweep, with those that early stopping watches; `check` has to be called first.

        Parameters
        ----------
        task : Task
        n_targets : int
        n_outputs : int
            Values that a network predicts for a row: one for two classes.

        Raises
        ------
        SettingError
            If select.metric is not a metric for the task, fails, or is one of select.tradeoffs.
        """
        select = self._settings.select
        try:
            differ = task == "regression" and len(self._target_units) > 1
            selected = metric_component("r2") if differ and n_targets > 1 and select.metric == AUTO else select.metric
            metrics = training_metrics(task, selected, n_targets, self._watched)
            objectives = select.objectives(metrics.ranking)
            if differ and LOSS in objectives:
                raise ValueError(
                    "select.metric and select.tradeoffs must not be the loss if prepare.target or "
                    "prepare.scale_targets differs between trials, as each loss is in the unit of its own targets; "
                    "choose select.metric=r2"
                )
            if metrics.selected and not metrics.selected.name.startswith("nncore."):
                check_computed(metrics.selected, task, n_outputs)
        except ValueError as error:
            raise SettingError(str(error)) from None
        return metrics

    def _check_watched(self, networks: Sequence[Network], task: Task | None) -> None:
        """Check and note which metrics early stopping watches."""
        for component in {regularizer for network in networks for regularizer in network.regularizers}:
            built = component.build()
            if isinstance(built, EarlyStopping) and built.watch != AUTO:
                check_watched(built.watch, task, self._settings.select.metric)
                self._watched.add(built.watch.partition("/")[2])

    def applies(self, trial: Trial, task: Task | None) -> bool:
        """Whether a trial applies to the task: one with transformed targets applies to regressions only."""
        return task in (None, "regression") or self.of(trial).target_unit[0] == "none"

    def check(self, task: Task | None) -> None:
        """Check the settings of the trials, and that they are compatible with each other and with the task.

        Checked are the trials of the first rung, and trials that together contain every value of the space, each with
        every kind of optimizer.

        Parameters
        ----------
        task : Task or None
            None if it is not yet known.

        Raises
        ------
        SettingError
            Naming the setting, its value, the rule and the cure.
        """
        try:
            requests = self.sampler.ask()
        except ValueError as error:
            raise SettingError(str(error)) from None
        distinct: dict[tuple[object, ...], tuple[Variant, Network]] = {}
        optimizers: dict[object, Component] = {}
        for trial in self._checked_trials(requests, task):
            variant = self.of(trial)
            self._target_units.add(variant.target_unit)
            network = variant.build_network(trial, trial.key, 0)
            distinct.setdefault((*map(id, variant), *network.kinds), (variant, network))
            optimizers.setdefault(network.kinds[0], network.optimizer)
        try:
            for variant in {tuple(map(id, variant)): variant for variant, _ in distinct.values()}.values():
                variant.reduce.check(self._settings.data.n_columns)
                variant.check_codes()
                if task:
                    variant.check(task)
        except ValueError as error:
            raise SettingError(str(error)) from None
        try:
            self._check_watched([network for _, network in distinct.values()], task)
            for variant, network in distinct.values():
                if variant.max_one_hot:
                    check_rows_are_not_mixed([network])
                for loss, optimizer in itertools.product(variant.losses(task) if task else [], optimizers.values()):
                    check_networks([replace(network, optimizer=optimizer)], loss.build())
        except ValueError as error:
            raise SettingError(f"space.regularizer and training.regularizers: {error}") from None

    def _checked_trials(self, requests: Sequence[TrainRequest], task: Task | None) -> list[Trial]:
        trials = [*self._settings.space.covering_trials(), *(request.trial for request in requests)]
        if isinstance(self._settings.space, Recipes):
            return [trial for trial in trials if self.applies(trial, task)] or trials
        return trials

    def _part(self, name: str, overrides: Sequence[tuple[str, Any]]) -> Any:
        """One part of the configuration, with those of the overrides that are inside it."""
        overrides = [(path, node) for path, node in overrides if path.partition(".")[0] == name]
        if not overrides:
            return getattr(self._settings, name)
        key = json.dumps([name, overrides])
        if key not in self._parts:
            plain = {name: copy.deepcopy(self._plain[name])}
            for path, node in overrides:
                _replace(plain, path, node)
            try:
                self._parts[key] = build_setting(name, plain[name])
            except SettingError as error:
                cure = " (a list is a choice between its values: for a setting that is a list write [[16],[32]])"
                raise SettingError(f"space.{error}{cure if 'tuple' in str(error) else ''}") from None
        return self._parts[key]


def _watching(regularizer: Component, curve: str) -> Component:
    """The regularizer; early stopping by the metric of the selection watches this curve."""
    built = regularizer.build()
    if not isinstance(built, EarlyStopping) or built.watch != AUTO:
        return regularizer
    return replace(regularizer, arguments=tuple((dict(regularizer.arguments) | {"watch": curve}).items()))


def _replace(plain: dict[str, Any], path: str, node: Any) -> None:
    """Replace the value at a dotted path."""
    *parents, last = path.split(".")
    for name in parents:
        if not isinstance(plain.get(name), dict):
            raise SettingError(f"space.{path}: there is no such setting to sweep, as {name} is not a mapping")
        plain = plain[name]
    plain[last] = copy.deepcopy(node)
