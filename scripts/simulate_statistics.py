"""Simulate what intervals, ties and the corrected score of the champion promise: law 9, as a table.

    python scripts/simulate_statistics.py FOLDER [replications=400] [seconds=300] [only=NAME] [first=0]

Trains real networks on data that follow no assumption of the methods, knows their true scores from 100,000 fresh rows,
and asks pipeline.engine.uncertainty about them: for 1, 3 and 5 folds x 1 and 3 seeds, classification and regression,
240 scored rows, and for fewer rows. The replications are kept in FOLDER, one file for each configuration; the command
stops after so many seconds, resumes when it is given again, and prints the table when all is done. Constants of the
methods were chosen by looking at replications below 10,000: first=10000, in another folder, draws fresh ones.

The limits: coverage of 95 % intervals from 0.92 to 0.98 (log loss, RMSE, MAE on at least 200 rows) or at least 0.90;
widths of at most 1.5 times the oracle's; two equal settings told apart in at most 0.07, any of 20 or of 112 in at most
0.10; a setting that is 4 standard errors worse told apart in at least 0.80; the bias of the corrected score at most a
third of the raw one's. A figure outside is marked with !.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))  # for the simulated sweeps

from judged_sweeps import Line, Record, judged, lines
from simulated_sweeps import PLANS, Plan

STRICT = ("log_loss", "root_mean_squared_error", "mean_absolute_error")


def read(path: Path) -> list[Record]:
    """The replications of a configuration that are done."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def marked(value: float, low: float, high: float, digits: int = 2) -> str:
    """The number, with an exclamation mark if it is outside of the limits."""
    return f"{value:.{digits}f}{'' if low <= value <= high else ' !'}"


def row(plan: Plan, name: str, line: Line) -> str:
    """One row of the table."""
    strict = name in STRICT and plan.n_rows >= 200
    cells = [plan.name, name.replace("_", " "), str(line.n)]
    cells.append(marked(line.coverage, 0.92 if strict else 0.90, 0.98 if strict else 1, 3))
    cells += [f"{line.of_networks:.3f}", marked(line.width, 0, 1.5)]
    cells.append(" / ".join(marked(share, 0, 0.07 if size == 2 else 0.10, 3) for size, share in line.false.items()))
    at = f" (at {line.errors:.1f})" if line.errors < 4 else ""
    least = 0.8 if line.errors == 4 else 0  # nothing is promised for settings that are less worse
    cells.append(" / ".join(marked(share, least, 1) for share in line.power.values()) + at * bool(line.power))
    cells.append(" / ".join(f"{bias:+.4f}" for bias in line.raw.values()))
    cells.append(
        " / ".join(
            f"{bias:+.4f} ({marked(abs(bias / line.raw[size]), 0, 1 / 3)})" for size, bias in line.corrected.items()
        )
    )
    cells.append(" / ".join(f"{share:.3f}" for share in line.of_champion.values()))
    return f"| {' | '.join(cells)} |"


HEADER = (
    "| configuration | score | n | coverage | of these networks | width / oracle | false ties: 2 / 20 / 112 "
    "| told apart at 4 SE: 2 / 20 / 112 | raw bias: 20 / 112 | corrected bias (ratio) | champion's interval |"
)


def main(folder: Path, replications: int = 400, seconds: float = 300, only: str = "", first: int = 0) -> None:
    """Run what is left, for so many seconds, and print the table of what is done."""
    start, plans = time.monotonic(), [plan for plan in PLANS if only in plan.name]
    folder.mkdir(parents=True, exist_ok=True)
    paths = {plan: folder / f"{plan.name.replace(' ', '_').replace(',', '')}.jsonl" for plan in plans}
    for plan, path in paths.items():
        with path.open("a") as file:
            for replication in range(len(read(path)), replications):
                if time.monotonic() > start + seconds:
                    print(f"{plan.name}: {replication} of {replications} replications; give the command again")
                    return
                file.write(json.dumps(judged(plan, first + replication)) + "\n")
    print(HEADER, "|" + "---|" * HEADER.count(" | ") + "---|", sep="\n")
    for plan, path in paths.items():
        for name, line in lines(plan, read(path)).items():
            print(row(plan, name, line))


if __name__ == "__main__":
    options = dict(argument.split("=", 1) for argument in sys.argv[2:])
    main(
        Path(sys.argv[1]),
        int(options.get("replications", 400)),
        float(options.get("seconds", 300)),
        options.get("only", ""),
        int(options.get("first", 0)),
    )
