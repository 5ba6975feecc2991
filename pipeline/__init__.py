"""A sweep of NumPy networks over a table: load, split, prepare, reduce, sweep, select, evaluate, publish.

The names below are the Python interface; `pipeline.interface` describes it. They are imported when they are first used,
so that `import pipeline` loads none of the libraries that a sweep needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline.components.version import __version__ as __version__

if TYPE_CHECKING:
    from pipeline.interface.errors import InvalidSettingError as InvalidSettingError
    from pipeline.interface.estimators import SweepClassifier as SweepClassifier
    from pipeline.interface.estimators import SweepRegressor as SweepRegressor
    from pipeline.interface.model import SweepModel as SweepModel
    from pipeline.interface.result import SweepResult as SweepResult
    from pipeline.interface.sweeps import load_run as load_run
    from pipeline.interface.sweeps import plan as plan
    from pipeline.interface.sweeps import sweep as sweep

_MODULES = {  # of each public name
    "InvalidSettingError": "pipeline.interface.errors",
    "SweepClassifier": "pipeline.interface.estimators",
    "SweepModel": "pipeline.interface.model",
    "SweepRegressor": "pipeline.interface.estimators",
    "SweepResult": "pipeline.interface.result",
    "load_run": "pipeline.interface.sweeps",
    "plan": "pipeline.interface.sweeps",
    "sweep": "pipeline.interface.sweeps",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    """Return the public names too, whether they have been imported or not."""
    return sorted({*globals(), *__all__})
