"""Plots of the champion: errors on the test rows, calibration, inputs, and norms of weights and gradients."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pipeline.reports.plotting import SEQUENTIAL, canvas, colour, short

MOST_NUMBERS = 20  # classes up to which cells have numbers
Diagnosis = dict[str, Any]


def confusion(test: Diagnosis) -> Figure:
    """Test rows by true and predicted class."""
    labels, counts = [short(label, 14) for label in test["labels"]], np.array(test["confusion"])
    size = min(9.0, max(3.6, 0.42 * len(labels) + 1.6))
    figure, (axes,) = canvas(size + 0.6, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    step = math.ceil(len(labels) / 40)
    axes.set_xticks(range(0, len(labels), step), labels[::step], rotation=45 if max(map(len, labels)) > 3 else 0)
    axes.set_yticks(range(0, len(labels), step), labels[::step])
    axes.set(xlabel="predicted class", ylabel="true class")
    figure.colorbar(image, ax=axes, label="share of the rows of the true class", shrink=0.85)
    if len(labels) <= MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=dark)
    return figure


def reliability(test: Diagnosis) -> Figure:
    """Reliability diagram on the test rows, and a histogram of the confidences."""
    bins = {name: np.array(values, float) for name, values in test["reliability"].items()}
    figure, (left, right) = canvas(columns=2, height=3.4)
    left.plot([0, 1], [0, 1], "--", color="grey", linewidth=1, label="perfect calibration")
    left.plot(bins["confidence"], bins["accuracy"], "o-", color=colour(0), label="champion")
    left.set(xlabel="mean probability of the predicted class", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    left.legend(fontsize=8, frameon=False, loc="upper left")
    n = len(bins["counts"])
    right.bar((np.arange(n) + 0.5) / n, bins["counts"], width=0.9 / n, color=colour(0))
    right.set(xlabel="probability of the predicted class", ylabel="test rows", xlim=(0, 1))
    return figure


def residuals(name: str, target: Diagnosis, has_values: bool) -> Figure:
    """Predicted against true values of a target, and a histogram of the errors."""
    predicted, true = np.array(target["predicted"]), np.array(target["true"])
    figure, (left, right) = canvas(columns=2, height=3.4)
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    left.plot(ends, ends, "--", color="grey", linewidth=1)
    left.scatter(true, predicted, s=10, color=colour(0), alpha=0.6, linewidths=0)
    left.set(xlabel=f"true {short(name)}", ylabel=f"predicted {short(name)}" if has_values else "predicted probability")
    right.hist(predicted - true, bins=30, color=colour(0))
    right.axvline(0, color="grey", linestyle="--", linewidth=1)
    right.set(xlabel="predicted minus true", ylabel="test rows")
    return figure


def explained(shares: list[float]) -> Figure:
    """Explained variance ratio of each principal component, and the cumulative sum."""
    figure, (axes,) = canvas(height=3.2)
    numbers = np.arange(1, len(shares) + 1)
    axes.bar(numbers, shares, color=colour(4), label="single component")
    axes.plot(numbers, np.cumsum(shares), "o-", color=colour(1), markersize=3, label="cumulative")
    axes.set(xlabel="component", ylabel="explained variance ratio", ylim=(0, 1.03))
    axes.legend(fontsize=8, frameon=False, loc="center right")
    return figure


def components(reduction: Diagnosis) -> Figure:
    """Validation rows by their first two columns after the reduction."""
    figure, (axes,) = canvas(height=4.4)
    points, colours = np.array(reduction["components"]), np.array(reduction["colour"])
    labels, single_column = reduction["labels"], points.shape[1] < 2
    y = colours if single_column else points[:, 1]
    if labels and len(labels) <= 20:
        for number, label in enumerate(labels):
            in_class = colours == number
            marker = "osD^vP*X"[number // 8 % 8]
            axes.scatter(
                points[in_class, 0],
                y[in_class],
                s=14,
                color=colour(number),
                marker=marker,
                label=short(label),
                linewidths=0,
            )
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1), title="class")
    else:
        shown = axes.scatter(points[:, 0], y, s=14, c=colours, cmap=SEQUENTIAL, linewidths=0)
        figure.colorbar(shown, ax=axes, label="class number" if labels else "scaled target")
    axes.set(xlabel="first component", ylabel="target" if single_column else "second component")
    return figure


def reconstructions(pairs: list[list[list[float]]]) -> Figure:
    """Preprocessed test rows and their reconstructions: images if the number of columns is a square, else lines."""
    side = math.isqrt(len(pairs[0][0]))
    is_image = side * side == len(pairs[0][0]) and side >= 4
    figure, panels = canvas(columns=len(pairs), height=2.6 if is_image else 2.2)
    if not is_image:
        for axes, (original, reconstructed) in zip(panels, pairs, strict=True):
            axes.plot(original, color=colour(0), linewidth=1, label="input")
            axes.plot(reconstructed, color=colour(1), linewidth=1, label="reconstruction")
            axes.set_xlabel("column", fontsize=8)
        panels[0].set_ylabel("preprocessed value")
        panels[-1].legend(fontsize=7, frameon=False)
        return figure
    for axes, (original, reconstructed) in zip(panels, pairs, strict=True):
        images = np.vstack([np.reshape(original, (side, side)), np.reshape(reconstructed, (side, side))])
        axes.imshow(images, cmap="gray")
        axes.axhline(side - 0.5, color="white", linewidth=2)
        axes.set_xticks([])
        axes.set_yticks([])
    panels[0].set_yticks([side / 2, side * 1.5], ["input", "output"])
    return figure


def norms(diagnosis: Diagnosis) -> Figure:
    """By layer, the norms of the weights and of the gradient."""
    figure, panels = canvas(columns=2, height=0.4 * len(diagnosis["layers"]) + 1.6)
    names = [f"{number}: {layer}" for number, layer in enumerate(diagnosis["layers"], start=1)]
    for number, (axes, what) in enumerate(zip(panels, ("weights", "gradients"), strict=True)):
        bars = axes.barh(names[::-1], diagnosis[what][::-1], color=colour(number), height=0.6)
        axes.bar_label(bars, fmt="%.2g", padding=3, fontsize=8)
        axes.margins(x=0.18)
        axes.set(xlabel=f"norm of the {'weights' if what == 'weights' else 'loss gradient by the weights'}")
    panels[0].set_ylabel("layer: inputs to outputs")
    panels[1].set_yticks([])
    return figure
