"""From overrides to a checked configuration: the only module that knows Hydra.

Hydra composes the configuration from the files below `conf/`, and that is all that it does. It can also start jobs,
and then calls whatever the `hydra` part of a configuration names; that part must stay as it is (see `hydra_sources`).
DictConfig ends here: all other modules see `Configuration`.
"""

import argparse
import copy
import difflib
import functools
import itertools
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import hydra
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl  # private: applies overrides to what is composed
from hydra._internal.utils import (
    get_args_parser,  # private: hydra.main parses the same line by it, for --cfg and --info
)
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.basecontainer import BaseContainer  # private: holds the resolvers
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    ConfigTypeError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from pipeline.components.errors import SettingError
from pipeline.components.protocols import Source
from pipeline.config.build import build_setting, build_settings
from pipeline.config.file_arguments import with_files
from pipeline.config.hydra_sources import (
    CONF,
    check_content,
    check_folder,
    check_hydra_part,
    check_overrides,
    read_folders_only,
    sources_restored,
)
from pipeline.config.overrides import Assignment, readable
from pipeline.config.precedence import (
    PLAIN_SPACE,
    clash_with_recipes,
    names_of_settings,
    remove_from_recipes,
    remove_from_space,
)
from pipeline.config.references import check_references
from pipeline.config.schema import Configuration
from pipeline.config.variants import Variants
from pipeline.data.targets import min_class_rows

DEFAULT_PRESET = "quick"  # of data with a target column
PLANS = ("experiment", "space", "search")  # folders: a file of one of them plans the sweep, in place of that preset
MISSING = re.compile("Could not delete from config. '(.+)' does not exist")  # in Hydra's words
OF_RECIPES = re.compile(r"\b(recipes|blocks)\.")  # an entry of one of them, such as space.blocks.linear.optimizer
_HYDRA = threading.RLock()  # Hydra, and the resolvers of OmegaConf, belong to the process


def configurations(arguments: Sequence[str]) -> list[Configuration]:
    """Compose and check what a command line asks for.

    Parameters
    ----------
    arguments : sequence of str
        Overrides and Hydra's options, without the program's name.

    Returns
    -------
    list of Configuration
        One, or with --multirun one per combination of the listed values. None if the line asks only to show something
        (--cfg, --info, ...), which is then printed.

    Raises
    ------
    SettingError
        Naming the setting, its value, the rule and the cure.
    """
    options = _options(arguments)
    if not options.shell_completion:
        overrides = with_files(options.overrides)
        arguments = [*(argument for argument in arguments if argument not in options.overrides), *overrides]
        options.overrides = overrides
    if options.experimental_rerun is not None:
        raise SettingError("--experimental-rerun is not offered: it unpickles a file; give the command again")
    with _broken_files_named(options.config_dir, options.config_path):
        return _composed(options, arguments)


def _composed(options: argparse.Namespace, arguments: Sequence[str]) -> list[Configuration]:
    """See `configurations`."""
    with _hydra(options.config_path, options.config_dir):
        if any((options.help, options.hydra_help, options.cfg, options.info, options.shell_completion)):
            _show(options, arguments)
            return []
        name = options.config_name or "config"
        overrides, assignments = readable(options.overrides, _can_read)
        return [_job(job, assignments, name) for job in (jobs(overrides) if options.multirun else [overrides])]


def configuration(*overrides: str) -> Configuration:
    """Compose and check one configuration.

    Parameters
    ----------
    *overrides : str
        As on the command line: "data=csv", "training.epochs=60", ...

    Raises
    ------
    SettingError
        Naming the setting, its value, the rule and the cure.

    Examples
    --------
    >>> configuration("data=iris", "training.epochs=5").settings.training.epochs
    5
    """
    with _hydra():
        return _job(*readable(with_files(overrides), _can_read))._replace(arguments=overrides)


