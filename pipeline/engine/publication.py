"""Which model is published: the champion's first network, the bag of all its networks, or the ensemble, and why."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pipeline.components.scores import RankingMetric, number

Kind = Literal["champion", "bag", "ensemble"]
KINDS: tuple[Kind, ...] = ("bag", "champion", "ensemble")  # of equal scores, the first is published


class Publication(NamedTuple):
    """What is published.

    Attributes
    ----------
    kind : {"champion", "bag", "ensemble"}
    label : str
        For people: "champion", "bag of 5 networks", "ensemble of 12 networks".
    reason : str
        A sentence that says what is published and why.
    """

    kind: Kind
    label: str
    reason: str


def publication(
    setting: str,
    simplest: bool,
    n_networks: Mapping[Kind, int],
    scores: Mapping[str, Mapping[str, float]],
    metric: RankingMetric,
) -> Publication:
    """Decide which model is published.

    Parameters
    ----------
    setting : {"auto", "champion", "bag", "ensemble"}
        select.publish.
    simplest : bool
        select.simplest, for which auto publishes the champion.
    n_networks : mapping of str to int
        Networks of each kind of model that there is. A bag of one network is none, and an ensemble of the same networks
        as the champion or its bag is none either.
    scores : mapping of str to mapping of str to float
        By kind and metric, on rows that nothing of the model was fitted to.
    metric : RankingMetric
        By which the models are compared.

    Notes
    -----
    Of equal scores the bag's is taken first: the mean of networks has on average no larger loss than one of them
    (Jensen's inequality), which out-of-fold rows cannot show where each is answered by one network.
    """
    kinds: list[Kind] = [kind for kind in KINDS if kind in n_networks]
    labels = {kind: _label(kind, n_networks[kind]) for kind in kinds}
    if setting != "auto":
        chosen = next((kind for kind in kinds if kind == setting), kinds[0])  # a bag of one network is the champion
        why = "as select.publish={} asks" if chosen == setting else "which is all that select.publish={} has here"
        return Publication(chosen, labels[chosen], f"Published is the {labels[chosen]}, {why.format(setting)}.")
    if simplest:
        reason = "Published is the champion alone, as select.simplest=true asks for a small model."
        return Publication("champion", labels["champion"], reason)
    costs = {kind: metric.cost(scores[kind][metric.name]) for kind in kinds}
    chosen = min(kinds, key=costs.__getitem__)
    reason = f"Published is the {labels[chosen]}"
    shown = {kind: number(metric.name, scores[kind][metric.name]) for kind in kinds}
    others = [f"{shown[kind]} for the {labels[kind]}" for kind in kinds if kind != chosen]
    if others:
        reason += f": on validation rows that nothing was fitted to, its {metric.label} is {shown[chosen]}, compared "
        reason += f"with {' and '.join(others)}"
    if chosen == "bag" and costs["champion"] == costs["bag"]:
        reason += "; one network answers each of these rows, and the mean of several is on average no worse than one"
    return Publication(chosen, labels[chosen], f"{reason}.")


def _label(kind: Kind, n_networks: int) -> str:
    return kind if kind == "champion" else f"{kind} of {n_networks} network{'s' if n_networks > 1 else ''}"
