"""The Python interface of nnsweep, under the name of the distribution: `from nnsweep import sweep`.

Everything is in the package `pipeline`; see `pipeline.interface`.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline import InvalidSettingError as InvalidSettingError
    from pipeline import SweepClassifier as SweepClassifier
    from pipeline import SweepModel as SweepModel
    from pipeline import SweepRegressor as SweepRegressor
    from pipeline import SweepResult as SweepResult
    from pipeline import __version__ as __version__
    from pipeline import load_run as load_run
    from pipeline import plan as plan
    from pipeline import sweep as sweep

OURS = Path(__file__).resolve().parents[1] / "pipeline" / "__init__.py"
_found = find_spec("pipeline")  # finds it without running it
if _found is None or _found.origin is None or Path(_found.origin).resolve() != OURS:
    raise ImportError(
        f"nnsweep needs its own package pipeline, {OURS.parent}, but `import pipeline` finds "
        f"{_found and (_found.origin or 'a folder without __init__.py')}: rename that, or start Python where it is "
        "not found, such as in another folder"
    )


def __getattr__(name: str) -> Any:
    """Look a name up in `pipeline` when it is first used (PEP 562)."""
    if name != "__all__" and name not in import_module("pipeline").__all__:
        raise AttributeError(f"module 'nnsweep' has no attribute {name!r}")
    return getattr(import_module("pipeline"), name)


def __dir__() -> list[str]:
    """Return the names of the interface."""
    return list(import_module("pipeline").__all__)
