"""Sections of the sweep: which optimizer and regularizer is better, heat map, rates, curves, importances, and times."""

import math
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from pipeline.reports import importance
from pipeline.reports.contents import RunContents
from pipeline.reports.parts import Paragraph, Picture, Pictures, Section
from pipeline.reports.result_sections import EQUAL, cost
from pipeline.reports.svg import SHAPES, Categories, Key, Linear, Log, Panel, element, text_width, title
from pipeline.reports.words import counted, decimals, listed, number, sentence, short, span
from pipeline.runs.records import TrialRecord

N_COLOURS = 8  # of plot.css
SALT = (
    100224  # with it, all optimizers of this package differ in colour or dash, and those of the default space in colour
)
N_POINTS = 200  # of a curve
MOST_LINES = 12
N_STEPS = 4  # of the heat map's colours, beyond the noise
ROW = 24  # pixels of a row


def style_of(name: str) -> tuple[str, int]:
    """The colour's class and the style of an optimizer, from its name alone: the same in every report."""
    slot = sha256(f"{SALT}{name}".encode()).digest()[0] % (N_COLOURS * len(SHAPES))
    return f"colour-{slot % N_COLOURS}", slot // N_COLOURS


class ScoredPair(NamedTuple):
    """A trial of an optimizer with a regularizer, and its score among those that it is compared with.

    Attributes
    ----------
    optimizer, regularizer, trial : str
    score : float
    interval : (float, float) or None
    tied : bool or None
        Whether it cannot be told apart from the best; None if nothing can be said.
    """

    optimizer: str
    regularizer: str
    trial: str
    score: float
    interval: tuple[float, float] | None
    tied: bool | None


def effects(contents: RunContents) -> Section | None:
    """Main effects of optimizer, regularizer and other varied settings, and the best trial of each pair."""
    section = Section("Optimizers and regularizers")
    known = contents.summary.get("effects") or {}
    pictures = [
        _effect(contents, name, values, known.get("metric"))
        for name, values in known.items()
        if name in ("optimizer", "regularizer") or "." in name
        if len(values or []) > 1
    ]
    if missing := contents.summary.get("effects_missing"):
        section.parts.append(Paragraph(f"{sentence(missing)}."))
    if pictures:
        section.parts += [Paragraph(picture.finding) for picture in pictures]
        text = (
            "Main effects: the mean, over the other components, of the score of the best of equally many trials with "
            "this one. The intervals are for comparisons with each other."
        )
        if known.get("around"):
            text += (
                f" The trials are the {counted(len(known['trials']), 'trial')} around {known['around']}, scored on "
                f"{counted(known['n_rows'], 'row')}; as it was chosen on these rows, too, its own optimizer and "
                "regularizer are a little favoured."
            )
        section.parts.append(Paragraph(text, quiet=True))
    names = [{row[axis] for row in contents.ranked_rows} for axis in ("optimizer", "regularizer")]
    if max(map(len, names)) > 1:
        pictures.append(_heat_map(contents, _pairs(contents), known.get("around")))
    if pictures:
        section.parts.append(Pictures(pictures))
    return section if section.parts else None


