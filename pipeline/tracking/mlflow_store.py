"""A store of MLflow: one experiment, written to by the fastest road that it allows."""

from collections.abc import Iterator, Sequence
from typing import Any

import mlflow

from pipeline.tracking import mlflow_bulk
from pipeline.tracking.content import RunContent
from pipeline.tracking.mlflow_client import create_run, experiment_id, open_store


class MlflowStore:
    """One experiment of a store, which is created if there is none.

    Parameters
    ----------
    tracking : dict
        What `MlflowTracking.describe` returns.

    Raises
    ------
    MlflowException or sqlite3.Error
        If the store does not answer.
    """

    def __init__(self, tracking: dict[str, Any]) -> None:
        self.uri: str = tracking["uri"]
        mlflow.set_tracking_uri(self.uri)
        self.client = open_store(self.uri)
        self.experiment = experiment_id(self.client, tracking["experiment"], tracking["artifacts"])
        self._artifacts = self.client.get_experiment(self.experiment).artifact_location
        self._is_bulk = mlflow_bulk.is_open_to(self.uri)

    def write(self, runs: Sequence[RunContent]) -> Iterator[str]:
        """Write finished runs, and yield the id of each as soon as it is stored."""
        if self._is_bulk:
            yield from mlflow_bulk.write(self.uri, self.experiment, self._artifacts, runs)
        else:
            for run in runs:
                yield create_run(self.client, self.experiment, run)

    def others(self, pipeline_run: str, kept: set[str]) -> list[str]:
        """Return the ids of all MLflow runs of a pipeline run that are not in `kept`."""
        query = f"tags.pipeline_run = '{pipeline_run}'"
        found = self.client.search_runs([self.experiment], query, max_results=50_000)
        return [run.info.run_id for run in found if run.info.run_id not in kept]
