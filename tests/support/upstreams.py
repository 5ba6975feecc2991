"""Run the stages before the sweep without a sweep, and count which of them are computed."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from running import compose

from pipeline.components.types import Dataset, Development, PreparedView, RawRows, Task, Transform
from pipeline.config.schema import Configuration
from pipeline.config.variants import Variants
from pipeline.console.output import LineOutput
from pipeline.driver.context import RunContext, run_request
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.runs.folder import RunFolder


def append_line(log: Path, line: str) -> None:
    """Append a line to a file; several processes may do so at once."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def take_lines(log: Path) -> list[str]:
    """Return the sorted lines of the file, and delete it."""
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return sorted(lines)


@dataclass(frozen=True)
class Counted:
    """A stage that logs a line each time it is computed, and otherwise delegates to the stage inside."""

    inside: Any
    log: Path

    name = property(lambda self: self.inside.name)
    address = property(lambda self: self.inside.address)
    task = property(lambda self: self.inside.task)
    n_columns = property(lambda self: self.inside.n_columns)
    scale_targets = property(lambda self: self.inside.scale_targets)
    target = property(lambda self: self.inside.target)

    def check(self, *arguments: Any) -> None:
        self.inside.check(*arguments)

    def content(self) -> str | None:
        return self.inside.content()


class CountedSource(Counted):
    def __call__(self) -> Dataset:
        append_line(self.log, "load")
        return self.inside()


class CountedSplit(Counted):
    def __call__(self, dataset: Dataset) -> tuple[Development, RawRows]:
        append_line(self.log, "split")
        return self.inside(dataset)


class CountedPrepare(Counted):
    def check(self, task: Task) -> None:
        self.inside.check(task)

    def __call__(self, development: Development, fold: int) -> PreparedView:
        append_line(self.log, f"prepare {self.inside.scaling} {fold}")
        return self.inside(development, fold)


class CountedReduction(Counted):
    @property
    def shared(self) -> "CountedReduction | None":
        shared = self.inside.shared
        return shared and CountedReduction(shared, self.log)

    def fit(self, view: PreparedView) -> Transform:
        append_line(self.log, f"fit {self.inside.n_components}")
        return self.inside.fit(view)

    def narrowed(self, fitted: Transform, view: PreparedView) -> Transform:
        append_line(self.log, f"narrow {self.inside.n_components}")
        return self.inside.narrowed(fitted, view)

    def __call__(self, view: PreparedView) -> PreparedView:
        return self.inside(view)


@contextmanager
def data_pipeline(folder: Path, *overrides: str, **replaced: Any) -> Iterator[tuple[DataPipeline, RunContext]]:
    """Yield the data pipeline and context of a run; `replaced` are stages that replace the configuration's."""
    quick = ("tracking=none", "execution=local", f"runs={folder}", "resume=never")
    settings, config = compose(*quick, *overrides)
    settings = replace(settings, **replaced)
    configuration = Configuration(settings, config, "")
    run_folder = RunFolder(run_request(configuration, lambda _: "code"), "", time.monotonic(), settings.tracking)
    output = LineOutput(Console(file=StringIO(), width=200), live=False)
    try:
        with settings.execution.start() as executor:
            context = RunContext(settings, executor, run_folder, output, Variants(configuration))
            data = DataPipeline(settings, executor, context)
            data.load_and_split()
            yield data, context
    finally:
        run_folder.close(lambda text: None)
