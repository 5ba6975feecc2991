"""What the networks of the sweep answer for the rows that they were not trained on, and how good they are for these."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from statistics import fmean
from typing import Any

from pipeline.backends.base import Future
from pipeline.config.variants import PARTS
from pipeline.driver.context import RunContext
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.engine.loop import Engine
from pipeline.engine.selection import TrainingMetrics
from pipeline.engine.slices.task import NetworkSelector
from pipeline.engine.slices.trainer import RungTrainer
from pipeline.engine.uncertainty.assessment import Assessment
from pipeline.runs.records import NetworkRecord, TrialRecord
from pipeline.stages.answers import NetworkPlace, collect_answers, validation_predictions
from pipeline.stages.assess import Axis, assess

MAX_ANSWERS = 1 << 26  # numbers that all networks predict for the validation rows: 256 MB in float32


class TrialAssessor:
    """Assesses the trials of a sweep that is over.

    Parameters
    ----------
    context : RunContext
    data : DataPipeline
    engine : Engine
    trainer : RungTrainer
    metrics : TrainingMetrics

    Attributes
    ----------
    trials : list of TrialRecord
        The trials whose answers there are, best first; they were scored on the same rows.
    answers : Future of Answers
    """

    def __init__(
        self,
        context: RunContext,
        data: DataPipeline,
        engine: Engine,
        trainer: RungTrainer,
        metrics: TrainingMetrics,
    ) -> None:
        self._context, self._data, self._engine, self._trainer = context, data, engine, trainer
        self._metrics = metrics
        self.trials: list[TrialRecord] = []
        self.answers: Future

    def assess(self, ranked: Sequence[TrialRecord]) -> Assessment:
        """Collect the answers of the best trials, and say how good they are and what a designed comparison shows.

        Parameters
        ----------
        ranked : sequence of TrialRecord
            The trials that can be ranked, best first.
        """
        comparable = [trial for trial in ranked if len(trial.networks) == len(ranked[0].networks)]  # on the same rows
        best = [trial for trial in comparable if trial.completed] or comparable
        best = best if ranked[0] in best else [ranked[0], *best]
        n_fitting = max(1, MAX_ANSWERS // sum(self._n_answers(network) for network in ranked[0].networks))
        self.trials, is_complete = best[:n_fitting], len(best) <= n_fitting
        self.answers = self._collected({trial.key: trial.networks for trial in self.trials})
        designed = self._designed()
        sizes = {key: len(networks) for key, networks in designed.items()}
        is_of_all = sizes == {trial.key: len(trial.networks) for trial in self.trials}
        block = self._collected(designed) if designed and not is_of_all else None
        axes = axes_of(self.trials if is_of_all else [self._engine.records.trials[key] for key in designed])
        arguments = (self._data.task, self._metrics.selected, is_complete, axes, block)
        assessment: Assessment = self._context.executor.fetch(self._context.submit(assess, self.answers, *arguments))
        return assessment

    def _designed(self) -> dict[str, tuple[NetworkRecord, ...]]:
        """By trial of a designed comparison, best first, the networks to compare; {} if there is none.

        The trials were trained to the end. The networks are those of as many of the first folds as all the trials have,
        and as have answers that fit into memory.
        """
        records, epochs = self._engine.records, self._context.settings.training.epochs
        keys = getattr(self._context.variants.sampler, "designed_trials", ())  # a user's own search may lack them
        trials = [trial for trial in map(records.trials.get, keys) if trial and trial.rankable]
        trials = [trial for trial in trials if all(n.stopped or n.epochs_trained == epochs for n in trial.networks)]
        networks = min((trial.networks for trial in trials), key=len, default=())
        while len(trials) * sum(map(self._n_answers, networks)) > MAX_ANSWERS:
            networks = tuple(n for n in networks if n.replicate.fold < networks[-1].replicate.fold)
        if len(trials) < 2 or not networks:
            return {}
        compared = {trial.key: trial.networks[: len(networks)] for trial in trials}
        metric = records.ranking_metric

        def cost(key: str) -> float:
            return metric.cost(fmean(network.final_metrics[metric.curve] for network in compared[key]))

        return {key: compared[key] for key in sorted(compared, key=cost)}

    def _n_answers(self, network: NetworkRecord) -> int:
        """How many numbers a network predicts for its validation rows."""
        shape = self._engine.networks[network.key].fold.view_shape
        return shape.n_validation * shape.n_outputs

    def _collected(self, trials: Mapping[str, Sequence[NetworkRecord]]) -> Future:
        """The answers of the networks of trials, by reference."""
        places, networks = [], []
        for number, of_trial in enumerate(trials.values()):
            seeds = sorted({network.replicate.seed for network in of_trial})
            for network in of_trial:
                places.append(NetworkPlace(number, seeds.index(network.replicate.seed), network.replicate.fold))
                networks.append(network)
        order, predictions = self._by_stack(validation_predictions, networks)
        in_order = [places[number] for number in order]
        return self._context.submit(collect_answers, self._data.development, tuple(trials), in_order, *predictions)

    def _by_stack(
        self, function: Callable[..., Any], networks: Sequence[NetworkRecord]
    ) -> tuple[list[int], list[Future]]:
        """Call a function of (view, architecture, selectors, stack) with one task per stack and view.

        Returns the order in which the tasks return the networks, and what they return.
        """
        groups: dict[tuple[Future, str], dict[int, NetworkSelector]] = {}  # selectors by number of the network
        for number, network in enumerate(networks):
            stack, key = self._trainer.checkpoints.selected_weights(network.key)
            view = self._engine.networks[network.key].fold.content_hash
            groups.setdefault((stack, view), {})[number] = NetworkSelector(key)
        results = []
        for (stack, _), selectors in groups.items():
            trained = self._engine.networks[networks[min(selectors)].key]
            arguments = (trained.fold.data, trained.architecture, [*selectors.values()], stack)
            results.append(self._context.submit(function, *arguments))
        return list(chain(*groups.values())), results


def axes_of(trials: Sequence[TrialRecord]) -> dict[str, Axis]:
    """Return the hyperparameters to compare: optimizer, regularizer, and others that vary and that all trials have.

    Compared are trials that are otherwise equal, but for the settings of the optimizer and of the regularizer, such as
    rates, and for those of the compared hyperparameter itself: these are tuned for each value.
    """
    names = [name for name in dict.fromkeys(chain(*(t.parameters for t in trials))) if _is_axis(name, trials)]
    axes = {}
    for axis in names:
        tuned = tuple(f"{name}." for name in ("optimizer", "regularizer", axis))
        contexts = [
            tuple(
                (name, str(value))
                for name, value in sorted(trial.parameters.items())
                if name != axis and not name.startswith(tuned)
            )
            for trial in trials
        ]
        axes[axis] = Axis(tuple(str(trial.parameters[axis]) for trial in trials), tuple(contexts))
    return axes


def _is_axis(name: str, trials: Sequence[TrialRecord]) -> bool:
    """Whether values of this hyperparameter can be compared."""
    if not all(name in trial.parameters for trial in trials):
        return False
    if name.partition(".")[0] in PARTS and "." in name:
        return len({str(trial.parameters[name]) for trial in trials}) > 1
    return name in ("optimizer", "regularizer")
