"""Sweeps from Python: arguments become overrides, and then everything is as on the command line."""

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.components.errors import SettingError
from pipeline.components.file_words import names_file
from pipeline.components.overrides import expression
from pipeline.interface.errors import in_words_of_python
from pipeline.interface.exclusive import exclusive
from pipeline.interface.result import SweepResult
from pipeline.runs.journal import last_session
from pipeline.runs.names import named_run, run_folders

if TYPE_CHECKING:
    from pipeline.console.output import Output

DEFAULTS = {"execution": "local", "tracking": "none", "report": "none"}
TABLES = "tables"  # the folder of tables in memory, below that of the runs


class _Request(NamedTuple):
    """What a call asks for: the overrides, and the file of its table if that was in memory."""

    overrides: list[str]
    table: Path | None


def sweep(
    data: Any = None,
    y: Any = None,
    *,
    target: str | Sequence[str] | None = None,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    space: str | Mapping[str, Any] | None = None,
    seconds: float | None = None,
    cpus: int | None = None,
    name: str | None = None,
    runs: str | Path = "runs",
) -> SweepResult:
    """Find networks for a table: train many settings of optimizer and regularization, and publish the best model.

    Parameters
    ----------
    data : data frame, Arrow table, mapping, array (N, I), tuple (X, y), str or Path, optional
        A data frame is one of pandas, of Polars, or any object with Arrow's stream interface. A text is a file, a
        folder, a pattern or an address, or the name of bundled data such as "digits", the default. The columns of an
        array are named x0, x1, ...
    y : Series, array (N,) or (N, T), or data frame, optional
        The targets, unless they are columns of `data`.
    target : str or sequence of str, optional
        The columns to predict; beside y, their names.
    preset : {"quick", "good", "best", "none"}, optional
        Settings for any table, the later ones with more time: two minutes, and ten. Default: quick for a table,
        unless `space`, or an override, says what to search.
    overrides : sequence of str
        Any settings as on the command line: ["search=tpe", "split.folds=5", "weight=n_rows"].
    space : str or mapping, optional
        What to search: a file of conf/space such as "ranges", or a mapping with the entry optimizer and, if wanted,
        regularizer, network, training, prepare and reduce:
        {"optimizer": {"adam": {"learning_rate": [0.001, 0.01]}}, "regularizer": {"dropout": {"rate": [0.1, 0.3]}}}.
    seconds : float, > 0, optional
        About when the run ends, counted from the call; which trials finish then depends on the machine.
    cpus : int, > 0, optional
        Tasks at the same time: more than one starts Ray on this machine for the sweep. Default: one, in this process.
    name : str, optional
        Of the run's folder, runs/<name>/<id>; default: of the data.
    runs : str or Path, default "runs"
        The folder of all runs; also of the table, if that is in memory.

    Returns
    -------
    SweepResult

    Raises
    ------
    InvalidSettingError
        A ValueError that names what is wrong with the settings or the data, and the cure.

    Notes
    -----
    What is printed follows output=...: lines by default, overrides=["output=quiet"] for the result only. MLflow records
    the run with overrides=["tracking=mlflow"]. Ctrl-C ends the sweep; the same call resumes it.
    """
    return swept(
        data=data,
        y=y,
        target=target,
        runs=runs,
        preset=preset,
        space=space,
        seconds=seconds,
        cpus=cpus,
        name=name,
        overrides=overrides,
    )


def swept(output: "Output | None" = None, **arguments: Any) -> SweepResult:
    """The result of a sweep with the arguments of `sweep`; what is printed follows the settings by default."""
    began = time.monotonic()
    with in_words_of_python():
        request = _request(**arguments)
    with _working(request.table):
        from pipeline.config.compose import configuration  # not before: Hydra and the driver take time to load

        return _swept(configuration(*request.overrides), began, output)


def plan(
    data: Any = None,
    y: Any = None,
    *,
    target: str | Sequence[str] | None = None,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    space: str | Mapping[str, Any] | None = None,
    seconds: float | None = None,
    cpus: int | None = None,
    name: str | None = None,
    runs: str | Path = "runs",
) -> dict[str, Any]:
    """Say what a sweep would do and how long it would take, and print it; nothing is trained.

    Parameters
    ----------
    data, y, target, preset, overrides, space, seconds, cpus, name, runs
        As of `sweep`.

    Returns
    -------
    dict
        Numbers of trials, networks, epochs, stacks and slices, bytes, floating point operations and seconds.

    Raises
    ------
    InvalidSettingError
        As `sweep`.
    """
    began = time.monotonic()
    with in_words_of_python():
        request = _request(data, y, target, runs, preset, space, seconds, cpus, name, [*overrides, "plan=true"])
    with _working(request.table):
        from pipeline.config.compose import configuration
        from pipeline.console.output import output_of
        from pipeline.driver.dry_run import show_plan

        composed = configuration(*request.overrides)
        return show_plan(composed, output_of(composed.settings.output), began)


def load_run(run: str | Path = "last", runs: str | Path = "runs") -> SweepResult:
    """Load the result of an earlier run, whoever made it: Python or the command line.

    Parameters
    ----------
    run : str or Path, default "last"
        Its id, "last", "last~1" for the one before, ..., or its folder.
    runs : str or Path, default "runs"
        The folder of all runs.

    Returns
    -------
    SweepResult

    Raises
    ------
    InvalidSettingError
        If there is no such run.
    """
    with in_words_of_python():
        if isinstance(run, Path) or "/" in run:
            return SweepResult(named_run(run_folders(Path(run).parent, "*"), Path(run).name, f"in {Path(run).parent}"))
        folders = run_folders(Path(runs))
        if not folders:
            raise SettingError(f"runs={runs}: there is no run in this folder; give another as runs")
        return SweepResult(named_run(folders, run, f"below {runs}").absolute())


