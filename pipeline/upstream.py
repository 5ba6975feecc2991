"""The stages before the sweep: load, split, and for each fold prepare and reduce."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console

from pipeline.artefacts import DataCard, Development, Facts, Task, facts
from pipeline.data.card import data_card, print_card
from pipeline.errors import SettingError
from pipeline.execution.base import Executor, Handle
from pipeline.record import Record
from pipeline.settings.run_settings import Settings, StageName


class Means(NamedTuple):
    """What the stages of a run work with."""

    settings: Settings
    executor: Executor
    record: Record
    console: Console

    def say(self, text: str) -> None:
        """Print a line, however long."""
        self.console.print(text, soft_wrap=True)

    def show(self, stage: str) -> float:
        """Note and print how many seconds a stage took, which ended just now."""
        seconds = self.record.time(stage)
        self.say(f"{stage:<8} {seconds:5.1f} s")
        return seconds

    def ended(self, stage: StageName) -> None:
        """See `show`; the journal gets to know it, too."""
        self.record.journal.append("stage", stage=stage, seconds=self.show(stage))

    def wait_for(self, stage: StageName, handles: Sequence[Handle]) -> None:
        """Wait until all results of a stage are there, or raise what it raised."""
        options = self.settings.stages[stage]
        arrived = [self.executor.submit(_arrived, handle, options=options)[0] for handle in handles]
        for handle in arrived:
            self.executor.fetch(handle)
        self.ended(stage)


class Upstream(NamedTuple):
    """What the stages before the sweep have made, by reference; views and their sizes are by fold."""

    development: Handle
    test: Handle
    views: tuple[Handle, ...]
    facts: tuple[Facts, ...]
    task: Task


def upstream(means: Means) -> Upstream:
    """Run the stages; data pass between them by reference. All folds are on their way before any is awaited."""
    settings, submit, options = means.settings, means.executor.submit, means.settings.stages
    (dataset,) = submit(settings.data, options=options["load"])
    card = _card(means, dataset)
    development, test = submit(settings.split, dataset, options=options["split"], returns=2)
    (counted,) = submit(_n_folds, development, options=options["split"])
    n_folds: int = means.executor.fetch(counted)
    means.ended("split")
    prepared = [submit(settings.prepare, development, at, options=options["prepare"])[0] for at in range(n_folds)]
    views = [submit(settings.reduce, view, options=options["reduce"])[0] for view in prepared]
    sizes = [submit(facts, view, options=options["reduce"])[0] for view in views]
    means.wait_for("prepare", prepared)
    means.wait_for("reduce", views)
    found = tuple(means.executor.fetch(size) for size in sizes)
    first, folds = found[0], f"{n_folds} folds of " if n_folds > 1 else ""
    means.say(
        f"{folds}{first.n_train} training and {first.n_validation} validation rows, "
        f"{len(card['columns'])} columns, {first.n_inputs} after reduction"
    )
    return Upstream(development, test, tuple(views), found, card["task"])


def _card(means: Means, dataset: Handle) -> DataCard:
    """What the data are like: shown, noted, and held against the settings."""
    (made,) = means.executor.submit(data_card, dataset, options=means.settings.stages["load"])
    source = means.settings.data
    card: DataCard = {"name": source.name, "source": source.address, **means.executor.fetch(made)}
    means.ended("load")
    text = json.dumps(card, indent=1)
    (means.record.folder / "data_card.json").write_text(text + "\n", encoding="utf-8")
    means.record.journal.append("data", card=card)
    print_card(means.console, card)
    try:
        means.settings.check_task(card["task"])
    except ValueError as error:
        raise SettingError(str(error)) from None
    return card


def _n_folds(development: Development) -> int:
    return len(development.folds)


def _arrived(_: Any) -> None:
    """A task that can only run once its argument is there; the driver does not get to see it."""
