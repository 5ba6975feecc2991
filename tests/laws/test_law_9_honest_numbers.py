"""Law 9: intervals, ties and the corrected score of the best trial do what they say, with real networks.

The short form has few replications, and limits some three standard errors beyond those of the law. The whole is that of
`scripts/simulate_statistics.py`.
"""

import importlib
from pathlib import Path

import pytest
from judged_sweeps import judged, lines
from simulated_sweeps import PLANS, Plan

SCRIPTS = Path(__file__).parents[2] / "scripts"
SHORT = [  # the worse setting is about 4 standard errors worse
    Plan("classification", 5, 1, n_trials=20, worse=(0.025,)),
    Plan("regression", 1, 3, n_trials=20, worse=(0.008,)),
    Plan("regression", 1, 1, n_trials=20, worse=(0.008,)),
]


@pytest.mark.slow
@pytest.mark.parametrize("plan", SHORT, ids=lambda plan: plan.name)
def test_law_9_short_form(plan):
    n = 50
    table = lines(plan, [judged(plan, replication, all_scores=False) for replication in range(n)])
    assert len(table) == 2
    for name, line in table.items():
        assert line.n == n
        assert line.coverage > 0.85, name
        assert 0.6 < line.width < 1.5 * 1.25, name
        assert line.false[2] < 0.07 + 0.10, name
        assert line.false[20] < 0.10 + 0.10, name
        assert min(line.power.values()) > 0.8 - 0.18, name
    main = next(iter(table.values()))
    assert main.raw[20] < 0
    assert abs(main.corrected[20]) < 0.5 * abs(main.raw[20])


@pytest.mark.nightly
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_law_9_whole(plan, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    script = importlib.import_module("simulate_statistics")
    table = lines(plan, [judged(plan, replication) for replication in range(400)])
    rows = [script.row(plan, name, line) for name, line in table.items()]
    assert not [row for row in rows if "!" in row]
