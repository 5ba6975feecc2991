"""The settings of a run as frozen dataclasses: typed, checked, complete."""
