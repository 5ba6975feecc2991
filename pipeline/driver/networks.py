"""The networks that are trained for what a search asks for, and the data that they learn from."""

from collections.abc import Sequence
from functools import cache

from nncore.architecture import Architecture
from pipeline.components.fingerprints import settings_hash
from pipeline.config.variants import Variants
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.engine.loop import NetworkFactory
from pipeline.engine.packing.planner import TrialNetwork
from pipeline.engine.selection import TrainingMetrics
from pipeline.runs.records import Replicate
from pipeline.search.base import TrainRequest


def network_factory(
    variants: Variants,
    data: DataPipeline,
    replicates: Sequence[Replicate],
    loss_limit: float,
    metrics: TrainingMetrics,
) -> NetworkFactory:
    """Return the function that builds the networks of the trials of a rung, one for each replicate that is asked for.

    The data that the trials learn from are prepared and reduced before it returns. `metrics` are those of the networks;
    without the extra ones their results would not be complete.
    """

    def replicates_of(request: TrainRequest) -> list[Replicate]:
        return [replicate for replicate in replicates if request.folds is None or replicate.fold < request.folds]

    @cache
    def shared_hash(fold: str, architecture: Architecture) -> str:
        return settings_hash("networks", fold, architecture, loss_limit, *metrics.extra)

    def build(requests: Sequence[TrainRequest]) -> list[list[TrialNetwork]]:
        chosen = [variants.of(request.trial) for request in requests]
        views = data.views([(variant.prepare, variant.reduce) for variant in chosen])
        built = []
        for request, variant, folds in zip(requests, chosen, views, strict=True):
            networks = []
            for replicate in replicates_of(request):
                fold = folds[replicate.fold]
                architecture = variants.architecture(variant, fold.view_shape, data.task)
                key, seed = replicate.key(request.trial.key), replicate.network_seed
                network = variant.build_network(request.trial, key, seed, metrics.curve)
                learning = (network.seed, network.optimizer, network.regularizers, network.schedule)
                hashed = settings_hash("network", shared_hash(fold.content_hash, architecture), *learning)
                networks.append(TrialNetwork(network, architecture, fold, hashed))
            built.append(networks)
        return built

    return build
