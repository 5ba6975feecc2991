"""What the columns of a table are for, and what kind each one is."""

import difflib
import re
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from nncore.inference.table import Column, ColumnKind, text
from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, PositiveInt
from pipeline.components.types import TaskSetting

PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Value = str | int | float | bool


@dataclass(frozen=True, config=STRICT)
class Roles:
    """The roles of a table's columns, and what may be wrong with them.

    target        the column to predict, or several
    task          what there is to predict, or auto: see `task_of`
    keep, drop    the columns to learn from (None: all that have no other role), and those to leave out
    kinds         by column, its kind where the values do not say it; a list holds an ordinal column's values in order
    where         by column, the values of the rows to take
    weight        the column with how much a row counts
    group         the column with what rows belong together
    time          the column with a row's time, a date or a number
    constant      refuse or drop columns that hold the same value in every row
    max_classes   more classes are taken for a mistake
    max_levels    more different texts in one categorical column are taken for a mistake
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
    constant: Literal["refuse", "drop"]
    max_classes: PositiveInt
    max_levels: PositiveInt

    @property
    def point(self) -> str:
        """What stands for the point in numbers that are spelt as texts."""
        return "."

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
    def judging(self) -> tuple[str, ...]:
        """The columns that an official test part needs besides those to learn from."""
        return (*self.targets, *filter(None, [self.weight]))

    def features(self, said: str, names: list[str]) -> list[str]:
        """The columns to learn from, of those that there are, in their order.

        said   the table's setting and address, for errors

        Raises   SettingError naming the column that is not there, or has no name, or two roles
        """
        self._check_header(said, names)
        named = {f"data.{role}": [name] for role, name in self.special.items()}
        named |= {"data.target": list(self.targets), "data.keep": list(self.keep or ()), "data.drop": list(self.drop)}
        named |= {"data.kinds": list(self.kinds), "data.where": list(self.where)}
        for setting, wanted in named.items():
            for name in wanted:
                if name not in names:
                    raise SettingError(f"{said} has no column {name!r}, which {setting} names{near(name, names)}")
        self._check_roles()
        taken = {*self.targets, *self.special.values()}
        for name in self.keep or ():
            if name in taken or name in self.drop:
                raise SettingError(f"data.keep names {name!r}, which is a target, has another role or is in data.drop")
        wanted = list(self.keep) if self.keep is not None else [n for n in names if n not in taken]
        found = [name for name in names if name in wanted and name not in self.drop]
        if not found:
            raise SettingError(f"{said} has no column left to learn from besides {', '.join(sorted(taken))}")
        return found

    def column(self, name: str, kind: ColumnKind, type_: Any) -> Column:
        """A column of this kind by its values, or as it is declared."""
        declared = self.kinds.get(name, kind)
        if isinstance(declared, tuple):
            return Column(name, "ordinal", type_, tuple(map(text, declared)))
        if kind == "date" and declared in ("numeric", "boolean"):
            raise SettingError(f"data.kinds: column {name!r} holds dates, but is declared {declared}; leave it a date")
        return Column(name, declared, "datetime" if declared == "date" else type_)

    def _check_roles(self) -> None:
        """No column has two roles, and every order is one."""
        if not self.targets:
            raise SettingError("data.target must name at least one column, but is []")
        taken = [*self.targets, *self.special.values()]
        twice = [name for name in taken if taken.count(name) > 1]
        if twice:
            raise SettingError(
                f"data.target, data.weight, data.group and data.time must name different columns, but {twice[0]!r} is "
                "named twice"
            )
        for name, order in self.kinds.items():
            levels = list(map(text, order)) if isinstance(order, tuple) else [""]
            if not levels or len(set(levels)) < len(levels):
                listed = ", ".join(levels) or "nothing"
                raise SettingError(f"data.kinds: the order of {name!r} must list different values, but is {listed}")

    def _check_header(self, said: str, names: list[str]) -> None:
        if "" in names:
            raise SettingError(
                f"{said}: column {names.index('') + 1} has no name; name it in the header, or write the file without "
                "its row numbers"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SettingError(f"{said} has {names.count(twice[0])} columns with the name {twice[0]!r}; rename them")


def kinds_cure(name: str, kind: str) -> str:
    """The override that declares a column; names that are more than letters, digits and _ have to stand in braces."""
    return f"+data.kinds.{name}={kind}" if PLAIN_NAME.fullmatch(name) else f"'+data.kinds={{{name}: {kind}}}'"


def drop_cure(names: list[str]) -> str:
    """The override that leaves columns out, as one pastes it."""
    if all(map(PLAIN_NAME.fullmatch, names)):
        return f"data.drop=[{','.join(names)}]"
    quoted = ",".join(f"'{name}'" for name in names)
    return f'"data.drop=[{quoted}]"'


def near(name: str, names: list[str]) -> str:
    """What was perhaps meant, as the end of an error."""
    close = difflib.get_close_matches(name, names, n=1)
    some = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return f"; did you mean {close[0]!r}?" if close else f"; it has {some}"
