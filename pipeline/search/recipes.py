"""A space of recipes: whole ways to train a network that are known to be good, each with its own hyperparameters."""

import dataclasses
from typing import Annotated, Any

from pydantic import PlainValidator, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT, first_error
from pipeline.search.grammar import Choices, Range, Suggester
from pipeline.search.grid import Grid
from pipeline.search.space import Space
from pipeline.search.trial import Trial


def _recipes(node: Any) -> dict[str, Space]:
    """The spaces of recipes by name."""
    if not isinstance(node, dict) or not node:
        raise ValueError(f"must hold at least one recipe by its name, but is {node!r}")
    recipes = {}
    for name, recipe in node.items():
        try:
            recipes[str(name)] = TypeAdapter(Space).validate_python(recipe)
        except ValidationError as error:
            raise ValueError(first_error(error, str(name))) from None
    return recipes


RecipesSetting = Annotated[dict[str, Space], PlainValidator(_recipes)]


@dataclass(frozen=True, config=STRICT)
class Recipes:
    """Spaces that differ in more than numbers, each around a recipe for training; a trial is one of one of them.

    Parameters
    ----------
    recipes : mapping of str to mapping
        By name, the parts of a `Space`.
    blocks : mapping of str to mapping, default none
        By the name of a recipe, the optimizers and regularizers that are compared around it.
    """

    recipes: RecipesSetting
    blocks: RecipesSetting = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.blocks:
            if name not in self.recipes:
                raise ValueError(f"blocks.{name} must be named as one of the recipes: {', '.join(self.recipes)}")

    def suggest(self, number: int, suggester: Suggester) -> Trial:
        """The trial whose recipe and values a suggester chooses."""
        names = list(self.recipes)
        name = names[suggester.index("recipe", len(names)) if len(names) > 1 else 0]
        return self.suggest_of(name, number, suggester)

    def suggest_of(self, name: str, number: int, suggester: Suggester) -> Trial:
        """The trial of one recipe whose values a suggester chooses."""
        trial = self.recipes[name].suggest(number, NamedSuggester(suggester, f"recipe.{name}"))
        return dataclasses.replace(trial, other_parameters=(("recipe", name), *trial.other_parameters))

    def block(self, name: str, best: Trial) -> list[Trial]:
        """Every optimizer with every regularizer of a recipe's block, and the other settings of its best trial."""
        block = self.blocks.get(name)
        return [
            dataclasses.replace(
                best,
                optimizer_name=trial.optimizer_name,
                optimizer=trial.optimizer,
                regularizer_name=trial.regularizer_name,
                regularizer=trial.regularizer,
            )
            for trial in (Grid().list_trials(block) if block else [])
        ]

    @property
    def grid_size(self) -> int:
        """How many trials a grid has."""
        return sum(space.grid_size for space in self.recipes.values())

    @property
    def decisions(self) -> dict[str, Choices | Range]:
        """All decisions by name, first the one between the recipes."""
        return self._choice | self._decisions({n: space.decisions for n, space in self.recipes.items()})

    @property
    def per_network(self) -> dict[str, Choices | Range]:
        """See `Space.per_network`."""
        return self._decisions({n: space.per_network for n, space in self.recipes.items()})

    @property
    def unconditional(self) -> dict[str, Choices | Range]:
        """See `Space.unconditional`."""
        if len(self.recipes) > 1:
            return self._choice
        return self._decisions({n: space.unconditional for n, space in self.recipes.items()})

    @property
    def _choice(self) -> dict[str, Choices | Range]:
        return {"recipe": Choices(tuple(self.recipes))} if len(self.recipes) > 1 else {}

    def _decisions(self, of_recipes: dict[str, dict[str, Choices | Range]]) -> dict[str, Choices | Range]:
        return {
            f"recipe.{name}.{decision}": leaf
            for name, decisions in of_recipes.items()
            for decision, leaf in decisions.items()
        }

    def covering_trials(self) -> list[Trial]:
        """A few trials in which every choice, and both ends of every range, occur, also in the blocks."""
        trials = []
        for name, space in self.recipes.items():
            covering = space.covering_trials()
            trials += [*covering, *self.block(name, covering[0])]
        return trials


@dataclasses.dataclass(frozen=True)
class NamedSuggester:
    """Chooses as another suggester does, by names below a name."""

    suggester: Suggester
    name: str

    def index(self, name: str, n: int) -> int:
        """See `Suggester`."""
        return self.suggester.index(f"{self.name}.{name}", n)

    def number(self, name: str, numbers: Range) -> float:
        """See `Suggester`."""
        return self.suggester.number(f"{self.name}.{name}", numbers)
