"""From the command line to a run: Hydra composes the configuration, and that is all it does.

Hydra can also start jobs, and then calls whatever a configuration's `hydra` part names. Here it never does:
runs and multiruns are ours, and that part has no effect on them. DictConfig ends here: everything else sees
`Settings`.
"""

import argparse
import difflib
import itertools
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.components.errors import SettingError, errors_as_lines, fail
from pipeline.components.protocols import Source
from pipeline.config.build import build_settings, built_setting
from pipeline.config.schema import Settings
from pipeline.config.variants import Variants
from pipeline.console.output import output_of
from pipeline.driver.dry_run import show_plan
from pipeline.driver.run import run

HERE = Path(__file__).parents[1]
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"  # installed, or in a checkout


def command(began: float) -> None:
    """Do what the command line says; `began` is the time on the monotonic clock when the process did."""
    signal.signal(signal.SIGTERM, _interrupt)  # a polite kill ends as a Ctrl-C does
    _know_stem()
    arguments = _arguments()
    with errors_as_lines(), _setting_errors():
        if arguments.experimental_rerun is not None:
            raise SettingError("--experimental-rerun is not offered: it unpickles a file; give the command again")
        if any((arguments.help, arguments.hydra_help, arguments.cfg, arguments.info, arguments.shell_completion)):
            _show(arguments)
        else:
            _run(arguments, began)


def checked(config: DictConfig) -> Settings:
    """The settings of a composed configuration; SettingError if one is wrong."""
    plain = _plain(config)
    settings = build_settings(plain)
    Variants(settings, plain).check(None if settings.data.task == "auto" else settings.data.task)
    return settings


def source(overrides: list[str]) -> Source:
    """The source of data that overrides name; where it is a table in a file, without a target."""
    is_file = any(one in ("data=csv", "data=parquet") for one in overrides)
    needless = ["data.target=[]"] if is_file and not any(one.startswith("data.target=") for one in overrides) else []
    _know_stem()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"), _setting_errors():
        config = compose("config", [*overrides, *needless])
        found: Source = built_setting("data", _plain(config)["data"])
    return found


def jobs(overrides: list[str]) -> Iterator[list[str]]:
    """The overrides of every job of a multirun: the combinations of all values that are listed."""
    alternatives = []
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    for override in parser.parse_overrides(overrides):
        if override.is_sweep_override():
            name = override.get_key_element()
            alternatives.append([f"{name}={value}" for value in override.sweep_string_iterator()])
        else:
            alternatives.append([str(override.input_line)])
    for job in itertools.product(*alternatives):
        yield list(job)


def _arguments() -> argparse.Namespace:
    """The command line as Hydra's own parser reads it, its errors in one line."""
    parser = get_args_parser()
    parser.error = lambda message: fail(f"{message} (settings are given as name=value)", 2)  # type: ignore[method-assign]
    return parser.parse_args()


def _run(arguments: argparse.Namespace, began: float) -> None:
    """Compose and check every job, then run them one after the other."""
    with _hydra(arguments):
        overrides = list(jobs(arguments.overrides)) if arguments.multirun else [arguments.overrides]
        configs = [compose(arguments.config_name or "config", job) for job in overrides]
    settings = [checked(config) for config in configs]
    for one, config in zip(settings, configs, strict=True):
        plain, output = _plain(config), output_of(one.output)
        if one.plan:
            show_plan(one, plain, output, began)
        else:
            run(one, plain, OmegaConf.to_yaml(config, resolve=True), output, began)
        began = time.monotonic()


def compose(name: str, overrides: list[str]) -> DictConfig:
    """Compose; a range takes the place of a list, or a list that of a range, although Hydra cannot merge them."""
    try:
        return hydra.compose(name, overrides)
    except HydraException as error:
        clash = re.match(r"Error merging override (space\.[\w.]+)=", str(error))
        at = next((at for at, one in enumerate(overrides) if clash and one.startswith(f"{clash[1]}=")), None)
        if clash is None or at is None:
            raise
        return compose(name, [*overrides[:at], f"~{clash[1]}", f"+{overrides[at]}", *overrides[at + 1 :]])


def _show(arguments: argparse.Namespace) -> None:
    """Let Hydra show the configuration, or complete a line. It sets up logging, so that must be its own."""
    if not arguments.shell_completion:
        with _hydra(arguments):
            ours = hydra.compose("config", return_hydra_config=True)
            given = hydra.compose(arguments.config_name or "config", arguments.overrides, return_hydra_config=True)
        for name in ("callbacks", "hydra_logging", "job_logging", "launcher", "sweeper"):
            if ours.hydra[name] != given.hydra[name]:
                raise SettingError(f"hydra.{name} must stay as it is: it can name any code")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, and we print one line
    hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(lambda config: None)()


@contextmanager
def _hydra(arguments: argparse.Namespace) -> Iterator[None]:
    """Hydra, ready to compose from our folder and from the user's."""
    search_path = create_config_search_path(arguments.config_path or str(CONF))
    if arguments.config_dir is not None:
        folder = Path(arguments.config_dir).absolute()
        if not folder.is_dir():
            raise SettingError(f"--config-dir must be a folder, but there is none at {folder}")
        search_path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    hydra.version.setbase("1.3")
    Hydra.create_main_hydra2("nnsweep", search_path)
    try:
        yield
    except ValueError as error:  # Hydra has no class of its own for some mistakes
        raise SettingError(_composition_error(error)) from None
    finally:
        GlobalHydra.instance().clear()


def _know_stem() -> None:
    """Let configuration say ${stem:some/path/file.csv.gz} for "file", made fit for a name."""

    def stem(path: str) -> str:
        name = re.sub("[^A-Za-z0-9_.-]+", "_", path.rstrip("/").rpartition("/")[2].partition(".")[0])
        return name.strip("_.-")[:100] or "data"

    OmegaConf.register_new_resolver("stem", stem, replace=True)


def _plain(config: DictConfig) -> dict[str, Any]:
    _know_stem()
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return {str(name): value for name, value in plain.items()} if isinstance(plain, dict) else {}


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def _setting_errors() -> Iterator[None]:
    """Hydra's errors are the user's to mend."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingError(_composition_error(error)) from None


def _composition_error(error: Exception) -> str:
    """Hydra's message in one line; for a name that does not exist, with the nearest one that does."""
    message = " ".join(str(error).partition("Config search path")[0].split())
    missing = re.search(r"Missing mandatory value: .*full_key: (\S+)", message)
    if missing:
        return f"{missing[1]} must be given: {missing[1]}=..."
    unknown = re.search(r"Could not override '([^']+)'", message)
    return _unknown(unknown[1]) if unknown else message


def _unknown(name: str) -> str:
    """What to say of a setting that there is not."""
    known = set(_names(_chosen()))
    if name in known:
        return f"{name} is a mapping; give its entries one by one, each as +{name}.entry=value"
    near = difflib.get_close_matches(name, sorted(known), n=1)
    message = f"there is no setting {name}" + (f"; did you mean {near[0]}?" if near else "")
    return f"{message} (+{name}=... adds one to a mapping that takes any)"


def _chosen() -> dict[str, Any]:
    """The configuration with the files that the command line picks, and without its settings."""
    choices = [override for override in _arguments().overrides if re.fullmatch(r"\w+=\w+", override)]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            config = hydra.compose("config", choices)
        except HydraException:  # one of them is wrong, too
            config = hydra.compose("config")
    return {str(name): value for name, value in OmegaConf.to_container(config).items()}  # type: ignore[union-attr]


def _names(config: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted name of every setting."""
    for name, value in config.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{name}.")
