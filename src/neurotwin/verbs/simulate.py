"""neurotwin simulate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurotwin import compose

NOT_ARGUMENTS = ("name", "paths")


def simulate_cohort(overrides: Sequence[str]) -> Any:
    """Compose ``simulate.yaml`` with overrides and simulate; returns the simulation's report."""
    from neurotwin.simulators.run_simulation import run_simulation

    config = compose.compose("simulate", overrides)
    parts = {name: compose.build(config.pop(name), name) for name in ("simulator", "population", "protocol", "engine")}
    output = config.pop("output") or Path(config["paths"]["runs_dir"]) / "cohorts" / parts["simulator"].name
    more = {key: value for key, value in config.items() if key not in NOT_ARGUMENTS}
    return run_simulation(**parts, output=Path(output), **more)


def draw_cohort(folder: Path) -> Path:
    """Draw a cohort's summary into its folder; returns the file."""
    from neurotwin.cohort import Cohort
    from neurotwin.simulators.summary_plot import draw_summary

    picture = folder / "summary.png"
    draw_summary(Cohort.load(folder), picture)
    return picture
