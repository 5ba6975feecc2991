"""The settings of a run, which are checked together before anything starts."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from nncore.architecture import Adapters, Parametrization
from nncore.components import Component
from pipeline.backends.base import Backend, TaskOptions
from pipeline.components.fields import STRICT, Name, NonNegativeInt, OutputMode, PositiveFloat, PositiveInt, RunName
from pipeline.components.protocols import PreprocessorSetting, ReductionSetting, SourceSetting, SplitterSetting
from pipeline.components.resolver import (
    ActivationSetting,
    EmbeddingSetting,
    InitializerSetting,
    LossSetting,
    NormalisationSetting,
    RegularizerSetting,
    ScheduleSetting,
)
from pipeline.engine.budget import Budget
from pipeline.engine.packing.planner import PackingSettings
from pipeline.engine.selection import SelectionSettings
from pipeline.reports.page import Reporting
from pipeline.search.base import Search
from pipeline.search.recipes import Recipes
from pipeline.search.space import Space
from pipeline.stages.baselines import Baselines
from pipeline.stages.cache import StageCache
from pipeline.tracking.base import Tracking

StageName = Literal["load", "split", "prepare", "reduce", "baselines", "sweep", "evaluate"]


@dataclass(frozen=True, config=STRICT)
class LossSettings:
    """The losses of the network, one of which the task selects.

    Parameters
    ----------
    multiclass : Component
        For several classes; its targets are one-hot.
    binary : Component
        For two classes and for labels.
    regression : Component
        For real values or counts.
    """

    multiclass: LossSetting
    binary: LossSetting
    regression: LossSetting

    def __post_init__(self) -> None:
        for kind, targets in (("multiclass", ["one-hot"]), ("binary", ["binary"]), ("regression", ["real", "count"])):
            loss: Component = getattr(self, kind)
            if loss.build().targets not in targets:
                raise ValueError(
                    f"{kind} must be a loss for {' or '.join(targets)} targets, but {loss.name} is for "
                    f"{loss.build().targets} targets"
                )


@dataclass(frozen=True, config=STRICT)
class NetworkSettings:
    """The networks of the sweep: dense layers, and the losses, of which the task selects one.

    Parameters
    ----------
    hidden : tuple of int, > 0
        Widths of the hidden layers; () is a linear model.
    embedding : Component
        Of the numeric columns.
    activation, normalisation : Component
        Of each hidden layer.
    residual : bool
        Add a skip connection to hidden layers that keep their width.
    initializer : Component
        Of the weights.
    category_size : int, > 0
        Length of the vectors of categories; see prepare.max_one_hot.
    scaling_layer : bool
        Multiply each number that enters the first layer by a learned factor, which is 1 at first.
    parametrization : {"standard", "ntk"}
        ntk: divide each product by the root of the number of its inputs (neural tangent parametrization).
    members : int, > 0
        Members of each network (TabM), which share weights and predict the mean of their predictions.
    adapters : {"none", "mini", "full", "packed"}
        What each member has of its own, besides its output layer; none for one member.
    loss : LossSettings

    Raises
    ------
    ValueError
        If members and adapters do not fit together.
    """

    hidden: tuple[PositiveInt, ...]
    embedding: EmbeddingSetting
    activation: ActivationSetting
    normalisation: NormalisationSetting
    residual: bool
    initializer: InitializerSetting
    category_size: PositiveInt
    scaling_layer: bool
    parametrization: Parametrization
    members: PositiveInt
    adapters: Adapters
    loss: LossSettings

    def __post_init__(self) -> None:
        if self.members > 1 and self.adapters == "none":
            raise ValueError(
                f"adapters must be mini, full or packed for {self.members} members, but is none; give "
                "network.adapters=mini, or network.members=1"
            )
        if self.members == 1 and self.adapters != "none":
            raise ValueError(
                f"adapters must be none for one member, but is {self.adapters}; give network.adapters=none, or "
                "network.members=32"
            )


@dataclass(frozen=True, config=STRICT)
class TrainingSettings:
    """The training of the networks.

    Parameters
    ----------
    epochs : int, > 0
    batch_size : int, > 0, or "auto"
        Rows per step; auto: 64 for up to 1,024 training rows, 128 up to 8,192, 256 up to 30,000, 512 up to 100,000, and
        1,024 for more.
    seed : int, >= 0
        Determines the initial weights, the order of the rows and every other random draw.
    seeds : int, from 1 to 10,000
        Networks per trial and fold, with seed, seed + 1, ...
    loss_limit : float, > 0
        A network whose loss exceeds it has diverged and is stopped.
    schedule : Component
        Schedule of the learning rate, of every trial.
    regularizers : dict of Component
        By name, the regularizers of every trial, in addition to its own.
    """

    epochs: PositiveInt
    batch_size: PositiveInt | Literal["auto"]
    seed: NonNegativeInt
    seeds: Annotated[int, Strict(), Field(gt=0, le=10_000)]
    loss_limit: PositiveFloat
    schedule: ScheduleSetting
    regularizers: dict[str, RegularizerSetting]


@dataclass(frozen=True, config=STRICT | {"arbitrary_types_allowed": True})
class Settings:
    """The settings of a run, in the order of the work; conf/config.yaml describes them."""

    name: Name
    allow: tuple[Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")], ...]
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**63)]
    preset: str | None
    runs: Path
    data: SourceSetting
    split: SplitterSetting
    prepare: PreprocessorSetting
    reduce: ReductionSetting
    network: NetworkSettings
    training: TrainingSettings
    space: Space | Recipes
    search: Search
    budget: Budget
    stacks: PackingSettings
    select: SelectionSettings
    baselines: Baselines
    execution: Backend
    cache: StageCache
    stages: dict[StageName, TaskOptions]
    report: Reporting
    tracking: Tracking
    resume: Literal["auto", "never", "required"]
    run: RunName | None
    onnx: bool
    plan: bool
    output: OutputMode

    def check(self) -> None:
        """Raise ValueError if settings that are valid on their own are not compatible."""
        self.data.check()
        if self.onnx and not all(find_spec(package) for package in ("onnx", "onnxruntime")):
            raise ValueError("onnx=true needs the packages onnx and onnxruntime: pip install onnx onnxruntime")
        if self.data.task != "auto":
            self.select.check(self.data.task)
        if self.select.refit and self.budget.seconds is not None and self.run is None:
            raise ValueError(
                f"select.refit=true takes time that budget.seconds={self.budget.seconds:g} does not count, as how much "
                "is not known before; leave it out and then give the command again with run=last select.refit=true, or "
                "give budget.seconds=null and limit the sweep by budget.trials or budget.teraflops"
            )
        for stage in get_args(StageName):
            if stage not in self.stages:
                raise ValueError(f"stages.{stage} must be given, with cpus, gpus and retries")
            try:
                self.execution.check(self.stages[stage])
            except ValueError as error:
                raise ValueError(f"stages.{stage}.{error}") from None
        if self.stages["sweep"].gpus:
            raise ValueError("stages.sweep.gpus must be 0: execution.gpus distributes the stacks to GPUs and cores")


class Configuration(NamedTuple):
    """A checked configuration, in the three forms in which it is used.

    Parameters
    ----------
    settings : Settings
        The objects that do the work.
    plain : dict
        The same as plain values: each trial replaces some of them, and the journal records them.
    text : str
        The same as YAML, for people and for the command that repeats the run.
    arguments : tuple of str, optional
        Of the command that repeats the run; by default those of this process.
    note_on_preset : str, optional
        Why a table does not have the preset that it has by default, and what keeps that preset; "" if it has it, or if
        no preset was asked for.
    """

    settings: Settings
    plain: dict[str, Any]
    text: str
    arguments: tuple[str, ...] | None = None
    note_on_preset: str = ""
