"""neurotwin calibrate: a bundle issued again with intervals fitted on other patients. Needs no torch."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from neurotwin import compose
from neurotwin.bundle import Bundle
from neurotwin.calibrating import (
    Virtual,
    calibrate_differences,
    check_target,
    recalibrated,
    reissue,
)
from neurotwin.calibration import Calibration
from neurotwin.cohort import Cohort, read_manifest
from neurotwin.errors import ConfigError
from neurotwin.runtime import Predictor
from neurotwin.runtime.paired import PART, PairedCalibration

PARTS = ("simulator", "population", "protocol", "plans")
MIN_PATIENTS = 50
"""Below which a horizon bin of a site takes the factor of its channel."""


def calibrate_bundle(bundle: Path, target: Path, overrides: Sequence[str], cohort: Path | None, seed: int) -> Bundle:
    """Fit what was asked for and write the new bundle; tables go to stderr.

    Args:
        overrides: of ``conf/calibrate.yaml``; none leaves paired differences as they are.
        cohort: folder of a site's cohort; None leaves the forecasts' intervals as they are.
        seed: by which the cohort's patients are halved.

    Raises:
        BundleError, IntegrityError: the bundle is damaged, or has no joint draws.
        ConfigError: nothing to calibrate on, a wrong key, or a target that is not a new version.
        CohortError, SimulationError: patients that do not fit, or too few.
    """
    if not overrides and cohort is None:
        raise ConfigError(
            "nothing to calibrate on",
            where="calibrate",
            expected="simulator=NAME and what else tells the virtual patients, or --cohort FOLDER",
        )
    if unknown := [item for item in overrides if item.startswith("-")]:
        raise ConfigError(f"unknown option {unknown[0]!r}", where="calibrate", expected="KEY=VALUE, -o or --cohort")
    predictor = Predictor.load(bundle)
    check_target(target, predictor.bundle)
    console, content = Console(stderr=True, width=None if sys.stderr.isatty() else 140), {}
    content = dict(predictor.bundle.calibration)
    if cohort is not None:
        sha256 = str(read_manifest(cohort)["sha256"])
        before, after = recalibrated(predictor, Cohort.load(cohort), sha256, seed=seed, min_patients=MIN_PATIENTS)
        console.print(_forecast_table(before, after))
        kept = {PART: content[PART]} if PART in content else {}
        content = {**after.to_dict(), **kept}
    if overrides:
        paired = _paired(predictor, overrides, console)
        console.print(_paired_table(paired))
        content[PART] = paired.to_dict()
    return reissue(predictor.bundle, content, target).bundle


def _paired(predictor: Predictor, overrides: Sequence[str], console: Console) -> PairedCalibration:
    config = compose.compose("calibrate", overrides)
    parts = {name: compose.build(config[name], name) for name in PARTS if config.get(name) is not None}
    more = {name: value for name, value in config.items() if name not in PARTS}
    virtual = Virtual(**{"plans": None, **parts}, **more)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("Pairs of plans", total=virtual.n_subjects)
        return calibrate_differences(predictor, virtual, lambda n: bar.advance(task, n))


def _forecast_table(before: Calibration, after: Calibration) -> Table:
    table = _table(
        "Forecasts, coverage on the other half", "variable", "up to", "patients", "before", "after", "factor"
    )
    for column, name in enumerate(after.channels):
        for row, edge in enumerate(after.horizons):
            cell = (row, column)
            table.add_row(
                name, _share(edge, ".4g"), str(after.n_test[cell]), _share(before.coverage[cell]),
                _share(after.coverage[cell]), f"{after.factor[cell]:.3g}",
            )  # fmt: skip
    return table


def _paired_table(paired: PairedCalibration) -> Table:
    title = "Paired differences, coverage on other patients"
    table = _table(title, "given by then", "variable", "up to", "patients", "joint draws", "calibrated")
    for group in paired.groups:
        for column, name in enumerate(paired.units):
            for row, edge in enumerate(paired.horizons):
                cell = (row, column)
                table.add_row(
                    " + ".join(group.treatments), name, f"{edge:.4g}", str(group.n_test[cell]),
                    _share(group.drawn[cell]), _share(group.coverage[cell]),
                )  # fmt: skip
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < 2 else "right")
    return table


def _share(value: float, form: str = ".3f") -> str:
    return format(value, form) if math.isfinite(value) else "-"
