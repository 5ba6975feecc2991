"""Mean predictions of several networks for rows that none of them was trained on, and the ensemble that is best there.

What is averaged are candidates: the networks of a trial with one seed, one for each fold. A row of a fold's validation
part is predicted by the candidate's network of that fold. With one fold, a candidate is a single network.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nncore.calibration import cross_fitting_parts
from nncore.inference.ensemble import Ensemble, bagged_selection, greedy_selection
from nncore.inference.model import Model, TargetDecoder, ValueDecoder
from nncore.kernels.backend import Array
from nncore.losses import Loss, mixture_logits
from pipeline.stages.answers import Answers

BAGGED_BELOW = 1000  # rows by which an ensemble is selected


class Candidate(NamedTuple):
    """The networks of a trial with one seed, over all folds: positions among the trials and the seeds, from 0."""

    trial: int
    seed: int


Counts = Mapping[Candidate, int]  # how often each candidate is in a mean


@dataclass(frozen=True)
class OutOfFold:
    """Mean predictions for out-of-fold rows, and their losses.

    Parameters
    ----------
    answers : Answers
    loss : Loss
        By which networks are chosen; all candidates are trained with it.
    decoder : ClassDecoder, LabelDecoder or ValueDecoder
        The losses of values are computed in its scale.
    """

    answers: Answers
    loss: Loss
    decoder: TargetDecoder

    def mean(self, counts: Counts) -> Array:
        """Return the mean over candidates of what can be averaged (R, .); see `Answers.moments`."""
        total = sum(count * self._moments(candidate) for candidate, count in counts.items())
        return np.asarray(total) / sum(counts.values())

    def outputs(self, mean: Array) -> Array:
        """Return the outputs z (K, R, outputs) of a network in the decoder's scale that predicts such means (K, R, .).

        See `nncore.inference.ensemble.mixture_logits`.
        """
        if not isinstance(self.decoder, ValueDecoder):
            return mixture_logits(self.loss, mean)
        y, deviation = values_and_deviation(self.loss, mean)
        return self.loss.to_logits(
            self.decoder.scaled(y), None if deviation is None else deviation / self.decoder.scaling.scale
        )

    def losses(self, mean: Array, t: Array) -> Array:
        """Return the losses (K, R) of means (K, R, .), given the truth (1, R, O).

        Those of values are in the decoder's scale; if targets are transformed, they are of the values themselves,
        divided by their standard deviation.
        """
        if not isinstance(self.decoder, ValueDecoder):
            return self.loss.value(mixture_logits(self.loss, mean), t)
        if self.decoder.transform is None:
            return self.loss.value(self.outputs(mean), self.decoder.scaled(t))
        scale = self.answers.t.std(axis=0)
        return self.loss.value(self.loss.to_logits(mean / scale, None), t / scale)

    def select(self, candidates: Sequence[Candidate], size: int, rows: Sequence[Array]) -> list[dict[Candidate, int]]:
        """Select an ensemble greedily by its loss, separately for each of several sets of rows.

        By fewer than BAGGED_BELOW rows it is selected from random halves of the candidates.

        Parameters
        ----------
        candidates : sequence of Candidate
        size : int
            See `nncore.inference.ensemble.greedy_selection`.
        rows : sequence of bool array (R,)
            The rows of each selection.
        """
        y, t, value = self._criterion(candidates)
        weights, selected = self.answers.weights, []
        for mask in rows:
            chosen_weights = None if weights is None else weights[mask]
            selection = bagged_selection if mask.sum() < BAGGED_BELOW and len(y) > 2 else greedy_selection
            counts = selection(y[:, mask], t[mask], chosen_weights, value, size)
            chosen = zip(candidates, counts.tolist(), strict=True)
            selected.append({candidate: count for candidate, count in chosen if count})
        return selected

    def mean_loss(self, counts: Counts) -> float:
        """Return the mean loss of the mean prediction."""
        losses = self.losses(self.mean(counts)[None], self.answers.t.astype(np.float64)[None])[0]
        return float(np.average(losses, weights=self.answers.weights))

    def _moments(self, candidate: Candidate) -> Array:
        return self.answers.moments(*candidate, has_deviation=self.loss.deviation is not None)

    def _criterion(self, candidates: Sequence[Candidate]) -> tuple[Array, Array, Callable[[Array, Array], Array]]:
        """What to average of each candidate (M, R, .), the targets (R, O), and the loss of a mean.

        The log loss of a mean of probabilities depends on those of what is true alone.
        """
        t = self.answers.t
        if self.loss.targets not in ("one-hot", "binary"):
            y = np.stack([self._moments(candidate) for candidate in candidates])
            return y, t, self.losses
        right = np.stack([self._probability_of_truth(candidate, t) for candidate in candidates])
        tiny = np.finfo(np.float32).tiny
        return right, t, lambda mean, t: -np.log(np.maximum(mean, tiny)).sum(axis=2)

    def _probability_of_truth(self, candidate: Candidate, t: Array) -> Array:
        """The probability (R, 1) of the true class; for two classes and for labels, that of each value (R, O)."""
        p = self._moments(candidate)
        if self.loss.targets == "one-hot":
            return np.asarray((p * t).sum(axis=1, keepdims=True))
        return np.where(t > 0, p, 1 - p)


def values_and_deviation(loss: Loss, mean: Array) -> tuple[Array, Array | None]:
    """Split means (K, R, .) of values into the values and, if the loss predicts one, the standard deviation."""
    if loss.deviation is None:
        return mean, None
    y, square = np.split(mean, 2, axis=-1)
    rounding = np.finfo(mean.dtype).eps * square
    return y, np.sqrt(np.maximum(square - y**2, rounding))


def fitting_parts(answers: Answers) -> Array:
    """Return the part of each row (R,) for cross-fitting: its fold, or with one fold or repeated ones one at random.

    A row that is scored several times, as folds are repeated, is in one part.
    """
    _, numbers = np.unique(answers.rows, return_inverse=True)
    n_rows = int(numbers.max()) + 1
    if n_rows < len(numbers):
        return cross_fitting_parts(n_rows)[numbers]
    return cross_fitting_parts(n_rows, answers.folds)


def build_ensemble(counts: Sequence[int], *models: Model) -> Ensemble:
    """Combine models into one, each as often as it was selected."""
    return Ensemble(models, tuple(counts))
