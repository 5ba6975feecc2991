"""What the stages of a run work with, and how their progress is shown and recorded."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.backends.base import Executor, Future
from pipeline.components.code_version import code_version
from pipeline.components.errors import SettingError
from pipeline.components.types import DataCard, DataWarning
from pipeline.config.schema import Configuration, Settings, StageName
from pipeline.config.variants import Variants
from pipeline.console.output import Output
from pipeline.engine.loop import Engine
from pipeline.engine.slices.task import train_slice
from pipeline.runs.folder import RunFolder, command_line
from pipeline.runs.resume import RunRequest
from pipeline.stages.load import load_dataset, split_dataset
from pipeline.stages.reduce import apply_reduction

COMPUTED = ("data", "split", "prepare", "reduce", "network", "training", "space", "search")


def sweep_code(config: dict[str, Any]) -> str:
    """Identify the code of a sweep's results: of stages, engine, training, and all that the configuration names.

    Parameters
    ----------
    config : dict
        The configuration as plain values. Its parts that report, track or schedule do not count.

    Returns
    -------
    str
        See `code_version`.
    """
    metric = config.get("select", {}).get("metric")
    stages = (load_dataset, split_dataset, apply_reduction, Engine, train_slice)
    return code_version(*stages, *(config.get(name) for name in COMPUTED), metric)


def run_request(configuration: Configuration, code_of: Callable[[dict[str, Any]], str] = sweep_code) -> RunRequest:
    """Say which run a configuration asks for."""
    settings = configuration.settings
    parent = settings.runs.absolute() / settings.name
    return RunRequest(
        parent=parent,
        run=settings.run,
        resume=settings.resume,
        epochs=settings.training.epochs,
        config=configuration.plain,
        code_of=code_of,
        content_of_data=settings.data.content,
        command=command_line(configuration.arguments),
    )


def say_preset(configuration: Configuration, output: Output) -> None:
    """Print the preset that the settings come from, maybe by default, or why a table does not have that default."""
    note = configuration.note_on_preset
    if preset := configuration.settings.preset:
        note = f"{preset}, for any table; preset=none: optimizers x regularizers only"
    if note:
        output.say(f"{'preset':<10} {note}")


@dataclass(frozen=True)
class RunContext:
    """The parts of a run that its stages share. As a StageObserver it shows and records the stages before the sweep."""

    settings: Settings
    executor: Executor
    run_folder: RunFolder
    output: Output
    variants: Variants

    def say(self, text: str) -> None:
        """Print a line."""
        self.output.say(text)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Call a function as a task of the stage evaluate, to which all belongs that follows the sweep."""
        (future,) = self.executor.submit(function, *arguments, options=self.settings.stages["evaluate"])
        return future

    def data_loaded(self, card: DataCard, content: str | None) -> None:
        """Show the data card, and write it to the run's folder and to the journal.

        Raises
        ------
        SettingError
            If an earlier session of the run has read other data.
        """
        digest = self.run_folder.history.data_digest
        if digest not in (None, card["digest"]):
            self.run_folder.keep_summary()
            run = self.run_folder.folder.name
            raise SettingError(
                f"run={run} cannot be resumed, as it was made with other data: the digest of {card['source']} was "
                f"{str(digest)[:12]}, is {card['digest'][:12]}; start a new run with resume=never"
            )
        self._write_card(card)
        self.run_folder.journal.append("data", card=card, content=content)
        self.output.data(card)

    def data_warned(self, card: DataCard, warnings: Sequence[DataWarning]) -> None:
        """Show warnings about the data, and write them to the card's file and to the summary."""
        for warning in warnings:
            self.output.say(f"warning: {warning.text}")
            columns = [*warning.columns]
            self.run_folder.summary["data_findings"].append({"kind": warning.kind, "columns": columns})
        self.run_folder.summary["data_warnings"] = card["warnings"]
        self._write_card(card)

    def _write_card(self, card: DataCard) -> None:
        path = self.run_folder.folder / "data_card.json"
        path.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")

    def stage_finished(self, stage: StageName) -> None:
        """Show and record the seconds of a stage."""
        seconds = self.run_folder.time(stage)
        self.output.stage(stage, seconds)
        self.run_folder.journal.append("stage", stage=stage, seconds=seconds)

    def views_added(self, n_views: int, seconds: float) -> None:
        """Show the seconds of views that were made during the sweep, and add them to those of the stage reduce."""
        timings = self.run_folder.summary["timings"]
        timings["reduce_s"] = round(timings["reduce_s"] + seconds, 3)
        self.output.say(f"{'reduce':<8} {seconds:5.1f} s for {n_views} more view{'s' if n_views > 1 else ''}")
