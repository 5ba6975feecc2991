"""A user's package for the setting allow: an optimizer that crashes its worker or runs out of memory on demand."""

from pathlib import Path

SOURCE = '''
import os
import time

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, zeros


def venom(learning_rate: ArrayLike, fatal_step: ArrayLike, widest: ArrayLike, megabytes: ArrayLike) -> Optimizer:
    """Gradient descent that fails on demand: the process exits at step `fatal_step`, a stack of more than `widest`
    networks raises MemoryError (0: never), each step allocates `megabytes` for half a second, and it takes a fifth of
    a second as long as the file exists that the environment variable SLOW_WHILE_FILE_EXISTS names."""
    learning_rate = checked("venom", "learning_rate", learning_rate, above=0)
    fatal_step, widest, megabytes = np.asarray(fatal_step), np.asarray(widest), np.asarray(megabytes)

    def update(W, g, state, step):
        if np.any(fatal_step == step.number):
            os._exit(9)
        if np.any((widest > 0) & (len(W) > widest)):
            raise MemoryError
        if room := int(np.sum(megabytes)):
            block = np.ones(room * 125_000)
            time.sleep(0.5)
            del block
        if os.path.exists(os.environ.get("SLOW_WHILE_FILE_EXISTS", "")):
            time.sleep(0.2)
        W -= step.rate(learning_rate, W) * g

    return Optimizer(zeros(), update)
'''


def settings(folder: Path, **arguments: str) -> list[str]:
    """Write the package into a folder. Returns the overrides of a space whose only optimizer it is."""
    (folder / "snake").mkdir(parents=True)
    (folder / "snake" / "__init__.py").write_text(SOURCE)
    defaults = {"learning_rate": "[0.01,0.03,0.1,0.3]", "fatal_step": "0", "widest": "0", "megabytes": "0"} | arguments
    settings_of_venom = ",".join(f"{name}:{value}" for name, value in defaults.items())
    removed = ["~space.network", *(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop", "adam"))]
    return [*removed, f"+space.optimizer.venom={{_target_:snake.venom,{settings_of_venom}}}", "allow=[snake]"]
