"""The rooms, the import directions and the names that docs/architecture promises."""

import ast
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import chain
from pathlib import Path

import pytest

import nncore

ROOT = Path(__file__).parents[1]
SOURCES = sorted(chain(ROOT.glob("nncore/**/*.py"), ROOT.glob("pipeline/**/*.py")))
EVERYTHING = sorted(chain(SOURCES, ROOT.glob("tests/**/*.py"), ROOT.glob("scripts/**/*.py")))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def imported(path: Path) -> set[str]:
    """The full names of the modules that a file imports, anywhere in it but for type checkers alone."""
    names = set()
    for node in executed(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node of a syntax tree, without what stands under `if TYPE_CHECKING:`."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from executed(child)


def importers(package: str) -> set[str]:
    """The source files that import a package."""
    return {name(path) for path in SOURCES if any(module.split(".")[0] == package for module in imported(path))}


def test_source_files_are_found():
    assert len(SOURCES) > 40


def test_nncore_imports_only_numpy_and_the_standard_library():
    standard = {
        "ast",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "difflib",
        "functools",
        "hashlib",
        "importlib",
        "inspect",
        "io",
        "itertools",
        "json",
        "math",
        "os",
        "pathlib",
        "pkgutil",
        "re",
        "shutil",
        "stat",
        "sys",
        "tempfile",
        "textwrap",
        "tokenize",
        "types",
        "typing",
        "zipfile",
        "zlib",
    }
    allowed_in = {
        "nncore/kernels/backend.py": {"cupy"},
        "nncore/kernels/compiled.py": {"numba"},
        "nncore/sklearn/estimators.py": {"sklearn"},
        "nncore/sklearn/base.py": {"sklearn"},
    }
    for path in ROOT.glob("nncore/**/*.py"):
        allowed = standard | {"numpy", "nncore"} | allowed_in.get(name(path), set())
        assert {module.split(".")[0] for module in imported(path)} <= allowed, path


def below(*folders: str) -> set[str]:
    return {path for path in map(name, SOURCES) if path.startswith(folders)}


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("pipeline", below("pipeline/")),
        ("ray", below("pipeline/backends/ray")),
        ("mlflow", below("pipeline/tracking/mlflow") | {"pipeline/tracking/model_code.py"}),
        ("jinja2", below("pipeline/reports/")),
        ("onnx", below("pipeline/onnx_export/")),
        ("onnxruntime", below("pipeline/onnx_export/")),
        ("sqlalchemy", below("pipeline/tracking/")),
        ("fsspec", below("pipeline/data/")),
        ("pyarrow", below("pipeline/data/")),
        ("pandas", below("pipeline/tracking/", "pipeline/interface/")),
        ("optuna", below("pipeline/search/")),
        ("scipy", below("pipeline/search/", "pipeline/engine/uncertainty/")),
        ("hydra", {"pipeline/config/compose.py", "pipeline/config/hydra_sources.py"}),
        ("omegaconf", {"pipeline/config/compose.py", "pipeline/config/hydra_sources.py"}),
        (
            "sklearn",
            below("pipeline/data/", "pipeline/stages/", "nncore/sklearn/", "pipeline/interface/estimators.py"),
        ),
    ],
)
def test_only_these_files_import(package, allowed):
    importing = importers(package)
    assert importing
    assert importing <= allowed


def package_of(module: str) -> str:
    """The package that a module belongs to: the first folder below nncore or pipeline, or their root."""
    parts = module.split(".")
    is_folder = len(parts) > 1 and (ROOT / parts[0] / parts[1]).is_dir()
    return ".".join(parts[:2]) if is_folder else parts[0]


def package_dependencies() -> dict[str, set[str]]:
    """By package, the other packages of ours that its files import, wherever in the file."""
    dependencies: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES:
        package = package_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for module in imported(path):
            if module.split(".")[0] in ("nncore", "pipeline") and package_of(module) != package:
                dependencies[package].add(package_of(module))
    return dependencies


def cycles(dependencies: dict[str, set[str]]) -> list[set[str]]:
    """The sets of packages that reach each other."""

    def reached(start: str) -> set[str]:
        todo, found = [start], set()
        while todo:
            new = dependencies.get(todo.pop(), set()) - found
            found |= new
            todo += new
        return found

    reach = {package: reached(package) for package in dependencies}
    groups = {frozenset(p for p in reach[package] if package in reach.get(p, set())) for package in reach}
    return [set(group) for group in groups if group]


def test_no_cycle_between_packages():
    assert cycles(package_dependencies()) == []


