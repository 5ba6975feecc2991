"""What the columns of a table are for, and what kind each one is."""

import difflib
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator
from pydantic.dataclasses import dataclass

from nncore.inference.spelling import date_pattern
from nncore.inference.table import Column, ColumnKind, as_text
from pipeline.components.errors import Problems, SettingError
from pipeline.components.fields import STRICT, PositiveInt
from pipeline.components.overrides import entry
from pipeline.components.types import TaskSetting
from pipeline.data.spellings import SIGNS, Hints

MAX_LISTED = 10  # columns in a message
Value = str | int | float | bool


def _date_format(text: str) -> str:
    date_pattern(text)
    return text


DateFormat = Annotated[str, AfterValidator(_date_format)]


@dataclass(frozen=True, config=STRICT)
class Roles:
    """The roles of a table's columns, and what may be wrong with them.

    Parameters
    ----------
    target : str or tuple of str
        The column to predict, or several.
    task : {"classification", "regression", "multilabel", "auto"}
        What there is to predict; for "auto" see `task_of`.
    keep : tuple of str or None
        The columns to learn from; None: all that have no other role.
    drop : tuple of str
        Columns to leave out.
    kinds : dict
        The kind of a column where its values do not show it. A list holds the values of an ordinal column in order.
    where : dict
        By column, the values of the rows to use.
    weight, group, time : str or None
        The columns with the weight of a row, with the group it belongs to, and with its time (a date or a number).
    date_format : str or None
        The format of dates that could be read in two ways, with strftime's codes.
    thousands : {",", ".", " ", "'", ""} or None
        The sign between groups of digits where a text could be read in two ways.
    constant : {"refuse", "drop"}
        What to do with columns that hold the same value in every row.
    index : {"drop", "keep"}
        What to do with a column without a name that numbers the rows, such as the index of pandas.
    missing_target : {"drop", "refuse"}
        What to do with rows without a target.
    rare_classes : {"drop", "join", "refuse"}
        What to do with the rows of classes that have fewer than `min_class_rows` rows; "join": they become one class.
    min_class_rows : int, > 0
        The number of rows that a class needs, so that each part of the split can have one.
    max_classes : int, > 0
        More classes are taken for a mistake.
    max_levels : int, > 0
        Different texts that one categorical column may have.
    many_levels : {"drop", "refuse"}
        What to do with columns that have more.
    """

    target: str | tuple[str, ...]
    task: TaskSetting
    keep: tuple[str, ...] | None
    drop: tuple[str, ...]
    kinds: dict[str, ColumnKind | tuple[Value, ...]]
    where: dict[str, Value | tuple[Value, ...]]
    weight: str | None
    group: str | None
    time: str | None
    date_format: DateFormat | None
    thousands: Annotated[Literal["", ",", ".", "'", " "], BeforeValidator(lambda sign: SIGNS.get(sign, sign))] | None
    constant: Literal["refuse", "drop"]
    index: Literal["drop", "keep"]
    missing_target: Literal["drop", "refuse"]
    rare_classes: Literal["drop", "join", "refuse"]
    min_class_rows: PositiveInt
    max_classes: PositiveInt
    max_levels: PositiveInt
    many_levels: Literal["drop", "refuse"]

    @property
    def decimal_sign(self) -> str:
        """The decimal sign of numbers that are spelled as texts; "" if the texts show it."""
        return ""

    @property
    def hints(self) -> Hints:
        """What the settings say about the spelling of texts."""
        return Hints(self.decimal_sign, self.thousands, self.date_format)

    @property
    def n_columns(self) -> None:
        """Not known before the table is read."""
        return

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def special(self) -> dict[str, str]:
        """By role, the one column that has it."""
        roles = {"weight": self.weight, "group": self.group, "time": self.time}
        return {role: name for role, name in roles.items() if name is not None}

    @property
    def needed_for_scoring(self) -> tuple[str, ...]:
        """The columns that an official test part needs besides the features."""
        return (*self.targets, *filter(None, [self.weight]))

    def features(
        self, label: str, names: list[str], problems: Problems, sources: Mapping[str, str] = MappingProxyType({})
    ) -> list[str]:
        """Choose the columns to learn from.

        Parameters
        ----------
        label : str
            The table's setting and path, for error messages.
        names : list of str
            All columns of the table.
        problems : Problems
            Gets those that name a column that does not exist, or two roles.
        sources : mapping of str to str, default {}
            By column, the column of lists or structs that contains it, by which it may also be kept or left out.

        Returns
        -------
        list of str
            In the order of the table, without those whose name stands for several columns.
        """
        with problems.collected():
            self._check_header(label, names)
        with problems.collected():
            self._check_named_columns(label, names, [*dict.fromkeys(sources.values())])
        with problems.collected():
            self._check_roles()
        taken = {*self.targets, *self.special.values()}
        for name in self.keep or ():
            if name in taken or name in self.drop:
                problems.add(f"data.keep names {name!r}, which is a target, has another role or is in data.drop")
        wanted = {*(self.keep if self.keep is not None else (name for name in names if name not in taken))}
        features = [name for name in names if (name in wanted or sources.get(name) in wanted) and name not in self.drop]
        if not features and not problems:
            problems.add(f"{label} has no column left to learn from besides {', '.join(sorted(taken))}")
        counts = Counter(names)
        return [name for name in features if counts[name] == 1]

    def column(self, name: str, kind: ColumnKind, type_: Any) -> Column:
        """A column of this kind by its values, or as it is declared."""
        declared = self.kinds.get(name, kind)
        if isinstance(declared, tuple):
            return Column(name, "ordinal", type_, tuple(map(as_text, declared)))
        if kind == "date" and declared in ("numeric", "boolean"):
            raise SettingError(f"data.kinds: column {name!r} holds dates, but is declared {declared}; leave it a date")
        return Column(name, declared, "datetime" if declared == "date" else type_)

    def _check_header(self, label: str, names: list[str]) -> None:
        repeated = [
            f"{label}: there are {count} columns with the name {name!r}; rename them"
            for name, count in Counter(names).items()
            if count > 1
        ]
        if repeated:
            raise SettingError(*repeated)

    def _check_named_columns(self, label: str, names: list[str], sources: list[str]) -> None:
        named = {f"data.{role}": [name] for role, name in self.special.items()}
        named |= {"data.target": list(self.targets), "data.keep": list(self.keep or ()), "data.drop": list(self.drop)}
        named |= {"data.kinds": list(self.kinds), "data.where": list(self.where)}
        missing = [
            f"{label}: there is no column {name!r}, which {setting} names{did_you_mean(name, names)}"
            for setting, wanted in named.items()
            for name in wanted
            if name not in names and not (setting == "data.keep" and name in sources)
        ]
        if missing:
            raise SettingError(*missing)

    def _check_roles(self) -> None:
        """No column has two roles, and every order of an ordinal column lists different values."""
        if not self.targets:
            raise SettingError("data.target must name at least one column, but is []")
        taken = [*self.targets, *self.special.values()]
        repeated = [name for name in taken if taken.count(name) > 1]
        if repeated:
            raise SettingError(
                "data.target, data.weight, data.group and data.time must name different columns, but "
                f"{repeated[0]!r} is named twice"
            )
        for name, order in self.kinds.items():
            levels = list(map(as_text, order)) if isinstance(order, tuple) else [""]
            if not levels or len(set(levels)) < len(levels):
                listed = ", ".join(levels) or "nothing"
                raise SettingError(f"data.kinds: the order of {name!r} must list different values, but is {listed}")


def kinds_override(name: str, kind: str) -> str:
    """The override that declares the kind of a column, to be pasted."""
    return entry("data.kinds", name, kind)


def listed(names: list[str], noun: str) -> str:
    """How many there are, and the names of some: "2 columns (a, b)"."""
    plural = noun if len(names) == 1 else f"{noun}{'es' if noun.endswith('s') else 's'}"
    return f"{len(names)} {plural} ({', '.join(names[:MAX_LISTED])}{', ...' if len(names) > MAX_LISTED else ''})"


def listed_columns(names: list[str]) -> str:
    """The beginning of a note on columns."""
    return listed(names, "column")


def did_you_mean(name: str, names: list[str]) -> str:
    """The end of an error message: the most similar name, or some of those that exist."""
    close = difflib.get_close_matches(name, names, n=1)
    listed = ", ".join(names[:MAX_LISTED]) + (", ..." if len(names) > MAX_LISTED else "")
    return f"; did you mean {close[0]!r}?" if close else f"; it has {listed}"
