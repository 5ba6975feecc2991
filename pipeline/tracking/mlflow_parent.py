"""The MLflow run of a whole pipeline run, the parent of the runs of its trials."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import DatasetInput, InputTag, Metric, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_RUN_NOTE

from pipeline.runs.events import Event
from pipeline.runs.resume import flat
from pipeline.tracking.content import (
    Point,
    fitting_description,
    fitting_points,
    fitting_tags,
    for_reading,
    run_content,
)
from pipeline.tracking.description import description, version_description
from pipeline.tracking.mlflow_client import log
from pipeline.tracking.mlflow_model import ALIAS, DIGITS, address_of, data_set, logged_model, move_alias
from pipeline.tracking.mlflow_store import MlflowStore


class ParentRun:
    """The parent run of the run in `folder`."""

    def __init__(self, store: MlflowStore, folder: Path, run_id: str) -> None:
        self._client, self._folder, self.run_id = store.client, folder, run_id
        self._model = ""  # the address of the registered model
        self._version: tuple[str, str] | None = None  # its name and version

    @classmethod
    def create(cls, store: MlflowStore, folder: Path, tags: Mapping[str, str], event: Event) -> "ParentRun":
        """Create the parent run."""
        tags = fitting_tags({"kind": "sweep", **tags})
        run = store.client.create_run(store.experiment, start_time=event["time"], run_name=event["run_id"], tags=tags)
        parameters = {name: value for name, value in flat(event["settings"]) if value != {}}
        settings = run_content("", {}, parameters, [], "RUNNING", 0, 0)
        log(store.client, run.info.run_id, settings)
        return cls(store, folder, run.info.run_id)

    def mark_running(self) -> None:
        """A session of the run begins: its first, or one that resumes it."""
        self._client.update_run(self.run_id, status="RUNNING")
        self._log_file("config.yaml")

    def log_data_set(self, card: dict[str, Any]) -> None:
        """Log the data set."""
        inputs = DatasetInput(data_set(card), [InputTag(MLFLOW_DATASET_CONTEXT, "training")])
        self._client.log_inputs(self.run_id, [inputs])
        self._client.set_tag(self.run_id, "data_hash", card["digest"])
        self._log_file("data_card.json")

    def log_champion(self, event: Event, name: str, promote: str, attributes: Mapping[str, str]) -> dict[str, Any]:
        """Log the champion's scores, and register its model under this name; returns name, version, URI and alias.

        promote, attributes   see mlflow_model.move_alias; the value of the metric is added
        """
        self._log_file("data_card.json")  # with the warnings that came later than the card
        self._log_file("leaderboard.csv")
        self._log_file("model.onnx")
        scores = {f"{part}_{name}": value for part in ("validation", "test") for name, value in event[part].items()}
        step = step_of(event)
        points, _ = fitting_points(
            [Point(name, for_reading(value), event["time"], step) for name, value in scores.items()]
        )
        tags = [RunTag(name, value) for name, value in fitting_tags({"champion": event["label"]}).items()]
        self._client.log_batch(self.run_id, metrics=[Metric(*point) for point in points], tags=tags)
        model_version = logged_model(self._client, self._folder / "model", self.run_id, name)
        value = event["validation"][attributes["metric"].removeprefix("validation_")]
        self._model, self._version = address_of(name, model_version), (name, model_version)
        kept_because = move_alias(
            self._client, name, model_version, {**attributes, "value": f"{value:{DIGITS}}"}, promote
        )
        return {
            "name": name,
            "version": model_version,
            "uri": self._model,
            "alias": None if kept_because else ALIAS,
            "alias_note": kept_because,
        }

    def log_report(self) -> None:
        """Log the report and its plots."""
        self._log_file("report.html")
        self._log_file("plots")

    def ended(self, event: Event, n_without: int) -> None:
        """Log the run's results, its status, and when it ended, as the journal's last event says; describe its model.

        n_without   trials that have no run of their own
        """
        tags = {"status": event["status"].lower()} | ({"trials_without_run": str(n_without)} if n_without else {})
        path = self._folder / "summary.json"
        if path.exists():  # else it was killed
            self._log_file(path.name)
            self._log_file("importance.csv")
            summary = json.loads(path.read_text(encoding="utf-8"))
            tags |= {"digest": summary["digest"] or ""}
            tags[MLFLOW_RUN_NOTE] = description(summary, self._folder / "leaderboard.csv", self._model)
            if self._version and summary["best"]:
                card = json.loads((self._folder / "data_card.json").read_text(encoding="utf-8"))
                text = version_description(summary, card, self._model)
                self._client.update_model_version(*self._version, fitting_description(text))
            self._client.log_batch(self.run_id, metrics=_numbers(summary, event))
        run_tags = [RunTag(name, value) for name, value in fitting_tags(tags).items()]
        self._client.log_batch(self.run_id, tags=run_tags)
        self._client.set_terminated(self.run_id, event["status"], event["time"])

    def mark_failed(self) -> None:
        """Mark the run as failed: it cannot be written to its end, and must not look as if it were running."""
        self._client.set_terminated(self.run_id, "FAILED")

    def _log_file(self, name: str) -> None:
        """Log a file or a folder of the run's folder as an artifact."""
        path = self._folder / name
        if path.is_dir():
            self._client.log_artifacts(self.run_id, str(path), name)
        elif path.exists():
            self._client.log_artifact(self.run_id, str(path))


def step_of(event: Event) -> int:
    """The step of the values that a session comes to: MLflow shows those of the highest step, then of the latest time.

    The clock may have been set back since an earlier session, whose values must not be taken for the latest.
    """
    return max(0, event["session"] - 1)


def _numbers(summary: dict[str, Any], event: Event) -> list[Metric]:
    """Durations of the stages, and the throughput of the sweep."""
    numbers = {f"seconds/{name.removesuffix('_s')}": value for name, value in summary["timings"].items()}
    numbers |= {f"throughput/{name}": value for name, value in summary["throughput"].items()}
    time, step = event["time"], step_of(event)
    return [Metric(name, value, time, step) for name, value in numbers.items() if value is not None]
