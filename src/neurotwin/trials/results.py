"""A trial on disk: report.html, trial.json and subjects.parquet."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

import neurotwin
from neurotwin.disk import disk_errors, write_whole
from neurotwin.errors import ConfigError, OutputInUseError
from neurotwin.extras import need
from neurotwin.trials.design import Design
from neurotwin.trials.report_page import render_page
from neurotwin.trials.run_trial import Trial

PAGE, NUMBERS, SUBJECTS = "report.html", "trial.json", "subjects.parquet"
SILICO = "In silico: simulated patients. It tests a design, and is no evidence about any treatment."


def write_trial(folder: Path, trial: Trial, design: Design, config: dict[str, Any], *, command: str) -> Path:
    """Write all three files, the page last; returns the page.

    Raises:
        OutputInUseError: see `check_folder`.
        ConfigError: it cannot be written.
        ResourceError: the disk is full.
    """
    folder = Path(folder)
    about = {
        "title": design.title,
        "question": design.question,
        "arms": {"control": design.control, "treated": design.treated},
        "note": SILICO,
        "versions": {"neurotwin": neurotwin.__version__},
        "command": command,
        "configuration": config,
    }
    numbers = _plain(about | trial.numbers)
    check_folder(folder, config)
    page = render_page(trial, design, command=command)
    arrow = need("pyarrow", "simulate")
    sink = arrow.BufferOutputStream()
    table = arrow.table(subject_columns(trial, design))
    need("pyarrow.parquet", "simulate").write_table(table, sink, compression="zstd")
    with disk_errors(folder, ConfigError):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / SUBJECTS, sink.getvalue())
        write_whole(folder / NUMBERS, json.dumps(numbers, indent=1, allow_nan=False) + "\n")
        write_whole(folder / PAGE, page)
    return folder / PAGE


def check_folder(folder: Path, config: dict[str, Any]) -> None:
    """Raises OutputInUseError where the folder holds another trial or other files; the same trial may be run again."""
    path = folder / NUMBERS
    if not path.exists():
        if folder.is_dir() and any(not item.name.startswith(".") for item in folder.iterdir()):
            raise OutputInUseError(
                "the folder holds something else", where=str(folder), expected="an empty folder, or a new one"
            )
        return
    try:
        same = json.loads(path.read_text())["configuration"] == _plain(config)
    except (ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise OutputInUseError(
            "the folder holds another trial", where=str(folder), expected="a new folder", remedy="choose another -o"
        )


def subject_columns(trial: Trial, design: Design) -> dict[str, Any]:
    """A row per randomised subject: covariates, arm, when it left, what was seen, and what would have been seen under
    both arms if nobody left (``control.NAME``, ``treated.NAME``)."""
    ready, (index, treated, _) = trial.ready, trial.sample
    courses, arms = ready.courses.take(index), np.array([design.control, design.treated])
    columns: dict[str, Any] = {"id": courses.ids.tolist()}
    for place, static in enumerate(courses.schema.statics):
        value = courses.statics[:, place]
        columns[static.name] = [static.levels[int(one)] for one in value] if static.levels else value
    columns |= {f"baseline.{one.name}": courses.baseline(one.name) for one in courses.schema.variables}
    columns["stratum"] = [ready.stratum.labels[one] for one in ready.stratum.member[index]]
    columns["arm"] = arms[treated.astype(int)].tolist()
    columns["left_at"] = np.where(treated, ready.leaves[design.treated][index], ready.leaves[design.control][index])
    for name, pool in ready.seen.items():
        outcome = trial.sample.outcome(pool)
        columns[f"seen.{name}"] = outcome.value
        if outcome.event is not None:
            columns[f"seen.{name}.event"] = outcome.event
        if pool.score is not None:
            columns[f"twin.{name}"] = pool.score[index]
        for side in ("control", "treated"):
            whole = getattr(ready.complete[name], side)
            columns[f"{side}.{name}"] = whole.value[index]
            if whole.event is not None:
                columns[f"{side}.{name}.event"] = whole.event[index]
    for name, flags in ready.harmed.items():
        columns[f"adverse.{name}"] = np.where(treated, flags[design.treated][index], flags[design.control][index])
    return columns


def _plain(item: Any) -> Any:
    """For JSON: what is not a finite number becomes null."""
    if isinstance(item, dict):
        return {str(key): _plain(value) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return [_plain(value) for value in item]
    if isinstance(item, np.ndarray):
        return _plain(item.tolist())
    if isinstance(item, np.generic):
        return _plain(item.item())
    if isinstance(item, float) and not math.isfinite(item):
        return None
    return item
