"""Sections of the result: verdict, scores, data, leaderboard, what next, and how to repeat the run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.components.scores import LOSS
from pipeline.reports.contents import RunContents
from pipeline.reports.parts import Code, Details, Items, Paragraph, ReportTable, Section
from pipeline.reports.words import counted, decimals, first_of, listed, noise_of, number, span, value_text
from pipeline.runs.summary import NO_TEST_ROWS, model_scores

BEST = 10  # trials that the page shows at once
MOST_METRICS = 3  # that the leaderboard of the best shows
MOST_ROWS = 100  # of tables that unfold, but for that of all trials
EQUAL = "="  # the sign of a trial that cannot be told apart from the best
NO_CHAMPION = "No trial has a result, so there is no champion. The leaderboard's status column gives the reasons."


def verdict(contents: RunContents) -> str:
    """The result in a sentence: the summary's, or at least what is the best."""
    summary, best = contents.summary, contents.summary["best"]
    if text := summary.get("verdict"):
        return str(text)
    if not best:
        return NO_CHAMPION
    label = contents.trials[best["trial"]].label if best["trial"] in contents.trials else f"trial {best['trial']}"
    return f"The best of {counted(summary['trials']['planned'], 'trial')} is {label}."


def _places(value: float | None, interval: Sequence[float] | None) -> int:
    return decimals([] if value is None else [value], noise_of(value, interval))


def result(contents: RunContents) -> Section:
    """How good the published model is, what is published and why, and what that means."""
    section, best, summary = Section("Scores"), contents.summary["best"], contents.summary
    trials = summary["trials"]
    counts = ", ".join(
        f"{trials[name]:,} {word}"
        for name, word in (
            ("finished", "finished"),
            ("stopped", "stopped early or were pruned"),
            ("diverged", "diverged"),
            ("failed", "failed"),
        )
        if trials.get(name)
    )
    ranking = f"Of {counted(trials['planned'], 'trial')} {counts}. They are ranked by {contents.label(contents.metric)}"
    section.parts.append(
        Paragraph(f"{ranking}, of which {'less' if contents.smaller_is_better else 'more'} is better.")
    )
    if not best:
        section.parts.append(Paragraph(NO_CHAMPION))
        return section
    section.parts += _score_tables(contents, best)
    parameters = ", ".join(f"{name} {value_text(str(value))}" for name, value in best["parameters"].items())
    section.parts.append(Paragraph(f"The champion is trial {best['trial']}: {parameters}."))
    if published := summary.get("published"):
        section.parts.append(Paragraph(published["reason"]))
    section.parts += [Paragraph(text) for text in _explanations(contents, best)]
    return section


def _score_tables(contents: RunContents, best: dict[str, Any]) -> Iterator[ReportTable | Details]:
    """The scores to read first, and all others in a table that unfolds."""
    known = dict.fromkeys([*(best["test"] or {}), *best["validation"]])
    names = contents.headline(known)[:MOST_METRICS]
    yield _score_table(contents, best, names, "Scores, with 95 % intervals")
    if others := [name for name in known if name not in names]:
        yield Details(
            f"{counted(len(others), 'further score')}", [_score_table(contents, best, others, "Further scores")]
        )


