"""Arrays that are used again from step to step, so that training does not ask for memory in every step."""

from collections.abc import Hashable

from nncore.kernels.backend import Array, empty_like_aligned


class Workspace:
    """Working arrays by name. What one holds is meaningless until it is written, and lost at its next use."""

    def __init__(self) -> None:
        self._arrays: dict[Hashable, Array] = {}
        self._parts: dict[Hashable, Workspace] = {}

    def __call__(self, name: Hashable, like: Array, shape: tuple[int, ...] | None = None) -> Array:
        """An array of this name, of the shape (or that of `like`), the dtype and the place of `like`."""
        shape = like.shape if shape is None else shape
        key = (name, shape, like.dtype)
        if key not in self._arrays:
            self._arrays[key] = empty_like_aligned(like, shape)
        return self._arrays[key]

    def part(self, name: Hashable) -> "Workspace":
        """A scratch of this name, whose arrays are its own."""
        if name not in self._parts:
            self._parts[name] = Workspace()
        return self._parts[name]
