"""What is made of an epoch: which weights the networks answer with, and which networks stop."""

from collections.abc import Sequence

import numpy as np

from nncore.kernels.backend import Array, State
from nncore.regularizers.base import EarlyStopping
from nncore.schedules import Schedule
from nncore.stack.state import ComponentGroup, Stack, averaged, best_of


class EpochMonitor:
    """Looks at the networks of a stack after each epoch; what its members remember changes in place.

    groups   the stack's
    """

    def __init__(self, stack: Stack, groups: Sequence[tuple[ComponentGroup, State]]) -> None:
        self._parameters = stack.parameters
        self._groups = groups
        self._schedules = [(g.rows, g.member, state) for g, state in self._groups if isinstance(g.member, Schedule)]
        self._stoppings = [
            (g.rows, g.member, state) for g, state in self._groups if isinstance(g.member, EarlyStopping)
        ]

    def selected_weights(self) -> Array:
        """The parameters (K, buffer_size) with which the networks would answer now."""
        return averaged(self._groups, self._parameters)

    def final_weights(self) -> Array:
        """The parameters (K, buffer_size) with which the networks answer if training ends now."""
        return best_of(self._groups, self.selected_weights())

    def answering_epochs(self, epoch: int) -> list[int]:
        """The epochs that `final_answers` are from, if `epoch` was the last."""
        epochs = np.full(len(self._parameters), epoch)
        for rows, stopping, state in self._stoppings:
            if stopping.restore:
                epochs[rows] = state["epoch"]
        return [int(one) for one in epochs]

    def observe(self, answers: Array, curves: dict[str, Array], epoch: int) -> list[str]:
        """Tell schedules and early stopping how the epoch went; why each network stops, or ""."""
        for rows, schedule, state in self._schedules:
            schedule.observe(curves["validation/loss"][rows], state, epoch)
        causes = [""] * len(self._parameters)
        for rows, stopping, state in self._stoppings:
            stops = stopping.observe(answers[rows], state, curves[stopping.watch][rows], epoch)
            for index in np.flatnonzero(stops):
                best, at = state["best"][index], int(state["epoch"][index])
                causes[rows.start + index] = f"{stopping.watch} was lowest, {best:.6g}, in epoch {at}"
        return causes