def reconfigured(plain: Mapping[str, Any], changes: Mapping[str, Any], arguments: Sequence[str]) -> Configuration:
    """A configuration from the plain values of an earlier one, some of which are changed.

    Parameters
    ----------
    plain : mapping
        As the journal records them.
    changes : mapping of str to plain value
        By dotted name.
    arguments : sequence of str
        Of the command that does the same.

    Raises
    ------
    SettingError
        Naming the setting, its value, the rule and the cure.
    """
    changed = copy.deepcopy(dict(plain))
    for name, value in changes.items():
        *path, key = name.split(".")
        functools.reduce(lambda node, part: node[part], path, changed)[key] = value
    return _built(changed, yaml.safe_dump(changed, sort_keys=False, allow_unicode=True))._replace(
        arguments=tuple(arguments)
    )


def source(overrides: Sequence[str]) -> Source:
    """The data source that overrides describe; a table in a file needs no target here."""
    overrides = with_files(overrides)
    is_file = any(override in ("data=csv", "data=parquet", "data=arrow", "data=excel") for override in overrides)
    has_target = any(override.startswith("data.target=") for override in overrides)
    with _hydra():
        target = ["data.target=[]"] if is_file and not has_target else []
        given, assignments = readable([*overrides, *target], _can_read)
        config = _compose(_with_preset(given, None), assignments)
        built: Source = build_setting("data", _plain(config)["data"])
    return built


def _job(overrides: Sequence[str], assignments: Sequence[Assignment] = (), name: str = "config") -> Configuration:
    """Compose and check one configuration; an error that only a preset by default makes names the way without it."""
    plans = _plans(overrides, assignments, name)
    try:
        checked = _checked(_compose(_with_preset(overrides, plans), assignments, name))
    except SettingError as error:
        if plans != [] or not _is_taken_without_preset(overrides, assignments, name):
            raise
        default = f"the default of a table is preset={DEFAULT_PRESET}"
        raise SettingError(f"{error}; or give preset=none, as {default}") from None
    return checked._replace(note_on_preset=_note_on_preset(plans or []))


def _is_taken_without_preset(overrides: Sequence[str], assignments: Sequence[Assignment], name: str) -> bool:
    try:
        _checked(_compose(_with_preset([*overrides, "preset=none"], None), assignments, name))
    except SettingError:
        return False
    return True


def jobs(overrides: Sequence[str]) -> Iterator[list[str]]:
    """The overrides of each job of a multirun: all combinations of the values that are listed."""
    alternatives = []
    for override in _parsed(overrides):
        if override.is_sweep_override():
            name = override.get_key_element()
            alternatives.append([f"{name}={value}" for value in override.sweep_string_iterator()])
        else:
            alternatives.append([str(override.input_line)])
    for job in itertools.product(*alternatives):
        yield list(job)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line as Hydra's own parser reads it, with errors in one line."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise SettingError(f"{message} (settings are given as name=value)")

    parser.error = refuse  # type: ignore[method-assign]
    options = parser.parse_intermixed_args(list(arguments))
    if options.config_path is not None:
        options.config_path = str(check_folder("--config-path", options.config_path))
    return options


@contextmanager
def _hydra(config_path: str | None = None, config_dir: str | None = None) -> Iterator[None]:
    """Hydra, ready to compose from our folder (or `config_path`), and from the user's `config_dir`.

    One thread uses it at a time. A program that uses Hydra and OmegaConf itself finds them as they were.
    """
    with _HYDRA, _hydra_restored(), hydra.initialize_config_dir(config_path or str(CONF), version_base="1.3"):
        if config_dir is not None:
            folder = check_folder("--config-dir", config_dir)
            loader: Any = GlobalHydra.instance().config_loader()
            loader.get_search_path().prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
            loader.repository.initialize_sources(loader.get_search_path())  # no public function takes a second folder
        yield


