"""Grid search."""

from collections.abc import Iterator

from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT
from pipeline.search.base import OneRung, Sampler
from pipeline.search.grammar import Range
from pipeline.search.space import Space
from pipeline.search.trial import Trial

MOST_TRIALS = 100_000


@dataclass(frozen=True, config=STRICT)
class Grid:
    """Every combination; of a range as many points as it says."""

    def begin(self, space: Space, epochs: int, n_objectives: int) -> Sampler:
        """See Search."""
        return OneRung(self.trials_of(space), epochs)

    def trials_of(self, space: Space) -> list[Trial]:
        """All trials of the space; what is decided last changes fastest."""
        if space.n_points > MOST_TRIALS:
            most = f"at most {MOST_TRIALS} trials"
            raise ValueError(f"search=grid must have {most}, but the space has {space.n_points}; use random or tpe")
        return [space.walk(number, wheels) for number, wheels in enumerate(_turns())]


class _Wheels:
    """Takes all combinations in turn, as the wheels of a counter do: the last one turns fastest."""

    def __init__(self) -> None:
        self._wheels: list[tuple[int, int]] = []  # where each stands, of how many
        self._place = 0

    def turn(self) -> bool:
        """Move on to the next combination; whether there is one."""
        self._place = 0
        while self._wheels:
            stands, n = self._wheels.pop()
            if stands + 1 < n:
                self._wheels.append((stands + 1, n))
                return True
        return False

    def index(self, name: str, n: int) -> int:
        if self._place == len(self._wheels):
            self._wheels.append((0, n))
        self._place += 1
        return self._wheels[self._place - 1][0]

    def number(self, name: str, numbers: Range) -> float:
        points = numbers.grid
        return points[self.index(name, len(points))]


def _turns() -> Iterator[_Wheels]:
    """The wheels, once for every combination of what is walked with them."""
    wheels = _Wheels()
    yield wheels
    while wheels.turn():
        yield wheels
