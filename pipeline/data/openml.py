"""The data sets of openml.org, as scikit-learn fetches and keeps them."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, Name, PositiveInt
from pipeline.components.types import Dataset
from pipeline.data.files import one_line
from pipeline.data.roles import Roles


@dataclass(frozen=True, config=STRICT)
class OpenMl(Roles):
    """A data set of openml.org, without its row numbers and the columns that it marks as ignored.

    Parameters
    ----------
    name : str
        Name of the data set.
    id : int, > 0
        Its number, as in the address of its page.
    cache : Path or None
        The folder that keeps what was fetched; None: scikit-learn's own.
    target : str or tuple of str
        As for every table, or "default-target", scikit-learn's word for the data set's own target.
    """

    name: Name
    id: PositiveInt
    cache: Path | None

    @property
    def address(self) -> str:
        """Where the data set is."""
        return f"openml.org, data set {self.id}"

    def check(self) -> None:
        """Raise SettingError if `cache` is not a folder; nothing is fetched yet."""
        if self.cache is not None and self.cache.exists() and not self.cache.is_dir():
            raise SettingError(f"data.cache={self.cache} is a file; name a folder")

    def content(self) -> str:
        """See Source; a number of openml.org identifies one version of one data set."""
        return ""

    def __call__(self) -> Dataset:
        """Fetch all rows, or read them from the cache.

        Raises
        ------
        SettingError
            Naming the number, what is wrong and the cure.
        """
        import pyarrow as pa  # not at the top: the driver only needs the settings

        from pipeline.data.reader import RawTable
        from pipeline.data.tables import dataset_of

        bunch = self._fetch()
        table = pa.Table.from_pandas(bunch.frame, preserve_index=False)
        rows = RawTable(f"data.id={self.id}", table.schema, table.num_rows, lambda name: table[name].chunks)
        nominal = bunch.frame.columns[bunch.frame.dtypes == "category"]
        kinds: dict[str, Any] = {**dict.fromkeys(nominal, "categorical"), **self.kinds}
        return dataset_of(rows, replace(self, target=tuple(bunch.target_names), kinds=kinds))

    def _fetch(self) -> Any:
        from sklearn.datasets import fetch_openml

        target = list(self.target) if isinstance(self.target, tuple) else self.target
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about attempts that fail; the last failure is reported in one line
            try:
                # the parser "pandas" is faster, but fails on categories that are spelled as numbers
                return fetch_openml(
                    data_id=self.id, data_home=self.cache, target_column=target, as_frame=True, parser="liac-arff"
                )
            except OSError as error:
                where = self.cache or "scikit-learn's own"
                raise SettingError(
                    f"data.id={self.id} is not in the cache ({where}) and cannot be fetched: {one_line(error)}; see "
                    "whether there is such a set and a network, or name the folder of a cache with data.cache=..."
                ) from None
            except Exception as error:  # also those of scikit-learn's reader, which are ValueErrors only in part
                raise SettingError(
                    f"data.id={self.id} cannot be used: {one_line(error)}; choose another data.id or data.target"
                ) from None