@contextmanager
def _hydra_restored() -> Iterator[None]:
    """Hydra without a configuration, reading folders only, and our resolvers; all of it as before after the block."""
    resolvers, instance = dict(BaseContainer._resolvers), GlobalHydra.instance()
    before = instance.hydra
    instance.clear()
    OmegaConf.register_new_resolver("stem", _stem, replace=True)
    OmegaConf.register_new_resolver("min_class_rows", min_class_rows, replace=True)
    try:
        with sources_restored():
            read_folders_only()
            yield
    finally:
        GlobalHydra.instance().hydra = before
        BaseContainer._resolvers.clear()
        BaseContainer._resolvers.update(resolvers)


def _stem(path: str | Sequence[str]) -> str:
    """For ${stem:some/path/file.csv.gz}: "file", with only the characters that a name may have.

    Of several paths their folder counts, or else the first, and of a pattern such as folder/*.csv the folder.
    """
    paths = [path] if isinstance(path, str) else list(path)
    folders = {text.rpartition("/")[0] for text in paths} if len(paths) > 1 else set()
    first = (folders.pop() if len(folders) == 1 else "") or "".join(paths[:1])
    parts = first.rstrip("/").rsplit("/", 2)[-2:]
    names = (re.sub("[^A-Za-z0-9_.-]+", "_", part.partition(".")[0]).strip("_.-")[:100] for part in reversed(parts))
    return next(filter(None, names), "data")


