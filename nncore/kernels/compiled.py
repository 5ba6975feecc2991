"""The seam to Numba: a formula becomes one compiled loop over arrays, which is kept on disk.

In steps:

1. `Formula.scalar_source` (formula.py) gives the formula's source for single numbers, here `formula__`.
2. `_loop_source` fills LOOP in: a function `loop__` that calls `formula__` for each number of arrays (K, N, O).
3. `_compile` executes that source, and Numba compiles the functions that it defines.
4. `_load_or_compile` keeps the result in the user's cache folder, so that the next process only loads it.

A cache entry is a folder, `~/.cache/nnsweep/kernels/<name>/`, with the loop's source in one file and Numba's compiled
code for that file next to it. The name holds a hash of all source that the loop is made of. A process builds the folder
under a temporary name and renames it when it is complete, so that processes that start at the same time find a complete
entry or none, and never write the same file. An entry that Numba cannot use is removed, and made again by the next
process. Compiled code is code, as Python's own .pyc files are: the folder belongs to the user and nobody else may write
to it.
"""

import inspect
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import indent
from typing import Any

import numpy as np

from nncore.kernels.formula import Formula

Loop = Callable[..., bool]

SOURCE_FILE = "loop.py"

# Names end in two underscores, so that they differ from the formula's own.
LOOP = """\
{formula}

def loop__(coefficients__, {arrays}):
    n_networks__, n_rows__, width__ = {first}.shape
    if not ({rows_are_contiguous}):
        return False
    if {all_is_contiguous}:
        n_rows__, width__ = 1, n_rows__ * width__
    for k__ in range(n_networks__):
{coefficients}
        for n__ in range(n_rows__):
{rows}
            for o__ in range(width__):
                {results} = formula__({arguments})
    return True
"""


def compiled_loop(formula: Formula, dtype: str) -> Loop | None:
    """Return the formula as a compiled function loop(coefficients, *arrays).

    Parameters
    ----------
    formula : Formula
    dtype : str
        Of all arrays: "float32" or "float64".

    Returns
    -------
    callable or None
        Takes the coefficients (n, K) and the arrays: the first (K, N, O), others also (1, N, O) or (K, 1, O). It
        returns False, and has done nothing, if the numbers of a row are not contiguous. None where Numba is not
        installed or cannot compile it, or where the formula is not made of exact operations only.
    """
    try:
        import numba
    except ImportError:
        return None
    scalar_source = None if is_disabled() else formula.scalar_source(dtype)
    if scalar_source is None:
        return None
    source = _loop_source(formula, scalar_source)
    function = formula.function
    everything = source + inspect.getsource(_compile) + inspect.getsource(_row_access)
    content_hash = sha256(everything.encode()).hexdigest()[:16]
    name = f"{function.__module__.rpartition('.')[2]}_{function.__name__}_{dtype}_{content_hash}"
    number = getattr(numba.types, dtype)
    arrays = [numba.types.Array(number, 3, "A", array not in formula.writes, aligned=False) for array in formula.arrays]
    signature = numba.types.boolean(numba.types.Array(number, 2, "C"), *arrays)
    try:
        return _load_or_compile(source, name, signature)
    except numba.core.errors.NumbaError:
        return None


