"""All settings of a run, checked together before anything starts."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from nncore.members import Member
from nncore.network import Shape
from pipeline.artefacts import Facts
from pipeline.execution.base import Execution, TaskOptions
from pipeline.settings.members import ActivationSetting, InitializerSetting, LossSetting
from pipeline.settings.strict import STRICT, Name, NonNegativeInt, PositiveFloat, PositiveInt
from pipeline.stages.kinds import PreparationSetting, ReductionSetting, Search, SourceSetting, SplitterSetting
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
        for kind, targets in (("multiclass", "one-hot"), ("binary", "binary"), ("regression", "real")):
            loss: Member = getattr(self, kind)
            if loss.build().targets != targets:
                raise ValueError(f"{kind} must be a loss for {targets} targets, but {loss.name} is for others")


@dataclass(frozen=True, config=STRICT)
class NetworkSettings:
    """The networks of the sweep: hidden layers, and the loss, which follows the task."""

    hidden: tuple[PositiveInt, ...]
    activation: ActivationSetting
    initializer: InitializerSetting
    loss: Losses


@dataclass(frozen=True, config=STRICT)
class Training:
    """How long the networks are trained, and in what steps.

    batch_size   rows per step
    seed         initial weights and the order of the rows
    loss_limit   a network with a larger loss has diverged and is stopped
    """

    epochs: PositiveInt
    batch_size: PositiveInt
    seed: NonNegativeInt
    loss_limit: PositiveFloat


@dataclass(frozen=True, config=STRICT | {"arbitrary_types_allowed": True})
class Settings:
    """One run. The fields stand in the order of the work."""

    name: Name
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**63)]
    runs: Path
    data: SourceSetting
    split: SplitterSetting
    prepare: PreparationSetting
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
        self.select.check(self.data.task)
        self.reduce.check(self.data.n_columns)
        for stage in get_args(StageName):
            if stage not in self.stages:
                raise ValueError(f"stages.{stage} must be given, with cpus, gpus and retries")
            try:
                self.execution.check(self.stages[stage])
            except ValueError as error:
                raise ValueError(f"stages.{stage}.{error}") from None

    def trials(self) -> list[Trial]:
        """Every trial of the sweep."""
        return self.search.ask(self.space)

    def shape(self, facts: Facts) -> Shape:
        """The shape of the networks for a view of these sizes; the loss follows the task."""
        kind: Any = self.data.task
        if kind == "classification":
            kind = "binary" if facts.n_outputs == 1 else "multiclass"
        activations = (*(self.network.activation for _ in self.network.hidden), Member("nncore.activations.identity"))
        return Shape(
            sizes=(facts.n_inputs, *self.network.hidden, facts.n_outputs),
            activations=activations,
            loss=getattr(self.network.loss, kind),
            initializer=self.network.initializer,
            batch_size=self.training.batch_size,
        )
