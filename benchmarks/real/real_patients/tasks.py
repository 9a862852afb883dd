"""What is asked of which cohort."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import modelled
from neurotwin.cohort import Cohort
from neurotwin.errors import ConfigError
from neurotwin.schema import Variable

Array = NDArray[np.float64]

COHORTS = Path("runs/cohorts")


@dataclass(frozen=True)
class Task:
    """One variable of one cohort, forecast from all visits up to a cut.

    Attributes:
        name: of the task.
        folder: of the cohort.
        variable: that is asked for; every other one is an input.
        cut: time up to which visits are known, in the cohort's unit.
        scale: of the errors: the variable's unit, or the scale that it is modelled on.
        floor: least value on a logarithmic scale, where the offset of the modelling scale is not wanted.
        key: of the split, where it is not the cohort's own.
    """

    name: str
    folder: Path
    variable: str
    cut: float
    scale: Literal["natural", "log"] = "natural"
    floor: float | None = None
    key: str | None = None

    def cohort(self) -> Cohort:
        """All subjects.

        Raises:
            CohortError: no cohort in the folder.
            ConfigError: it has no such variable.
        """
        cohort = Cohort.load(self.folder)
        names = [variable.name for variable in cohort.schema.variables]
        if self.variable not in names:
            raise ConfigError(f"no variable {self.variable}", where=str(self.folder), expected=", ".join(names))
        return cohort

    def on_scale(self, value: Array, variable: Variable) -> Array:
        """Values in the variable's unit on the scale of the errors."""
        if self.floor is not None:
            return np.log(np.maximum(value, self.floor))
        return modelled(variable, value) if self.scale == "log" else value


TASKS = {
    "pbc": Task("pbc", COHORTS / "pbc_liver", "bilirubin", 400.0, "log"),
    "paquid": Task("paquid", COHORTS / "paquid_brain", "mmse", 5.5),
    "laleh": Task("laleh", COHORTS / "laleh_tumour", "longest_diameter", 90.0),
    "lxf": Task("lxf", COHORTS / "lxf_tumour_dose", "tumour_volume", 7.0, "log", floor=1e-3),
}