def is_disabled() -> bool:
    """Whether NUMBA_DISABLE_JIT is set: Numba's functions would then be loops in Python, slower than NumPy's."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def _loop_source(formula: Formula, scalar_source: str) -> str:
    arrays = [f"all_{name}__" for name in formula.arrays]
    coefficients = [f"{name} = coefficients__[{index}, k__]" for index, name in enumerate(formula.coefficients)]
    rows = [f"{name} = row__(all_{name}__, k__, n__, width__)" for name in formula.arrays]
    return LOOP.format(
        formula=scalar_source,
        arrays=", ".join(arrays),
        first=arrays[0],
        rows_are_contiguous=" and ".join(f"has_contiguous_rows__({array})" for array in arrays),
        all_is_contiguous=" and ".join(f"is_contiguous__({array}, n_rows__)" for array in arrays),
        coefficients=indent("\n".join(coefficients or ["pass"]), " " * 8),
        rows=indent("\n".join(rows), " " * 12),
        results=", ".join(f"{name}[o__]" for name in formula.writes),
        arguments=", ".join([*(f"{name}[o__]" for name in formula.reads), *formula.coefficients]),
    )


def _load_or_compile(source: str, name: str, signature: Any) -> Loop:
    """Load the loop from the user's cache; else compile it and leave it there, if there is a safe folder."""
    folder = _kernel_folder()
    if folder is None:
        return _compile(source, name, signature)
    entry = folder / name
    if entry.exists():
        with suppress(Exception):  # whatever a damaged entry raises: it is compiled again
            loop = _compile(source, name, signature, entry)
            if loop.stats.cache_hits:
                return loop
        shutil.rmtree(entry, ignore_errors=True)
    with suppress(OSError), TemporaryDirectory(prefix="building-", dir=folder, ignore_cleanup_errors=True) as temporary:
        draft = Path(temporary) / name
        draft.mkdir()
        (draft / SOURCE_FILE).write_text(source)
        loop = _compile(source, name, signature, draft)
        with suppress(OSError):  # another process was faster: its entry stays
            draft.rename(entry)
        return loop
    return _compile(source, name, signature)  # the folder cannot be written: the disk is full, say


def _compile(source: str, name: str, signature: Any, folder: Path | None = None) -> Any:
    """Define the loop and compile it, or load what Numba has kept in the folder.

    Only the source given here is executed, never the file's: of that, Numba looks at the time and the size.
    """
    import numba

    namespace: dict[str, Any] = {"__name__": __name__, "np": np, **_row_access()}
    exec(compile(source, str(folder / SOURCE_FILE) if folder else name, "exec"), namespace)  # noqa: S102
    formula, loop = namespace["formula__"], namespace["loop__"]
    for function in (formula, loop):  # symbols of compiled code are made of it: two loops must not share one
        function.__qualname__ = f"{name}.{function.__name__}"
    namespace["formula__"] = numba.njit(error_model="numpy")(formula)
    return numba.njit(signature, error_model="numpy", nogil=True, cache=folder is not None)(loop)


@cache
def _row_access() -> dict[str, Any]:
    """What a loop asks of an array (K or 1, N or 1, O), as compiled functions.

    has_contiguous_rows__ : whether the numbers of each row are adjacent in memory
    is_contiguous__ : whether the array has all N rows, and they are adjacent too
    row__ : a row as an array that is known to be contiguous; otherwise Numba would allow for gaps between its numbers
        and could not vectorise
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
    def has_contiguous_rows(array: Any) -> Any:
        return array.shape[2] == 1 or array.strides[2] == array.itemsize

    @numba.njit  # type: ignore[untyped-decorator]
    def is_contiguous(array: Any, n_rows: int) -> Any:
        return array.shape[1] == n_rows and (n_rows == 1 or array.strides[1] == array.shape[2] * array.itemsize)

    @numba.njit  # type: ignore[untyped-decorator]
    def row(array: Any, k: int, n: int, width: int) -> Any:
        first_row = array[min(k, array.shape[0] - 1), min(n, array.shape[1] - 1)]
        return carray(pointer(first_row.ctypes.data), (width,), array.dtype)

    return {"has_contiguous_rows__": has_contiguous_rows, "is_contiguous__": is_contiguous, "row__": row}


def user_cache() -> Path:
    """Return the folder for files that can be made again; it need not exist.

    Raises
    ------
    RuntimeError
        If the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nnsweep"


def _kernel_folder() -> Path | None:
    """The folder of all cache entries; None if it cannot be made, or if others could put their own code there."""
    try:
        folder = user_cache() / "kernels"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError):  # no home, no permission, no space
        return None
    return None if status.st_uid != os.getuid() or status.st_mode & 0o077 else folder