def _score_table(contents: RunContents, best: dict[str, Any], names: Sequence[str], caption: str) -> ReportTable:
    """A column for each metric; rows for validation and test, the models that are not published, and the baselines."""
    (tests, intervals, model), corrected = model_scores(contents.summary), best.get("corrected")
    validation = best["validation"]
    if "log_loss" not in validation and LOSS in validation:  # as the losses of classifiers are log losses
        validation = validation | {"log_loss": validation[LOSS]}
    places = {
        name: _places(validation[name]["mean"], _ends(validation[name]))
        if name in validation
        else _places(tests.get(name), intervals.get(name))
        for name in names
    }

    def row(label: str, values: Mapping[str, float | None] | None, ends: Mapping[str, Any]) -> list[str]:
        cells = [label]
        for name in names:
            interval = span(ends.get(name), places[name])
            cells.append(number((values or {}).get(name), places[name]) + (f" ({interval})" if interval else ""))
        return cells

    rows = [row("validation", {name: score["mean"] for name, score in validation.items()},
                {name: _ends(score) for name, score in validation.items()})]  # fmt: skip
    if corrected:
        name = corrected["metric"].rpartition("/")[2]
        name = "log_loss" if name == LOSS and LOSS not in names else name
        ends = {} if corrected.get("low") is None else {name: (corrected["low"], corrected["high"])}
        rows.append(row("validation, corrected for the choice", {name: corrected["value"]}, ends))
    rows.append(row("test" if model == "champion" else f"test, published {model.split()[0]}", tests, intervals))
    if refit := (contents.summary.get("published") or {}).get("refit"):
        rows.append(row(f"test, {model.split()[0]} without the refit", refit["test_before"], {}))
    for kind in ("champion", "bag", "ensemble"):
        other = best if kind == "champion" else contents.summary.get(kind)
        if other and not model.startswith(kind):
            rows.append(row(f"test, the {kind}", other["test"], other.get("test_intervals") or {}))
    baselines = (contents.summary.get("baselines") or {}).values()
    rows += [row(f"test, {baseline['label']}", baseline["test"], {}) for baseline in baselines]
    shown = [cells for cells in rows if any(cells[1:])]
    headings = ["rows and model", *map(contents.label, names)]
    return ReportTable(caption, headings, shown, frozenset(range(1, len(headings))), sortable=False)


def _ends(score: dict[str, Any]) -> tuple[float, float] | None:
    """The ends of a score's interval, by the summary."""
    if score.get("low") is not None and score.get("high") is not None:
        return score["low"], score["high"]
    return (score["mean"] - score["interval"], score["mean"] + score["interval"]) if score.get("interval") else None


def _explanations(contents: RunContents, best: dict[str, Any]) -> Iterator[str]:
    """What the scores mean, and which trials are as good."""
    if contents.card and contents.card["task"] == "regression":
        yield f"The errors are in the unit of {listed(contents.card['targets'])}."
    if best.get("estimand") == "networks":
        yield "The intervals are for these networks on new rows; how much another training would differ is not in them."
    elif best.get("estimand") == "setting":
        yield "The intervals are for the setting: trained again on other rows, and scored on new ones."
    if corrected := best.get("corrected"):
        places = decimals([corrected["raw"], corrected["value"]])
        yield (
            f"The best of many trials looks better than it is: corrected for the choice, its "
            f"{contents.label(contents.metric)} is {number(corrected['value'], places)} instead of "
            f"{number(corrected['raw'], places)} ({corrected.get('method') or 'bootstrap'}). What an adaptive search "
            "and the choice of the epoch add is not corrected."
        )
    if best.get("n_test_rows") == 0:
        yield (
            f"There are {NO_TEST_ROWS}. The scores are those of the validation rows by which the trial and its epochs "
            "were chosen, so that they are somewhat too good; the corrected score allows for the choice among trials."
        )
    if text := best.get("tied_sentence"):
        yield f"{str(text).rstrip('.')}."
    elif best.get("tied"):
        trials = counted(best["tied"], "trial")
        yield f"{trials} cannot be told apart from the best; they are marked {EQUAL} in the leaderboard."
    threshold = contents.summary.get("threshold")
    if threshold and threshold["score_after"] != threshold["score_before"]:
        name, before, after = (threshold[key] for key in ("metric", "score_before", "score_after"))
        places = decimals([before, after])
        yield (
            f"The model predicts the second class from a probability of {threshold['value']:.3f} on: with it "
            f"{contents.label(name)} on validation rows is {number(after, places)}, with 0.5 it is "
            f"{number(before, places)}."
        )
    if intervals := contents.summary.get("intervals"):
        yield _conformal(intervals)


