"""The settings as each trial changes them: what it prepares, reduces, builds and trains."""

import copy
import itertools
import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

from nncore.architecture import Architecture, Layer
from nncore.components import Component
from nncore.stack.state import Network, check_networks
from pipeline.components.errors import SettingError
from pipeline.components.protocols import Preprocessor, Reduction
from pipeline.components.types import Task, ViewShape
from pipeline.config.build import built_setting
from pipeline.config.schema import Configuration, NetworkSettings, TrainingSettings
from pipeline.search.base import Sampler
from pipeline.search.trial import Trial

PARTS = ("prepare", "reduce", "network", "training")  # that a trial may change
NONE = "nncore.regularizers.penalties.none"


class Variant(NamedTuple):
    """What the stages do for a trial."""

    prepare: Preprocessor
    reduce: Reduction
    network: NetworkSettings
    training: TrainingSettings

    def losses(self, task: Task) -> list[Component]:
        """The losses that the task may come to use."""
        losses = self.network.loss
        may = {"regression": [losses.regression], "multilabel": [losses.binary]}
        return may.get(task) or [losses.multiclass, losses.binary]

    def shape(self, view_shape: ViewShape, task: Task) -> Architecture:
        """The shape of the networks for a view of these sizes; the loss follows the task."""
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
            initializer=self.network.initializer,
            batch_size=self.training.batch_size,
        )

    def net(self, trial: Trial, key: str, seed: int) -> Network:
        """One of the trial's networks. Its own regularizer comes first, then those that every trial has."""
        always = tuple(member for member in self.training.regularizers.values() if member.name != NONE)
        return Network(key, seed, trial.optimizer, (trial.regularizer, *always), self.training.schedule)

    def check(self, task: Task) -> None:
        """Raise ValueError if the settings do not go together with the task."""
        self.prepare.check(task)
        for loss in self.losses(task):
            if loss.build().targets == "count" and self.prepare.scale_targets:
                raise ValueError(
                    f"prepare.scale_targets must be false for {loss.short_name}, as it takes counts, but is true"
                )


class Variants:
    """Makes the variant of a trial, each of its parts once: equal parts are one object. And shapes, each once.

    Parameters
    ----------
    configuration : Configuration
        Trials replace some of its plain values.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._settings, self._plain = configuration.settings, configuration.plain
        self._parts: dict[str, Any] = {}
        self._shapes: dict[object, Architecture] = {}

    @cached_property
    def sampler(self) -> Sampler:
        """The search of the run, begun once. Raises ValueError if it does not go together with the space."""
        return self._settings.sampler()

    def of(self, trial: Trial) -> Variant:
        """The trial's. Raises SettingError naming the setting that is wrong."""
        return Variant(*(self._part(name, trial) for name in PARTS))

    def shape(self, variant: Variant, view_shape: ViewShape, task: Task) -> Architecture:
        """The variant's for a view of these sizes. To check one takes as long as to name ten networks."""
        made_of = (id(variant.network), id(variant.training), view_shape, task)
        if made_of not in self._shapes:
            self._shapes[made_of] = variant.shape(view_shape, task)
        return self._shapes[made_of]

    def check(self, task: Task | None) -> None:
        """Raise SettingError if a trial's settings are wrong, or do not go together with the task, if it is known.

        Checked are the trials of the first rung, and some in which every value of the space occurs, each with every
        kind of optimizer.
        """
        try:
            first = self.sampler.ask()
        except ValueError as error:
            raise SettingError(str(error)) from None
        self._check([*self._settings.space.covering_trials(), *(request.trial for request in first)], task)

    def _check(self, trials: Iterable[Trial], task: Task | None) -> None:
        different: dict[tuple[object, ...], tuple[Variant, Network]] = {}  # its parts are made once: they have one id
        optimizers: dict[object, Component] = {}
        for trial in trials:
            variant = self.of(trial)
            network = variant.net(trial, trial.key, 0)
            different.setdefault((*map(id, variant), *network.kinds), (variant, network))
            optimizers.setdefault(network.kinds[0], network.optimizer)
        try:
            for variant in {tuple(map(id, variant)): variant for variant, _ in different.values()}.values():
                variant.reduce.check(self._settings.data.n_columns)
                if task:
                    variant.check(task)
            for variant, network in different.values():
                for loss, optimizer in itertools.product(variant.losses(task) if task else [], optimizers.values()):
                    _check_network(replace(network, optimizer=optimizer), loss)
        except ValueError as error:
            raise SettingError(str(error)) from None

    def _part(self, name: str, trial: Trial) -> Any:
        overrides = [(path, node) for path, node in trial.overrides if path.partition(".")[0] == name]
        if not overrides:
            return getattr(self._settings, name)
        known = json.dumps([name, overrides])
        if known not in self._parts:
            config = {name: copy.deepcopy(self._plain[name])}
            for path, node in overrides:
                _replace(config, path, node)
            try:
                self._parts[known] = built_setting(name, config[name])
            except SettingError as error:
                cure = " (a list stands for several values: write [[16],[32]] where each is a list itself)"
                raise SettingError(f"space.{error}{cure if 'tuple' in str(error) else ''}") from None
        return self._parts[known]


def _check_network(network: Network, loss: Component) -> None:
    try:
        check_networks([network], loss.build())
    except ValueError as error:
        raise ValueError(f"space.regularizer and training.regularizers: {error}") from None


def _replace(config: dict[str, Any], path: str, node: Any) -> None:
    """Put a node in the place of what is at a dotted path."""
    *above, last = path.split(".")
    for name in above:
        if not isinstance(config.get(name), dict):
            raise SettingError(f"space.{path}: there is no such setting to sweep, as {name} is no mapping")
        config = config[name]
    config[last] = copy.deepcopy(node)
