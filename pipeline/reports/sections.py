"""The sections of a report, each with its texts, tables and plots. A section with nothing to show is left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from pipeline.reports import importance, model_plots, sweep_plots
from pipeline.reports.contents import RunContents
from pipeline.reports.plotting import spoken

ReportPlot = tuple[str, str, Figure]  # the file's name, what it shows, and the figure


@dataclass(frozen=True)
class ReportTable:
    """A table of texts; `marked` holds the numbers of highlighted rows."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: Sequence[int] = ()


@dataclass
class Section:
    """A section of the report."""

    title: str
    texts: list[str] = field(default_factory=list)
    tables: list[ReportTable] = field(default_factory=list)
    plots: list[ReportPlot] = field(default_factory=list)
    code: list[str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """The target of links to the section."""
        return self.title.lower().replace(" ", "-")


def report_sections(contents: RunContents, n_leaderboard: int) -> Iterator[Section]:
    """All sections that have something to show, in the page's order."""
    yield _result(contents)
    if contents.leaderboard:
        yield _leaderboard(contents, n_leaderboard)
    if contents.ranked_rows:
        yield _learning(contents)
        yield from _space(contents)
    if contents.diagnosis:
        yield from _reduction(contents.diagnosis["reduction"])
        yield _errors(contents.diagnosis["test"])
        yield _norms(contents.diagnosis["norms"])
    yield _cost(contents)
    yield _reproduce(contents)


def _result(contents: RunContents) -> Section:
    trials, best, card = contents.summary["trials"], contents.summary["best"], contents.card
    section = Section("Result")
    counts = ", ".join(f"{trials[name]:,} {word}" for name, word in (
        ("finished", "finished"), ("stopped", "stopped early or were pruned"), ("diverged", "diverged"),
        ("failed", "failed")) if trials.get(name) or name != "failed")  # fmt: skip
    section.texts.append(f"Of {trials['planned']:,} trials {counts}. They were ranked by {spoken(contents.metric)}.")
    if card:
        section.texts.append(
            f"Data: {card['name']}, {card['n_rows']:,} rows, {len(card['columns']):,} columns, {card['task']}."
        )
        section.texts += [f"Warning: {text}." for text in card.get("warnings", [])]
    if not best:
        section.texts.append(
            "No trial has a result, so there is no champion. The leaderboard's status column gives the reasons."
        )
        return section
    parameters = ", ".join(f"{name} {value}" for name, value in best["parameters"].items())
    section.texts.append(f"The champion is trial {best['trial']}: {parameters}.")
    rows = [
        ["validation", name, f"{value['mean']:.4f}", _spread(value, best)] for name, value in best["validation"].items()
    ]
    rows += [["test, model", name, f"{value:.4f}", ""] for name, value in best["test"].items()]
    if ensemble := contents.summary["ensemble"]:
        n = len(ensemble["networks"])
        rows += [
            [f"test, ensemble of {n} networks", name, f"{value:.4f}", ""] for name, value in ensemble["test"].items()
        ]
    section.tables.append(
        ReportTable(["rows", "metric", "value", "spread"], [[r[0], spoken(r[1]), *r[2:]] for r in rows])
    )
    if best["tied"]:
        section.texts.append(
            f"{best['tied']} trials do not differ significantly from the best by a paired test over their networks; "
            "the champion is one of them. They are highlighted in the leaderboard."
        )
    elif best["networks"] == 1:
        section.texts.append(
            "Each trial has a single network, so its scores have no confidence intervals. With split.folds=5 or "
            "training.seeds=5 the leaderboard shows intervals, and which trials do not differ significantly."
        )
    return section


def _spread(value: dict[str, Any], best: dict[str, Any]) -> str:
    if best["networks"] == 1:
        return ""
    interval = f", 95% confidence interval +- {value['interval']:.4f}" if value["interval"] is not None else ""
    return f"standard deviation {value['std']:.4f} over {best['networks']} networks{interval}"


def _leaderboard(contents: RunContents, n_rows: int) -> Section:
    rows = contents.leaderboard[:n_rows]
    metrics = [name for name in rows[0] if "/" in name and any(row[name] for row in rows)]
    metrics.sort(key=lambda name: (not name.startswith(contents.metric), name.startswith("train")))
    labels = {key: trial.label for key, trial in contents.trials.items()}
    table = ReportTable(
        ["rank", "trial", "settings", *map(spoken, metrics), "status"],
        [
            [row["rank"], row["trial"], labels[row["trial"]], *(_short(row[name]) for name in metrics), row["status"]]
            for row in rows
        ],
        [position for position, row in enumerate(rows) if row.get("tied") == "True"],
    )
    n_trials = len(contents.leaderboard)
    shown = f"The best {len(rows):,} of {n_trials:,} trials" if len(rows) < n_trials else "All"
    text = f"{shown}; leaderboard.csv has full precision. Losses are means per row, without regularization terms."
    return Section("Leaderboard", [text], [table])


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}" if "." in value or "e" in value else value
    except ValueError:
        return value


