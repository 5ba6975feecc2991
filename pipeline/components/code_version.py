"""Which code computes a result: found by following import statements from the functions and classes that compute it.

What counts is a module's syntax tree without comments and docstrings, so only a change that Python would execute
changes the version. The modules followed are nncore, pipeline and the packages that the user has allowed; of any other
library that they import, the version counts.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from importlib import metadata
from importlib.util import find_spec, resolve_name
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from nncore.components import allowed
from pipeline.components.errors import SettingError

OURS = ("nncore", "pipeline")
DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # spares a search through the files of all installed distributions
DOTTED_NAME = re.compile(r"'([A-Za-z]\w*(?:\.\w+)+)'")


class ModuleSource(NamedTuple):
    """What a module contributes: the SHA-256 of its code, and the modules that it imports or names in a string."""

    digest: str
    imports: frozenset[str]


def code_version(*entry_points: Any) -> str:
    """Identify the code behind a result.

    Parameters
    ----------
    *entry_points : function, class, settings or full name
        What computes the result. Of settings (dataclasses, components, containers of them) the class of each part
        counts, and every function or class that a string inside them names, such as "nncore.optimizers.adam.adam".

    Returns
    -------
    str
        A hash of all sources that the entry points reach by import statements, followed by the versions of Python and
        of the libraries that these sources import. Imports inside functions count, imports for type checkers do not.
        Of a package that the user has allowed, every file counts.

    Notes
    -----
    A package's own ``__init__`` counts only where something is imported from it: it gathers names of its modules.

    """
    return _version_of(frozenset(_entry_modules(entry_points)), tuple(allowed()))


def package_folder(package: str) -> Path:
    """Return the folder of a package that the user has allowed.

    Raises
    ------
    SettingError
        If Python does not find the package, or it is a single file.

    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SettingError(f"allow: {package} must be a package (a folder with an __init__.py) that Python finds")
    return Path(spec.submodule_search_locations[0])


def _entry_modules(value: Any) -> Iterator[str]:
    """The modules of a value's class, of the values inside it, and of what its strings name."""
    if isinstance(value, str):
        if DOTTED_NAME.fullmatch(f"'{value}'") and value.partition(".")[0] in (*OURS, *allowed()):
            yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _entry_modules(pair)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _entry_modules(item)
    elif isinstance(value, MethodType):
        yield from _entry_modules(value.__self__)
    elif isinstance(value, type | FunctionType):
        yield value.__module__
    else:
        yield type(value).__module__
        yield from _entry_modules(getattr(value, "__dict__", {}))


@cache
def _version_of(entry_modules: frozenset[str], packages: tuple[str, ...]) -> str:
    files = [name for package in packages for name in _modules_of_package(package)]
    sources, libraries = _reachable([*entry_modules, *files], (*OURS, *packages))
    lines = "".join(f"{module} {source.digest}\n" for module, source in sorted(sources.items()))
    versions = [f"{name} {version}" for name, version in sorted(libraries.items())]
    python = f"python {sys.version_info.major}.{sys.version_info.minor}"
    return " ".join([sha256(lines.encode()).hexdigest()[:16], python, *versions])


def _reachable(start: Iterable[str], followed: tuple[str, ...]) -> tuple[dict[str, ModuleSource], dict[str, str]]:
    """The sources that the names lead to, by module, and the versions of the libraries, by distribution."""
    todo, visited = list(start), set()
    sources: dict[str, ModuleSource] = {}
    libraries: dict[str, str] = {}
    while todo:
        name = todo.pop()
        if name in visited:
            continue
        visited.add(name)
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names:
            continue
        if top not in followed and (library := _library(top)):
            libraries |= {library[0]: library[1]}
        elif (module := _module_of(name)) and module not in sources:
            sources[module] = _module_source(module)
            todo += sources[module].imports
    return sources, libraries


@cache
def _library(package: str) -> tuple[str, str] | None:
    """The installed distribution that a package comes from, and its version; None if it comes from none."""
    name = DISTRIBUTIONS.get(package, package)
    try:
        return name, metadata.version(name)
    except metadata.PackageNotFoundError:
        if package not in sys.modules and find_spec(package) is None:
            return None
        names = metadata.packages_distributions().get(package)
        return (names[0], metadata.version(names[0])) if names else None


@cache
def _module_of(name: str) -> str | None:
    """The longest beginning of a dotted name that is a module with a source file."""
    while name:
        if _path(name):
            return name
        name = name.rpartition(".")[0]
    return None


@cache
def _path(module: str) -> Path | None:
    """The source file of a module, found without importing it."""
    top, *inner = module.split(".")
    try:
        spec = find_spec(top)
    except ValueError:  # __main__
        return None
    if spec is None:
        return None
    if not spec.submodule_search_locations:
        return Path(spec.origin) if spec.origin and spec.has_location and not inner else None
    path = Path(spec.submodule_search_locations[0], *inner)
    files = (path.with_name(f"{path.name}.py"), path / "__init__.py") if inner else (path / "__init__.py",)
    return next((file for file in files if file.is_file()), None)


def _modules_of_package(package: str) -> Iterator[str]:
    folder = package_folder(package)
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _module_source(module: str) -> ModuleSource:
    path = _path(module)
    assert path
    tree = ast.parse(path.read_bytes())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports = set(_imports(tree, package))
    code = ast.dump(tree)
    return ModuleSource(sha256(code.encode()).hexdigest(), frozenset(imports | _named_in(code)))


def _named_in(code: str) -> set[str]:
    """What strings in the code name, as components are named: "nncore.optimizers.adam.adam"."""
    return {name for name in DOTTED_NAME.findall(code) if name.partition(".")[0] in OURS}


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    """Full names of what the statements below a node import; removes docstrings on the way."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    if isinstance(node, ast.ImportFrom):
        base = resolve_name("." * node.level + (node.module or ""), package)
        yield from (f"{base}.{alias.name}" for alias in node.names)
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        node.body = []
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
        node.body = node.body[1:]
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, field, [])
        for statement in inner if isinstance(inner, list) else []:  # a lambda's body is an expression
            yield from _imports(statement, package)
