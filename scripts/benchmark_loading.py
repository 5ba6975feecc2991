"""Measure the time and the memory of loading data.

scripts/benchmark_loading.py [folder for the tables, 1.3 GB]

Each source is loaded three times, each time in a new process. The peak is the process's largest resident memory minus
its memory after the imports.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

N_ROWS, N_COLUMNS = 1_000_000, 50
REPEATS = 3


def write_table(path: Path, dtype: str, rows_per_group: int) -> None:
    """Write a table of random numbers: 50 columns and the target."""
    random = np.random.default_rng(0)
    columns = {f"x{i}": random.normal(size=N_ROWS).astype(dtype) for i in range(N_COLUMNS)}
    table = pa.table(columns | {"y": random.normal(size=N_ROWS).astype(dtype)})
    pyarrow.parquet.write_table(table, path, row_group_size=rows_per_group)


def measure(*overrides: str) -> None:
    """Load the data that the settings name, and print rows, columns, seconds and megabytes as JSON."""
    from pipeline.config.compose import configuration

    settings = configuration(*overrides).settings
    mb_before, start = peak_mb(), time.monotonic()
    dataset = settings.data()
    seconds, mb = time.monotonic() - start, peak_mb() - mb_before
    rows = len(dataset.rows) + (len(dataset.test) if dataset.test else 0)
    float32 = rows * len(dataset.rows.x.columns) * 4 / 1e6
    print(
        json.dumps(
            {"rows": rows, "columns": len(dataset.rows.x.columns), "s": seconds, "mb": mb, "float32_mb": float32}
        )
    )


def peak_mb() -> float:
    """Peak resident megabytes, as Linux counts them; getrusage would include the parent's at the time of the fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def main(folder: Path) -> None:
    print(f"{'source':<36}{'rows':>10}{'columns':>9}{'seconds':>9}{'peak MB':>9}{'as float32 MB':>15}{'ratio':>7}")
    loads = {"fashion_mnist": ["data=fashion_mnist"]}
    for dtype in ("float32", "float64"):
        for n_groups in (1, 10):
            path = folder / f"{dtype}_{n_groups}.parquet"
            write_table(path, dtype, N_ROWS // n_groups)
            name = f"parquet, {dtype}, {n_groups} row group" + "s" * (n_groups > 1)
            loads[name] = ["data=parquet", f"data.path={path}", "data.target=y"]
    for name, overrides in loads.items():
        runs = []
        for _ in range(REPEATS):
            command = [sys.executable, __file__, "--measure", *overrides]
            runs.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        middle = sorted(runs, key=lambda run: run["s"])[REPEATS // 2]
        peak = max(run["mb"] for run in runs)
        print(
            f"{name:<36}{middle['rows']:>10,}{middle['columns']:>9}{middle['s']:>9.2f}{peak:>9.0f}"
            f"{middle['float32_mb']:>15.0f}{peak / middle['float32_mb']:>7.2f}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(*sys.argv[2:])
    elif len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
