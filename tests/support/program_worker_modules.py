"""Train one slice on a new Ray worker; print as JSON the worker's loaded modules before and after."""

import json
import sys
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
    one_cpu = RayBackend(1, "none", 1)  # so that all tasks run on the same worker
    with TemporaryDirectory() as folder, one_cpu.start() as executor:
        begin = StartNetworks(shape, (network,))
        task = SliceTask(begin, 1, True, "classification", 1e6, 0, Path(folder) / "state", Path(folder))
        executor.broadcast(load_loops)
        (before,) = executor.submit(loaded, options=options)
        print(json.dumps(executor.fetch(before)))
        _, reports = executor.submit(train_slice, task, 0, view, options=options, returns=2)
        executor.fetch(reports)
        (modules,) = executor.submit(loaded, options=options)
        print(json.dumps(executor.fetch(modules)))


if __name__ == "__main__":
    main()
