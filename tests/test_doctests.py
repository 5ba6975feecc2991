"""The examples in docstrings run and print what they show."""

import doctest
from importlib import import_module

import pytest
from test_architecture import ROOT, SOURCES

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCES
    if ">>>" in path.read_text()
)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_docstrings_run(module):
    results = doctest.testmod(import_module(module))
    assert results.attempted
    assert not results.failed
