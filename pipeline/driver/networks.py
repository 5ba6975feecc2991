"""The networks that are trained for what a search asks for, and the data that they learn from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

from nncore.architecture import Architecture
from nncore.regularizers.base import EarlyStopping
from pipeline.components.fingerprints import settings_hash
from pipeline.components.types import PreparedFold, Task
from pipeline.config.schema import TrainingSettings
from pipeline.config.variants import Variant, Variants
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.engine.loop import NetworkFactory
from pipeline.engine.packing.planner import TrialNetwork
from pipeline.engine.records import SweepRecords
from pipeline.engine.selection import TrainingMetrics
from pipeline.runs.records import NetworkRecord, Replicate, replicates
from pipeline.search.base import TrainRequest
from pipeline.search.trial import Trial


@dataclass(frozen=True)
class NetworkBuilder:
    """Builds networks, with the content hashes of all that their results depend on.

    Parameters
    ----------
    variants : Variants
    task : Task
    loss_limit : float
    metrics : TrainingMetrics
        Of the networks; without the extra ones their results would not be complete.
    """

    variants: Variants
    task: Task
    loss_limit: float
    metrics: TrainingMetrics

    def build(
        self, trial: Trial, variant: Variant, replicate: Replicate, fold: PreparedFold, *, validated: bool = True
    ) -> TrialNetwork:
        """Build one network.

        Parameters
        ----------
        trial : Trial
        variant : Variant
            Of the trial.
        replicate : Replicate
        fold : PreparedFold
            What it learns from.
        validated : bool, default True
            False: its validation rows say nothing about it, so that early stopping is left out.
        """
        architecture = self.variants.architecture(variant, fold.view_shape, self.task)
        key, seed = replicate.key(trial.key), replicate.network_seed
        network = variant.build_network(trial, key, seed, self.metrics.curve)
        if not validated:
            kept = [component for component in network.regularizers if not isinstance(component.build(), EarlyStopping)]
            network = replace(network, regularizers=tuple(kept))
        learning = (network.seed, network.optimizer, network.regularizers, network.schedule)
        hashed = settings_hash("network", self._shared_hash(fold.content_hash, architecture), *learning)
        return TrialNetwork(network, architecture, fold, hashed)

    @cached_property
    def _shared_hash(self) -> Callable[[str, Architecture], str]:
        """What networks of one view and architecture have in common, hashed once."""
        shared = (self.loss_limit, *self.metrics.extra)
        return cache(lambda fold, architecture: settings_hash("networks", fold, architecture, *shared))


def sweep_records(
    training: TrainingSettings, data: DataPipeline, metrics: TrainingMetrics, known: dict[str, NetworkRecord]
) -> SweepRecords:
    """Return the records of a sweep that begins, with what earlier sessions of the run know of networks."""
    repeats = replicates(data.n_folds, training.seed, training.seeds)
    return SweepRecords(repeats, metrics.ranking, data.n_validation, known)


def network_factory(
    builder: NetworkBuilder, data: DataPipeline, replicates_of: Callable[[int | None], Sequence[Replicate]]
) -> NetworkFactory:
    """Return the function that builds the networks of the trials of a rung, one for each replicate that is asked for.

    The data that the trials learn from are prepared and reduced before it returns. `replicates_of` gives the replicates
    that a request with so many validation rows asks for. What was built once, such as to count its arithmetic, is not
    built again.
    """
    built: dict[tuple[Trial, int | None], list[TrialNetwork]] = {}

    def build(requests: Sequence[TrainRequest]) -> list[list[TrialNetwork]]:
        new = [request for request in requests if (request.trial, request.validation_rows) not in built]
        chosen = [builder.variants.of(request.trial) for request in new]
        views = data.views([(variant.prepare, variant.reduce) for variant in chosen]) if new else []
        for request, variant, folds in zip(new, chosen, views, strict=True):
            built[request.trial, request.validation_rows] = [
                builder.build(request.trial, variant, replicate, folds[replicate.fold])
                for replicate in replicates_of(request.validation_rows)
            ]
        return [built[request.trial, request.validation_rows] for request in requests]

    return build
