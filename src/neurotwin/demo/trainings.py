"""Several training runs at once, a process and a bar for each."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from neurotwin.errors import ResourceError
from neurotwin.training.run_folder import read_config


def train_all(runs: Mapping[Path, Sequence[str]], logs: Path) -> None:
    """Train run folder -> overrides, as many at a time as there are cores, one thread each.

    Runs that are finished already are left as they are. Raises ResourceError when a training fails; its log says why.
    """
    logs.mkdir(parents=True, exist_ok=True)
    text = "{task.completed}/{task.total} epochs"
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn(text), TimeElapsedColumn())
    workers = max(1, min(len(runs), os.cpu_count() or 1))
    with Progress(*columns, console=Console(stderr=True)) as bars, ThreadPoolExecutor(workers) as pool:
        for job in [pool.submit(_train, folder, overrides, logs, bars) for folder, overrides in runs.items()]:
            job.result()


def _train(folder: Path, overrides: Sequence[str], logs: Path, bars: Progress) -> None:
    if (folder / "metrics.json").exists():
        return
    name = f"{folder.parent.name} {folder.name}"
    bar, log = bars.add_task(f"train {name}", total=None), logs / f"{name.replace(' ', '_')}.log"
    resume = ["resume=true"] if (folder / "checkpoints").exists() else []
    command = [
        sys.executable,
        "-m",
        "neurotwin.train",
        *overrides,
        *resume,
        f"paths.output_dir={folder}",
        "callbacks.progress=null",
    ]
    # One thread each: two runs on two cores are faster than one after the other on both.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        log.open("w") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment) as process,
    ):
        while process.poll() is None:
            time.sleep(0.5)
            bars.update(bar, completed=_epochs(folder), total=_total(folder))
    if process.returncode:
        last = log.read_text().strip().splitlines()[-1:] or ["no output"]
        raise ResourceError(f"training of {name} ended with code {process.returncode}: {last[0]}", where=str(log))
    bars.update(bar, completed=_epochs(folder), total=_epochs(folder))


def _epochs(folder: Path) -> int:
    """Epochs in the run's metrics so far."""
    metrics = folder / "metrics.csv"
    rows = metrics.read_text().splitlines() if metrics.exists() else []
    if not rows or "epoch" not in rows[0].split(","):
        return 0
    column = rows[0].split(",").index("epoch")
    cells = [row.split(",")[column] for row in rows[1:] if row.count(",") >= column]
    return max((int(cell) + 1 for cell in cells if cell.isdigit()), default=0)


def _total(folder: Path) -> int | None:
    return int(read_config(folder)["trainer"]["max_epochs"]) if (folder / "config.yaml").exists() else None