def _conformal(intervals: dict[str, Any]) -> str:
    """The intervals around predictions, or why there are none."""
    half, notes = intervals.get("half_width"), intervals.get("notes") or []
    reasons = "; ".join([notes] if isinstance(notes, str) else notes)
    if half is None:
        return f"Predictions have no intervals: {reasons or 'there are too few validation rows'}."
    halves = half if isinstance(half, dict) else {"": half}
    widths = [number(value, decimals([value])) + (f" for {name}" if name else "") for name, value in halves.items()]
    is_typical = intervals.get("relative_to_deviation") or intervals.get("transformed")
    median = " in the median" if is_typical else ""
    about = "" if intervals.get("exact", True) else f" (approximately{f': {reasons}' if reasons else ''})"
    return (
        f"Predictions come with intervals that contain {100 * intervals['coverage']:.4g} % of new values{about}: plus "
        f"and minus {listed(widths)}{median}, from the errors on {counted(intervals['n_rows'], 'validation row')}."
    )


def data(contents: RunContents) -> Section:
    """What to know about the data: the card, its notes and its warnings."""
    section, card = Section("Data"), contents.card
    assert card is not None
    kinds = [column["kind"] for column in card["columns"]]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    missing = f"; {card['missing']:.1%} of the values are missing" if card.get("missing") else ""
    official = f" and {card['n_test_rows']:,} official test rows" if card.get("n_test_rows") else ""
    section.parts.append(Paragraph(
        f"{card['name']}: {counted(card['n_rows'], 'row')}{official}, {counted(len(kinds), 'column')} ({counts})"
        f"{missing}. The task is {card['task']} of {listed(card['targets'])}."
    ))  # fmt: skip
    warnings = dict.fromkeys([*contents.summary.get("data_warnings", []), *card.get("warnings", [])])
    if warnings:
        section.parts.append(Items([f"Warning: {text}" for text in warnings], "warnings"))
    if notes := card.get("notes"):
        section.parts.append(Items([f"Note: {text}" for text in notes]))
    section.parts += _target_table(card)
    if incomplete := [column for column in card["columns"] if column["missing"] > 0]:
        incomplete.sort(key=lambda column: -column["missing"])
        rows = [[column["name"], column["kind"], f"{column['missing']:.1%}"] for column in incomplete[:MOST_ROWS]]
        caption = first_of(rows, incomplete, "Columns with missing values")
        table = ReportTable(caption, ["column", "kind", "missing"], rows, frozenset({2}))
        section.parts.append(Details(f"{counted(len(incomplete), 'column')} with missing values", [table]))
    return section


def _target_table(card: dict[str, Any]) -> list[Details]:
    if classes := card.get("classes"):
        total = card["n_rows"] + card.get("n_test_rows", 0)
        rows = [[label, f"{n:,}", f"{n / total:.1%}"] for label, n in [*classes.items()][:MOST_ROWS]]
        caption = first_of(rows, classes, "Rows by class")
        table = ReportTable(caption, ["class", "rows", "share"], rows, frozenset({1, 2}))
        return [Details(f"{counted(len(classes), 'class', 'classes')} of {listed(card['targets'])}", [table])]
    if statistics := card.get("target_statistics"):
        names = ("mean", "std", "min", "median", "max")
        rows = [[target, *(number(values[name], decimals([values["max"], values["min"]])) for name in names)]
                for target, values in statistics.items()]  # fmt: skip
        headings = ["target", "mean", "standard deviation", "minimum", "median", "maximum"]
        return [Details("Values of the target", [ReportTable("Targets", headings, rows, frozenset(range(1, 6)))])]
    return []


