"""Arrays that are reused from step to step, so that training does not allocate memory in every step."""

from collections.abc import Hashable

from nncore.kernels.backend import Array, empty_like_aligned


class Workspace:
    """Working arrays by name. The contents of an array are undefined until it is written, and lost at its next use."""

    def __init__(self) -> None:
        self._arrays: dict[Hashable, Array] = {}
        self._parts: dict[Hashable, Workspace] = {}

    def __call__(self, name: Hashable, like: Array, shape: tuple[int, ...] | None = None) -> Array:
        """Return the array of this name and shape (default: that of `like`), with dtype and device of `like`."""
        shape = like.shape if shape is None else shape
        key = (name, shape, like.dtype)
        if key not in self._arrays:
            self._arrays[key] = empty_like_aligned(like, shape)
        return self._arrays[key]

    def part(self, name: Hashable) -> "Workspace":
        """Return the workspace of this name within this one; it shares no arrays with others."""
        if name not in self._parts:
            self._parts[name] = Workspace()
        return self._parts[name]
