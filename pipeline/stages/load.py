"""Load and split as tasks: what a worker needs for them, and no more of the pipeline."""

from pipeline.components.protocols import Source, Splitter
from pipeline.components.types import DataCard, Dataset, Development, RawRows
from pipeline.data.card import data_card


def loaded(source: Source) -> tuple[Dataset, DataCard]:
    """All rows, and what they are like."""
    dataset = source()
    return dataset, data_card(dataset)


def divided(splitter: Splitter, dataset: Dataset) -> tuple[Development, RawRows, int]:
    """The development rows, the test rows, and the number of folds."""
    development, test = splitter(dataset)
    return development, test, len(development.folds)
