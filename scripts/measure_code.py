"""Figures of the code: lengths of functions, files, what packages import, names that mean two things.

.venv/bin/python scripts/measure_code.py
"""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1]
SOURCES = sorted(chain(ROOT.glob("nncore/**/*.py"), ROOT.glob("pipeline/**/*.py")))


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def lines_of(function: ast.FunctionDef) -> int:
    """From the first statement behind the docstring to the last line."""
    body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    return function.end_lineno - body[0].lineno + 1


def package_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if len(parts) > 1 and (ROOT / parts[0] / parts[1]).is_dir() else parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports when it runs: imports for the type checker alone do not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        yield from imported(node)


def main() -> None:
    trees = {path: ast.parse(path.read_text()) for path in SOURCES}
    lengths = [lines_of(function) for tree in trees.values() for function in functions(tree)]
    print(f"functions: {len(lengths)}, lines without docstring: median {median(lengths):g}, "
          f"90th percentile {quantiles(lengths, n=10)[8]:g}, longest {max(lengths)}")  # fmt: skip
    n_lines = sum(len(path.read_text().splitlines()) for path in SOURCES)
    print(f"files: {len(SOURCES)}, lines: {n_lines}, folders: {len({path.parent for path in SOURCES})}")

    private, calls = Counter(), Counter()
    for tree in trees.values():
        private.update(function.name for function in functions(tree)
                       if function.name.startswith("_") and not function.name.startswith("__"))  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.Name | ast.Attribute):
                calls[node.id if isinstance(node, ast.Name) else node.attr] += 1
    once = [name for name in private if calls[name] == 1]
    print(f"private functions: {sum(private.values())}, named in one place: {len(once)}")

    places = defaultdict(set)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(path)
    twice = {name for name, paths in places.items() if len(paths) > 1}
    print(f"classes: {len(places)}, names that mean two things: {len(twice)} {', '.join(sorted(twice))}")

    imports = defaultdict(set)
    for path, tree in trees.items():
        package = package_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        imports[package] |= {
            package_of(name) for name in imported(tree) if name.split(".")[0] in ("nncore", "pipeline")
        }
    print("packages and what they import:")
    for package in sorted(imports):
        print(f"  {package:<22}{', '.join(sorted(imports[package] - {package}))}")
    pairs = sorted({tuple(sorted((a, b))) for a in imports for b in imports[a] if a != b and a in imports.get(b, ())})
    print(f"two-way dependencies: {len(pairs)} {'; '.join(' and '.join(pair) for pair in pairs)}")


if __name__ == "__main__":
    main()
