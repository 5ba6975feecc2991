"""Plots of the sweep: learning curves, optimizers x regularizers, learning rates, importances."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.reports.contents import RunContents
from pipeline.reports.plotting import SEQUENTIAL, canvas, colour, dash, legend_beside, short, spoken
from pipeline.runs.records import TrialRecord

MOST_LINES = 12
MOST_CELLS = 8  # in which numbers are legible


def curves(contents: RunContents) -> Figure:
    """Training and validation loss of the best, the median and the worst trial that has a result."""
    order = list(contents.scores())
    chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    figure, (axes,) = canvas()
    for number, (word, key) in enumerate(chosen.items()):
        if key in list(chosen.values())[:number]:
            continue
        trial = contents.trials[key]
        for name, style in (("train/loss", "--"), ("validation/loss", "-")):
            label = f"{word}: {short(trial.label)}" if style == "-" else None
            axes.plot(*_curve(trial, name), style, color=colour(number), label=label, linewidth=1.6)
    axes.plot([], [], "--", color="grey", label="training")
    axes.set(xlabel="epoch", ylabel="loss (mean per row)", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_beside(axes, "validation")
    return figure


def curves_by_optimizer(contents: RunContents) -> Figure:
    """The validation metric of the best trial of each optimizer, by epoch."""
    best: dict[str, str] = {}
    for row in contents.ranked_rows:
        best.setdefault(row["optimizer"], row["trial"])
    figure, (axes,) = canvas()
    for number, key in enumerate(list(best.values())[:MOST_LINES]):
        trial = contents.trials[key]
        label = short(trial.label)
        axes.plot(*_curve(trial, contents.metric), dash(number), color=colour(number), label=label, linewidth=1.6)
    axes.set(xlabel="epoch", ylabel=spoken(contents.metric), yscale="log" if contents.smaller_is_better else "linear")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_beside(axes, "best trial of each")
    return figure


def heat_map(contents: RunContents) -> Figure:
    """The best metric that each optimizer reached with each regularizer."""
    scores, best = contents.scores(), min if contents.smaller_is_better else max
    cells: dict[tuple[str, str], list[float]] = {}
    for row in contents.ranked_rows:
        cells.setdefault((row["optimizer"], row["regularizer"]), []).append(scores[row["trial"]])
    optimizers, regularizers = (list(dict.fromkeys(row[axis] for row in contents.leaderboard)) for axis in
                                ("optimizer", "regularizer"))  # fmt: skip
    values = np.array([[best(cells.get((o, r), [math.nan])) for r in regularizers] for o in optimizers])
    figure, (axes,) = canvas(max(5.0, 1.1 * len(regularizers) + 2.2), max(2.6, 0.55 * len(optimizers) + 1.4))
    image = axes.imshow(values, cmap=f"{SEQUENTIAL}_r" if contents.smaller_is_better else SEQUENTIAL, aspect="auto")
    axes.set_xticks(range(len(regularizers)), regularizers, rotation=30, ha="right")
    axes.set_yticks(range(len(optimizers)), optimizers)
    axes.set(xlabel="regularizer", ylabel="optimizer")
    figure.colorbar(image, ax=axes, label=f"best {spoken(contents.metric)}")
    if max(values.shape) <= MOST_CELLS:
        middle = (np.nanmin(values) + np.nanmax(values)) / 2
        for (row, column), value in np.ndenumerate(values):
            dark = (value > middle) == contents.smaller_is_better
            text = "none" if math.isnan(value) else f"{value:#.3g}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    return figure


def rates(contents: RunContents) -> Figure:
    """The metric by learning rate, per optimizer; trials that diverged stand as crosses at the worse end."""
    scores = contents.scores()
    by_optimizer: dict[str, list[tuple[float, float]]] = {}
    lost: dict[str, set[float]] = {}
    for row in contents.leaderboard:
        rate = contents.rate(row)
        if rate and row["trial"] in scores:
            by_optimizer.setdefault(row["optimizer"], []).append((rate, scores[row["trial"]]))
        elif rate and "diverged" in row["status"]:
            lost.setdefault(row["optimizer"], set()).add(rate)
    figure, (axes,) = canvas()
    best = min if contents.smaller_is_better else max
    for number, name in enumerate(dict.fromkeys([*by_optimizer, *lost])):
        points = by_optimizer.get(name, [])
        x, y = np.array(points).reshape(-1, 2).T
        axes.scatter(x, y, s=12, color=colour(number), alpha=0.5, linewidths=0)
        line = sorted({rate: best(s for r, s in points if r == rate) for rate, _ in points}.items())
        axes.plot(*np.array(line).reshape(-1, 2).T, dash(number), color=colour(number), label=name, linewidth=1.6)
    axes.set(xscale="log", xlabel="learning rate", ylabel=spoken(contents.metric))
    if contents.smaller_is_better and all(score > 0 for score in scores.values()):
        axes.set_yscale("log")
    _diverged(axes, lost, list(dict.fromkeys([*by_optimizer, *lost])), contents.smaller_is_better)
    legend_beside(axes, "optimizer (line: best trials)")
    return figure


def _diverged(axes: Axes, lost: Mapping[str, set[float]], names: Sequence[str], is_loss: bool) -> None:
    """Crosses at the edge where the worse values are, one height per optimizer."""
    if not lost:
        return
    for number, name in enumerate(names):
        height = (0.985 - 0.035 * number) if is_loss else (0.015 + 0.035 * number)
        rates = sorted(lost.get(name, ()))
        edge = axes.get_xaxis_transform()
        axes.plot(rates, [height] * len(rates), "x", color=colour(number), transform=edge, markersize=7)
    axes.plot([], [], "x", color="grey", label="diverged")


def importance(shares: Mapping[str, float]) -> Figure:
    """Importance of each hyperparameter as a share of the sum."""
    names = list(shares)[::-1]
    figure, (axes,) = canvas(height=0.4 * len(names) + 1.0)
    axes.barh([short(name, 40) for name in names], [shares[name] for name in names], color=colour(0), height=0.6)
    axes.set(xlabel="share of the total importance", xlim=(0, 1))
    return figure


def seconds(timings: Mapping[str, float | None]) -> Figure:
    """How long each stage took."""
    stages = {name.removesuffix("_s"): value for name, value in timings.items() if value and name != "total_s"}
    figure, (axes,) = canvas(height=0.3 * len(stages) + 1.0)
    names = list(stages)[::-1]
    bars = axes.barh(names, [stages[name] for name in names], color=colour(0), height=0.65)
    axes.bar_label(bars, fmt="%.1f s", padding=3, fontsize=8)
    axes.set(xlabel="seconds")
    axes.margins(x=0.12)
    return figure


def _curve(trial: TrialRecord, name: str) -> tuple[list[int], list[float]]:
    """Epochs and means over the trial's networks."""
    points = trial.mean_curve(name, 10_000)
    return [point.epoch for point in points], [point.value for point in points]