def extended(folder: Path, changes: Mapping[str, Any]) -> None:
    """Continue the run in a folder with the settings of its last session, but for those that change, by dotted name."""
    began = time.monotonic()
    with _working(None):
        from pipeline.config.compose import reconfigured

        session = last_session(folder)
        if not session["settings"]:
            raise SettingError(
                f"the journal of run {folder.name} does not say with which settings it began; sweep anew"
            )
        if "search.trials" in changes and "trials" not in session["settings"]["search"]:
            raise SettingError(
                f"trials={changes['search.trials']}: the search of run {folder.name} has no number of trials, as a "
                "grid tries all of them; sweep with a search that draws trials, such as search=random"
            )
        settings = {"run": folder.name, "runs": str(folder.parents[1]), "plan": False, "resume": "auto", **changes}
        arguments = [f"{name}={expression(value)}" for name, value in (*changes.items(), ("run", folder.name))]
        given = [
            argument
            for argument in shlex.split(session["command"])[1:]
            if argument.partition("=")[0] not in ("run", *changes)
        ]
        _swept(reconfigured(session["settings"], settings, [*given, *arguments]), began)


def _swept(composed: Any, began: float, output: "Output | None" = None) -> SweepResult:
    """Do the run of a configuration."""
    from pipeline.console.output import output_of
    from pipeline.driver.run import run

    settings = composed.settings
    folder = settings.runs.absolute() / settings.name  # the current folder may be another one afterwards
    return SweepResult(folder / run(composed, output or output_of(settings.output), began)["run_id"])


@contextmanager
def _working(table: Path | None) -> Iterator[None]:
    """Hold what belongs to the process, and put errors in Python's words."""
    with exclusive(), in_words_of_python(table):
        yield


def _request(
    data: Any,
    y: Any,
    target: str | Sequence[str] | None,
    runs: str | Path,
    preset: str | None,
    space: str | Mapping[str, Any] | None,
    seconds: float | None,
    cpus: int | None,
    name: str | None,
    overrides: Sequence[str],
) -> _Request:
    """The overrides that arguments stand for; a table in memory is written."""
    if isinstance(overrides, str):
        raise SettingError(f"overrides must be a list of texts such as ['search=tpe'], but is the text {overrides!r}")
    if cpus is not None and (not isinstance(cpus, int) or isinstance(cpus, bool) or cpus < 1):
        raise SettingError(f"cpus must be a whole number of at least 1, but is {cpus!r}")
    named = {override.partition("=")[0].lstrip("+") for override in overrides}
    chosen = {group: choice for group, choice in DEFAULTS.items() if group not in named}
    if cpus is not None and cpus > 1:
        chosen |= {"execution": "ray", "execution.cpus": str(cpus)}
    given = {"preset": preset, "budget.seconds": seconds, "name": name}
    texts, table = _data(data, y, [target] if isinstance(target, str) else target, Path(runs))
    texts += [f"{setting}={choice}" for setting, choice in chosen.items()]
    texts += [f"{setting}={expression(value)}" for setting, value in given.items() if value is not None]
    texts += [f"runs={expression(str(runs))}", *_space(space), *overrides]
    return _Request(texts, table)


def _data(data: Any, y: Any, target: Sequence[str] | None, runs: Path) -> tuple[list[str], Path | None]:
    """The overrides that name the data, and the file if they were in memory."""
    if isinstance(data, tuple) and len(data) == 2 and y is None:
        data, y = data
    table = None
    texts: list[str] = []
    if isinstance(data, Path):
        texts = [str(data.absolute())]
    elif isinstance(data, str):
        texts = [data] if names_file(data) else [f"data={data}"]
    elif data is not None:
        from pipeline.data.in_memory import stored, table_of

        columns, target = table_of(data, y, target)
        if target is None:
            raise SettingError("target must be given: the column to predict, such as target='price', or y")
        table = stored(columns, (runs / TABLES).absolute())
        texts = ["data=arrow", f"data.path={expression(str(table))}", "data.name=data"]
    if table is None and y is not None:
        raise SettingError("y belongs to data in memory; name the column of a file with target")
    if target is not None:
        texts.append(f"data.target={expression(target[0] if len(target) == 1 else list(target))}")
    return texts, table


def _space(space: str | Mapping[str, Any] | None) -> list[str]:
    """The overrides that choose a space, or put one together."""
    if space is None:
        return []
    if isinstance(space, str):
        return [f"space={space}"]
    if not space.get("optimizer"):
        raise SettingError(
            "space must have the entry optimizer, such as {'optimizer': {'adam': {'learning_rate': [0.01]}}}"
        )
    texts = ["~space", "+space._target_=pipeline.search.space.Space"]
    axes = {axis: space.get(axis) or {"none": {}} for axis in ("optimizer", "regularizer")}
    for axis, components in axes.items():
        for name, settings in components.items():
            place = f"space.{axis}.{name}"
            if "_target_" in (settings or {}):
                texts.append(f"+{place}={expression(dict(settings))}")
                continue
            texts.append(f"+{axis}@{place}={name}")
            texts += [f"++{place}.{setting}={expression(value)}" for setting, value in (settings or {}).items()]
    return texts + [f"+space.{part}={expression(node)}" for part, node in space.items() if part not in axes]
