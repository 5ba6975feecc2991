"""Grid search."""

from itertools import product

from pydantic.dataclasses import dataclass

from pipeline.settings.strict import STRICT
from pipeline.sweep.space import Space, Trial


@dataclass(frozen=True, config=STRICT)
class Grid:
    """Every optimizer setting with every regularizer setting."""

    def ask(self, space: Space) -> list[Trial]:
        """All trials of the space, in its order."""
        optimizers = [(name, member) for name, members in space.optimizer.items() for member in members]
        regularizers = [(name, member) for name, members in space.regularizer.items() for member in members]
        return [
            Trial(number, *optimizer, *regularizer)
            for number, (optimizer, regularizer) in enumerate(product(optimizers, regularizers))
        ]
