"""Grid search."""

from collections.abc import Iterator

from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT
from pipeline.search.base import Sampler, SingleRungSampler
from pipeline.search.grammar import Range
from pipeline.search.space import TrialSpace
from pipeline.search.trial import Trial

MOST_TRIALS = 100_000


@dataclass(frozen=True, config=STRICT)
class Grid:
    """Every combination, equal ones once; of a range, as many points as it says."""

    def begin(self, space: TrialSpace, epochs: int, n_objectives: int) -> Sampler:
        """See `Search`."""
        return SingleRungSampler(self.list_trials(space), epochs)

    def list_trials(self, space: TrialSpace) -> list[Trial]:
        """All trials of the space; what is decided last changes fastest.

        Raises
        ------
        ValueError
            If there are more than 100,000.
        """
        if space.grid_size > MOST_TRIALS:
            rule = f"search=grid must have at most {MOST_TRIALS} trials, but the space has {space.grid_size}"
            raise ValueError(f"{rule}; use random or tpe")
        return [space.suggest(number, suggester) for number, suggester in enumerate(_grid_suggesters())]


class GridSuggester:
    """Takes all combinations one after the other, as an odometer does: the last decision changes fastest.

    Which decisions there are depends on those before them, so that they are found while a trial is suggested.
    """

    def __init__(self) -> None:
        self._digits: list[tuple[int, int]] = []  # of each decision, which value is taken and how many there are
        self._position = 0

    def advance(self) -> bool:
        """Go to the next combination; whether there is one."""
        self._position = 0
        while self._digits:
            digit, n = self._digits.pop()
            if digit + 1 < n:
                self._digits.append((digit + 1, n))
                return True
        return False

    def index(self, name: str, n: int) -> int:
        """See `Suggester`."""
        if self._position == len(self._digits):
            self._digits.append((0, n))
        self._position += 1
        return self._digits[self._position - 1][0]

    def number(self, name: str, numbers: Range) -> float:
        """See `Suggester`."""
        points = numbers.grid
        return points[self.index(name, len(points))]


def _grid_suggesters() -> Iterator[GridSuggester]:
    """One suggester, once for every combination of what it is asked."""
    suggester = GridSuggester()
    yield suggester
    while suggester.advance():
        yield suggester
