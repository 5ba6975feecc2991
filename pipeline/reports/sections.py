"""The parts of a report: what each says and shows. A part with nothing to show is not there."""

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
    """Texts in rows; the marked rows by number."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: Sequence[int] = ()


@dataclass
class Section:
    """A part of the report."""

    title: str
    texts: list[str] = field(default_factory=list)
    tables: list[ReportTable] = field(default_factory=list)
    plots: list[ReportPlot] = field(default_factory=list)
    code: list[str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Where links lead to."""
        return self.title.lower().replace(" ", "-")


def report_sections(found: RunContents, n_leaderboard: int) -> Iterator[Section]:
    """All sections that have something to show, in the page's order."""
    yield _result(found)
    if found.leaderboard:
        yield _leaderboard(found, n_leaderboard)
    if found.answering:
        yield _learning(found)
        yield from _space(found)
    if found.diagnosis:
        yield from _reduction(found.diagnosis["reduction"])
        yield _errors(found.diagnosis["test"])
        yield _norms(found.diagnosis["norms"])
    yield _cost(found)
    yield _again(found)


def _result(found: RunContents) -> Section:
    trials, best, card = found.summary["trials"], found.summary["best"], found.card
    section = Section("Result")
    counts = ", ".join(f"{trials[name]:,} {word}" for name, word in (
        ("finished", "finished"), ("stopped", "stopped early or were pruned"), ("diverged", "diverged"),
        ("failed", "failed")) if trials.get(name) or name != "failed")  # fmt: skip
    section.texts.append(f"Of {trials['planned']:,} trials {counts}. They were compared by {spoken(found.metric)}.")
    if card:
        section.texts.append(
            f"Data: {card['name']}, {card['n_rows']:,} rows, {len(card['columns']):,} columns, {card['task']}."
        )
    if not best:
        section.texts.append("No trial has an answer: there is no champion. The statuses below say why.")
        return section
    parameters = ", ".join(f"{name} {value}" for name, value in best["parameters"].items())
    section.texts.append(f"The champion is trial {best['trial']}: {parameters}.")
    rows = [
        ["validation", name, f"{value['mean']:.4f}", _spread(value, best)] for name, value in best["validation"].items()
    ]
    rows += [["test, of the model", name, f"{value:.4f}", ""] for name, value in best["test"].items()]
    if ensemble := found.summary["ensemble"]:
        n = len(ensemble["networks"])
        rows += [
            [f"test, of {n} networks together", name, f"{value:.4f}", ""] for name, value in ensemble["test"].items()
        ]
    section.tables.append(
        ReportTable(["rows", "metric", "value", "spread"], [[r[0], spoken(r[1]), *r[2:]] for r in rows])
    )
    if best["tied"]:
        section.texts.append(
            f"{best['tied']} trials cannot be told apart from the best by a paired test over their networks; the "
            "champion is one of them. Their lines are marked in the leaderboard."
        )
    elif best["networks"] == 1:
        section.texts.append(
            "Each trial has one network, so nothing can be said about chance: with split.folds=5 or training.seeds=5 "
            "the leaderboard has intervals, and says which trials cannot be told apart."
        )
    return section


def _spread(value: dict[str, Any], best: dict[str, Any]) -> str:
    if best["networks"] == 1:
        return ""
    interval = f", 95 % interval +- {value['interval']:.4f}" if value["interval"] is not None else ""
    return f"standard deviation {value['std']:.4f} over {best['networks']} networks{interval}"


def _leaderboard(found: RunContents, n_rows: int) -> Section:
    rows = found.leaderboard[:n_rows]
    metrics = [name for name in rows[0] if "/" in name and any(row[name] for row in rows)]
    metrics.sort(key=lambda name: (not name.startswith(found.metric), name.startswith("train")))
    labels = {key: trial.label for key, trial in found.trials.items()}
    table = ReportTable(
        ["rank", "trial", "settings", *map(spoken, metrics), "status"],
        [
            [row["rank"], row["trial"], labels[row["trial"]], *(_short(row[name]) for name in metrics), row["status"]]
            for row in rows
        ],
        [at for at, row in enumerate(rows) if row.get("tied") == "True"],
    )
    said = (
        f"The best {len(rows):,} of {len(found.leaderboard):,} trials" if len(rows) < len(found.leaderboard) else "All"
    )
    text = f"{said}; leaderboard.csv has every digit. Losses are means per row, without penalties."
    return Section("Leaderboard", [text], [table])


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}" if "." in value or "e" in value else value
    except ValueError:
        return value


def _learning(found: RunContents) -> Section:
    section = Section("Learning curves")
    if max(trial.epochs for trial in found.trials.values()) < 2:
        section.texts.append("The networks learnt for one epoch: there are no curves.")
        return section
    section.texts.append(
        "Where the dashed line (training rows) falls on while the other rises, the network learns by heart: more "
        "regularization or fewer epochs help. Where both still fall at the end, more epochs do."
    )
    section.plots.append(
        ("curves", "Loss by epoch of the best, the median and the worst trial", sweep_plots.curves(found))
    )
    if len({row["optimizer"] for row in found.answering}) > 1:
        caption = f"{spoken(found.metric).capitalize()} by epoch of each optimizer's best trial"
        section.plots.append(("curves_by_optimizer", caption, sweep_plots.curves_by_optimizer(found)))
    return section


