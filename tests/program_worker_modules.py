"""Trains one slice on a fresh Ray worker, and prints as JSON which packages that worker has loaded then."""

import json
import sys

from running import composed

from pipeline.artefacts import facts
from pipeline.execution.ray import Ray
from pipeline.sweep.training import FreshStack, train_slice


def loaded() -> list[str]:
    return sorted({name.partition(".")[0] for name in sys.modules})


def main() -> None:
    settings, _ = composed("execution=local", "tracking=none")
    development, _ = settings.split(settings.data())
    view = settings.reduce(settings.prepare(development, 0))
    trial = settings.trials()[0]
    fresh = FreshStack(settings.shape(facts(view), "classification"), tuple(settings.networks([trial])))
    options = settings.stages["sweep"]
    with Ray(1).start() as executor:  # one CPU, so that both tasks run on one worker
        _, reports = executor.submit(train_slice, fresh, view, 1, "classification", 1e6, options=options, returns=2)
        executor.fetch(reports)
        (modules,) = executor.submit(loaded, options=options)
        print(json.dumps(executor.fetch(modules)))


if __name__ == "__main__":
    main()
