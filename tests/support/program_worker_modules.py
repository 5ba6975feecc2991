"""Train one slice on a Ray worker; print as JSON the modules of an idle worker, and those of one that has trained."""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from running import compose, requested_trials

from pipeline.backends.ray import RayBackend
from pipeline.components.types import view_shape
from pipeline.config.schema import Configuration
from pipeline.config.variants import Variants
from pipeline.engine.slices.task import SliceTask, StartNetworks, load_loops, train_slice


def loaded() -> list[str]:
    return sorted(sys.modules)


def loaded_after(task, number, view) -> list[str]:
    train_slice(task, number, view)
    return loaded()


def main() -> None:
    settings, config = compose("execution=local", "tracking=none")
    development, _ = settings.split(settings.data())
    view = settings.reduce(settings.prepare(development, 0))
    trial = requested_trials(settings)[0]
    variant = Variants(Configuration(settings, config, "")).of(trial)
    shape, network = (
        variant.architecture(view_shape(view), "classification"),
        variant.build_network(trial, trial.key, 0),
    )
    options = settings.stages["sweep"]
    with TemporaryDirectory() as folder, RayBackend(1, "none", 1).start() as executor:
        begin = StartNetworks(shape, (network,))
        task = SliceTask(begin, 1, True, (), (), 1e6, 0, Path(folder) / "state", Path(folder))
        executor.broadcast(load_loops)
        deadline, modules = time.monotonic() + 60, []
        while "nncore.stack.state" not in modules and time.monotonic() < deadline:  # Ray may have several workers
            (future,) = executor.submit(loaded, options=options)
            modules = executor.fetch(future)
        print(json.dumps(modules))
        (future,) = executor.submit(loaded_after, task, 0, view, options=options)
        print(json.dumps(executor.fetch(future)))


if __name__ == "__main__":
    main()
