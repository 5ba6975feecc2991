"""The models that can be published after a sweep, and what the summary says of them."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

from pipeline.backends.base import Future
from pipeline.components.scores import RankingMetric
from pipeline.driver.refit import Refitted
from pipeline.driver.summary import means_and_deviations
from pipeline.engine.publication import Kind, Publication
from pipeline.stages.calibrate import Adjustment
from pipeline.stages.publication import ModelComparison


@dataclass(frozen=True)
class FinishedModel:
    """A model that can be published: by reference, with what was fitted to its predictions.

    Parameters
    ----------
    counts : dict of str to int
        By key, how often each network is in the mean; a single one is the model itself.
    model : Future of a Model or an Ensemble
    adjustment : Adjustment
    test, test_intervals : dict or None
        Its scores on the test rows, and their 95 % intervals; None if there are no test rows.
    """

    counts: dict[str, int]
    model: Future
    adjustment: Adjustment
    test: dict[str, float] | None
    test_intervals: dict[str, list[float]] | None

    @property
    def summary(self) -> dict[str, Any]:
        """Its part of the summary."""
        scores = {"test": self.test, "test_intervals": self.test_intervals}
        return {"networks": self.counts, **scores, **self.adjustment.summary}


class RefittedModel(NamedTuple):
    """The model of the published kind, whose networks were trained anew on all development rows.

    Attributes
    ----------
    model : FinishedModel
    refitted : Refitted
    tests : dict of str to dict of str to float, or None
        By key of each network, what it scores alone on the test rows; None if there are none.
    """

    model: FinishedModel
    refitted: Refitted
    tests: dict[str, dict[str, float]] | None

    @property
    def summary(self) -> dict[str, Any]:
        """Its part of the summary."""
        means = means_and_deviations([*self.tests.values()]) if self.tests else None
        scores = {"test_networks": means, "test_by_network": self.tests}
        return {"epochs": self.refitted.epochs, **scores}


class PublishedModel(NamedTuple):
    """Which model is published, and why.

    Attributes
    ----------
    publication : Publication
    models : dict of str to FinishedModel
        By kind, those that were compared.
    comparison : ModelComparison
    anew : RefittedModel or None
        What is published instead of the model that was compared.
    """

    publication: Publication
    models: dict[Kind, FinishedModel]
    comparison: ModelComparison
    anew: RefittedModel | None

    @property
    def compared(self) -> FinishedModel:
        """The best of the models that were compared."""
        return self.models[self.publication.kind]

    @property
    def chosen(self) -> FinishedModel:
        """The model that is published."""
        return self.anew.model if self.anew else self.compared

    @property
    def others(self) -> dict[Kind, FinishedModel]:
        """The models that could have been published instead."""
        return {kind: model for kind, model in self.models.items() if kind != self.publication.kind}

    def summary(self, metric: RankingMetric) -> dict[str, Any]:
        """Their parts of the summary: bag, ensemble, published, and the calibration of the published model.

        Parameters
        ----------
        metric : RankingMetric
            By which they were compared.
        """
        summary: dict[str, Any] = {
            kind: self.models[kind].summary for kind in ("bag", "ensemble") if kind in self.models
        }
        if "ensemble" in summary:
            summary["ensemble"]["validation"] = {"loss": self.comparison.loss}
        scores = {kind: self.comparison.scores[kind] for kind in self.models}
        summary["published"] = {
            **self.publication._asdict(),
            "reason": self.publication.reason + (self.anew.refitted.sentence if self.anew else ""),
            "networks": self.chosen.counts,
            "metric": metric.name,
            "scores": {
                kind: {name: value if isfinite(value) else None for name, value in by_metric.items()}
                for kind, by_metric in scores.items()
            },
            "test": self.chosen.test,
            "test_intervals": self.chosen.test_intervals,
            "refit": self.anew and self.anew.summary | {"test_before": self.compared.test},
        }
        return summary | self.chosen.adjustment.summary
