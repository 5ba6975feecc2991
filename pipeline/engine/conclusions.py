"""The sentences about a result: the verdict in one of them, and advice on what to try next.

Each rule of the advice is a function from the facts of a run to a sentence that ends with ": " and overrides, to be
pasted behind the command of the run, or to "" where the rule does not apply. `advice` asks the rules in the order of
`RULES`, the most important first, and takes the first `MOST` sentences whose overrides differ.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.components.overrides import override
from pipeline.components.scores import LOSS, greater_is_better, in_words, label, number, present, unit
from pipeline.components.types import DataCard
from pipeline.engine.ranking import count_ties
from pipeline.runs.records import TrialRecord
from pipeline.runs.summary import NO_TEST_ROWS, model_scores
from pipeline.search.grammar import Choices, Range

MOST = 3  # sentences of advice
DIVERGED = 0.2  # share of the trials that diverged, above which the space is thought to be too wide
FEW_ROWS = 200  # validation rows of one fold, below which it is chance that decides between similar trials
TIED = 0.5  # share of the trials that cannot be told apart from the best, above which the sweep has no winner
EDGE = 0.05  # share of a range's scale next to an end that counts as the end
INSIDE = 0.25  # share of a range's scale that an end is compared with the rest of
GAP, GAP_RATIO = 0.1, 0.5  # training loss below half the validation loss, by this share of a constant prediction's loss
RISEN, EARLY = 1.05, 0.75  # validation loss at the end over its lowest, which was reached in this share of the epochs
IMPROVING = 0.01  # share by which the score still changed in the last tenth of the epochs
RARE = 0.05  # share of the rows of a class
ENSEMBLE_BETTER = 0.05  # share by which the ensemble's validation loss is below the champion's
UNIT_RANGE = ("momentum", "beta1", "beta2", "rho", "rate", "input_rate", "decay", "l1_ratio", "peak_at", "factor")
SHORTER_PRESETS = ("quick", "good")
PROPER = (LOSS, "log_loss", "accuracy")  # metrics of which a rare class makes up little
CONSTANT = "always answering the "


@dataclass(frozen=True)
class Facts:
    """What the rules look at.

    Parameters
    ----------
    summary : mapping
        What summary.json is to contain: trials, best, ensemble, published, baselines, data_findings.
    card : DataCard
        Describes the data.
    ranked : sequence of TrialRecord
        The trials that have a result, best first.
    tied : sequence of (bool or None) or None
        Which of them cannot be told apart from the best; None where they were not compared with it.
    diverged : sequence of TrialRecord
        The trials that diverged.
    champion : TrialRecord
    decisions : mapping of str to Choices or Range
        The space; see `pipeline.search.space.Space.decisions`.
    metric : str
        By which the trials are ranked, such as "loss".
    n_folds, n_seeds : int
        Networks of each trial.
    n_validation : int
        Validation rows by which the trials were compared.
    can_fold : bool
        Whether the splitter has the setting folds.
    epochs : int
        Of each network.
    schedule : str
        Name of the schedule of the learning rate.
    regularizers : collection of str
        Names of the regularizers that every trial has in addition to its own.
    dropped : collection of str
        The columns that data.drop leaves out.
    preset : str or None
        Name of the preset.
    balanced : bool
        Whether all classes have the same total weight.
    """

    summary: Mapping[str, Any]
    card: DataCard
    ranked: Sequence[TrialRecord]
    tied: Sequence[bool | None] | None
    diverged: Sequence[TrialRecord]
    champion: TrialRecord
    decisions: Mapping[str, Choices | Range]
    metric: str = LOSS
    n_folds: int = 1
    n_seeds: int = 1
    n_validation: int = 1000
    can_fold: bool = True
    epochs: int = 30
    schedule: str = "constant"
    regularizers: Collection[str] = ()
    dropped: Collection[str] = ()
    preset: str | None = None
    balanced: bool = False


def advice(facts: Facts) -> list[str]:
    """At most `MOST` sentences on what to try next, the most important first; no two end with the same overrides."""
    sentences: dict[str, str] = {}  # by their overrides
    rules = (leak, identifier) if leak(facts) else RULES  # where the scores are too good, they say nothing else
    for rule in rules:
        sentence = rule(facts)
        if sentence:
            sentences.setdefault(sentence.rpartition(": ")[2], sentence)
    return list(sentences.values())[:MOST]


def leak(facts: Facts) -> str:
    """A column alone predicts the target: the scores mean nothing if it is not known in time."""
    names = _suspects(facts, "leak")
    if not names:
        return ""
    if len(names) > 1:
        first = f"Look at columns {_listed(names)} first, each of which alone predicts the target: unless they are"
        return f"{first} known before the target is, the scores are too good; leave them out: {_drop(facts, names)}"
    rule = "unless it is known before the target is, the scores are too good; leave it out"
    return f"Look at column {_listed(names)} first, which alone predicts the target: {rule}: {_drop(facts, names)}"


def identifier(facts: Facts) -> str:
    """A column is an identifier, of which a network can only learn the training rows by heart."""
    leaks, names = _suspects(facts, "leak"), _suspects(facts, "identifier")
    names = [name for name in names if name not in leaks]
    if not names:
        return ""
    cure = _drop(facts, [*leaks, *names])
    return f"A model cannot learn from an identifier; if {_listed(names)} is one, leave it out: {cure}"


def loses_to_baseline(facts: Facts) -> str:
    """A baseline is better on the test rows, and not by chance."""
    better = beaten_by(facts.summary)
    if not better or better.doubt:
        return ""
    if better.name == "constant":
        cure = f"preset=none space=learning_rates {override('training.epochs', 2 * facts.epochs)}"
        return (
            f"The networks have learned nothing that holds on new rows; try smaller steps and longer training: {cure}"
        )
    if facts.preset in SHORTER_PRESETS:
        return f"{_capital(better.label)} is better; try all recipes, with longer training: preset=best"
    if better.name == "linear":
        return f"A linear model is better; try networks without hidden layers: {override('network.hidden', [])}"
    cure = f"{override('network.hidden', [128, 64])} prepare.scaling=quantile"
    return f"{_capital(better.label)} is better; try larger networks, and numbers scaled by their ranks: {cure}"


def many_diverged(facts: Facts) -> str:
    """Many trials diverged: their learning rates were too large."""
    n_trials = facts.summary["trials"]["planned"]
    if len(facts.diverged) <= DIVERGED * n_trials:
        return ""
    share = f"{len(facts.diverged)} of {n_trials} trials diverged"
    for name, choices in facts.decisions.items():
        if name.endswith("learning_rate") and isinstance(choices, Choices):
            values = [_value(name, trial.parameters) for trial in facts.diverged]
            kept = {_value(name, trial.parameters) for trial in facts.ranked}
            good = [value for value in choices.values if value in kept or value not in values]
            if 0 < len(good) < len(choices.values):
                return f"{share}; leave out the learning rates with which all did: {override(f'space.{name}', good)}"
    return f"{share}; limit the norm of the gradients: +regularizer@training.regularizers.clip_norm=clip_norm"


def few_rows(facts: Facts) -> str:
    """Few validation rows decide."""
    if facts.n_folds > 1 or facts.n_validation >= FEW_ROWS or not facts.can_fold:
        return ""
    return f"Only {facts.n_validation} validation rows decide between the trials; let every row do so: split.folds=5"


def no_winner(facts: Facts) -> str:
    """Most of the trials cannot be told apart from the best."""
    n_tied, n_compared = count_ties(facts.tied or [])
    if n_compared < 5 or n_tied <= TIED * n_compared:
        return ""
    trials = "trials" if n_compared == len(facts.ranked) else "compared trials"
    share = f"{n_tied} of {n_compared} {trials} cannot be told apart from the best"
    if facts.n_folds == 1 and facts.can_fold:
        return f"{share}; compare them on more rows: split.folds=5"
    if facts.n_seeds < 3:
        return f"{share}; compare more networks of each: training.seeds=3"
    return f"{share}, whatever is measured; take the simplest of them: select.simplest=true"


def at_the_edge(facts: Facts) -> str:
    """The best value of a hyperparameter is the largest or the smallest that was tried, and clearly so."""
    for name, tried in facts.decisions.items():
        value = _value(name, facts.champion.parameters)
        if isinstance(value, int | float) and not isinstance(value, bool):
            beyond = _beyond_choices if isinstance(tried, Choices) else _beyond_range
            direction, overrides = beyond(facts, name, tried, value)
            if overrides:
                end, more = ("largest", "larger") if direction > 0 else ("smallest", "smaller")
                best = f"The best {_readable(name)}, {value:g}, is the {end} that was tried"
                return f"{best}; try {more} ones: {overrides}"
    return ""


def overfits(facts: Facts) -> str:
    """The champion is much better on its training rows than on its validation rows."""
    scores = facts.champion.mean
    train, validation = scores.get("train/loss", math.nan), scores.get("validation/loss", math.nan)
    constant = _loss_of_constant(facts.card)
    if not (
        facts.champion.completed
        and constant
        and train <= GAP_RATIO * validation
        and validation - train >= GAP * constant
    ):
        return ""
    gap = f"The champion's loss is {train:.3g} on training rows, but {validation:.3g} on validation rows"
    curve = [point.value for point in facts.champion.mean_curve("validation/loss", facts.epochs)]
    best = curve.index(min(curve)) + 1
    regularizers = (*facts.regularizers, facts.champion.parameters.get("regularizer"))
    selects_epoch = {"early_stopping", "keep_best"} & {*regularizers}
    if not selects_epoch and best <= EARLY * len(curve) and curve[-1] >= RISEN * min(curve):
        cure = "+regularizer@training.regularizers.early_stopping=early_stopping"
        return f"{gap}, where it was lowest after epoch {best} of {len(curve)}; stop there: {cure}"
    if "dropout" in regularizers:
        return ""
    cure = "+regularizer@training.regularizers.dropout=dropout +training.regularizers.dropout.rate=0.3"
    return f"{gap}; regularize more: {cure}"


def ends_too_early(facts: Facts) -> str:
    """The champion was still improving when its training ended."""
    name = f"validation/{facts.metric}"
    curves = [network.curves.get(name, ()) for network in facts.champion.networks]
    if facts.schedule != "constant" or any(len(curve) < max(2, facts.epochs) for curve in curves):
        return ""
    sign = sign_of(facts.metric, facts.summary)
    for curve in curves:
        values = [sign * value for value in curve]
        before = values[-1 - max(1, len(values) // 10)]
        if min(values) < values[-1] or before - values[-1] < IMPROVING * abs(before):
            return ""
    return (
        f"The champion was still improving in its last epoch, {facts.epochs}; train longer: "
        f"{override('training.epochs', 2 * facts.epochs)}"
    )


def rare_class(facts: Facts) -> str:
    """One class has few rows, so that scores over all rows say little about it."""
    counts = facts.card["classes"] if facts.card["task"] == "classification" else None
    if not counts or facts.balanced or facts.metric not in PROPER:
        return ""
    name = min(counts, key=counts.__getitem__)
    share = counts[name] / sum(counts.values())
    if share >= RARE:
        return ""
    little = f"Class {name} has {share:.1%} of the rows, so that it adds little to the {label(facts.metric)}"
    return f"{little}; rank by a metric in which every class counts the same: select.metric=balanced_accuracy"


def ensemble_is_better(facts: Facts) -> str:
    """The ensemble is clearly better than the champion, and is not the model."""
    ensemble, test = facts.summary["ensemble"], facts.summary["best"]["test"]
    first = facts.champion.networks[0].final_metrics.get("validation/loss", math.nan)
    if not ensemble or facts.summary["published"]["kind"] != "champion" or len(ensemble["networks"]) < 2 or not test:
        return ""
    own, loss = ensemble["validation"]["loss"], ensemble["test"].get(LOSS, math.inf)
    if not own <= (1 - ENSEMBLE_BETTER) * first or loss >= test.get(LOSS, -math.inf):
        return ""
    return (
        f"The ensemble of {len(ensemble['networks'])} networks is better than the champion, with a validation loss of "
        f"{own:.3g} instead of {first:.3g}; make it the model: select.publish=ensemble"
    )


def one_network_each(facts: Facts) -> str:
    """Every trial has one network: what is compared are networks, not settings."""
    if facts.n_folds * facts.n_seeds > 1 or not facts.can_fold or len(facts.ranked) < 2:
        return ""
    return "One network of each trial was compared, on one part of the rows; compare the settings: split.folds=5"


RULES: tuple[Callable[[Facts], str], ...] = (  # the most important first
    leak,
    identifier,
    loses_to_baseline,
    many_diverged,
    few_rows,
    no_winner,
    at_the_edge,
    overfits,
    ends_too_early,
    rare_class,
    ensemble_is_better,
    one_network_each,
)


def verdict(summary: Mapping[str, Any], labels: Sequence[str], targets: Sequence[str]) -> str:
    """What a run came to: which setting, how good its model is on the test rows, and what simple models are there.

    Without test rows it is how good the setting is on the validation rows, also corrected for having been chosen.

    Parameters
    ----------
    summary : mapping
        What summary.json is to contain: best, and as far as they are there headline, baselines and published.
    labels : sequence of str
        The champion's, for people: its optimizer, its regularizer, its other settings.
    targets : sequence of str
        The names of the targets.

    Returns
    -------
    str
        One sentence; one more before it if a baseline is better than the model.
    """
    best, (scores, intervals, model) = summary["best"], model_scores(summary)
    part, n_rows, more = "test", best.get("n_test_rows"), []
    if not scores:
        part, n_rows, model, more = "validation", best["n_rows"], "champion", _without_test_rows(summary)
        scores = {name: value["mean"] for name, value in best["validation"].items()}
        intervals = {
            name: [value["low"], value["high"]]
            for name, value in best["validation"].items()
            if value["low"] is not None and value["high"] is not None
        }
    first, *others = present(summary.get("headline") or [LOSS], scores)[:2] or [next(iter(scores))]
    picked = " with ".join(text for text in labels[:2] if text not in ("", "none"))
    picked += "".join(f" ({text})" for text in labels[2:] if text)
    sentence = f"Validation picked {picked}; on {f'{n_rows:,}' if n_rows else 'the'} {part} rows "
    sentence += f"its {label(first)} is " if model == "champion" else f"the {label(first)} of the published {model} is "
    sentence += in_words(scores, [first], intervals).removeprefix(f"{label(first)} ")
    if len(targets) == 1 and unit(first) == "target":
        sentence += f" in the unit of {targets[0]}"
    sentence += "".join(f", {in_words(scores, [name])}" for name in others)
    simple = [
        f"{CONSTANT if name == 'constant' else ''}{baseline['label']} {number(first, baseline[part][first])}"
        for name, baseline in (summary.get("baselines") or {}).items()
        if first in (baseline[part] or {})
    ]
    more += [f"for comparison: {', '.join(simple)}"] if simple else []
    more += [f"there are {NO_TEST_ROWS}"] if part == "validation" else []
    sentence = "; ".join([sentence, *more])
    better = beaten_by(summary)
    if not better:
        return f"{sentence}."
    compared = f"{number(better.metric, better.score)} against {number(better.metric, better.own)}"
    better_model = f"{_capital(better.label)} scores better on the test rows, {better.metric_label} {compared}"
    return f"{better_model}{f'; {better.doubt}' if better.doubt else ''}. {sentence}."


def _without_test_rows(summary: Mapping[str, Any]) -> list[str]:
    """Validation scores without the advantage of the choice: the corrected one, and that of the published model."""
    published, headline = summary["published"], summary.get("headline") or [LOSS]
    corrected = corrected_in_words(summary["best"], headline)
    known = {name: value for name, value in published["scores"][published["kind"]].items() if value is not None}
    shown = in_words(known, present(headline, known)[:1])
    sentences = [f"corrected, {corrected}"] if corrected else []
    if shown:
        sentences.append(f"the published {published['label']} has {shown} on rows that nothing was fitted to")
    return sentences


def corrected_in_words(best: Mapping[str, Any], headline: Sequence[str]) -> str:
    """The champion's score, corrected for having been chosen, as text; "" if it is not known.

    Parameters
    ----------
    best : mapping
        The champion, as in the summary.
    headline : sequence of str
        Names of the scores that people look at first.
    """
    corrected = best["corrected"]
    if not corrected:
        return ""
    is_log_loss = corrected["metric"] == LOSS and "log_loss" in headline
    metric = "log_loss" if is_log_loss else corrected["metric"]
    ends = {} if corrected["low"] is None else {metric: (corrected["low"], corrected["high"])}
    shown = in_words({metric: corrected["value"]}, intervals=ends)
    return f"{shown} for having been the best of {corrected['trials']:,}"


class ComparedBaseline(NamedTuple):
    """A baseline beside the model, on the test rows.

    Parameters
    ----------
    name, label : str
        In the summary, and for people.
    metric, metric_label : str
        By which they are compared.
    score, own : float
        Of the baseline and of the model.
    doubt : str
        Why the difference may be chance, or "".
    """

    name: str
    label: str
    metric: str
    metric_label: str
    score: float
    own: float | None
    doubt: str


def compared_baselines(summary: Mapping[str, Any]) -> list[ComparedBaseline]:
    """The baselines that have a score by the metric of the comparison with the model, the best first."""
    compared = []
    for name, baseline in (summary["baselines"] or {}).items():
        scores = baseline["comparison"]
        if scores and scores["baseline"] is not None:
            doubt = f"on {scores['n_rows']} rows that may be chance" if scores["low"] is None else ""
            if scores["low"] is not None and scores["low"] <= 0 <= scores["high"]:
                doubt = "the difference may be chance"
            metric, of_ranking = scores["metric"], summary["metric"] or {}
            shown = of_ranking["label"] if metric == of_ranking.get("name") else label(metric)  # of a user's own, too
            compared.append(
                ComparedBaseline(name, baseline["label"], metric, shown, scores["baseline"], scores["model"], doubt)
            )
    return sorted(compared, key=lambda baseline: sign_of(baseline.metric, summary) * baseline.score)


def beaten_by(summary: Mapping[str, Any]) -> ComparedBaseline | None:
    """The best of the baselines, if it scores better than the model on the test rows."""
    best = next(iter(compared_baselines(summary)), None)
    if best is None or best.own is None:
        return None
    sign = sign_of(best.metric, summary)
    return best if sign * best.score < sign * best.own else None


def sign_of(metric: str, summary: Mapping[str, Any]) -> int:
    """1 if smaller values of a metric are better, else -1; the summary knows that of the ranking."""
    ranking = summary.get("metric") or {}
    is_greater = ranking["greater_is_better"] if ranking.get("name") == metric else greater_is_better(metric)
    return -1 if is_greater else 1


def _suspects(facts: Facts, kind: str) -> list[str]:
    """The names of the columns of the data findings of this kind: "leak" or "identifier"."""
    findings = [finding for finding in facts.summary["data_findings"] if finding["kind"] == kind]
    return list(dict.fromkeys(name for finding in findings for name in finding["columns"]))


def _drop(facts: Facts, names: Sequence[str]) -> str:
    """The override that leaves out columns, with those that are left out already: it replaces the whole list."""
    return override("data.drop", list(dict.fromkeys([*facts.dropped, *names])))


def _value(decision: str, parameters: Mapping[str, Any]) -> Any:
    """The value of a decision in a trial, by its parameters; None if the trial takes another branch."""
    path = ""
    for part in decision.split("."):
        if (
            path in parameters and f"{path}.{part}" not in parameters
        ):  # a branch: its name is no part of the parameter's
            if parameters[path] != part:
                return None
        else:
            path = f"{path}.{part}" if path else part
    return parameters.get(path)


def _readable(decision: str) -> str:
    """A decision for people: "learning rate of adam"."""
    *_, owner, name = decision.split(".")
    return f"{name.replace('_', ' ')} of {owner}"


def _is_certain(facts: Facts, is_other: Callable[[Any], bool], decision: str) -> bool:
    """Whether the champion can be told apart from the best trial with another value of a decision."""
    for rank, trial in enumerate(facts.ranked):
        value = _value(decision, trial.parameters)
        if value is not None and is_other(value):
            return trial is not facts.champion and (not facts.tied or facts.tied[rank] is False)
    return False


def _beyond_choices(facts: Facts, decision: str, tried: Any, value: float) -> tuple[int, str]:
    """Which end of the listed values is the best (1 for the largest), and the override that goes beyond it, or ""."""
    if not all(isinstance(number, int | float) for number in tried.values) or len(set(tried.values)) < 3:
        return 0, ""
    ordered = sorted(set(tried.values))
    direction = {ordered[0]: -1, ordered[-1]: 1}.get(value, 0)
    inner = ordered[1] if direction < 0 else ordered[-2]
    if not direction or not _is_certain(facts, lambda other: other == inner, decision):
        return 0, ""
    new = [number for number in _further(value, inner) if _is_allowed(facts, decision, number, direction)]
    return direction, override(f"space.{decision}", sorted([inner, value, *new])) if new else ""


def _beyond_range(facts: Facts, decision: str, tried: Any, value: float) -> tuple[int, str]:
    """The same of a range, of which the new end is as far away on its scale as ten times, or half the range."""
    low, high = tried.ends

    def share(number: float) -> float:
        if tried.scale == "log":
            return math.log(number / low) / math.log(high / low)
        return (number - low) / (high - low)

    direction = 1 if share(value) >= 1 - EDGE else -1 if share(value) <= EDGE else 0
    inside = (INSIDE, 1) if direction < 0 else (0, 1 - INSIDE)
    if not direction or not _is_certain(facts, lambda other: inside[0] <= share(other) <= inside[1], decision):
        return 0, ""
    end = high if direction > 0 else low
    new = end * 10.0**direction if tried.scale == "log" else end + direction * (high - low) / 2
    new = round(new) if tried.integer else float(f"{new:.3g}")
    name = "high" if direction > 0 else "low"
    is_new = new != end and _is_allowed(facts, decision, new, direction)
    return direction, override(f"space.{decision}.{name}", new) if is_new else ""


def _further(value: float, inner: float) -> list[float]:
    """Two values beyond `value`, which is beyond `inner`: by factors where these two differ by one, else by steps."""
    ratio = value / inner if inner else 0.0
    if min(value, inner) <= 0 or 1 / 1.5 < ratio < 1.5:
        values = [float(f"{value + steps * (value - inner):.3g}") for steps in (1, 2)]
    elif 0.4 < ratio < 2.5:
        values = [float(f"{value * ratio**steps:.3g}") for steps in (1, 2)]
    else:
        values = [_round_number(value * factor**steps) for factor in [10**0.5 if 0.2 < ratio < 5 else 10.0]
                  for steps in ((1, 2) if ratio > 1 else (-1, -2))]  # fmt: skip
    if all(isinstance(number, int) for number in (value, inner)):
        return [round(number) for number in values if round(number) > 0]
    return values


def _round_number(value: float) -> float:
    """The nearest of 1, 3, 10, 30, ... and 0.3, 0.1, 0.03, ..."""
    power = math.floor(math.log10(value))
    mantissa = value / 10.0**power
    return float(f"{1 if mantissa < 3**0.5 else 3 if mantissa < 30**0.5 else 10}e{power}")


def _is_allowed(facts: Facts, decision: str, value: float, direction: int) -> bool:
    """Whether a hyperparameter may have this value, and whether it says anything new."""
    axis, name = decision.partition(".")[0], decision.rpartition(".")[2]
    without = facts.decisions.get("regularizer")
    if axis == "regularizer" and direction < 0 and isinstance(without, Choices) and "none" in without.values:
        return False  # weaker than the weakest is like none, which was tried
    if name == "n_components" and value > len(facts.card["columns"]):
        return False
    return 0 < value < (1 if name in UNIT_RANGE else math.inf)


def _loss_of_constant(card: DataCard) -> float:
    """The loss of the best constant prediction: the entropy of the classes, or half the variance of scaled values."""
    if card["task"] == "regression":
        return 0.5 if len(card["targets"]) == 1 else 0.0
    if card["task"] == "multilabel" or not card["classes"]:
        return 0.0
    counts = [count for count in card["classes"].values() if count]
    return -sum(count / sum(counts) * math.log(count / sum(counts)) for count in counts)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
