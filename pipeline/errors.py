"""The errors a user can mend."""


class SettingError(Exception):
    """A setting that cannot be used. Its text is one line: the setting, its value, the rule, the cure."""