def _learning(contents: RunContents) -> Section:
    section = Section("Learning curves")
    if max(trial.epochs for trial in contents.trials.values()) < 2:
        section.texts.append("The networks were trained for one epoch: there are no curves.")
        return section
    section.texts.append(
        "If the training loss (dashed) keeps falling while the validation loss (solid) rises, the network overfits: "
        "more regularization or fewer epochs help. If both still fall at the last epoch, train for more epochs."
    )
    section.plots.append(
        ("curves", "Loss by epoch of the best, the median and the worst trial", sweep_plots.curves(contents))
    )
    if len({row["optimizer"] for row in contents.ranked_rows}) > 1:
        caption = f"{spoken(contents.metric).capitalize()} by epoch of each optimizer's best trial"
        section.plots.append(("curves_by_optimizer", caption, sweep_plots.curves_by_optimizer(contents)))
    return section


def _space(contents: RunContents) -> Iterator[Section]:
    axes = [{row[axis] for row in contents.leaderboard} for axis in ("optimizer", "regularizer")]
    if max(map(len, axes)) > 1:
        text = "Each cell is the best result of all trials with this optimizer and this regularizer."
        yield Section("Optimizers and regularizers", [text], plots=[
            ("heat_map", f"Best {spoken(contents.metric)} by optimizer and regularizer", sweep_plots.heat_map(contents))
        ])  # fmt: skip
    if len({contents.rate(row) for row in contents.leaderboard} - {None}) > 1:
        lost = sum("diverged" in row["status"] for row in contents.leaderboard)
        crosses = f" Crosses at the edge mark the {lost:,} trials that diverged." if lost else ""
        text = f"Each point is a trial; each line connects an optimizer's best trials.{crosses}"
        yield Section("Learning rates", [text], plots=[
            ("learning_rates", f"{spoken(contents.metric).capitalize()} by learning rate", sweep_plots.rates(contents))
        ])  # fmt: skip
    if shares := importance.shares(contents):
        text = (
            "PED-ANOVA importances, from the trials that have a result, of the hyperparameters that every trial has. A "
            "large value means that the hyperparameter distinguishes the best trials from the others."
        )
        yield Section("Hyperparameter importance", [text], plots=[
            ("importance", "Importance of the hyperparameters that all trials have", sweep_plots.importance(shares))
        ])  # fmt: skip


def _reduction(reduction: dict[str, Any]) -> Iterator[Section]:
    section = Section("Network inputs")
    if "explained" in reduction:
        kept = sum(reduction["explained"])
        n = len(reduction["explained"])
        section.texts.append(
            f"{n} principal components explain {kept:.1%} of the variance of the preprocessed training rows."
        )
        section.plots.append(
            ("explained", "Variance explained by the components", model_plots.explained(reduction["explained"]))
        )
    if "pairs" in reduction:
        section.texts.append("Some preprocessed test rows and their reconstructions by the autoencoder.")
        plot = model_plots.reconstructions(reduction["pairs"])
        section.plots.append(("reconstructions", "Test rows and their reconstructions by the autoencoder", plot))
    caption = "Validation rows by the first two network inputs"
    section.plots.append(("components", caption, model_plots.components(reduction)))
    yield section


def _errors(test: dict[str, Any]) -> Section:
    section = Section("Test rows")
    if test["labels"] is None:
        for number, (name, target) in enumerate(test["targets"].items()):
            plot = model_plots.residuals(name, target, test["has_values"])
            section.plots.append((f"residuals_{number}", f"Predicted and true {name}, and the errors", plot))
        return section
    per_class = test["per_class"]
    rows = [
        [
            label,
            *(f"{per_class[name][position]:.3f}" for name in ("precision", "recall", "f1")),
            f"{test['support'][position]:,}",
        ]
        for position, label in enumerate(test["labels"])
    ]
    section.texts.append(
        f"Expected calibration error {test['calibration_error']:.3f}: the mean absolute difference between "
        "predicted probability and accuracy. Below the dashed line the champion is overconfident."
    )
    section.tables.append(ReportTable(["class", "precision", "recall", "F1", "test rows"], rows))
    section.plots.append(("confusion", "Test rows by true and predicted class", model_plots.confusion(test)))
    section.plots.append(
        (
            "reliability",
            "Reliability diagram, and distribution of the predicted probabilities",
            model_plots.reliability(test),
        )
    )
    return section


def _norms(norms: dict[str, Any]) -> Section:
    text = "The champion's first network, with its selected weights; the gradient is that of the loss on training rows."
    return Section("Weights and gradients", [text], plots=[
        ("norms", "Norms of weights and gradients by layer", model_plots.norms(norms))
    ])  # fmt: skip


def _cost(contents: RunContents) -> Section:
    summary = contents.summary
    throughput, work = summary["throughput"], summary["work"]
    section = Section("Time and cost")
    if throughput["network_steps_per_s"]:
        section.texts.append(
            f"{throughput['trials_per_s']:,.1f} trials, {throughput['network_epochs_per_s']:,.0f} network-epochs and "
            f"{throughput['network_steps_per_s']:,.0f} training steps of one network per second, in "
            f"{work['stacks']:,} stacks of up to {work['widest_stack']:,} networks, {work['slices']:,} slices."
        )
    if any(value for name, value in summary["timings"].items() if name != "total_s"):
        section.plots.append(
            (
                "seconds",
                "Duration of the stages in seconds, until this page was written",
                sweep_plots.seconds(summary["timings"]),
            )
        )
    return section


def _reproduce(contents: RunContents) -> Section:
    texts = ["The same command with the same code and data gives bit-identical results."]
    if contents.summary["digest"]:
        texts.append(f"Digest of all results: {contents.summary['digest']}")
    commands = [contents.command] if contents.command else []
    return Section("Reproduce", texts, code=[*commands, f"nnsweep runs show run={contents.folder.name}"])
