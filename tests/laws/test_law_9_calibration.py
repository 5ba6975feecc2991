"""Law 9, honest numbers: the calibration of a champion does what its summary says, with stopping and selection on.

Each repetition is a sweep of two classes, of which the champion is calibrated by the validation rows that chose it. New
rows tell what the calibration is worth. Networks that stop early are nearly calibrated; those that learn to the end are
too sure of themselves.
"""

import numpy as np
import pytest
from samples import SIGMOID, TANH, make_architecture, make_component, make_network
from scipy.special import expit

from nncore.calibration import log_losses
from nncore.inference.table import matrix_table
from nncore.stack.data import Data, Rows
from nncore.stack.passes import predict
from nncore.stack.state import start
from nncore.stack.training import train
from pipeline.components.types import Development, Fold, RawRows
from pipeline.engine.selection import SelectionSettings
from pipeline.stages.calibrate import HeldOut, fit_adjustment

N_TRAIN = 150
N_FRESH = 20_000
SELECT = SelectionSettings("loss", (), False, 0, "champion", False, "auto", "auto", None)


def drawn_rows(random, n):
    x = random.normal(size=(n, 4))
    return x.astype(np.float32), (random.random(n) < expit(1.5 * np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2])).astype(int)


def sweep(random, n_validation, stops):
    """The summary of the champion's calibration, and its log loss on new rows before and after."""
    x, y = drawn_rows(random, N_TRAIN + n_validation)
    rows = np.arange(len(x))
    fold = Fold(rows[:N_TRAIN], rows[N_TRAIN:])
    architecture = make_architecture((4, 24, 1), TANH, SIGMOID, batch_size=25)
    rest = (make_component("early_stopping", patience=3),) if stops else ()
    networks = [
        make_network(f"{rate:g}", int(random.integers(1 << 30)), make_component("adam", learning_rate=rate), *rest)
        for rate in ((0.003, 0.01, 0.03) if stops else (0.03, 0.05))
    ]
    data = Data(*(Rows(x[part], y[part, None].astype(np.float32)) for part in fold))
    stack, reports = train(start(architecture, networks), data, 40, {})
    best = min(reports, key=lambda key: reports[key].curves["validation/loss"][reports[key].selected_epoch - 1])
    weights = stack.selected_weights_of(best)
    development = Development(
        "classification", ("y",), np.arange(2), RawRows(matrix_table(x.astype(float), tuple("abcd")), y), (fold,)
    )
    held_out = predict(weights, architecture, data.validation.x).astype(np.float64)
    adjustment = fit_adjustment(development, SELECT, [], [0], HeldOut(held_out, None))
    fresh, truth = drawn_rows(random, N_FRESH)
    z, t = predict(weights, architecture, fresh)[0].astype(np.float64), truth[:, None]
    after = z if adjustment.calibration is None else adjustment.calibration(z)
    return adjustment.summary["calibration"], log_losses(z, t).mean(), log_losses(after, t).mean()


def swept(n_validation, stops, repetitions):
    """How often calibration is applied, and by sweep, the loss before, after, and after as its summary says."""
    results = [
        sweep(random, n_validation, stops) for random in np.random.default_rng([n_validation, stops]).spawn(repetitions)
    ]
    applied = np.mean([summary["applied"] for summary, _, _ in results])
    return applied, *(
        np.array(column)
        for column in zip(
            *((before, after, summary["log_loss_after"]) for summary, before, after in results), strict=True
        )
    )


@pytest.mark.parametrize(
    ("n_validation", "repetitions"),
    [
        pytest.param(200, 12, marks=pytest.mark.slow),
        *(pytest.param(n, 300, marks=pytest.mark.nightly) for n in (200, 1000)),
    ],
)
def test_law_9_calibration_of_a_champion_is_worth_what_it_says(n_validation, repetitions):
    applied, before, after, said = swept(n_validation, False, repetitions)
    assert applied >= 0.9
    assert after.mean() <= 0.9 * before.mean()
    assert said.mean() == pytest.approx(after.mean(), rel=0.03)  # the rows have also chosen the champion
    _, before, after, _ = swept(n_validation, True, repetitions)
    assert after.mean() <= 1.005 * before.mean()
