"""What Hydra may read, and what configuration files may not do.

Hydra reads configuration from folders, and also from packages, which it imports. The `hydra` part of a configuration
can name code, folders and environment variables, which Hydra uses when it starts jobs. Here it only composes: it reads
folders, and its own part stays as it is.
"""

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource  # it has no public name
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf
from omegaconf.resolvers import oc

from pipeline.components.errors import SettingError
from pipeline.runs.resume import flat

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf" if (ROOT / "conf").is_dir() else ROOT.parent / "conf"  # installed, or in a checkout

HYDRAS_OWN = ("pkg://hydra.conf", "structured://")  # what Hydra itself needs
FILLED_IN = ("hydra.overrides", "hydra.runtime", "hydra.job.override_dirname", "hydra.job.config_name")  # by Hydra
INSTEAD = {
    "hydra.run": "name the folder of all runs with runs=...",
    "hydra.sweep.": "name the folder of all runs with runs=...",
    "hydra.job.name": "name the run's folder and experiment with name=...",
    "hydra.mode": "give -m for one run per combination of values",
    "hydra.searchpath": "give it as hydra.searchpath=[folder]",
}
LARGEST_FILE = 4_000_000  # bytes of a configuration file
MOST_VALUES = 100_000  # of a configuration file, counted where they are used
LONGEST_WITH_REFERENCES = 100_000  # characters of a text, for each of which parsing takes half a kilobyte


@contextmanager
def sources_restored() -> Iterator[None]:
    """Restore the kinds of sources that Hydra knows after the block."""
    Plugins.instance()  # registers them, once in a process
    types: dict[str, Any] = SourcesRegistry.instance().types
    before = dict(types)
    try:
        yield
    finally:
        types.clear()
        types.update(before)


def read_folders_only() -> None:
    """Let Hydra read configuration from folders only, whatever names a source: an option, a setting or a file."""
    Plugins.instance()  # registers the kinds of sources, once in a process
    types: dict[str, Any] = SourcesRegistry.instance().types
    for scheme, source in types.items():
        if scheme == "file":
            types[scheme] = Folder
        elif not hasattr(source, "__wrapped__"):
            types[scheme] = _refusing(source)
    OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


def check_folder(option: str, path: str) -> Path:
    """The folder that an option of the command line names. Raises SettingError if it is not one."""
    folder = Path(path.removeprefix("file://")).absolute()
    if not folder.is_dir():
        package = "; packages are not imported for it" if "://" in path else ""
        raise SettingError(f"{option} must be a folder, but there is none at {path}{package}")
    return folder


def check_overrides(overrides: Sequence[Override]) -> None:
    """Raise SettingError if an override changes Hydra's own part."""
    for override in overrides:
        name, is_change = override.key_or_group, override.type is OverrideType.CHANGE
        if re.match(r"hydra\b", name) and not (name == "hydra.searchpath" and is_change):
            raise _stays_as_it_is(name)


def check_hydra_part(part: DictConfig) -> None:
    """Raise SettingError if Hydra's own part of a composed configuration is not as Hydra has made it."""
    given, default = dict(_settings(part)), _default_part()
    for name in sorted({*given, *default}):
        if given.get(name) != default.get(name):
            raise _stays_as_it_is(name)


@functools.cache
def _default_part() -> dict[str, Any]:
    return dict(_settings(hydra.compose(None, [], return_hydra_config=True).hydra))


def _settings(part: DictConfig) -> list[tuple[str, Any]]:
    """The settings of Hydra's own part, without those that it fills in and its search path."""
    plain: Any = OmegaConf.to_container(part)
    exempt = (*FILLED_IN, "hydra.searchpath")
    return [
        (name, value)
        for name, value in flat({"hydra": plain})
        if not any(f"{name}.".startswith(f"{other}.") for other in exempt)
    ]


def _stays_as_it_is(name: str) -> SettingError:
    cure = next((cure for start, cure in INSTEAD.items() if name.startswith(start)), "leave it out")
    return SettingError(f"{name} must stay as it is: Hydra only composes the settings and starts nothing; {cure}")


def _refusing(source: type[ConfigSource]) -> Callable[[str, str], ConfigSource]:
    """A kind of source that imports what its path names, limited to what Hydra itself needs."""

    @functools.wraps(source, updated=())
    def make(provider: str, path: str) -> ConfigSource:
        if path not in HYDRAS_OWN:
            setting = "--config-path" if provider == "main" else "hydra.searchpath"
            raise SettingError(
                f"{setting}: {path} must be a folder, because a package would be imported; give the path of its folder"
            )
        return source(provider, path)

    return make


class Folder(FileConfigSource):
    """A folder of configuration files.

    Parameters
    ----------
    provider : str
        Who names the folder, in Hydra's words.
    path : str

    Raises
    ------
    SettingError
        If hydra.searchpath names it and it does not exist.
    """

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        if provider.startswith("hydra.searchpath"):
            check_folder("hydra.searchpath", self.path)

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a file.

        Raises
        ------
        SettingError
            Naming the file, if it is not YAML or is too large.
        """
        file = Path(self.path, self._normalize_file_name(config_path)).resolve()
        is_ours = file.is_relative_to(CONF.resolve())
        try:
            if not is_ours:
                check_content(file)
            loaded = super().load_config(config_path)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise SettingError(f"{file} must be a file of settings in YAML, but cannot be read: {reason}") from None
        if not is_ours and (owner := _other_owner(file)):
            _refuse_environment(owner)
        return loaded


def check_content(file: Path) -> None:
    """Raise SettingError if a file is no mapping, is too large, or stands for too many values through its aliases."""
    if file.stat().st_size > LARGEST_FILE:
        raise SettingError(f"{file} must be at most {LARGEST_FILE / 1e6:g} MB to be a file of settings")
    counted: dict[int, int] = {}

    def count(node: yaml.Node | None) -> int:
        if not isinstance(node, yaml.CollectionNode):
            if node and "${" in node.value and len(node.value) > LONGEST_WITH_REFERENCES:
                line = node.start_mark.line + 1
                raise SettingError(
                    f"{file}, line {line}: a text with references (${{name}}) must have at most "
                    f"{LONGEST_WITH_REFERENCES:,} characters, but has {len(node.value):,}; shorten it"
                )
            return 1
        if id(node) not in counted:
            counted[id(node)] = MOST_VALUES + 1  # for an alias inside the node that it stands for
            parts = (
                node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
            )
            counted[id(node)] = 1 + sum(map(count, parts))
        return counted[id(node)]

    root = yaml.compose(file.read_text(encoding="utf-8"))
    if not isinstance(root, yaml.MappingNode | None):
        raise SettingError(f"{file} must be a file of settings in YAML, each as name: value")
    if count(root) > MOST_VALUES:
        raise SettingError(
            f"{file} must have at most {MOST_VALUES:,} values, but has more, counted where its aliases (*name) use them"
        )


def _other_owner(file: Path) -> Path | None:
    """The file or its folder, if it belongs neither to this user nor to the administrator."""
    return next((path for path in (file, file.parent) if path.stat().st_uid not in (os.getuid(), 0)), None)


def _refuse_environment(owned: Path) -> None:
    """Resolve no environment variable in a configuration that contains a file of another user."""

    def refuse(*_: Any) -> None:
        raise SettingError(
            f"${{oc.env:...}} is refused, because {owned} belongs to another user, who could read your environment so; "
            'copy the folder, or give the value on the command line: name="$VARIABLE"'
        )

    OmegaConf.register_new_resolver("oc.env", refuse, replace=True)
