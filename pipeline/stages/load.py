"""Load and split as tasks: what a worker needs for them, and no more of the pipeline."""

from pipeline.components.protocols import Source, Splitter
from pipeline.components.types import DataCard, Dataset, Development, RawRows, SplitReport
from pipeline.data.card import data_card
from pipeline.data.quality import data_warnings
from pipeline.stages.split import Holdout


def load_dataset(source: Source) -> tuple[Dataset, DataCard]:
    """Load all rows; return them and the card that describes them."""
    dataset = source()
    return dataset, data_card(dataset)


def split_dataset(
    splitter: Splitter, dataset: Dataset, dropped: tuple[str, ...] = ()
) -> tuple[Development, RawRows, SplitReport]:
    """Split the rows; return the development rows, the test rows and the report. `dropped`: see `data_warnings`."""
    development, test = splitter(dataset)
    warnings = data_warnings(dataset, development, test, isinstance(splitter, Holdout), dropped)
    n_validation = tuple(len(fold.validation) for fold in development.folds)
    return development, test, SplitReport(n_validation, len(test), warnings)
