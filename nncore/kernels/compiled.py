"""The seam to Numba: a formula as one loop over arrays, compiled once and kept on disk.

The loop is written out as text (LOOP), in which the formula stands as it is but for what a number cannot do as an array
does: np.where becomes a choice, and a number that is written out gets the arrays' dtype. The text is kept beside the
compiled code, in a folder that nobody else may write to: compiled code is code, as Python's own .pyc files are.
"""

import ast
import inspect
import os
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from textwrap import dedent, indent
from typing import Any, Protocol

import numpy as np

Kernel = Callable[..., bool]

EXACT = {"abs", "maximum", "minimum", "sign", "sqrt", "where"}  # of NumPy's functions: everybody rounds them alike
ALLOWED = (
    *(ast.Assign, ast.Return, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.Tuple),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq),
    *(ast.Load, ast.Store),
)

LOOP = """\
@njit(error_model="numpy")
{formula}

@njit(signature, error_model="numpy", nogil=True, cache=keep)
def kernel(coefficients__, {arrays}):
    n_networks__, n_rows__, width__ = {first}.shape
    if not ({in_rows}):
        return False
    if {as_one_row}:
        n_rows__, width__ = 1, n_rows__ * width__
    for k__ in range(n_networks__):
{coefficients}
        for n__ in range(n_rows__):
{rows}
            for o__ in range(width__):
                {results} = formula__({arguments})
    return True
"""


class KernelSource(Protocol):
    """See nncore.kernels.elementwise."""

    function: Callable[..., Any]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    arrays: tuple[str, ...]
    coefficients: tuple[str, ...]


def kernel(formula: KernelSource, dtype: str) -> Kernel | None:
    """The formula as kernel(coefficients (n, K), array (K, N, O), array, ...).

    The first array is whole; others may be (1, N, O) or (K, 1, O). It answers False, and does nothing, where numbers of
    a row are no neighbours.

    Returns  None where Numba is not installed or cannot do it, or the formula is not made of exact operations only
    """
    try:
        import numba
    except ImportError:
        return None
    function = formula.function
    numbers = _as_numbers(function, dtype)
    if numbers is None:
        return None
    text = _loop(formula, numbers)
    module = function.__module__.rpartition(".")[2]
    made_of = text + inspect.getsource(_helpers)
    name = f"{module}_{function.__name__}_{dtype}_{sha256(made_of.encode()).hexdigest()[:16]}.py"
    path = _kept(name, text)
    types = numba.types
    number = getattr(types, dtype)
    arrays = [types.Array(number, 3, "A", name not in formula.writes, aligned=False) for name in formula.arrays]
    signature = types.boolean(types.Array(number, 2, "C"), *arrays)
    names = {"__name__": __name__, "np": np, "njit": numba.njit, "signature": signature} | _helpers()
    if path is not None:
        try:
            return _made(text, path, names | {"keep": True})
        except Exception:  # what is kept there cannot be read: the next process makes it anew
            _forget(Path(path))
    try:
        return _made(text, name, names | {"keep": False})
    except numba.core.errors.NumbaError:
        return None


def _made(text: str, file: str, names: dict[str, Any]) -> Kernel:
    exec(compile(text, file, "exec"), names)  # noqa: S102  # a text that was written just now, by _loop
    loop: Kernel = names["kernel"]
    return loop