def leaderboard(contents: RunContents, n_rows: int) -> Section:
    """The best trials with the baselines, and all trials in a table that unfolds."""
    settings = any(trial.labels[2] for trial in contents.trials.values())
    section = Section("Leaderboard", [_table_of_best(contents)])
    if n_tied := sum(row.get("tied") == "True" for row in contents.leaderboard):
        n_compared = sum(row.get("tied") in ("True", "False") for row in contents.leaderboard)
        trials = f"{counted(n_tied, 'trial')} of the {n_compared:,} that were compared with it"
        section.parts.append(Paragraph(f"{EQUAL} cannot be told apart from the best: {trials}.", quiet=True))
    if n := sum(_is_partial(contents, row) for row in contents.ranked_rows):
        text = f"{counted(n, 'trial')} of fewer folds come last, as they were scored on fewer rows."
        section.parts.append(Paragraph(text, quiet=True))
    n_trials = len(contents.leaderboard)
    shown = contents.leaderboard[:n_rows]
    what = f"All {n_trials:,} trials" if len(shown) == n_trials else f"The best {len(shown):,} of {n_trials:,} trials"
    section.parts.append(Details(f"{what}, with all scores", [_table_of_all(contents, shown, settings)]))
    text = "leaderboard.csv has full precision. Losses are means per row, without regularization terms."
    section.parts.append(Paragraph(text, quiet=True))
    return section


def _table_of_best(contents: RunContents) -> ReportTable:
    """The best trials and all baselines, ordered by the metric."""
    name, rows = contents.metric_name, contents.ranked_rows[:BEST] or contents.leaderboard[:BEST]
    others = contents.validation_metrics[1:MOST_METRICS]
    places = _column_places(contents, rows)
    entries: list[tuple[tuple[bool, float], list[str], str]] = []  # place, cells, class of the row
    for row in rows:
        tied = row.get("tied") == "True"
        interval = contents.interval(row, contents.metric)
        cells = [f"{row['rank']}{f' {EQUAL}' if tied else ''}", *contents.trials[row["trial"]].labels,
                 _score(row, contents.metric, places), span(interval, places.get(contents.metric, 4)),
                 *(_score(row, f"validation/{other}", places) for other in others)]  # fmt: skip
        cost = contents.ranking_metric.cost(float(row.get(contents.metric) or "nan"))
        entries.append(((_is_partial(contents, row), cost), cells, "tied" if tied else ""))
    baselines = contents.summary.get("baselines") or {}
    for baseline in baselines.values():
        scores = baseline["validation"]
        shown = [number(scores.get(metric), places.get(f"validation/{metric}", 4)) for metric in (name, *others)]
        cells = ["", f"baseline: {baseline['label']}", "", "", shown[0], "", *shown[1:]]
        cost = contents.ranking_metric.cost(float(scores.get(name, "nan")))
        entries.append(((False, cost), cells, "baseline"))
    if baselines:
        entries.sort(key=lambda entry: entry[0])
    headings = ["rank", "optimizer", "regularizer", "settings", contents.label(name), "95 % interval",
                *map(contents.label, others)]  # fmt: skip
    used = [place for place in range(len(headings)) if place < 3 or any(cells[place] for _, cells, _ in entries)]
    caption = f"The best {len(rows):,} of {counted(len(contents.leaderboard), 'trial')}"
    caption += " and the baselines" if baselines else ""
    return ReportTable(
        f"{caption}, scored on the validation rows",
        [headings[place] for place in used],
        [[cells[place] for place in used] for _, cells, _ in entries],
        frozenset(position for position, place in enumerate(used) if place == 0 or place > 3),
        [classes for _, _, classes in entries],
        styled=1,
        minor=frozenset(position for position, place in enumerate(used) if place > 5),
    )


def _is_partial(contents: RunContents, row: dict[str, str]) -> bool:
    """Whether a trial was trained on fewer folds than the best."""
    networks, best = (contents.trials[of["trial"]].networks for of in (row, contents.leaderboard[0]))
    return len(networks) < len(best)


def _labels(contents: RunContents, row: dict[str, str], settings: bool) -> list[str]:
    labels = contents.trials[row["trial"]].labels
    return [labels[0], labels[1], *([labels[2]] if settings else [])]