def _space(found: RunContents) -> Iterator[Section]:
    axes = [{row[axis] for row in found.leaderboard} for axis in ("optimizer", "regularizer")]
    if max(map(len, axes)) > 1:
        text = "Each cell is the best that any trial of the optimizer reached with the regularizer."
        yield Section("Optimizers and regularizers", [text], plots=[
            ("heat_map", f"Best {spoken(found.metric)} by optimizer and regularizer", sweep_plots.heat_map(found))
        ])  # fmt: skip
    if len({found.rate(row) for row in found.leaderboard} - {None}) > 1:
        lost = sum("diverged" in row["status"] for row in found.leaderboard)
        frontier = f" Crosses at the edge are the {lost:,} trials that diverged." if lost else ""
        text = f"Each point is a trial, each line the best of an optimizer.{frontier}"
        yield Section("Learning rates", [text], plots=[
            ("learning_rates", f"{spoken(found.metric).capitalize()} by learning rate", sweep_plots.rates(found))
        ])  # fmt: skip
    if shares := importance.shares(found):
        text = (
            "By PED-ANOVA, over the trials that have an answer, for the settings that every trial has. Large is "
            "what sets the better trials apart; it says nothing about settings that only some trials have."
        )
        yield Section("What mattered", [text], plots=[
            ("importance", "Importance of the settings that all trials have", sweep_plots.importance(shares))
        ])  # fmt: skip


def _reduction(reduction: dict[str, Any]) -> Iterator[Section]:
    section = Section("What the networks see")
    if "explained" in reduction:
        kept = sum(reduction["explained"])
        n = len(reduction["explained"])
        section.texts.append(f"{n} principal components keep {kept:.1%} of the variance of the prepared training rows.")
        section.plots.append(
            ("explained", "Variance that the components keep", model_plots.explained(reduction["explained"]))
        )
    if "pairs" in reduction:
        section.texts.append("Below are some test rows, prepared, beside what the autoencoder makes of them.")
        plot = model_plots.reconstructions(reduction["pairs"])
        section.plots.append(("reconstructions", "Rows given to the autoencoder, and what it makes of them", plot))
    caption = "Validation rows by the first two columns that the networks see"
    section.plots.append(("components", caption, model_plots.components(reduction)))
    yield section


def _errors(test: dict[str, Any]) -> Section:
    section = Section("On the test rows")
    if test["labels"] is None:
        for at, (name, target) in enumerate(test["targets"].items()):
            plot = model_plots.residuals(name, target, test["has_values"])
            section.plots.append((f"residuals_{at}", f"Predicted and true {name}, and the errors", plot))
        return section
    per_class = test["per_class"]
    rows = [
        [label, *(f"{per_class[name][at]:.3f}" for name in ("precision", "recall", "f1")), f"{test['support'][at]:,}"]
        for at, label in enumerate(test["labels"])
    ]
    section.texts.append(
        f"Expected calibration error {test['calibration_error']:.3f}: by so much the probabilities miss the share that "
        "is right, on average. Below the dashed line the champion is too sure of itself."
    )
    section.tables.append(ReportTable(["class", "precision", "recall", "F1", "test rows"], rows))
    section.plots.append(("confusion", "Test rows by true and predicted class", model_plots.confusion(test)))
    section.plots.append(
        ("reliability", "How sure the champion is, and how often right", model_plots.reliability(test))
    )
    return section


def _norms(norms: dict[str, Any]) -> Section:
    text = "Of the champion's first network, at its final weights; the gradient is that of the loss on training rows."
    return Section("Weights and gradients", [text], plots=[
        ("norms", "Norms of weights and gradients by layer", model_plots.norms(norms))
    ])  # fmt: skip


def _cost(found: RunContents) -> Section:
    summary = found.summary
    throughput, work = summary["throughput"], summary["work"]
    section = Section("Time and cost")
    if throughput["network_steps_per_s"]:
        section.texts.append(
            f"{throughput['trials_per_s']:,.1f} trials, {throughput['network_epochs_per_s']:,.0f} network-epochs and "
            f"{throughput['network_steps_per_s']:,.0f} steps of a network per second, in {work['stacks']:,} stacks "
            f"of up to {work['widest_stack']:,} networks, {work['slices']:,} slices."
        )
    if any(value for name, value in summary["timings"].items() if name != "total_s"):
        section.plots.append(("seconds", "Seconds by stage, until this page", sweep_plots.seconds(summary["timings"])))
    return section


def _again(found: RunContents) -> Section:
    texts = ["The same command with the same code and data gives the same results to the last bit."]
    if found.summary["digest"]:
        texts.append(f"Digest of all results: {found.summary['digest']}")
    commands = [found.command] if found.command else []
    return Section("Do it again", texts, code=[*commands, f"nnsweep runs show run={found.folder.name}"])
