"""Load and split as tasks: what a worker needs for them, and no more of the pipeline."""

from pipeline.components.protocols import Source, Splitter
from pipeline.components.types import DataCard, Dataset, Development, RawRows
from pipeline.data.card import data_card


def load_dataset(source: Source) -> tuple[Dataset, DataCard]:
    """Load all rows; return them and the card that describes them."""
    dataset = source()
    return dataset, data_card(dataset)


def split_dataset(splitter: Splitter, dataset: Dataset) -> tuple[Development, RawRows, int]:
    """Split the rows; return the development rows, the test rows and the number of folds."""
    development, test = splitter(dataset)
    return development, test, len(development.folds)