def _score(row: dict[str, str], metric: str, places: dict[str, int]) -> str:
    return number(float(row[metric]), places[metric]) if row.get(metric) else ""


def _column_places(contents: RunContents, rows: Sequence[dict[str, str]]) -> dict[str, int]:
    """By score, its decimals in a column."""
    places = {}
    for metric in [name for name in rows[0] if name.count("/") == 1 and " " not in name]:
        values = [float(row[metric]) for row in rows if row.get(metric)]
        interval = contents.interval(rows[0], metric) if rows[0].get(metric) else None
        places[metric] = decimals(values, noise_of(values[0] if values else None, interval))
        if metric != contents.metric and values and max(map(abs, values)) <= 1:
            places[metric] = min(places[metric], 4)
    return places


def _table_of_all(contents: RunContents, rows: Sequence[dict[str, str]], settings: bool) -> ReportTable:
    """All trials with all their scores, and how they ended."""
    places = _column_places(contents, rows)
    validation = [f"validation/{name}" for name in contents.validation_metrics]
    others = [name for name in places if not name.startswith("validation")]
    metrics = [name for name in (*validation, *others) if any(row.get(name) for row in rows)]
    headings = ["rank", "trial", "optimizer", "regularizer", *(["settings"] if settings else []),
                *map(contents.label, metrics), "status"]  # fmt: skip
    table = [
        [
            f"{row['rank']}{f' {EQUAL}' if row.get('tied') == 'True' else ''}",
            row["trial"],
            *_labels(contents, row, settings),
            *(_score(row, name, places) for name in metrics),
            row["status"],
        ]
        for row in rows
    ]
    first = 5 if settings else 4
    numbers = frozenset([0, 1, *range(first, first + len(metrics))])
    classes = ["tied" if row.get("tied") == "True" else "" for row in rows]
    further = frozenset(first + place for place, name in enumerate(metrics) if place >= MOST_METRICS)
    return ReportTable(
        "Trials, best first", headings, table, numbers, classes, styled=2, filtered=True, further=further, longest=90
    )


def advice(contents: RunContents) -> Section:
    """What to do next."""
    return Section("What next", [Items(contents.summary["advice"])])


def reproduce(contents: RunContents) -> Section:
    """The model's address, the command, and the digest."""
    section, model, summary = Section("Model and command"), contents.summary.get("model") or {}, contents.summary
    address = model.get("uri") or (f"models:/{model['name']}/{model['version']}" if model.get("version") else None)
    if address or model.get("path"):
        alias = f" (alias {model['alias']})" if model.get("alias") else ""
        note = f"; {model['alias_note']}" if model.get("alias_note") else ""
        section.parts.append(
            Paragraph(f"The model of this run is {address or model['path']}{alias}{note}. Predict new rows:")
        )
        section.parts.append(Code(f"nnsweep predict model={address or model['path']} data=csv data.path=new_rows.csv"))
    section.parts.append(Paragraph("The same command with the same code and data gives bit-identical results:"))
    section.parts += [Code(contents.command)] if contents.command else []
    section.parts.append(Code(f"nnsweep runs show run={contents.folder.name}"))
    if summary.get("digest"):
        section.parts.append(Paragraph(f"Digest of all results: {summary['digest']}", quiet=True))
    return section


def cost(contents: RunContents) -> Iterator[str]:
    """How fast the sweep was, in sentences."""
    throughput, work = contents.summary["throughput"], contents.summary["work"]
    if throughput["network_steps_per_s"]:
        yield (
            f"{throughput['trials_per_s']:,.1f} trials, {throughput['network_epochs_per_s']:,.0f} network-epochs and "
            f"{throughput['network_steps_per_s']:,.0f} training steps of one network per second, in "
            f"{counted(work['stacks'], 'stack')} of up to {counted(work['widest_stack'], 'network')} and "
            f"{counted(work['slices'], 'slice')}."
        )
