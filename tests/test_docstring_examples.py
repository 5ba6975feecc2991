"""The examples in docstrings print what they say."""

import doctest
import inspect

import pytest
from discovery import modules

import nncore
import pipeline

WITH_EXAMPLES = [
    module for package in (nncore, pipeline) for module in modules(package) if ">>> " in inspect.getsource(module)
]


@pytest.mark.parametrize("module", WITH_EXAMPLES, ids=lambda module: module.__name__)
def test_the_examples_run(module):
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
