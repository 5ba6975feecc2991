"""Print how closely nncore agrees with other libraries: component, library, largest relative difference.

    .venv/bin/python scripts/compare_references.py

The differences are relative to the value, or to 1e-3 of the largest in its array where that is larger.
"""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "nncore")]

import test_functions  # noqa: E402
import test_optimizers  # noqa: E402
import test_training  # noqa: E402

worst: list[float] = []


def record(ours: object, theirs: object, *_: object, **__: object) -> None:
    """Replace `assert_close_to_reference`: record the largest relative difference."""
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    size = np.maximum(np.abs(b), 1e-3 * np.abs(b).max())
    worst.append(float(np.max(np.abs(a - b) / np.where(size > 0, size, 1))))


def measured(check: object, *arguments: object) -> float:
    """The largest difference in one test of the suite."""
    worst.clear()
    check(*arguments)  # type: ignore[operator]
    return max(worst)


def rows() -> dict[tuple[str, str], float]:
    """The largest difference for each component and library."""
    differences: dict[tuple[str, str], float] = {}

    def add(name: str, oracle: str, difference: float) -> None:
        differences[name, oracle] = max(differences.get((name, oracle), 0.0), difference)

    for case in test_optimizers.CASES:
        add(case["optimizer"], case["source"], measured(test_optimizers.test_many_steps_equal_the_reference, case))
    for kind, check in (
        ("activations", test_functions.test_activation_is_torchs),
        ("losses", test_functions.test_loss_is_torchs),
    ):
        for name, case in test_functions.cases(kind):
            add(name, "torch", measured(check, name, case))
    for case in test_functions.REFERENCE["schedules"]:
        add(case["schedule"], case["source"], measured(test_functions.test_schedule_is_torchs, case))
    for kind in ("batch", "layer"):
        add(f"{kind}_norm", "torch", measured(test_functions.test_normalisation_is_torchs, kind, f"{kind}_norm"))
    others = {
        "label_smoothing": test_functions.test_label_smoothing_is_torchs,
        "class weights": test_functions.test_class_weights_are_torchs,
        "swa": test_functions.test_swa_is_torchs,
    }
    for name, check in others.items():
        add(name, "torch", measured(check))
    for case in test_functions.REFERENCE["averages"]["ema"]:
        add("ema", "torch", measured(test_functions.test_ema_is_torchs, case))
    for kind, check in (
        ("norm", test_functions.test_clipping_by_norm_is_torchs_except_for_its_epsilon),
        ("value", test_functions.test_clipping_by_value_is_torchs),
    ):
        for case in test_functions.REFERENCE["clipping"][kind]:
            add(f"clip_{kind}", "torch", measured(check, case))
    for name in test_training.REFERENCE["cases"]:
        add(
            f"20 epochs of digits: {name}",
            "torch",
            measured(test_training.test_training_follows_torchs_loss_curve_on_digits, name),
        )
    return differences


def main() -> None:
    """Measure and print."""
    for module in (test_functions, test_optimizers, test_training):
        module.assert_close_to_reference = record
    for (name, oracle), difference in rows().items():
        print(f"{name:<48} {oracle:<68} {difference:8.1e}")


if __name__ == "__main__":
    main()
