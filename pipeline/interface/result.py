"""The result of a sweep, which is its run's folder."""

import json
import webbrowser
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.components.scores import in_words
from pipeline.interface.errors import InvalidSettingError, in_words_of_python
from pipeline.interface.model import SweepModel
from pipeline.runs.journal import not_in_use
from pipeline.runs.names import has_trained
from pipeline.runs.records import NetworkRecord, TrialRecord
from pipeline.runs.replay import replayed
from pipeline.runs.summary import NO_TEST_ROWS, empty_summary, model_scores

if TYPE_CHECKING:
    import pandas as pd

N_SHOWN = 10  # trials


class SweepResult:
    """The result of a run, read from its folder when it is asked for.

    Parameters
    ----------
    folder : Path
        The run's folder.

    Attributes
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        path = self.folder / "summary.json"
        if not path.exists():
            return empty_summary(self.folder.name)
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return summary

    @property
    def verdict(self) -> str:
        """What the run came to, in a sentence; "" if it has not ended."""
        return str(self.summary["verdict"] or "")

    @property
    def best(self) -> dict[str, Any] | None:
        """The best trial: trial, parameters, validation and test scores, as in summary.json; None if there is none."""
        best: dict[str, Any] | None = self.summary["best"]
        return best

    @property
    def ensemble(self) -> dict[str, Any] | None:
        """The ensemble: how often it counts each network, and its scores, as in summary.json; None if there is none."""
        ensemble: dict[str, Any] | None = self.summary["ensemble"]
        return ensemble

    @property
    def leaderboard(self) -> "pd.DataFrame":
        """The trials, best first: rank, trial, parameters, status, and the mean of each score over folds and seeds."""
        return self._table("leaderboard.csv")

    @property
    def importance(self) -> "pd.DataFrame":
        """The columns of the data by how much worse the model's score becomes if one is shuffled, with intervals."""
        return self._table("importance.csv")

    @property
    def trials(self) -> "pd.DataFrame":
        """Every trial in the order of the search, also of a run that was interrupted.

        Its columns are trial, the parameters, status, networks and epochs.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "trial": trial.key,
                    **trial.parameters,
                    "status": trial.outcome,
                    "networks": len(trial.networks),
                    "epochs": trial.epochs,
                }
                for trial in self._records().values()
            ]
        )

    def curves(self, trial: str | int | None = None) -> "pd.DataFrame":
        """The learning curves of a trial.

        Parameters
        ----------
        trial : str or int, optional
            As the leaderboard names it, such as "0003" or 3; by default the best.

        Returns
        -------
        DataFrame
            A row for each epoch of each network: fold and epoch (from 1), seed, and the metrics, such as train/loss
            and validation/loss.

        Raises
        ------
        ValueError
            If there is no such trial.
        """
        import pandas as pd

        records = self._records()
        if trial is None:
            trial = self.best["trial"] if self.best else next(iter(records), "")
        key = f"{trial:04d}" if isinstance(trial, int) else trial
        if key not in records:
            raise InvalidSettingError(f"trial={trial!r}: there is no such trial in {self.folder.name}; see trials")
        frames = [pd.DataFrame(_curves(network)) for network in records[key].networks]
        return pd.concat(frames, ignore_index=True)

    @property
    def model(self) -> SweepModel:
        """The published model."""
        with in_words_of_python():
            return SweepModel(self.folder / "model")

    def report(self, show: bool = True) -> Path:
        """Write the report, one page that needs no other file, and open it in a browser.

        Parameters
        ----------
        show : bool, default True
            Whether to open it.

        Returns
        -------
        Path
            The page.
        """
        from pipeline.reports.report import write_report

        with in_words_of_python():
            page = write_report(not_in_use(self.folder))
        if show:
            webbrowser.open(page.absolute().as_uri())
        return page

    def extend(
        self,
        *,
        trials: int | None = None,
        epochs: int | None = None,
        seeds: int | None = None,
        seconds: float | None = None,
    ) -> "SweepResult":
        """Continue the run with more; what it has trained is not trained again.

        Parameters
        ----------
        trials : int, optional
            Trials in all, of a search that has a number of them.
        epochs, seeds : int, optional
            Epochs of each network in all, and networks per trial and fold.
        seconds : float, optional
            Budget of the whole run.

        Returns
        -------
        SweepResult
            Of the same folder.

        Raises
        ------
        ValueError
            If the search has no number of trials, or the data or the code have changed.
        """
        from pipeline.interface.sweeps import extended

        changes = {
            "search.trials": trials,
            "training.epochs": epochs,
            "training.seeds": seeds,
            "budget.seconds": seconds,
        }
        extended(self.folder, {name: value for name, value in changes.items() if value is not None})
        return self

    def __repr__(self) -> str:
        return "\n".join(f"{name:<11}{text}" for name, text in self._lines().items())

    def _repr_html_(self) -> str:
        lines = self._lines()
        head = f"<p><b>{escape(lines.pop('verdict', ''))}</b></p>"
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in lines.items())
        table = f"<table>{rows}</table>"
        if not (self.folder / "leaderboard.csv").exists():
            return head + table
        board, headline = self.leaderboard.head(N_SHOWN), self.summary.get("headline") or []
        parameters = [name for name in board.columns[: board.columns.get_loc("status")] if board[name].notna().any()]
        scores = [name for score in headline if (name := f"validation/{score}") in board]
        return (
            head + board[[*parameters, *scores]].to_html(index=False, na_rep="", float_format="{:.4g}".format) + table
        )

    def _lines(self) -> dict[str, str]:
        """What a person wants to know first, by name."""
        summary, best = self.summary, self.best
        lines = {"verdict": self.verdict} if self.verdict else {}
        if best:
            lines["best"] = ", ".join([f"trial {best['trial']}", *(f"{k}={v}" for k, v in best["parameters"].items())])
            model = model_scores(summary)
            test = f"{in_words(model.test, summary.get('headline'))} ({model.label})"
            lines["test"] = test if model.test else NO_TEST_ROWS
        counts = ", ".join(f"{count:,} {name}" for name, count in summary["trials"].items() if count)
        lines["run"] = f"{self.folder.name}, {summary['status']}{', trials: ' if counts else ''}{counts}"
        return lines | {"folder": str(self.folder)}

    def _records(self) -> dict[str, TrialRecord]:
        with in_words_of_python():
            return replayed(self.folder).trials

    def _table(self, file: str) -> "pd.DataFrame":
        """A table of the folder, in which only what is empty is missing."""
        import pandas as pd

        path = self.folder / file
        if not path.exists():
            reason = "it has not ended" if has_trained(self.folder) else "it has trained nothing"
            raise InvalidSettingError(f"run {self.folder.name} has no {file}: {reason}")
        table = pd.read_csv(path, dtype={"trial": str}, keep_default_na=False, na_values=[""])
        return table.astype({"rank": "Int64"}) if "rank" in table else table


def _curves(network: NetworkRecord) -> dict[str, Any]:
    """The curves of a network as columns."""
    n_epochs = max(map(len, network.curves.values()), default=0)
    replicate = network.replicate
    numbers = {"fold": replicate.fold + 1, "seed": replicate.seed, "epoch": range(1, n_epochs + 1)}
    return numbers | {name: list(values) for name, values in network.curves.items()}
