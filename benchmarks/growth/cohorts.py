"""`neurotwin simulate` into a folder, by number of patients."""

import tempfile
from pathlib import Path

from benchmarks.growth.curves import Work

from neurotwin.verbs.simulate import simulate_cohort


class Cohorts:
    """Lung tumours under a doctor who looks every day, written in shards of 1000, as ``neurotwin simulate`` does by
    default; in numpy, and in torch."""

    name = "cohort"
    routes = ("engine=numpy", "engine=torch")
    axes = {"patients": (125, 250, 500, 1000, 2000, 3000, 4000)}
    quick: dict[str, tuple[int, ...]] = {}

    def ready(self, route: str, against: str, value: int) -> Work:
        """So many patients."""

        def simulate() -> None:
            with tempfile.TemporaryDirectory() as folder:
                output = f"output={Path(folder) / 'cohort'}"
                simulate_cohort(
                    ["simulator=geng_nsclc", route, f"n_subjects={value}", "seed=1", output, "progress=false"]
                )

        return simulate

    def small(self, route: str) -> Work:
        """Ten patients."""
        return self.ready(route, "patients", 10)
