"""Follow three walks through the code and list every function of ours on the way.

    .venv/bin/python scripts/count_walks.py [learning_rate | row | slice]

A profiler looks at each function of nncore and pipeline as it is called and as it returns. The function is on the way
if its arguments or its result hold what is followed:

    learning_rate   the number of that hyperparameter, from the command line to the first update of the weights
    row             rows of a CSV file, from the file to the first batch, and then from a file to its predictions
    slice           the training loss of the last epoch, from the end of the slice to the journal, and from there, in
                    the process that writes to MLflow, to the rows of its store

Carriers are the classes of ours that hold it. All runs in one process, so that the count is the same each time.
"""

import argparse
import array
import dataclasses
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType, FunctionType
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RATE = 0.0123456789
N_ROWS, TEST, VALIDATION, TRAIN = 97, 19, 19, 59  # as the default split divides 97 rows
ONE_TRIAL = (
    "~space.optimizer.sgd", "~space.optimizer.momentum", "~space.optimizer.rmsprop", "~space.regularizer.l1",
    "~space.regularizer.l2", "~space.regularizer.dropout", "~space.regularizer.weight_decay",
    f"space.optimizer.adam.learning_rate=[{RATE}]",
    "network.hidden=[64]", "training.epochs=2", "report=none", "execution=local", "cache=none", "select.ensemble=0",
    "output=quiet",
)  # fmt: skip
MOST_CALLS = 300  # of one function that are examined
DEEPEST = 14
INNER = re.compile(r"(\.<locals>(\.<\w+>)+)+$")

Holds = Callable[[Any], bool]


