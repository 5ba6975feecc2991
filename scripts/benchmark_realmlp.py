"""Compare the time of a sweep of RealMLP-like networks with that of pytabkit's RealMLP-TD, whose folds are one stack.

    .venv/bin/python scripts/benchmark_realmlp.py [--table NAME] [--results FOLDER] [--cores 2]

Both train four learning rates for five folds of the training rows of a table: 256-256-256 units with a scaling layer,
parametric SELU or Mish, the embedding PBLD, neural tangent parametrization and initial weights from the data, for 256
epochs. pytabkit takes batches of 256 and leaves out the rows of a shorter last one; ours takes as many steps with all
rows, in batches of equal size. pytabkit trains one rate after the other, ours all of them in one sweep. Of pytabkit the
seconds are those of its fits alone; of ours those of the sweep, and of the whole command, by the clock: measure on a
machine that does nothing else.
"""

import json
import os
import shutil
import subprocess
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark_tables import ROOT, our_answer, tables, written

RATES, FOLDS, BATCH = (0.02, 0.04, 0.08, 0.16), 5, 256
SETTINGS = [
    *(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop", "adam")),
    *(f"~space.regularizer.{name}" for name in ("l1", "l2", "dropout", "weight_decay")),
    "+optimizer@space.optimizer.realmlp=parameter_factors",
    f"space.optimizer.realmlp.optimizer.learning_rate=[{','.join(map(str, RATES))}]",
    "+space.optimizer.realmlp.optimizer.beta2=0.95",
    f"split.folds={FOLDS}",
    "reduce=none",
    "prepare.scaling=robust_clip",
    "network.hidden=[256,256,256]",
    "network.scaling_layer=true",
    "network.parametrization=ntk",
    "embedding@network.embedding=pbld",
    "initializer@network.initializer=data_driven",
    "activation@network.activation=parametric",
    "training.epochs=256",
    "schedule@training.schedule=coslog4",
    "+regularizer@training.regularizers.keep_best=keep_best",
    "+regularizer@training.regularizers.dropout=dropout",
    "+training.regularizers.dropout.rate=0.15",
    "+schedule@training.regularizers.dropout.schedule=flat_cosine",
    "+regularizer@training.regularizers.decay=weight_decay",
    "training.regularizers.decay.strength=0.02",
    "+schedule@training.regularizers.decay.schedule=flat_cosine",
    "baselines=none",
]


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="used_cars", choices=tables("choose"))
    parser.add_argument("--results", type=Path, default=Path("results"), help="where the rows of the table are written")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rivals", type=Path, default=ROOT / ".rivals-tables", help="environment of pytabkit")
    arguments = parser.parse_args()
    subprocess.run([ROOT / "scripts" / "rivals" / "install", arguments.rivals, "tables"], check=True)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    table = tables("choose")[arguments.table]
    arguments.rival = [arguments.rivals.absolute() / "bin" / "python", ROOT / "scripts" / "rivals" / "tables.py"]
    rows = written(arguments.table, table, 0, arguments)
    n_rows = sum(1 for _ in (rows / "train.csv").open()) - 1
    command = [*arguments.rival, "stacked", json.dumps(table), arguments.cores, rows, FOLDS, *RATES]
    output = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout
    theirs = json.loads(output.splitlines()[-1])
    mish = [] if table["classes"] else ["activation@network.activation.activation=mish"]
    n_train = ceil(n_rows * (FOLDS - 1) / FOLDS)
    batch_size = ceil(n_train / max(1, n_train // BATCH))
    settings = [*SETTINGS, *mish, f"training.batch_size={batch_size}", f"execution.cpus={arguments.cores}"]
    with TemporaryDirectory() as temporary:
        for file in ("train.csv", "test.csv"):
            shutil.copy(rows / file, temporary)
        ours = our_answer(settings, table, Path(temporary))
    print(f"{arguments.table}: {n_rows} rows, {len(RATES)} settings x {FOLDS} folds on {arguments.cores} cores")
    print(f"pytabkit  fits {theirs['wall_s']:.1f} s, processor {theirs['cpu_s']:.1f} s")
    sweep, wall = ours["run"]["sweep_s"], ours["wall_s"]
    print(f"ours      sweep {sweep:.1f} s, command {wall:.1f} s")
    ratios = {"sweep": sweep / theirs["wall_s"], "command": wall / theirs["wall_s"]}
    print("ours / pytabkit: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))


if __name__ == "__main__":
    main()