LAYERS = ["kernels", "", "optimizers", "regularizers", "stack", "reduction", "inference", "sklearn"]


def test_the_packages_of_nncore_import_downwards_only():
    """A package imports those before it in LAYERS; the root is "". Serialization imports the kernels alone."""
    names = [f"nncore.{layer}".rstrip(".") for layer in LAYERS]
    dependencies = {
        package: others for package, others in package_dependencies().items() if package.startswith("nncore")
    }
    assert dependencies.keys() == {*names[1:], "nncore.serialization"}
    assert dependencies["nncore.serialization"] == {"nncore.kernels"}
    for package, others in dependencies.items():
        allowed = names[: names.index(package)] if package in names else ["nncore.kernels"]
        assert others <= {*allowed, "nncore.serialization"}, package


def test_lazy_imports_of_nncore_are_complete_and_right():
    """The table of names and the imports for type checkers agree; our own code imports from where a name is defined."""
    tree = ast.parse((ROOT / "nncore/__init__.py").read_text())
    (for_checkers,) = [node for node in tree.body if isinstance(node, ast.If)]
    stated = {alias.name: node.module for node in for_checkers.body for alias in node.names}
    assert stated == nncore._MODULES
    assert set(nncore.__all__) == set(stated) <= set(dir(nncore))
    for public, module in stated.items():
        assert getattr(nncore, public) is getattr(import_module(module), public)
    with pytest.raises(AttributeError, match="module 'nncore' has no attribute 'Nothing'"):
        _ = nncore.Nothing
    for path in SOURCES:
        assert not imported(path) & {f"nncore.{public}" for public in stated}, path


def test_importing_one_module_of_nncore_does_not_load_the_others():
    code = "import sys, nncore.activations; print(*[name for name in sys.modules if name.startswith('nncore')])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {name.split(".")[1] for name in output.split() if "." in name} == {"activations", "kernels"}


def test_a_cycle_of_three_packages_is_found():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]
    assert cycles({"a": {"b", "c"}, "b": {"c"}}) == []


def reachable(start: str) -> set[str]:
    """Every module of ours that importing one imports."""
    todo, modules = {start}, set()
    while todo:
        module = todo.pop()
        path = ROOT / (module.replace(".", "/") + ".py")
        path = path if path.exists() else ROOT / module.replace(".", "/") / "__init__.py"
        if module in modules or not path.exists():
            continue
        modules.add(module)
        todo |= {
            name_of_import
            for name_of_import in imported(path)
            if name_of_import.split(".")[0] in ("nncore", "pipeline")
        }
    return modules


def test_training_workers_import_only_what_they_need():
    """What a slice needs leads neither to scikit-learn nor to MLflow, nor to the checking of settings."""
    for start in ("pipeline.engine.slices.task", "pipeline.backends.tasks"):
        heavy = {"sklearn", "mlflow", "pydantic", "ray", "hydra", "rich", "pandas"}
        for module in reachable(start):
            path = ROOT / (module.replace(".", "/") + ".py")
            if path.exists():
                assert not {name_of_import.split(".")[0] for name_of_import in imported(path)} & heavy, module


def test_class_names_are_unique():
    places = defaultdict(list)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_complexity_is_checked():
    """ruff refuses functions with more than ten branches: see scripts/check."""
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "C90" in ruff["select"]
    assert ruff["mccabe"]["max-complexity"] == 10


def test_no_file_has_a_meaningless_name():
    assert not {path.stem for path in EVERYTHING} & {"utils", "util", "helpers", "common", "misc"}
    assert not [path for path in EVERYTHING if path.stem == path.parent.name]


def test_no_room_or_module_has_the_name_of_a_function_of_the_python_interface():
    """Importing pipeline.sweep would put the module in the place of the function."""
    names = {path.stem for path in SOURCES} | {path.parent.name for path in SOURCES}
    assert not names & {"sweep", "plan", "load_run"}


def test_importing_the_packages_has_no_side_effects():
    """Modules hold definitions: at their top level nothing is called but to define a constant or a type."""
    for path in SOURCES:
        if path.name not in ("__main__.py", "model_code.py"):  # they start a program, or define an MLflow model
            for node in ast.parse(path.read_text()).body:
                is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                is_main = isinstance(node, ast.If) and any(
                    word in ast.unparse(node.test) for word in ("__main__", "TYPE_CHECKING")
                )
                kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
                assert is_docstring or is_main or isinstance(node, kinds), f"{path}:{node.lineno}"
