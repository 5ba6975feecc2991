"""The engine of a run, and the networks that it trains for what a search asks for."""

from collections.abc import Sequence
from functools import cache

from nncore.architecture import Architecture
from pipeline.components.fingerprints import settings_hash
from pipeline.driver.data_pipeline import DataPipeline, RunContext
from pipeline.engine.loop import Engine, NetworkFactory, RungTraining
from pipeline.engine.packing.planner import TrialNetwork
from pipeline.engine.records import SweepRecords
from pipeline.runs.network_record import Replicate
from pipeline.search.base import TrainRequest


def sweep_engine(context: RunContext, data: DataPipeline, records: SweepRecords, trainer: RungTraining) -> Engine:
    """The engine that sweeps the space of a run's settings."""
    settings = context.settings
    return Engine(
        sampler=context.variants.sampler,
        budget=settings.budget,
        epochs=settings.training.epochs,
        objectives=(settings.select.metric, *settings.select.tradeoffs),
        records=records,
        trainer=trainer,
        journal=context.record.journal,
        build_networks=network_factory(context, data, records.replicates),
    )


def network_factory(context: RunContext, data: DataPipeline, replicates: Sequence[Replicate]) -> NetworkFactory:
    """What builds the networks of the trials of a rung, one for each replicate.

    The data that the trials learn from are prepared and reduced before it returns.
    """
    variants, loss_limit = context.variants, context.settings.training.loss_limit

    @cache
    def shared_hash(fold: str, architecture: Architecture) -> str:
        return settings_hash("networks", fold, architecture, loss_limit)

    def build(requests: Sequence[TrainRequest]) -> list[list[TrialNetwork]]:
        chosen = [variants.of(request.trial) for request in requests]
        views = data.views([(variant.prepare, variant.reduce) for variant in chosen])
        built = []
        for request, variant, folds in zip(requests, chosen, views, strict=True):
            networks = []
            for replicate in replicates:
                fold = folds[replicate.fold]
                architecture = variants.shape(variant, fold.view_shape, data.task)
                network = variant.net(request.trial, replicate.key(request.trial.key), replicate.seed)
                learning = (network.seed, network.optimizer, network.regularizers, network.schedule)
                hashed = settings_hash("network", shared_hash(fold.content_hash, architecture), *learning)
                networks.append(TrialNetwork(network, architecture, fold, hashed))
            built.append(networks)
        return built

    return build
