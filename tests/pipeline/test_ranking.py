"""The ranking: the Pareto front against a comparison of all pairs, the simplest of several trials, ties."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.ranking import pareto_front, simplest

NUMBER = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan, math.inf, -math.inf])


@given(st.integers(1, 4).flatmap(lambda m: st.lists(st.tuples(*[NUMBER] * m), min_size=1, max_size=25)))
def test_the_pareto_front_equals_a_comparison_of_all_pairs(points):
    def is_better(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    finite = [p for p in points if all(map(math.isfinite, p))]
    expected = [p in finite and not any(is_better(q, p) for q in finite) for p in points]
    assert pareto_front(points).tolist() == expected


@pytest.mark.parametrize("kind", ["random", "all on the front", "all equal", "three objectives"])
def test_the_pareto_front_of_10000_trials_is_found_fast(kind):
    random, line = np.random.default_rng(9), np.linspace(0, 1, 10_000)
    points = {
        "random": random.normal(size=(10_000, 2)),
        "all on the front": np.stack([line, -line], axis=1),
        "all equal": np.ones((10_000, 2)),
        "three objectives": random.normal(size=(10_000, 3)),
    }[kind]
    start = time.process_time()
    front = pareto_front(points)
    assert time.process_time() - start < 1
    assert front.all() == kind.startswith("all")


def test_without_trials_the_front_is_empty():
    assert pareto_front(np.empty((0, 2))).tolist() == []


def test_the_simplest_is_small_then_has_few_settings_then_ranks_high():
    assert simplest([(1000, 2, 1), (500, 3, 2), (500, 2, 4), (500, 2, 3)]) == 3
    assert simplest([(500, 1), (500, 1)]) == 0
    with pytest.raises(ValueError, match="empty"):
        simplest([])