class Walk:
    """Notes the functions of ours whose arguments or results hold what is followed.

    `holds` says whether a plain value (a number, a text, an array) is what is followed; `ends`, whether the way ends as
    this function (file, name), which is on it, returns.
    """

    def __init__(self, holds: Holds, ends: Callable[[str, str], bool] = lambda file, name: False) -> None:
        self._holds, self._ends = holds, ends
        self.functions: dict[tuple[str, str], None] = {}
        self.carriers: dict[str, None] = {}
        self._calls: dict[Any, int] = {}

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow what happens in the block."""
        sys.setprofile(self._event)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _event(self, frame: FrameType, event: str, value: Any) -> None:
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith((f"{ROOT}/nncore/", f"{ROOT}/pipeline/")):
            return
        # what a comprehension or a lambda does counts for the function that it stands in
        key = str(Path(code.co_filename).relative_to(ROOT)), INNER.sub("", code.co_qualname)
        calls = self._calls[code] = self._calls.get(code, 0) + 1
        if key not in self.functions and calls <= MOST_CALLS:
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            arguments = [frame.f_locals.get(name) for name in names if name not in ("self", "cls")]
            if self._holds_somewhere(value if event == "return" else arguments, set(), 0):
                self.functions[key] = None
        if event == "return" and key in self.functions and self._ends(*key):
            sys.setprofile(None)

    def _holds_somewhere(self, value: Any, looked_at: set[int], depth: int) -> bool:
        if self._holds(value):
            return True
        if depth > DEEPEST or id(value) in looked_at or isinstance(value, str | bytes | int | float | type(None)):
            return False
        looked_at.add(id(value))
        inner: Any = ()
        if isinstance(value, dict):
            inner = list(value.values())
        elif isinstance(value, list | tuple | set):
            inner = list(value)[:2000]
        elif isinstance(value, FunctionType):
            inner = [cell.cell_contents for cell in value.__closure__ or () if value.__module__.startswith("nncore")]
        elif type(value).__module__.startswith(("omegaconf", "mlflow.entities")):
            inner = list(vars(value).values())
        elif type(value).__module__.startswith(("nncore", "pipeline")) and not callable(
            getattr(value, "__wrapped__", None)
        ):
            inner = list(vars(value).values()) if hasattr(value, "__dict__") else []
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            inner = [getattr(value, field.name) for field in dataclasses.fields(value)]
        is_carrier = any(self._holds_somewhere(item, looked_at, depth + 1) for item in inner)
        if is_carrier and type(value).__module__.startswith(("nncore", "pipeline")):
            self.carriers[type(value).__name__] = None
        return is_carrier

    def show(self, title: str) -> None:
        """Print the files, functions and carriers."""
        files = dict.fromkeys(file for file, _ in self.functions)
        print(f"{title}: {len(files)} files, {len(self.functions)} functions")
        print(f"  carriers: {', '.join(self.carriers)}")
        for file, name in self.functions:
            print(f"    {file:<48}{name}")


def is_rate(value: Any) -> bool:
    if isinstance(value, float):
        return value == RATE
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size <= 8 and bool((value == RATE).any())


def is_rows(value: Any) -> bool:
    n = value.shape[-2] if isinstance(value, np.ndarray) and value.ndim > 1 else 0
    return n in (N_ROWS, N_ROWS - TEST, TRAIN, VALIDATION, TEST) or (
        type(value).__module__.startswith("pyarrow") and getattr(value, "num_rows", 0) == N_ROWS
    )


def is_number(number: float) -> Holds:
    def holds(value: Any) -> bool:
        if isinstance(value, float):
            return value == number
        return isinstance(value, array.array) and value.typecode == "d" and number in value

    return holds


def sweep(folder: Path, *settings: str) -> None:
    from pipeline.__main__ import main

    sys.argv[1:] = [*ONE_TRIAL, f"runs={folder / 'runs'}", *settings]
    with suppress(SystemExit):
        main()


def table(folder: Path) -> Path:
    random = np.random.default_rng(0)
    rows = random.normal(size=(N_ROWS, 3))
    path = folder / "rows.csv"
    lines = [f"{a},{b},{c},{'yes' if a + b > 0 else 'no'}" for a, b, c in rows]
    path.write_text("\n".join(["a,b,c,kind", *lines]) + "\n")
    return path


def learning_rate(folder: Path) -> None:
    walk = Walk(
        is_rate, lambda file, name: file.startswith("nncore/optimizers/") and name.rpartition(".")[2] == "update"
    )
    with walk.following():
        sweep(folder, "tracking=none", "data=iris", "training.epochs=1")
    walk.show("learning rate from the command line to the weights")


def row(folder: Path) -> None:
    path = table(folder)
    data = (
        "data=csv",
        f"data.path={path}",
        "data.target=kind",
        "preset=none",
        "training.batch_size=1000",
        "reduce=none",
    )
    walk = Walk(is_rows, lambda file, name: file.startswith("nncore/") and name == "forward")
    with walk.following():
        sweep(folder, "tracking=none", *data)
    walk.show("CSV row to the first batch")
    sweep(folder, "tracking=none", *data)
    model = sorted(folder.glob("runs/rows/*/model"))[-1]
    from pipeline.cli.dispatch import dispatch

    walk = Walk(is_rows)
    with walk.following():
        dispatch(
            ["predict", f"model={model.parent}", "data=csv", f"data.path={path}", f"out={folder / 'out.csv'}"],
            time.monotonic(),
        )
    walk.show("CSV row to its prediction")


def slice_(folder: Path) -> None:
    settings = ("data=iris", "tracking=none", "training.epochs=2", "resume=never")
    sweep(folder, *settings)
    journal = sorted(folder.glob("runs/iris/*/journal.jsonl"))[-1]
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    last = next(event for event in events if event["event"] == "slice")
    (network,) = last["networks"].values()
    number = network["curves"]["train/loss"][-1]
    walk = Walk(is_number(number), lambda file, name: name == "Journal.append")
    with walk.following():
        sweep(folder, *settings)
    walk.show("finished slice to the journal")
    walk = Walk(is_number(number))
    with walk.following():
        write_to_mlflow(journal, f"sqlite:///{folder / 'mlflow.db'}")
    walk.show("journal to MLflow's store")


def write_to_mlflow(journal: Path, uri: str) -> None:
    from pipeline.tracking.mlflow_writer import bring_level

    tracking = {"uri": uri, "experiment": "iris", "artifacts": journal.parent.as_uri(), "model": "iris"}
    tracking |= {"curves": "all", "points": 100, "most_trials": 100, "promote": "better"}
    bring_level(journal, tracking, lambda: True, last_try=True)


WALKS = {"learning_rate": learning_rate, "row": row, "slice": slice_}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("walk", nargs="?", choices=[*WALKS])
    chosen = parser.parse_args().walk
    sys.path.insert(0, str(ROOT))
    for name in [chosen] if chosen else WALKS:
        with TemporaryDirectory() as folder:
            WALKS[name](Path(folder))