def _effect(contents: RunContents, name: str, values: list[dict[str, Any]], metric: str | None) -> Picture:
    ordered = sorted(values, key=lambda value: contents.ranking_metric.cost(value["mean"]))
    halves = sorted((value["high"] - value["low"]) / 2 for value in ordered if value.get("low") is not None)
    places = decimals([value["mean"] for value in ordered], halves[len(halves) // 2] if halves else None)
    best, *others = ordered
    tied = [value for value in others if value.get("tied")]
    worse = [value for value in others if not value.get("tied")]
    finding = (
        f"{name if '.' in name else name.capitalize()}: {best['value']} is best with {number(best['mean'], places)}"
    )
    if tied:
        finding += f"; {listed([value['value'] for value in tied])} cannot be told apart from it"
    if worse:
        by = [f"{value['value']} by {number(abs(value['mean'] - best['mean']), places)}" for value in worse]
        finding += f"; worse {'is' if len(worse) == 1 else 'are'} {listed(by)}"
    finding += "."
    notes = [f"{number(value['mean'], places)}{f' {EQUAL}' if value.get('tied') and value is not best else ''}"
             for value in ordered]  # fmt: skip
    ends = [value[end] for value in ordered for end in ("low", "high") if value.get(end) is not None]
    panel = Panel(
        Linear.around([*ends, *(value["mean"] for value in ordered)]),
        Categories([short(value["value"]) for value in ordered]),
        x_label=f"mean {contents.label(f'validation/{metric}' if metric else contents.metric)}",
        height=ROW * len(ordered),
        notes=notes,
    )
    for position, value in enumerate(ordered):
        classes, style = style_of(value["value"]) if name == "optimizer" else ("", 0)
        if value.get("low") is not None:
            panel.interval(position, value["low"], value["high"], classes)
        text = f"{value['value']}: {notes[position]}, {span(_interval(value), places)}, {counted(value['n'], 'trial')}"
        panel.points([value["mean"]], [position], classes, style, [text])
    caption = f"Main effect of {name if '.' in name else f'the {name}'}, with 95 % intervals"
    return Picture(f"effect_of_{name}", caption, finding, panel.svg(finding), told=False)


def _interval(value: Mapping[str, Any]) -> tuple[float, float] | None:
    return (value["low"], value["high"]) if value.get("low") is not None else None


def _pairs(contents: RunContents) -> list[ScoredPair]:
    """The trials that are compared, the best first: those of a block, or all."""
    if block := (contents.summary.get("effects") or {}).get("trials"):
        parameters = {trial["trial"]: contents.trials[trial["trial"]].parameters for trial in block}
        names = {key: (str(of["optimizer"]), str(of["regularizer"])) for key, of in parameters.items()}
        return [ScoredPair(*names[t["trial"]], t["trial"], t["value"], _interval(t), t["tied"]) for t in block]
    scores = contents.scores()
    tied = {"True": True, "False": False}
    return [
        ScoredPair(
            row["optimizer"],
            row["regularizer"],
            row["trial"],
            scores[row["trial"]],
            contents.interval(row, contents.metric),
            tied.get(row.get("tied", "")),
        )
        for row in contents.ranked_rows
    ]


def _heat_map(contents: RunContents, pairs: list[ScoredPair], around: str | None) -> Picture:
    """The best trial of each optimizer with each regularizer; colours are steps of the noise from the best."""
    cells: dict[tuple[str, str], ScoredPair] = {}
    for pair in pairs:
        cells.setdefault((pair.optimizer, pair.regularizer), pair)
    named = [(pair.optimizer, pair.regularizer) for pair in pairs]
    named += [] if around else [(row["optimizer"], row["regularizer"]) for row in contents.leaderboard]
    optimizers, regularizers = (list(dict.fromkeys(names)) for names in zip(*named, strict=True))
    best = pairs[0]
    noise = (best.interval[1] - best.interval[0]) / 2 if best.interval else None
    unit = noise or max(abs(pair.score - best.score) for pair in cells.values()) / 2 ** (N_STEPS - 1) or 1.0
    places = decimals([pair.score for pair in cells.values()], noise)
    labels = [number(pair.score, places) for pair in cells.values()]
    n_equal = sum(bool(pair.tied) for pair in cells.values())
    size = max(
        52.0, *(text_width(text) + 14 for text in labels), *(text_width(short(name, 20)) + 8 for name in regularizers)
    )
    width = max(
        330.0, min(640.0, 12 + max(text_width(short(name, 20)) for name in optimizers) + size * len(regularizers))
    )
    panel = Panel(
        Categories([short(name, 20) for name in regularizers]), Categories([short(name, 20) for name in optimizers]),
        "regularizer", "optimizer", height=26 * len(optimizers), width=width, keys=_heat_keys(unit, noise, places),
    )  # fmt: skip
    for (optimizer, regularizer), pair in cells.items():
        distance = abs(pair.score - best.score) / unit
        step = 0 if pair.tied or distance <= 1 else min(N_STEPS, math.ceil(math.log2(distance)))
        step = max(step, int(pair.tied is False))
        text = f"{optimizer}, {regularizer}: {number(pair.score, places)} ({contents.trials[pair.trial].label})"
        shown = [f"{number(pair.score, places)} {EQUAL}", EQUAL] if pair.tied else [number(pair.score, places)]
        panel.cell(optimizers.index(optimizer), regularizers.index(regularizer), f"heat-{step}", shown, text)
    for row_number, optimizer in enumerate(optimizers):
        for column_number, regularizer in enumerate(regularizers):
            if (optimizer, regularizer) not in cells:
                panel.cell(row_number, column_number, "none", ["none"], f"{optimizer}, {regularizer}: no result")
    where = f" around {around}" if around else ""
    finding = f"{best.optimizer} with {best.regularizer} has the best trial{where}, {number(best.score, places)}"
    finding += (
        f"; the best of {counted(n_equal - 1, 'other pair')} cannot be told apart from it." if n_equal > 1 else "."
    )
    caption = f"Best {contents.label(contents.metric)} of each optimizer with each regularizer{where}"
    return Picture("heat_map", caption, finding, panel.svg(finding))


def _heat_keys(unit: float, noise: float | None, places: int) -> list[Key]:
    """What the colours mean: each step doubles the distance from the best."""
    places = max(places, decimals([unit], unit))
    first = f"{EQUAL} or" if noise else "the noise is not known;"
    labels = [f"{first} within {number(unit, places)} of the best"]
    labels += [f"within {number(unit * 2**step, places)}" for step in range(1, N_STEPS)]
    labels += ["beyond"] if noise else []
    return [Key(label, f"heat-{step}", "cell") for step, label in enumerate(labels)]


def rates(contents: RunContents) -> Section | None:
    """The metric by learning rate, with a line through the best trials of each optimizer; crosses: diverged."""
    rated = [(rate, row) for row in contents.leaderboard if (rate := contents.rate(row))]
    if len({rate for rate, _ in rated}) < 2:
        return None
    scores = contents.scores()
    points = [(row["optimizer"], rate, scores[row["trial"]], row) for rate, row in rated if row["trial"] in scores]
    lost = [(row["optimizer"], rate) for rate, row in rated if "diverged" in row["status"]]
    names = list(dict.fromkeys(row["optimizer"] for _, row in rated))
    values = [score for _, _, score, _ in points]
    y_scale = _score_scale(contents, values)
    keys = [Key(short(name), style_of(name)[0], "point", style_of(name)[1]) for name in names]
    panel = Panel(
        Log.around(rate for rate, _ in rated), y_scale, "learning rate", contents.label(contents.metric), height=240,
        keys=[*keys, *([Key("diverged", "grey", "cross")] if lost else [])],
    )  # fmt: skip
    places, bests = decimals(values), {}
    for name in names:
        own = [(rate, score, row) for optimizer, rate, score, row in points if optimizer == name]
        classes, style = style_of(name)
        line = {rate: contents.best(score for other, score, _ in own if other == rate) for rate, _, _ in own}
        panel.line(sorted(line), [line[rate] for rate in sorted(line)], classes, style, name)
        texts = [f"{contents.trials[row['trial']].label}: {number(score, places)}" for _, score, row in own]
        panel.points([rate for rate, _, _ in own], [score for _, score, _ in own], f"{classes} faint", style, texts)
        if line:
            bests[name] = contents.best(line, key=lambda rate, line=line: line[rate])
    _draw_lost(panel, lost, names, not contents.smaller_is_better)
    finding = f"Best rate: {listed([f'{name} {rate:g}' for name, rate in bests.items()], 12)}."
    if lost:
        finding += f" {counted(len(lost), 'trial')} diverged."
    caption = sentence(f"{contents.label(contents.metric)} by learning rate; lines connect an optimizer's best trials")
    return Section("Learning rates", [Pictures([Picture("learning_rates", caption, finding, panel.svg(finding))])])


def _draw_lost(panel: Panel, lost: Sequence[tuple[str, float]], names: Sequence[str], at_bottom: bool) -> None:
    """A cross for each optimizer and rate with a trial that diverged, at the edge where the worse scores are."""
    for name, rate in dict.fromkeys(lost):
        offset = 6 + 9 * names.index(name) % max(9, panel.height - 12)
        x, y = panel.px(rate), panel.bottom - offset if at_bottom else panel.top + offset
        path = f"M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8"
        panel.add(element("path", title(f"{name} {rate:g} diverged"), class_=f"cross {style_of(name)[0]}", d=path))


def _score_scale(contents: RunContents, values: Sequence[float]) -> Linear | Log:
    """Logarithmic for positive losses that differ by more than a factor of two, else linear."""
    finite = [value for value in values if math.isfinite(value)]
    if contents.smaller_is_better and finite and min(finite) > 0 and max(finite) > 2 * min(finite):
        return Log.around(finite)
    return Linear.around(finite)


def curves(contents: RunContents) -> Section | None:
    """Losses of the best, the median and the worst trial, and the metric of the best trial of each optimizer."""
    section = Section("Learning curves")
    if max(trial.epochs for trial in contents.trials.values()) < 2:
        section.parts.append(Paragraph("The networks were trained for one epoch: there are no curves."))
        return section
    order = list(contents.scores())
    chosen = {key: word for word, key in
              (("worst", order[-1]), ("median", order[len(order) // 2]), ("best", order[0]))}  # fmt: skip
    chosen = dict(reversed(chosen.items()))
    pictures = [_curves_of_three(contents, chosen)]
    best: dict[str, str] = {}
    for row in contents.ranked_rows:
        best.setdefault(row["optimizer"], row["trial"])
    if len(best) > 1:
        pictures.append(_curves_by_optimizer(contents, dict(list(best.items())[:MOST_LINES])))
    text = (
        "If the training loss (dashed) keeps falling while the validation loss rises, the network overfits: more "
        "regularization or fewer epochs help. If both still fall at the last epoch, train for more epochs."
    )
    section.parts += [Pictures(pictures), Paragraph(text, quiet=True)]
    return section


def _curves_of_three(contents: RunContents, chosen: Mapping[str, str]) -> Picture:
    classes = {"best": "", "median": "grey", "worst": "bad"}
    lines = {(key, name): _curve(contents.trials[key], name)
             for key in chosen for name in ("train/loss", "validation/loss")}  # fmt: skip
    values = [value for _, ys in lines.values() for value in ys if math.isfinite(value)]
    keys = [Key(f"{word}: {short(contents.trials[key].label, 46)}", classes[word]) for key, word in chosen.items()]
    panel = Panel(
        Linear(0, max(1, *(x for xs, _ in lines.values() for x in xs))), _loss_scale(values), "epoch", "loss",
        height=230, keys=[*keys, Key("training", "grey", "line", 1)],
    )  # fmt: skip
    for (key, name), (xs, ys) in lines.items():
        word = chosen[key]
        panel.line(xs, ys, classes[word], int(name == "train/loss"), f"{word}, {name.partition('/')[0]}")
    (_, ys), (_, train) = lines[next(iter(chosen)), "validation/loss"], lines[next(iter(chosen)), "train/loss"]
    at = min(range(len(ys)), key=ys.__getitem__)
    places = decimals([ys[at], train[at]])
    finding = (
        f"The best trial's validation loss is lowest after {at + 1 if len(ys) < N_POINTS else 'some'} of "
        f"{len(ys)} epochs, {number(ys[at], places)}, with a training loss of {number(train[at], places)}."
    )
    caption = f"Loss by epoch: {listed(list(chosen.values()))} trial, validation solid and training dashed"
    return Picture("curves", caption, finding, panel.svg(finding))


def _curves_by_optimizer(contents: RunContents, best: Mapping[str, str]) -> Picture:
    lines = {name: _curve(contents.trials[key], contents.metric) for name, key in best.items()}
    values = [value for _, ys in lines.values() for value in ys]
    styles = {name: style_of(name) for name in best}
    keys = [Key(short(contents.trials[key].label, 46), styles[name][0], "line", styles[name][1])
            for name, key in best.items()]  # fmt: skip
    panel = Panel(Linear(0, max(1, *(x for xs, _ in lines.values() for x in xs))), _score_scale(contents, values),
                  "epoch", contents.label(contents.metric), height=230, keys=keys)  # fmt: skip
    for name, (xs, ys) in lines.items():
        panel.line(xs, ys, *styles[name], contents.trials[best[name]].label)
    scores = contents.scores()
    places = decimals(list(scores.values()))
    order = [f"{name} {number(scores[key], places)}" for name, key in best.items()]
    finding = f"The best trial of each optimizer, best first: {listed(order, MOST_LINES)}."
    caption = sentence(f"{contents.label(contents.metric)} by epoch of each optimizer's best trial")
    return Picture("curves_by_optimizer", caption, finding, panel.svg(finding))


def _loss_scale(values: Sequence[float]) -> Linear | Log:
    return Log.around(values) if values and min(values) > 0 else Linear.around(values)


def _curve(trial: TrialRecord, name: str) -> tuple[list[float], list[float]]:
    """Epochs and means over the trial's networks."""
    points = trial.mean_curve(name, N_POINTS)
    return [float(point.epoch) for point in points], [point.value for point in points]


def hyperparameters(contents: RunContents) -> Section | None:
    """How much each hyperparameter distinguishes the best trials from the others, beside shuffled scores."""
    known = importance.importances(contents)
    if not known:
        return None
    panel = Panel(
        Linear(0, 1), Categories([short(name, 40) for name in known]), "share of the total importance",
        height=ROW * len(known), notes=[f"{item.share:.2f}" for item in known.values()],
        keys=[Key("stands out", "", "bar"), Key("does not", "soft", "bar"), Key("shuffled scores", "grey", "point", 3)],
    )  # fmt: skip
    for position, (name, item) in enumerate(known.items()):
        text = f"{name}: {item.share:.2f}; shuffled scores exceed {item.shuffled:.2f} in one of 20 cases"
        panel.bar(position, item.share, "" if item.stands_out else "soft", text)
        panel.points([item.shuffled], [position], "grey", 3, [text])
    clear = [name for name, item in known.items() if item.stands_out]
    finding = f"{sentence(listed(clear))} stand{'s' if len(clear) == 1 else ''} out." if clear else (
        "Nothing stands out: shuffled scores give shares that are as large."
    )  # fmt: skip
    text = (
        "PED-ANOVA importances, from the trials that have a result, of the hyperparameters that every trial has: how "
        "much a hyperparameter distinguishes the best trials from the others. The diamonds are what shuffled scores "
        "exceed in one of 20 cases. What stands out is judged before the importances are divided by their sum, so that "
        "its bar may end before the diamond."
    )
    caption = "Importance of the hyperparameters that all trials have"
    picture = Picture("importance", caption, finding, panel.svg(finding))
    return Section("Hyperparameter importance", [Pictures([picture]), Paragraph(text, quiet=True)])


def times(contents: RunContents) -> Section:
    """How long the stages took, and how fast the sweep was."""
    section = Section("Time and cost", [Paragraph(text) for text in cost(contents)])
    timings = contents.summary["timings"]
    stages = {name.removesuffix("_s"): value for name, value in timings.items() if value and name != "total_s"}
    if stages:
        values = [f"{value:.1f} s" for value in stages.values()]
        picture = bars("seconds", "Duration of the stages, until this page was written", stages, values, "seconds",
                       "The longest stage is {name} with {text}.")  # fmt: skip
        section.parts.append(Pictures([picture]))
    return section


def bars(
    name: str, caption: str, values: Mapping[str, float], texts: Sequence[str], label: str, finding: str
) -> Picture:
    """A bar for each value, with its text at the right; the finding has the name and the text of the largest."""
    largest = max(range(len(texts)), key=[*values.values()].__getitem__)
    scale, names = Linear(0, max(values.values()) * 1.02 or 1), [short(text) for text in values]
    panel = Panel(scale, Categories(names), label, height=20 * len(values), notes=texts)
    for position, (key, value) in enumerate(values.items()):
        panel.bar(position, value, text=f"{key}: {texts[position]}")
    words = finding.format(name=names[largest], text=texts[largest])
    return Picture(name, caption, words, panel.svg(words))


def sweep_sections(contents: RunContents) -> Iterator[Section]:
    """All sections of the sweep that have something to show."""
    for make in (effects, curves, rates, hyperparameters):
        if section := make(contents):
            yield section
