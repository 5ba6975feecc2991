"""Libraries are loaded without others that they can do without."""

import subprocess
import sys

import pytest

from pipeline.components.without import without


def test_inside_it_is_not_there_and_after_it_it_is():
    sys.modules.pop("colorsys", None)
    with without("colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_what_is_loaded_already_stays():
    import json

    with without("json"):
        import json as again
    assert again is json


SPLIT = """
import sys
import numpy as np
from nncore.inference.table import matrix_table
from pipeline.components.types import Dataset, RawRows
from pipeline.stages.split import Stratified

x = np.random.default_rng(0).standard_normal((60, 3))
rows = RawRows(matrix_table(x, ("a", "b", "c")), np.arange(60) % 3)
development, _ = Stratified(0.2, 0.2, 1, 0, 1)(Dataset("classification", ("y",), rows))
assert "sklearn" in sys.modules
assert "pandas" not in sys.modules
import pandas as pd
from sklearn.preprocessing import StandardScaler

scaled = StandardScaler().set_output(transform="pandas").fit_transform(pd.DataFrame(x, columns=["a", "b", "c"]))
assert list(scaled.columns) == ["a", "b", "c"]
"""


@pytest.mark.slow
def test_scikit_learn_is_loaded_without_pandas_and_knows_its_tables_afterwards():
    done = subprocess.run([sys.executable, "-c", SPLIT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
