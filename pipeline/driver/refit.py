"""Refit: the networks of the published model are trained anew on all development rows, with other seeds.

There is no validation row by which an epoch could be chosen or a training stopped: a network is trained to the mean of
the epochs that were selected for the networks of its trial. Everything else, such as the schedule of the learning rate,
is as it was. Refitted networks have keys of their own, whose fold is the one after the last.
"""

import time
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from pipeline.console.progress import Pace, duration
from pipeline.driver.context import RunContext
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.driver.networks import NetworkBuilder
from pipeline.engine.loop import Engine
from pipeline.engine.packing.planner import TrialNetwork
from pipeline.engine.records import SweepRecords
from pipeline.engine.slices.trainer import RungTrainer
from pipeline.runs.records import Replicate, TrialRecord, trial_of


class Refitted(NamedTuple):
    """What was refitted.

    Attributes
    ----------
    keys : dict of str to str
        By the key of each network, that of the network that replaces it.
    epochs : dict of str to int
        By trial, the epoch to which its networks were trained.
    """

    keys: dict[str, str]
    epochs: dict[str, int]

    @property
    def sentence(self) -> str:
        """What was done, for people."""
        first, last = min(self.epochs.values()), max(self.epochs.values())
        until = f"epoch {first}" if first == last else f"epochs {first} to {last}"
        return f" Its networks were trained anew on all development rows, to {until}."


def refit(
    context: RunContext,
    data: DataPipeline,
    engine: Engine,
    trainer: RungTrainer,
    builder: NetworkBuilder,
    keys: Sequence[str],
) -> Refitted:
    """Train as many networks of each trial as there are keys of it, and wait for them.

    They are journalled as those of the sweep are: what an earlier session of the run has trained is not trained again.
    A budget of seconds does not end them.

    Parameters
    ----------
    context : RunContext
    data : DataPipeline
    engine : Engine
        Its sweep is over. The new networks are entered into it and its records, but belong to no trial there.
    trainer : RungTrainer
    builder : NetworkBuilder
    keys : sequence of str
        Of the networks of the published model.

    Raises
    ------
    ArithmeticError
        If one of the networks diverges.
    """
    records, first_seed = engine.records, context.settings.training.seed
    replaced = {trial: [key for key in keys if trial_of(key) == trial] for trial in dict.fromkeys(map(trial_of, keys))}
    variants = {trial: builder.variants.of(records.suggested[trial]) for trial in replaced}
    views = data.views_of_all_rows([(variant.prepare, variant.reduce) for variant in variants.values()])
    refitted = Refitted({}, {trial: mean_epoch(records.trials[trial]) for trial in replaced})
    networks: dict[str, TrialNetwork] = {}
    for (trial, variant), fold in zip(variants.items(), views, strict=True):
        for number, key in enumerate(replaced[trial]):
            replicate = Replicate(data.n_folds, first_seed + number)
            network = builder.build(records.suggested[trial], variant, replicate, fold, validated=False)
            networks[network.key] = network._replace(until=refitted.epochs[trial])
            refitted.keys[key] = network.key
            records.enter(network.key, replicate, network.content_hash)
    engine.networks |= networks
    context.run_folder.journal.append(
        "refit",
        networks={key: network.content_hash for key, network in networks.items()},
        until={key: network.until for key, network in networks.items()},
    )
    untrained = [
        engine.continued(records.networks[key], network.until)
        for key, network in networks.items()
        if not records.networks[key].available_at(network.until)
    ]
    trainer.without_deadline().train(untrained, _announcer(context, records))
    if diverged := [key for key in networks if records.networks[key].diverged]:
        raise ArithmeticError(f"network {diverged[0]} diverged")
    return refitted


def _announcer(context: RunContext, records: SweepRecords) -> Callable[[list[str]], None]:
    """What says, after a slice, how far the present rung is."""
    start, interval = time.monotonic(), Pace(2.0)

    def announce(_: list[str]) -> None:
        rung = records.rungs[-1]
        if rung.epochs_left and (trained := rung.epochs - rung.epochs_left) and interval.due():
            left = duration((time.monotonic() - start) / trained * rung.epochs_left)
            context.say(f"refit: {trained} of {rung.epochs} network-epochs, {left} left")

    return announce


def mean_epoch(trial: TrialRecord) -> int:
    """Return the mean of the epochs that were selected for the networks of a trial, rounded."""
    return max(1, round(fmean(network.selected_epoch for network in trial.networks)))