@cache
def _helpers() -> dict[str, Any]:
    """What a loop asks of an array (K or 1, N or 1, O).

    in_rows__      whether the numbers of a row are neighbours
    as_one_row__   whether all N rows are there, and neighbours too
    row__          a row as an array that is known to lie in one piece: else Numba would reckon with gaps between its
                   numbers, and work on them one by one
    """
    import numba
    from numba import carray
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator]
    def pointer(context: Any, address: Any) -> Any:
        def cast(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], numba.core.cgutils.voidptr_t)

        return numba.types.voidptr(numba.types.intp), cast

    @numba.njit  # type: ignore[untyped-decorator]
    def in_rows(array: Any) -> Any:
        return array.shape[2] == 1 or array.strides[2] == array.itemsize

    @numba.njit  # type: ignore[untyped-decorator]
    def as_one_row(array: Any, n_rows: int) -> Any:
        return array.shape[1] == n_rows and (n_rows == 1 or array.strides[1] == array.shape[2] * array.itemsize)

    @numba.njit  # type: ignore[untyped-decorator]
    def row(array: Any, k: int, n: int, width: int) -> Any:
        there = array[min(k, array.shape[0] - 1), min(n, array.shape[1] - 1)]
        return carray(pointer(there.ctypes.data), (width,), array.dtype)

    return {"in_rows__": in_rows, "as_one_row__": as_one_row, "row__": row}


def _loop(formula: KernelSource, numbers: str) -> str:
    spread = [f"{name} = coefficients__[{at}, k__]" for at, name in enumerate(formula.coefficients)]
    rows = [f"{name} = row__(all_{name}__, k__, n__, width__)" for name in formula.arrays]
    return LOOP.format(
        in_rows=" and ".join(f"in_rows__(all_{name}__)" for name in formula.arrays),
        as_one_row=" and ".join(f"as_one_row__(all_{name}__, n_rows__)" for name in formula.arrays),
        formula=numbers,
        arrays=", ".join(f"all_{name}__" for name in formula.arrays),
        first=f"all_{formula.arrays[0]}__",
        coefficients=indent("\n".join(spread or ["pass"]), " " * 8),
        rows=indent("\n".join(rows), " " * 12),
        results=", ".join(f"{name}[o__]" for name in formula.writes),
        arguments=", ".join([*(f"{name}[o__]" for name in formula.reads), *formula.coefficients]),
    )


def _as_numbers(function: Callable[..., Any], dtype: str) -> str | None:
    """The text of the formula, for numbers of this dtype; None if it is not made of exact operations only."""
    try:
        tree = ast.parse(dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):  # typed in by hand: it has no source
        return None
    if not isinstance(tree, ast.FunctionDef):
        return None
    body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    if not all(_is_exact(node) for step in body for node in ast.walk(step)):
        return None
    head = f"def formula__({', '.join(inspect.signature(function).parameters)}):\n"
    numbers = _Numbers(dtype)
    return head + indent("\n".join(ast.unparse(numbers.visit(step)) for step in body), " " * 4) + "\n"


def _is_exact(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == "np" and node.attr in EXACT
    return isinstance(node, ALLOWED)


class _Numbers(ast.NodeTransformer):
    """What an array can do and a number cannot."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.parse(f"np.{self._dtype}({node.value!r})", mode="eval").body

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "where":
            condition, there, elsewhere = node.args
            return ast.IfExp(condition, there, elsewhere)
        return node


def user_cache() -> Path:
    """The folder for what can be made anew; it need not be there. Raises RuntimeError if the user has no home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nnsweep"


def _forget(path: Path) -> None:
    """Remove a loop's file, and what Numba made of it."""
    for one in (path, *path.parent.glob(f"__pycache__/{path.stem}.*")):
        one.unlink(missing_ok=True)


def _kept(name: str, text: str) -> str | None:
    """The file with the text of a loop, beside which Numba keeps what it makes of it; None if there is no safe place.

    What lies there is never run as it is found: only its age counts, by which Numba knows what was made of it.
    """
    try:
        folder = user_cache() / "kernels"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
        if about.st_uid != os.getuid() or about.st_mode & 0o077:  # others could put their own code there
            return None
        path = folder / name
        if not path.exists():
            with NamedTemporaryFile("w", dir=folder, delete=False) as file:
                file.write(text)
            Path(file.name).replace(path)
        return str(path)
    except (OSError, RuntimeError):  # no home, no right, no room
        return None
