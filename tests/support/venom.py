"""A package of a user's own, for the setting allow: an optimizer that takes its worker along when it is told to."""

from pathlib import Path

SOURCE = '''
import os
import time

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, zeros


def venom(learning_rate: ArrayLike, fatal_step: ArrayLike, widest: ArrayLike, megabytes: ArrayLike) -> Optimizer:
    """Gradient descent. The process ends at the step fatal_step (never if it is 0); a stack of more than `widest`
    networks (if that is not 0) has not enough memory; and a step takes so many megabytes for a moment."""
    learning_rate = checked("venom", "learning_rate", learning_rate, above=0)
    fatal_step, widest, megabytes = np.asarray(fatal_step), np.asarray(widest), np.asarray(megabytes)

    def update(W, g, state, step):
        if np.any(fatal_step == step.number):
            os._exit(9)
        if np.any((widest > 0) & (len(W) > widest)):
            raise MemoryError
        if room := int(np.sum(megabytes)):
            held = np.ones(room * 125_000)
            time.sleep(0.5)
            del held
        W -= step.rate(learning_rate, W) * g

    return Optimizer(zeros(), update)
'''


def settings(folder: Path, **arguments: str) -> list[str]:
    """Write the package into the folder; overrides for a space of it alone."""
    (folder / "snake").mkdir(parents=True)
    (folder / "snake" / "__init__.py").write_text(SOURCE)
    given = {"learning_rate": "[0.01,0.03,0.1,0.3]", "fatal_step": "0", "widest": "0", "megabytes": "0"} | arguments
    inside = ",".join(f"{name}:{value}" for name, value in given.items())
    gone = [f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop", "adam")]
    return [*gone, f"+space.optimizer.venom={{_target_:snake.venom,{inside}}}", "allow=[snake]"]
