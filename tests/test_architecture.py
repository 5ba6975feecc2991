"""The rooms, the import directions and the sizes of DESIGN.md and the README."""

import ast
from functools import cache
from itertools import chain
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(chain(ROOT.glob("nncore/**/*.py"), ROOT.glob("pipeline/**/*.py")))
EVERYTHING = sorted(chain(SOURCES, ROOT.glob("tests/**/*.py"), ROOT.glob("scripts/**/*.py")))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def imported(path: Path) -> set[str]:
    """The full names of the modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def importers(package: str) -> set[str]:
    """The source files that import a package."""
    return {name(path) for path in SOURCES if any(module.split(".")[0] == package for module in imported(path))}


def test_there_is_something_to_look_at():
    assert len(SOURCES) > 40


def test_nncore_knows_numpy_and_itself():
    allowed = {
        "numpy",
        "nncore",
        "collections",
        "contextlib",
        "dataclasses",
        "functools",
        "ast",
        "hashlib",
        "importlib",
        "inspect",
        "itertools",
    }
    allowed |= {
        "datetime",
        "json",
        "math",
        "os",
        "pathlib",
        "re",
        "sys",
        "tempfile",
        "textwrap",
        "tokenize",
        "types",
        "typing",
        "zipfile",
        "zlib",
    }
    lazily = {
        "nncore/backend.py": {"cupy"},
        "nncore/compiled.py": {"numba"},
        "nncore/estimators.py": {"sklearn"},
        "nncore/estimator_base.py": {"sklearn"},
    }
    for path in ROOT.glob("nncore/**/*.py"):
        assert {module.split(".")[0] for module in imported(path)} <= allowed | lazily.get(name(path), set()), path


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("pipeline", {p for p in map(name, SOURCES) if p.startswith("pipeline/")}),
        ("ray", {"pipeline/execution/ray.py", "pipeline/execution/ray_executor.py"}),
        (
            "mlflow",
            {
                "pipeline/tracking/model_code.py",
                *(p for p in map(name, SOURCES) if p.startswith("pipeline/tracking/mlflow")),
            },
        ),
        (
            "matplotlib",
            {f"pipeline/reports/{name}.py" for name in ("drawing", "model_plots", "sections", "sweep_plots")},
        ),
        ("onnx", {"pipeline/onnx_export/graph.py"}),
        ("onnxruntime", {"pipeline/onnx_export/export.py"}),
        ("sqlalchemy", {"pipeline/tracking/mlflow_store.py"}),
        ("fsspec", {"pipeline/data/files.py", "pipeline/data/idx.py"}),
        ("pyarrow", {f"pipeline/data/{name}.py" for name in ("arrow_values", "openml", "reader", "tabular_files")}),
        ("pandas", {f"pipeline/tracking/{name}.py" for name in ("mlflow_model", "model_code")}),
        (
            "optuna",
            {"pipeline/reports/importance.py", *(p for p in map(name, SOURCES) if p.startswith("pipeline/search/"))},
        ),
        (
            "scipy",
            {"pipeline/sweep/statistics.py", *(p for p in map(name, SOURCES) if p.startswith("pipeline/search/"))},
        ),
        ("hydra", {"pipeline/configuration.py"}),
        ("omegaconf", {"pipeline/configuration.py"}),
        (
            "sklearn",
            {
                "pipeline/data/bundled.py",
                "pipeline/data/openml.py",
                "pipeline/data/synthetic.py",
                "pipeline/stages/prepare.py",
                "pipeline/stages/split.py",
                "nncore/estimators.py",
                "nncore/estimator_base.py",
            },
        ),
    ],
)
def test_only_these_files_import(package, allowed):
    found = importers(package)
    assert found
    assert found <= allowed


def reachable(start: str) -> set[str]:
    """Every module of ours that importing one imports."""
    todo, found = {start}, set()
    while todo:
        module = todo.pop()
        path = ROOT / (module.replace(".", "/") + ".py")
        path = path if path.exists() else ROOT / module.replace(".", "/") / "__init__.py"
        if module in found or not path.exists():
            continue
        found.add(module)
        todo |= {one for one in imported(path) if one.split(".")[0] in ("nncore", "pipeline")}
    return found


def test_a_worker_that_trains_imports_little():
    """What a slice needs leads neither to scikit-learn nor to MLflow, nor to the checking of settings."""
    for start in ("pipeline.sweep.training", "pipeline.execution.tasks"):
        heavy = {"sklearn", "mlflow", "pydantic", "ray", "hydra", "rich", "pandas"}
        for module in reachable(start):
            path = ROOT / (module.replace(".", "/") + ".py")
            if path.exists():
                assert not {one.split(".")[0] for one in imported(path)} & heavy, module


def bodies() -> dict[str, int]:
    """Lines of every function of the sources, without its docstring."""
    lengths = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                lengths[f"{name(path)}:{node.lineno} {node.name}"] = node.end_lineno - first.lineno + 1
    return lengths


def test_functions_are_small():
    lengths = bodies()
    assert median(lengths.values()) <= 10
    assert quantiles(lengths.values(), n=10)[8] <= 30
    assert {where: n for where, n in lengths.items() if n > 60} == {}


def test_classes_and_files_are_small():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                assert node.end_lineno - node.lineno < 120, f"{path}: {node.name}"
    for path in EVERYTHING:
        assert len(path.read_text().splitlines()) <= 300, path
    assert len((ROOT / "conf" / "config.yaml").read_text().splitlines()) <= 40


def test_no_file_has_a_name_that_says_nothing():
    assert not {path.stem for path in EVERYTHING} & {"utils", "util", "helpers", "common", "misc"}
    assert not [path for path in EVERYTHING if path.stem == path.parent.name]


def test_importing_the_packages_has_no_side_effects():
    """Modules hold definitions: at their top level nothing is called but to define a constant or a type."""
    for path in SOURCES:
        if path.name not in ("__main__.py", "model_code.py"):  # they start a program, or define an MLflow model
            for node in ast.parse(path.read_text()).body:
                is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                is_main = isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)
                kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
                assert is_docstring or is_main or isinstance(node, kinds), f"{path}:{node.lineno}"
