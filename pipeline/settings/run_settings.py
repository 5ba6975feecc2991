"""All settings of a run, checked together before anything starts."""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from nncore.members import Member
from nncore.shape import Layer, Shape
from nncore.stack import Network, check_networks
from pipeline.artefacts import Facts, Task
from pipeline.execution.base import Execution, TaskOptions
from pipeline.settings.members import (
    ActivationSetting,
    InitializerSetting,
    LossSetting,
    NormalisationSetting,
    RegularizerSetting,
    ScheduleSetting,
)
from pipeline.settings.strict import STRICT, Name, NonNegativeInt, PositiveFloat, PositiveInt
from pipeline.stages.kinds import PreparingSetting, ReductionSetting, Search, SourceSetting, SplitterSetting
from pipeline.stages.select import Best
from pipeline.sweep.planner import Stacks
from pipeline.sweep.space import Space, Trial
from pipeline.tracking.base import Tracking

StageName = Literal["load", "split", "prepare", "reduce", "sweep", "evaluate"]


@dataclass(frozen=True, config=STRICT)
class Losses:
    """The loss for each kind of target."""

    multiclass: LossSetting
    binary: LossSetting
    regression: LossSetting

    def __post_init__(self) -> None:
        for kind, targets in (("multiclass", ["one-hot"]), ("binary", ["binary"]), ("regression", ["real", "count"])):
            loss: Member = getattr(self, kind)
            if loss.build().targets not in targets:
                raise ValueError(f"{kind} must be a loss for {targets[0]} targets, but {loss.name} is for others")


@dataclass(frozen=True, config=STRICT)
class NetworkSettings:
    """The networks of the sweep: hidden layers, and the loss, which follows the task.

    residual   hidden layers that keep their width add their input to what they say
    """

    hidden: tuple[PositiveInt, ...]
    activation: ActivationSetting
    normalisation: NormalisationSetting
    residual: bool
    initializer: InitializerSetting
    loss: Losses


@dataclass(frozen=True, config=STRICT)
class Training:
    """How long the networks are trained, and in what steps.

    batch_size   rows per step
    seed         initial weights and the order of the rows
    loss_limit   a network with a larger loss has diverged and is stopped
    schedule     of the learning rate, for every trial
    regularizers by name, those that every trial gets besides its own
    """

    epochs: PositiveInt
    batch_size: PositiveInt
    seed: NonNegativeInt
    loss_limit: PositiveFloat
    schedule: ScheduleSetting
    regularizers: dict[str, RegularizerSetting]


@dataclass(frozen=True, config=STRICT | {"arbitrary_types_allowed": True})
class Settings:
    """One run. The fields stand in the order of the work."""

    name: Name
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**63)]
    runs: Path
    data: SourceSetting
    split: SplitterSetting
    prepare: PreparingSetting
    reduce: ReductionSetting
    network: NetworkSettings
    training: Training
    space: Space
    search: Search
    stacks: Stacks
    select: Best
    execution: Execution
    stages: dict[StageName, TaskOptions]
    tracking: Tracking

    def check(self) -> None:
        """Raise ValueError if settings that are right by themselves do not go together."""
        self.data.check()
        self.reduce.check(self.data.n_columns)
        if self.data.task != "auto":
            self.check_task(self.data.task)
        for stage in get_args(StageName):
            if stage not in self.stages:
                raise ValueError(f"stages.{stage} must be given, with cpus, gpus and retries")
            try:
                self.execution.check(self.stages[stage])
            except ValueError as error:
                raise ValueError(f"stages.{stage}.{error}") from None

    def check_task(self, task: Task) -> None:
        """Raise ValueError if the settings do not go together with the task, once it is known."""
        self.select.check(task)
        self.prepare.check(task)
        different = list({network.kinds: network for network in self.networks(self.trials())}.values())
        for loss in self._losses(task):
            if loss.build().targets == "count" and self.prepare.scale_targets:
                raise ValueError(
                    f"prepare.scale_targets must be false for {loss.short}, as it takes counts, but is true"
                )
            try:
                check_networks(different, loss.build())
            except ValueError as error:
                raise ValueError(f"space.regularizer and training.regularizers: {error}") from None

    def trials(self) -> list[Trial]:
        """Every trial of the sweep."""
        return self.search.ask(self.space)

    def networks(self, trials: list[Trial], fold: int = 0, n_folds: int = 1) -> list[Network]:
        """The networks to train on a fold, one per trial. They differ from those of another fold only in their keys."""
        training, always = self.training, tuple(self.training.regularizers.values())
        return [
            Network(
                trial.network_key(fold, n_folds),
                training.seed,
                trial.optimizer,
                (trial.regularizer, *always),
                training.schedule,
            )
            for trial in trials
        ]

    def _losses(self, task: Task) -> list[Member]:
        """The losses that the task may come to use."""
        losses = self.network.loss
        may = {"regression": [losses.regression], "multilabel": [losses.binary]}
        return may.get(task) or [losses.multiclass, losses.binary]

    def shape(self, facts: Facts, task: Task) -> Shape:
        """The shape of the networks for a view of these sizes; the loss follows the task."""
        loss = self._losses(task)[-1]
        if task == "classification" and facts.n_outputs > 1:
            loss = self.network.loss.multiclass
        settings, layers, width = self.network, [], facts.n_inputs
        for outputs in settings.hidden:
            residual = settings.residual and outputs == width
            layers.append(Layer(outputs, settings.activation, settings.normalisation, residual))
            width = outputs
        return Shape(
            inputs=facts.n_inputs,
            layers=(*layers, Layer(facts.n_outputs * loss.build().outputs_per_target)),
            loss=loss,
            initializer=self.network.initializer,
            batch_size=self.training.batch_size,
        )
