"""Sections of the published model: columns that matter, where it is wrong, calibration, residuals, inputs and norms."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.reports.contents import RunContents
from pipeline.reports.parts import Details, Paragraph, Part, Picture, Pictures, ReportTable, Section
from pipeline.reports.result_sections import MOST_ROWS
from pipeline.reports.svg import (
    Categories,
    Key,
    Linear,
    Panel,
    element,
    grey_image,
    picture,
    text_width,
)
from pipeline.reports.sweep_sections import ROW, bars
from pipeline.reports.words import counted, decimals, first_of, listed, number, sentence, short, value_text
from pipeline.runs.summary import NO_TEST_ROWS

MOST_NUMBERS = 14  # classes up to which cells have numbers, and the axes names
MOST_CLASSES = 60  # of a confusion matrix; more are a table
MOST_COLUMNS = 30  # in the picture of importances
FEW = 10  # rows of a table at first
MOST_VALUES = 5  # columns in the table of the worst rows
MOST_OUTPUTS = 3  # lines in a picture of partial dependence
SMALL = 212  # pixels: two beside each other take the room of one
Diagnosis = dict[str, Any]


def columns(contents: RunContents) -> Section | None:
    """Which columns matter: permutation importances, and partial dependence of the first."""
    known = contents.diagnosis.get("columns")
    if not known or not known.get("importance"):
        return None
    importances = sorted(known["importance"], key=lambda item: -item["mean"])
    metric = contents.label(known["metric"]) if known.get("metric") else contents.label(contents.metric_name)
    small = [_dependence(place, item) for place, item in enumerate(known.get("dependence") or [])]
    section = Section("Columns that matter", [Pictures([_importances(importances, metric)], small)])
    rows = f" on {counted(known['n_rows'], 'validation row')}" if known.get("n_rows") else ""
    text = f"How much worse the {metric} becomes{rows} when the values of a column are shuffled, with 95 % intervals."
    if len(importances) > MOST_COLUMNS:
        text += f" The first {MOST_COLUMNS} of {len(importances):,} columns; importance.csv has all."
    section.parts.append(Paragraph(text, quiet=True))
    if small:
        text = "The small pictures: the mean prediction over these rows if all of them had this value of the column."
        section.parts.append(Paragraph(text, quiet=True))
    return section


def _importances(importances: Sequence[Diagnosis], metric: str) -> Picture:
    shown = importances[:MOST_COLUMNS]
    halves = [(item["high"] - item["low"]) / 2 for item in shown[:1]]
    places = decimals([item["mean"] for item in shown], halves[0] if halves else None)
    clear = [short(item["column"]) for item in importances if item["low"] > 0]
    panel = Panel(
        Linear.around([0, *(item[end] for item in shown for end in ("low", "mean", "high"))]),
        Categories([short(item["column"]) for item in shown]), f"how much worse the {metric} becomes",
        height=20 * len(shown), notes=[number(item["mean"], places) for item in shown],
    )  # fmt: skip
    for position, item in enumerate(shown):
        text = f"{item['column']}: {number(item['mean'], places)}"
        panel.bar(position, item["mean"], "soft" if item["low"] <= 0 else "", text)
        panel.interval(position, item["low"], item["high"])
    finding = f"{listed(clear[:4])} matter{'s' if len(clear) == 1 else ''} most." if clear else "No column stands out."
    if clear and len(clear) < len(importances):
        finding += f" The intervals of {len(clear):,} of {counted(len(importances), 'column')} do not include 0; "
        finding += "the bars of the others are pale."
    return Picture("columns", "Permutation importance of the columns", finding, panel.svg(finding))


def _dependence(position: int, item: Diagnosis) -> Picture:
    """A small picture of one column: a line for numbers, points for categories."""
    outputs = _most_varied(item["y"])
    values = [value for ys in outputs.values() for value in ys]
    named = {name: f"colour-{(6, 3, 7)[place]}" for place, name in enumerate(outputs)}
    keys = [Key(short(name, 22), classes) for name, classes in named.items()] if len(outputs) > 1 else []
    low, high = min(values), max(values)
    places = decimals([low, high], (high - low) / 2 or None)
    column = short(item["column"], 24)
    if item["kind"] == "category":
        panel = Panel(Linear.around(values), Categories([short(str(x), 16) for x in item["x"]]), "prediction",
                      height=18 * len(item["x"]), width=SMALL, keys=keys)  # fmt: skip
        for name, ys in outputs.items():
            texts = [f"{x}: {number(y, places)}" for x, y in zip(item["x"], ys, strict=True)]
            panel.points(ys, [float(place) for place in range(len(ys))], named[name], texts=texts)
    else:
        panel = Panel(Linear.around(item["x"], 0.02), Linear.around(values), "", "prediction", 120, SMALL, keys=keys)
        for name, ys in outputs.items():
            panel.line(item["x"], ys, named[name], text=name)
        counts = item.get("counts") or []
        rug = [f"M{panel.px(x):.1f} {panel.bottom:.1f}v-5" for x, n in zip(item["x"], counts, strict=False) if n]
        panel.add(element("path", class_="axis", d="".join(rug)))
    finding = f"{column}: the mean prediction is between {number(low, places)} and {number(high, places)}."
    return Picture(f"dependence_{position}", column, finding, panel.svg(finding))


def _most_varied(outputs: dict[str, list[float]]) -> dict[str, list[float]]:
    """The outputs that depend most on the column; of two classes the second."""
    if len(outputs) == 2:
        outputs = dict([*outputs.items()][1:])
    names = sorted(outputs, key=lambda name: min(outputs[name]) - max(outputs[name]))[:MOST_OUTPUTS]
    return {name: outputs[name] for name in outputs if name in names}


def mistakes(contents: RunContents) -> Section | None:
    """Where the model is wrong: by class, by category, by tenth of the target, and its worst rows."""
    section, test = Section("Where it is wrong"), contents.diagnosis.get("test")
    if (contents.summary["best"] or {}).get("n_test_rows") == 0:
        section.parts.append(Paragraph(f"This is measured on test rows, and there are {NO_TEST_ROWS}."))
    known = contents.diagnosis.get("mistakes") or {}
    if test and test["labels"] is not None:
        section.parts += _confusion(test)
    if by_class := known.get("by_class"):
        section.parts += _class_errors(by_class)
    if by_tenth := known.get("by_tenth"):
        targets = dict.fromkeys(item.get("target", "the target") for item in by_tenth)
        groups = {name: [item for item in by_tenth if item.get("target", "the target") == name] for name in targets}
        section.parts.append(Pictures([_tenths(place, *group) for place, group in enumerate(groups.items())]))
    if by_category := known.get("by_category"):
        section.parts.append(_categories(contents, by_category))
    if worst_rows := known.get("worst"):
        section.parts.append(_worst_rows(contents, worst_rows))
    if test and test["labels"] is not None:
        section.parts.append(_class_table(test))
    return section if section.parts else None


def _class_errors(by_class: Sequence[Diagnosis]) -> Iterator[Part]:
    """The classes with the largest shares of errors, and the others in a table that unfolds."""
    worst = sorted(by_class, key=lambda item: -item["share"])
    rows = [
        [item["label"], f"{item['n']:,}", f"{item['errors']:,}", f"{item['share']:.1%}", number(item["log_loss"], 3)]
        for item in worst
    ]
    headings, numbers = ["class", "rows", "errors", "share", "log loss"], frozenset({1, 2, 3, 4})
    caption = first_of(rows[:FEW], rows, "Errors by class, worst first")
    yield ReportTable(caption, headings, rows[:FEW], numbers)
    if len(rows) > FEW:
        others = rows[FEW:MOST_ROWS]
        yield Details(f"The next {len(others):,} classes", [ReportTable("Errors by class", headings, others, numbers)])


def _worst_rows(contents: RunContents, worst: Sequence[Diagnosis]) -> ReportTable:
    """The rows with the largest losses, with the values of the columns that matter most."""
    important = [item["column"] for item in (contents.diagnosis.get("columns") or {}).get("importance", [])]
    present = worst[0].get("values") or {}
    shown = [name for name in dict.fromkeys([*important, *present]) if name in present][:MOST_VALUES]
    last = "probability" if "probability" in worst[0] else "error"
    places = decimals([item["loss"] for item in worst])
    rows = [
        [f"{item['row']:,}", value_text(str(item["true"])), value_text(str(item["predicted"])),
         _cell_of(item.get(last), 3 if last == "probability" else None),
         number(item["loss"], places),
         *(value_text(str((item.get("values") or {}).get(name, ""))) for name in shown)]
        for item in worst
    ]  # fmt: skip
    headings = ["row", "true", "predicted", last, "loss", *shown]
    return ReportTable("The rows with the largest losses", headings, rows, frozenset({0, 3, 4}), longest=24,
                       minor=frozenset(range(5, len(headings))))  # fmt: skip


def _cell_of(value: float | str | None, places: int | None) -> str:
    """A probability or an error; a text names the error of each of several targets."""
    if isinstance(value, str):
        return value_text(value)
    return number(value, decimals([value or 0]) if places is None else places)


def _categories(contents: RunContents, by_category: Sequence[Diagnosis]) -> ReportTable:
    """The categories whose rows have the worst scores."""
    places = decimals([item["score"] for item in by_category])
    rows = [
        [item["column"], item["category"], f"{item['n']:,}", number(item["score"], places),
         number(item.get("rest"), places), "yes" if item.get("stands_out") else "may be chance"]
        for item in by_category[:FEW]
    ]  # fmt: skip
    label = contents.label(by_category[0]["metric"])
    headings = ["column", "category", "rows", label, "all other rows", "beyond chance"]
    return ReportTable(f"Categories with the worst {label}", headings, rows, frozenset({2, 3, 4}))


def _tenths(place: int, target: str, by_tenth: Sequence[Diagnosis]) -> Picture:
    ends = [item[end] for item in by_tenth for end in ("low", "high")]
    places = decimals(ends, (max(ends) - min(ends)) / 20 or None)
    names = [f"{number(item['low'], places)} to {number(item['high'], places)}" for item in by_tenth]
    errors = [item["mean_absolute_error"] for item in by_tenth]
    shown = decimals(errors, max(errors) / 10)
    panel = Panel(
        Linear.around([0, *errors, *(item["bias"] for item in by_tenth)]), Categories(names), "error", "true value",
        height=ROW * len(names), notes=[number(error, shown) for error in errors],
        keys=[Key("mean absolute error", "", "bar"), Key("bias: mean of predicted minus true", "bad", "point", 3)],
    )  # fmt: skip
    for position, item in enumerate(by_tenth):
        text = f"{names[position]}: {counted(item['n'], 'row')}, mean absolute error {number(errors[position], shown)}"
        panel.bar(position, errors[position], "soft", text)
        panel.points([item["bias"]], [position], "bad", 3, [f"bias {number(item['bias'], shown)}"])
    largest = max(range(len(errors)), key=errors.__getitem__)
    finding = f"The errors are largest from {names[largest]}: {number(errors[largest], shown)} on average."
    return Picture(f"tenths_{place}", f"Errors by tenth of {short(target)}", finding, panel.svg(finding))


def _confusion(test: Diagnosis) -> Iterator[Part]:
    """Test rows by true and predicted class, and the pairs that are confused most."""
    labels, counts = test["labels"], np.array(test["confusion"])
    errors = [(int(n), int(row), int(column)) for (row, column), n in np.ndenumerate(counts) if n and row != column]
    errors.sort(reverse=True)
    total, n_errors = int(counts.sum()), sum(n for n, _, _ in errors)
    finding = f"{n_errors:,} of {counted(total, 'test row')} are predicted wrongly ({n_errors / max(total, 1):.1%})"
    if errors:
        n, row, column = errors[0]
        finding += f"; most often {short(labels[row])} as {short(labels[column])} ({counted(n, 'row')})"
    finding += "."
    if len(labels) <= MOST_CLASSES:
        yield Pictures([_matrix([short(label, 16) for label in labels], counts, finding)])
    else:
        yield Paragraph(finding)
    if errors and len(labels) > 2:
        rows = [[labels[row], labels[column], f"{n:,}"] for n, row, column in errors[:10]]
        table = ReportTable("Classes that are confused most", ["true", "predicted", "rows"], rows, frozenset({2}))
        yield table if len(labels) > MOST_CLASSES else Details("Classes that are confused most", [table])


def _matrix(labels: Sequence[str], counts: Any, finding: str) -> Picture:
    n = len(labels)
    has_numbers = n <= MOST_NUMBERS
    size = max(26, text_width(f"{counts.max():,}") + 6) if has_numbers else max(8, min(14, 330 / n))
    named = max(map(text_width, labels)) <= size - 4 or (n <= 4 and max(map(text_width, labels)) <= 80)
    size = max(size, max(map(text_width, labels)) + 6) if named else size
    rows = labels if named else [f"{label}  {place}" for place, label in enumerate(labels, start=1)]
    width = max(text_width(label) for label in rows) + 12 + size * n + 8
    panel = Panel(
        Categories(labels if named else [str(place) for place in range(1, n + 1)]), Categories(rows),
        "predicted class", "true class", height=min(size, 26) * n, width=max(width, 330 if n > 4 else 250),
        keys=[Key("up to 0.05 of the true class", "share-1", "cell"),
              *(Key(f"{end}", f"share-{step}", "cell") for step, end in enumerate((0.25, 0.5, 0.75), start=2)),
              Key("more", "share-5", "cell")],
    )  # fmt: skip
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    steps = 1 + np.searchsorted([0.05, 0.25, 0.5, 0.75], shares)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            text = f"{labels[row]} predicted as {labels[column]}: {count:,} ({shares[row, column]:.1%})"
            panel.cell(row, column, f"share-{steps[row, column]}", [f"{count:,}"] if has_numbers else [], text)
    return Picture("confusion", "Test rows by true and predicted class", finding, panel.svg(finding))


def _class_table(test: Diagnosis) -> Details:
    scores, support = test["per_class"], test["support"]
    order = sorted(range(len(support)), key=lambda place: scores["f1"][place])[:MOST_ROWS]
    rows = [[test["labels"][place], *(f"{scores[name][place]:.3f}" for name in ("precision", "recall", "f1")),
             f"{support[place]:,}"] for place in order]  # fmt: skip
    headings = ["class", "precision", "recall", "F1", "test rows"]
    table = ReportTable(
        first_of(rows, support, "Scores by class, worst first"), headings, rows, frozenset({1, 2, 3, 4})
    )
    return Details("Precision, recall and F1 of each class on the test rows", [table])


def calibration(contents: RunContents) -> Section | None:
    """Whether probabilities can be believed, before and after the calibration."""
    test, known = contents.diagnosis.get("test") or {}, contents.diagnosis.get("calibration") or {}
    chosen = contents.summary.get("calibration") or {}
    before, after = known.get("before") or test.get("reliability"), known.get("after")
    if not before:
        return None
    rows = "validation rows" if known.get("before") else "test rows"
    series = [(before, "before", "grey", 1), (after, "after", "", 0)] if after and chosen.get("applied") else []
    series = series or [(before, "model", "", 0)]
    section, finding = Section("Calibration"), _calibration_words(chosen, test)
    section.parts.append(Pictures([_reliability(series, rows, finding), _confidences(series[-1][0], rows)]))
    text = (
        "Below the dashed line the model is right less often than it says: it is overconfident. The error bars are "
        "95 % intervals of the accuracy (Wilson)."
    )
    section.parts.append(Paragraph(text, quiet=True))
    return section


def _calibration_words(chosen: Diagnosis, test: Diagnosis) -> str:
    """What the calibration changed, and how well the probabilities of the test rows are calibrated."""
    sentences = []
    if chosen.get("applied"):
        before, after = chosen["log_loss_before"], chosen["log_loss_after"]
        errors = [number(chosen[f"calibration_error_{when}"], 3) for when in ("before", "after")]
        places = decimals([before, after])
        sentences.append(
            f"{sentence(chosen['method'])} calibration is applied: on validation rows the log loss is "
            f"{number(after, places)} with it and {number(before, places)} without, the calibration error {errors[1]} "
            f"and {errors[0]}."
        )
    elif chosen:
        error = number(chosen["calibration_error_before"], 3)
        cause = "select.calibrate=never" if chosen.get("setting") == "never" else "none clearly helps"
        sentences.append(f"No calibration is applied, as {cause}; the calibration error is {error}.")
    elif test.get("calibration_error") is not None:
        sentences.append(f"The calibration error on the test rows is {test['calibration_error']:.3f}.")
    if chosen.get("expected_if_perfect") is not None:
        sentences.append(f"Perfect probabilities read {number(chosen['expected_if_perfect'], 3)} on so many rows.")
    return " ".join(sentences)


def _reliability(series: Sequence[tuple[Diagnosis, str, str, int]], rows: str, finding: str) -> Picture:
    keys = [Key("perfect calibration", "grey", "line", 1)]
    keys += [Key(name, classes, "point", style) for _, name, classes, style in series]
    panel = Panel(Linear(0, 1), Linear(0, 1), "mean probability of the predicted class", "accuracy", 240, keys=keys)
    panel.line([0, 1], [0, 1], "grey thin", 1)
    for bins, name, classes, style in series:
        known = [bin_ for bin_ in zip(bins["confidence"], bins["accuracy"], bins["counts"], strict=True) if bin_[2]]
        xs, ys = [x for x, _, _ in known], [y for _, y, _ in known]
        if name != "before":
            for x, y, n in known:
                panel.upright_interval(x, *wilson(y, n), classes)
        panel.line(xs, ys, classes)
        texts = [f"probability {x:.2f}, accuracy {y:.2f}: {counted(int(n), 'row')}" for x, y, n in known]
        panel.points(xs, ys, classes, style, texts)
    return Picture(
        "reliability", f"Reliability: accuracy by predicted probability on {rows}", finding, panel.svg(finding)
    )


def wilson(share: float, n: float) -> tuple[float, float]:
    """The 95 % confidence interval of a probability, from the share of n cases (Wilson 1927)."""
    z2 = 1.959964**2
    middle, half = share + z2 / (2 * n), math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
    return max(0.0, (middle - half) / (1 + z2 / n)), min(1.0, (middle + half) / (1 + z2 / n))


def _confidences(bins: Diagnosis, rows: str) -> Picture:
    counts = [int(n or 0) for n in bins["counts"]]
    n = len(counts)
    panel = Panel(Linear(0, 1), Linear(0, max(counts) * 1.05 or 1), "probability of the predicted class", rows, 240)
    for place, count in enumerate(counts):
        panel.column(place / n, (place + 1) / n, count, text=f"{place / n:.1f} to {(place + 1) / n:.1f}: {count:,}")
    sure = counts[-1] / max(sum(counts), 1)
    finding = f"{sure:.0%} of the rows are predicted with a probability above {1 - 1 / n:g}."
    return Picture("confidences", f"{sentence(rows)} by predicted probability", finding, panel.svg(finding))


def residuals(contents: RunContents) -> Section | None:
    """Predicted and true values on the test rows, and the errors."""
    test = contents.diagnosis.get("test")
    if not test or test["labels"] is not None:
        return None
    section = Section("Predictions" if test["has_values"] else "Predicted probabilities")
    intervals = contents.summary.get("intervals") or {}
    varies = intervals.get("relative_to_deviation") or intervals.get("transformed")
    half = None if varies else intervals.get("half_width")
    for place, (name, target) in enumerate(test["targets"].items()):
        width = half.get(name) if isinstance(half, dict) else half
        section.parts.append(Pictures(_residuals(place, name, target, test["has_values"], width)))
    return section


def _residuals(place: int, name: str, target: Diagnosis, has_values: bool, width: float | None) -> list[Picture]:
    predicted, true = np.array(target["predicted"], float), np.array(target["true"], float)
    errors = predicted - true
    error, bias = float(np.abs(errors).mean()), float(errors.mean())
    places, what = decimals([error], error), short(name)
    values = [*true.tolist(), *predicted.tolist()]
    finding = (
        f"On {counted(len(true), 'test row')} {what} is predicted with a mean absolute error of {number(error, places)}"
    )
    finding += f" and a bias of {number(bias, places)}."
    scale = Linear.around(values)
    panel = Panel(
        scale, scale, f"true {what}", f"predicted {what}" if has_values else f"predicted probability of {what}", 260
    )
    if width:
        low, high = scale.low, scale.high
        corners = [(low, low + width), (high, high + width), (high, high - width), (low, low - width)]
        path = (
            "M"
            + "L".join(f"{panel.px(x):.1f} {max(panel.top, min(panel.bottom, panel.py(y))):.1f}" for x, y in corners)
            + "z"
        )
        panel.add(element("path", class_="band", d=path))
        inside = float((np.abs(errors) <= width).mean())
        finding += (
            f" The band of the intervals, plus and minus {number(width, places)}, contains {inside:.0%} of these rows."
        )
    panel.line([scale.low, scale.high], [scale.low, scale.high], "grey thin", 1)
    panel.points(true.tolist(), predicted.tolist())
    counts, edges = np.histogram(errors, bins=24)
    right = Panel(
        Linear.around([*edges.tolist(), 0], 0.02),
        Linear(0, float(counts.max()) * 1.05),
        "predicted minus true",
        "test rows",
        260,
    )
    for count, low, high in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        right.column(
            low, high, count, "soft", f"{number(low, places)} to {number(high, places)}: {counted(count, 'row')}"
        )
    right.line([0, 0], [0, float(counts.max())], "grey thin", 1)
    lower, upper = np.quantile(errors, [0.05, 0.95])
    words = f"90 % of the errors are between {number(float(lower), places)} and {number(float(upper), places)}."
    return [
        Picture(f"residuals_{place}", f"Predicted and true {what}", finding, panel.svg(finding)),
        Picture(f"errors_{place}", f"Errors of {what}", words, right.svg(words)),
    ]


def inputs(contents: RunContents) -> Section | None:
    """What the reduction keeps, and the rows by the first two inputs of the networks."""
    reduction = contents.diagnosis.get("reduction")
    if not reduction:
        return None
    pictures = []
    if "explained" in reduction:
        pictures.append(_explained(reduction["explained"]))
    pictures.append(_components(reduction))
    if "pairs" in reduction:
        pictures.append(_reconstructions(reduction["pairs"]))
    return Section("Network inputs", [Pictures(pictures)])


def _explained(shares: list[float]) -> Picture:
    total, n = np.cumsum(shares).tolist(), len(shares)
    panel = Panel(
        Linear(0.5, n + 0.5), Linear(0, 1), "component", "explained variance ratio", 220,
        keys=[Key("single component", "soft", "bar"), Key("cumulative", "", "line")],
    )  # fmt: skip
    for place, share in enumerate(shares, start=1):
        panel.column(place - 0.5, place + 0.5, share, "soft", f"component {place}: {share:.1%}")
    panel.line([float(place) for place in range(1, n + 1)], total, text="cumulative")
    finding = f"{counted(n, 'principal component')} explain{'s' if n == 1 else ''} {total[-1]:.1%} of the variance of "
    finding += "the preprocessed training rows."
    return Picture("explained", "Variance explained by the components", finding, panel.svg(finding))


def _components(reduction: Diagnosis) -> Picture:
    """Validation rows by their first two columns after the reduction."""
    points, colours, labels = np.array(reduction["components"]), np.array(reduction["colour"]), reduction["labels"]
    y = points[:, 1] if points.shape[1] > 1 else colours
    groups = _groups(colours, labels)
    keys = [Key(label, classes, "point", style) for label, (_, classes, style) in groups.items()]
    panel = Panel(
        Linear.around(points[:, 0].tolist()), Linear.around(y.tolist()), "first input of the networks",
        "second input" if points.shape[1] > 1 else "target", 240, keys=keys,
    )  # fmt: skip
    for members, classes, style in groups.values():
        panel.points(points[members, 0].tolist(), y[members].tolist(), classes, style)
    what = counted(len(labels), "class", "classes") if labels else "thirds of the target"
    finding = f"{counted(len(points), 'validation row')} of {what}."
    return Picture("components", "Validation rows by the first two network inputs", finding, panel.svg(finding))


def _groups(colours: Any, labels: Sequence[str] | None) -> dict[str, tuple[Any, str, int]]:
    """By label, which rows, their colour's class and their style: classes, or thirds of a numeric target."""
    if labels is None:
        lower, upper = np.quantile(colours, [1 / 3, 2 / 3])
        parts = {
            "lowest third": colours <= lower,
            "middle": (colours > lower) & (colours <= upper),
            "highest third": colours > upper,
        }
        return {
            name: (rows, f"colour-{place}", 0)
            for (name, rows), place in zip(parts.items(), (6, 7, 3), strict=True)
            if rows.any()
        }
    if len(labels) > MOST_NUMBERS:
        return {"all classes": (np.full(len(colours), True), "", 0)}
    return {
        short(label, 20): (colours == place, f"colour-{place % 8}", place // 8) for place, label in enumerate(labels)
    }


def _reconstructions(pairs: list[list[list[float]]]) -> Picture:
    """Preprocessed test rows and their reconstructions: images if the number of columns is a square, else lines."""
    n_columns = len(pairs[0][0])
    side = math.isqrt(n_columns)
    error = float(np.mean([np.mean((np.array(one) - np.array(other)) ** 2) for one, other in pairs]))
    finding = f"The mean squared error of {counted(len(pairs), 'test row')} is {number(error, decimals([error]))}."
    caption = "Test rows and their reconstructions by the autoencoder"
    if side * side == n_columns and side >= 4:
        size, parts = 56, []
        for place, pair in enumerate(pairs):
            x = 52 + place * (size + 6)
            parts += [
                grey_image(np.reshape(values, (side, side)), x, 4 + line * (size + 6), size)
                for line, values in enumerate(pair)
            ]
        parts += [
            element("text", word, class_="tick", x=0, y=36 + line * (size + 6))
            for line, word in enumerate(("input", "output"))
        ]
        return Picture(
            "reconstructions",
            caption,
            finding,
            picture("".join(parts), 58 + len(pairs) * (size + 6), 2 * size + 16, finding),
        )
    numbers = [float(place) for place in range(1, n_columns + 1)]
    values = [value for pair in pairs[:1] for row in pair for value in row]
    panel = Panel(Linear(1, max(2, n_columns)), Linear.around(values), "column", "preprocessed value", 180,
                  keys=[Key("input", "grey"), Key("reconstruction", "")])  # fmt: skip
    panel.line(numbers, pairs[0][0], "grey")
    panel.line(numbers, pairs[0][1])
    return Picture("reconstructions", caption, finding, panel.svg(finding))


def norms(contents: RunContents) -> Section | None:
    """Norms of weights and gradients of the model's first network, layer by layer."""
    known = contents.diagnosis.get("norms")
    if not known:
        return None
    names = [f"{place}: {layer}" for place, layer in enumerate(known["layers"], start=1)]
    pictures = []
    for what, caption in (
        ("weights", "Norm of the weights by layer"),
        ("gradients", "Norm of the loss gradient by layer"),
    ):
        values = dict(zip(names, known[what], strict=True))
        texts = [f"{value:.2g}" for value in known[what]]
        pictures.append(bars(f"norms_of_{what}", caption, values, texts, f"norm of the {what}",
                             f"The {what} are largest in layer {{name}}."))  # fmt: skip
    text = "The model's first network, with its selected weights; the gradient is that of the loss on training rows."
    return Section("Weights and gradients", [Pictures(pictures), Paragraph(text, quiet=True)])


def model_sections(contents: RunContents) -> Iterator[Section]:
    """All sections of the model that come before those of the sweep."""
    for make in (columns, mistakes, calibration, residuals):
        if section := make(contents):
            yield section


def network_sections(contents: RunContents) -> Iterator[Section]:
    """The sections of its inputs and its weights."""
    for make in (inputs, norms):
        if section := make(contents):
            yield section