def _show(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Let Hydra print the configuration, or complete a line. It sets up logging, so that must be its own."""
    if not options.shell_completion:
        overrides, assignments = readable(options.overrides, _can_read)
        name = options.config_name or "config"
        overrides = _with_preset(overrides, _plans(overrides, assignments, name))
        composed = _compose([*overrides], assignments, name)
        if options.cfg == "job" and not options.package:  # with what Hydra cannot read, and recipes as they are
            sys.stdout.write(OmegaConf.to_yaml(composed, resolve=options.resolve))
            return
        arguments = [*(argument for argument in arguments if argument not in options.overrides), *overrides]
    GlobalHydra.instance().clear()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, and we print one line
    primary = [] if options.config_path is None else ["--config-path", options.config_path]
    sys.argv[1:] = [*arguments, *primary]  # which hydra.main reads; for it, a relative path would begin at this file
    try:
        hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(lambda config: None)()
    except OmegaConfBaseException as error:
        raise SettingError(_words(error)) from None


def _compose(overrides: list[str], assignments: Sequence[Assignment] = (), name: str = "config") -> DictConfig:
    """Compose. Where an override puts a list in place of a mapping, or the reverse, it replaces what is there."""
    while True:
        try:
            composed = _merged(name, overrides)
            break
        except (HydraException, OmegaConfBaseException, ValueError) as error:  # Hydra raises ValueError, too
            clash = error.__cause__.full_key if isinstance(error.__cause__, ConfigTypeError) else None
            number = next((n for n, override in enumerate(overrides) if override.startswith(f"{clash}=")), None)
            if number is None or not str(clash).startswith("space."):
                raise SettingError(_explanation(error, overrides)) from None
            overrides[number : number + 1] = [f"~{clash}", f"+{overrides[number]}"]  # it merges lists with nothing
        except KeyError as error:
            raise SettingError(f"hydra.job.env_copy must stay as it is: leave {error} out") from None
        except RecursionError:
            raise SettingError("a setting is nested too deeply; give it in a file, with fewer levels") from None
    _without_search_of_preset(composed, overrides, name)
    for assignment in assignments:
        try:
            OmegaConf.update(composed, assignment.name, assignment.value, force_add=assignment.adds)
        except (ConfigKeyError, ConfigAttributeError, ConfigTypeError):
            raise SettingError(_unknown(assignment.name, overrides)) from None
    names = [*_targets(overrides), *(assignment.name for assignment in assignments)]
    if problem := clash_with_recipes(OmegaConf.select(composed, "space.recipes"), names, overrides):
        raise SettingError(problem)
    in_files = list(_names_in_files(overrides, name))
    with open_dict(composed):
        remove_from_recipes(composed, names)
        remove_from_space(composed, names, beside=names)
        remove_from_space(composed, in_files, beside=[*names, *in_files])
    check_references(OmegaConf.to_container(composed))
    return composed


def _targets(overrides: Sequence[str]) -> list[str]:
    """The dotted names of what overrides change, such as training.schedule for schedule@training.schedule=cosine."""
    return [override.package or override.key_or_group for override in _parsed(overrides)]


def _with_preset(overrides: Sequence[str], plans: list[str] | None) -> list[str]:
    """The overrides, and the preset of data that has one by default if nothing else plans the sweep; see `_plans`.

    Hydra takes null for a folder's file from files only, so that preset=null has another form here.
    """
    overrides = ["preset=none" if override == "preset=null" else override for override in overrides]
    overrides = [override for override in overrides if override != "preset=auto"]
    return [*overrides, f"preset={DEFAULT_PRESET}"] if plans == [] else overrides


def _plans(overrides: Sequence[str], assignments: Sequence[Assignment], name: str) -> list[str] | None:
    """What plans the sweep in place of the preset that the data has by default, such as "space=ranges".

    None if the data has no preset by default, or if the command line names a preset.
    """
    parsed = _parsed(overrides)
    if any(o.key_or_group == "preset" and o.value() != "auto" for o in parsed):
        return None
    data = [override for override, o in zip(overrides, parsed, strict=True) if o.key_or_group == "data"]
    if not data and name == "config" and _has_only_our_folder():
        return None
    read = _data_and_choices if _has_only_our_folder() else _data_and_choices.__wrapped__
    try:
        choices, has_target = read(name, *data)
        usual, _ = read("config")
    except (HydraException, OmegaConfBaseException, ValueError):
        return None  # composing all of it says what is wrong
    if not has_target or choices.get("preset") != "auto":
        return None
    targets = zip(overrides, parsed, _targets(overrides), strict=True)
    return [
        *(text for text, o, target in targets if o.key_or_group in PLANS or PLAIN_SPACE.match(target)),
        *(assignment.name for assignment in assignments if PLAIN_SPACE.match(assignment.name)),
        *(f"{group}={choices.get(group)}" for group in PLANS if choices.get(group) != usual.get(group)),
    ]


def _note_on_preset(plans: list[str]) -> str:
    """Why these leave the preset of a table out, and what keeps it; "" if there are none."""
    if not plans:
        return ""
    first, chosen = plans[0], {plan.lstrip("~+").partition("=")[0] for plan in plans}
    default = f"the default of a table is preset={DEFAULT_PRESET}"
    if not chosen & {*PLANS}:
        return (
            f"none, as {first} is a setting of a space without recipes; {default}, which stays if a recipe's setting "
            "is given instead, such as space.recipes.small_quantile.optimizer.adam.learning_rate=0.003"
        )
    search = " search=grid" if "space" in chosen and "search" not in chosen else ""
    return f"none, as {first} is given; {default}, whose other settings stay with preset={DEFAULT_PRESET}{search}"


@functools.lru_cache(maxsize=64)
def _data_and_choices(name: str, *overrides: str) -> tuple[dict[str, Any], bool]:
    """The files that are chosen, by folder, and whether the data has a target column."""
    config = hydra.compose(name, list(overrides), return_hydra_config=True)
    data = config.get("data")
    return dict(config.hydra.runtime.choices), OmegaConf.is_dict(data) and "target" in data.keys()  # noqa: SIM118


def _without_search_of_preset(config: DictConfig, overrides: Sequence[str], name: str) -> None:
    """Take what a preset sets for its own search out of another search that is named beside the preset."""
    parsed = _parsed(overrides)
    searches = [o.value() for o in parsed if o.key_or_group == "search" and not o.is_delete()]
    presets = [o.value() for o in parsed if o.key_or_group == "preset" and not o.is_delete()]
    if presets and presets[-1] not in ("none", "auto") and searches and searches[-1] != "portfolio":
        of_search = re.compile(r"(search|experiment)\b")
        kept = [text for text, part in zip(overrides, _targets(overrides), strict=True) if of_search.match(part)]
        try:
            config.search = _merged(name, kept).search
        except HydraException as error:  # a setting that only the preset's search has
            raise SettingError(_explanation(error, kept)) from None


def _names_in_files(overrides: Sequence[str], name: str) -> Iterator[str]:
    """The dotted names of what experiments set, and what a primary configuration of the user's own sets."""
    files = [name] if name != "config" else []
    for override in _parsed(overrides):
        if override.key_or_group == "experiment" and not override.is_delete():
            chosen = override.value()
            files += [f"experiment/{file}" for file in (chosen if isinstance(chosen, list) else [chosen]) if file]
    loader: Any = GlobalHydra.instance().config_loader()
    for file in files:
        if loaded := loader.repository.load_config(file):
            settings: Any = OmegaConf.to_container(loaded.config)
            yield from names_of_settings(settings)


def _has_only_our_folder() -> bool:
    loader: Any = GlobalHydra.instance().config_loader()
    folders = [path.path for path in loader.get_search_path().get_path() if path.provider not in ("hydra", "schema")]
    return folders == [str(CONF)]


def _merged(name: str, overrides: Sequence[str]) -> DictConfig:
    """The files that overrides pick, merged, with the values of the other overrides and without Hydra's own part.

    Merging takes Hydra 0.2 seconds, so the files of our own folder are merged once per process and choice of files.
    """
    loader: Any = GlobalHydra.instance().config_loader()
    parsed = _parsed(overrides)
    check_overrides(parsed)
    if not _has_only_our_folder() or any(o.is_sweep_override() or o.is_hydra_override() for o in parsed):
        return _merged_files(name, *overrides)
    picks = [loader.repository.group_exists(o.key_or_group) and not isinstance(o.value(), dict) for o in parsed]
    merged = copy.deepcopy(_merged_once(name, *itertools.compress(overrides, picks)))
    ConfigLoaderImpl._apply_overrides_to_config([o for o, pick in zip(parsed, picks, strict=True) if not pick], merged)
    return merged


def _merged_files(name: str, *overrides: str) -> DictConfig:
    """What Hydra composes, without its own part."""
    merged = hydra.compose(name, list(overrides), return_hydra_config=True)
    check_hydra_part(merged.hydra)
    with open_dict(merged):
        del merged["hydra"]
    return merged


_merged_once = functools.lru_cache(maxsize=64)(_merged_files)


@contextmanager
def _broken_files_named(*folders: str | None) -> Iterator[None]:
    """If the block fails, and a file of the user's folders is not a mapping in YAML, name the file and the line."""
    try:
        yield
    except (SettingError, yaml.YAMLError):
        for folder in filter(None, folders):
            for file in sorted(Path(folder).rglob("*.yaml")):
                _check_file(file)
        raise


def _check_file(file: Path) -> None:
    """Raise SettingError unless a file is a mapping in YAML."""
    try:
        check_content(file)  # first, because OmegaConf expands aliases without end
        content = OmegaConf.load(file)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        cure = "indent with blanks" if "\\t" in str(reason) else "correct it"
        raise SettingError(f"{file}{line}: {reason}; {cure}") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise SettingError(f"{file} cannot be read ({error}); save it as UTF-8 text") from None
    except OmegaConfBaseException as error:
        raise SettingError(f"{file} cannot be read: {_words(error)}; correct it") from None
    if not OmegaConf.is_dict(content):
        raise SettingError(f"{file} must hold settings as name: value, but does not; correct it")


def _checked(config: DictConfig) -> Configuration:
    return _built(_plain(config), OmegaConf.to_yaml(config, resolve=True))


def _built(plain: dict[str, Any], text: str) -> Configuration:
    """Build the settings of plain values, and check what depends on several of them."""
    settings = build_settings(plain)
    checked = Configuration(settings, plain, text)
    Variants(checked).check(None if settings.data.task == "auto" else settings.data.task)
    return checked


def _plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values, with all references resolved."""
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise SettingError(f"{error.full_key} must be given: {error.full_key}=...") from None
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, SettingError):
            raise error.__cause__ from None
        raise SettingError(_words(error)) from None
    return {str(name): value for name, value in plain.items()} if isinstance(plain, dict) else {}


def _parsed(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(list(overrides))


def _can_read(override: str) -> bool:
    try:
        return bool(_parsed([override]))
    except HydraException:
        return False


def _explanation(error: Exception, overrides: Sequence[str]) -> str:
    """One line on why the configuration cannot be composed; for a wrong name, with the nearest right one."""
    cause = error.__cause__
    recipes = _picked(overrides)[0].get("space", {}).get("recipes")
    if problem := clash_with_recipes(recipes, _targets(overrides), overrides):
        return problem
    if missing := MISSING.search(str(error)):
        known = sorted(_names(_picked(overrides)[0]))
        return f"~{missing[1]}: there is no setting {missing[1]} to remove{_nearest(missing[1], known)}"
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        options = [option for option in error.options if not option.startswith("_")]
        return f"{group}={name}: there is no such choice{_nearest(name, options)}; there are {', '.join(options)}"
    if isinstance(cause, ConfigTypeError):
        return f"{cause.full_key} cannot be set so: there is a mapping where a list is needed, or the reverse"
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):
        key = f"{cause.full_key}."  # of an entry inside the override's value, or of a part of its name
        names = sorted((override.get_key_element() for override in _parsed(overrides)), key=len, reverse=True)
        related = [name for name in names if key.startswith(f"{name}.") or f"{name}.".startswith(key)]
        return _unknown([*related, str(cause.full_key)][0], overrides)
    if type(error) is ConfigCompositionException:
        (_, choices), loader = _picked(overrides), GlobalHydra.instance().config_loader()
        for override in _parsed(overrides):
            name, is_change = override.get_key_element(), override.type is OverrideType.CHANGE
            if is_change and name not in choices and loader.get_group_options(override.key_or_group):
                return _unknown(name, overrides)
    return f"{_words(error)}: {_words(cause)}" if isinstance(cause, OmegaConfBaseException) else _words(error)


def _words(error: Exception) -> str:
    """An error's text in one line, with the setting first if OmegaConf has added its name."""
    text, _, added = " ".join(str(error).split()).partition(" full_key: ")
    text = text.removeprefix("SettingError raised while resolving interpolation: ")
    return f"{added.partition(' ')[0]}: {text}" if added else text


def _picked(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings in the files that the overrides pick, and the names of choices, such as loss@network.loss.binary."""
    picks = [override for override in overrides if re.fullmatch(r"\w+=\w+", override)]
    try:
        config = hydra.compose("config", picks, return_hydra_config=True)
    except (HydraException, ValueError):  # one of them is wrong, too
        config = hydra.compose("config", return_hydra_config=True)
    choices = dict(config.hydra.runtime.choices)
    with open_dict(config):
        del config["hydra"]
    plain: Any = OmegaConf.to_container(config)
    return plain, choices


def _unknown(name: str, overrides: Sequence[str]) -> str:
    """One line on a setting that does not exist."""
    settings, choices = _picked(overrides)
    known = sorted({*_names(settings), *choices})
    if name in known:
        return f"{name} is a mapping; give its entries one by one, each as +{name}.entry=value"
    near = known if OF_RECIPES.search(name) else [other for other in known if not OF_RECIPES.search(other)]
    return f"there is no setting {name}{_nearest(name, near)} (+{name}=... adds one to a mapping that takes any)"


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _names(config: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted name of every setting."""
    for name, value in config.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{name}.")
