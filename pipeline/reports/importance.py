"""Hyperparameter importances: Optuna's PED-ANOVA over the trials that have a result."""

import warnings

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from pipeline.reports.contents import RunContents

FEWEST_TRIALS = 8


def shares(contents: RunContents) -> dict[str, float]:
    """Compute the importance of each hyperparameter that all trials have and that differs among them.

    Returns
    -------
    dict
        Shares of the total importance by name, largest first; their sum is 1. Empty for fewer than 8 trials, or fewer
        than 2 such hyperparameters.

    Notes
    -----
    Hyperparameters that only some trials have, such as the rho of one optimizer, cannot be compared and are left out.
    Learning rates and strengths are compared on a logarithmic scale.

    References
    ----------
    Watanabe, Bansal, Hutter (2023), "PED-ANOVA: efficiently quantifying hyperparameter importance".
    """
    columns = _columns(contents)
    if len(contents.ranked_rows) < FEWEST_TRIALS or len(columns) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize" if contents.smaller_is_better else "maximize")
    spaces: dict[str, BaseDistribution] = {}
    for name, values in columns.items():
        numbers = _numbers(values)
        if numbers and len(set(numbers)) > 1:
            is_log = name.endswith(("learning_rate", "strength")) and min(numbers) > 0
            spaces[name] = FloatDistribution(min(numbers), max(numbers), log=is_log)
        else:
            spaces[name] = CategoricalDistribution(sorted(set(values)))
    scores = list(contents.scores().values())
    for index, score in enumerate(scores):
        parameters = {
            name: float(columns[name][index]) if isinstance(space, FloatDistribution) else columns[name][index]
            for name, space in spaces.items()
        }
        study.add_trial(optuna.create_trial(params=parameters, distributions=spaces, value=score))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


def _columns(contents: RunContents) -> dict[str, list[str]]:
    """By setting, its values in the rows, best first; of those that every trial has, and that differ."""
    rows = contents.ranked_rows
    names = contents.trials[rows[0]["trial"]].parameters if rows else {}
    columns = {name: [row.get(name, "") for row in rows] for name in names}
    return {name: values for name, values in columns.items() if all(values) and len(set(values)) > 1}


def _numbers(values: list[str]) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError:
        return []
