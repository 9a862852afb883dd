"""reference.json: what the patients of training were like, for `neurotwin monitor`."""

from pathlib import Path

from neurotwin.calibration import Calibration
from neurotwin.cohort import Cohort
from neurotwin.models import Surrogate
from neurotwin.monitoring.fitting import fit_reference
from neurotwin.monitoring.reference import FILE
from neurotwin.training import SurrogatePredictor


def write_reference(
    draft: Path, model: Surrogate, calibration: Calibration, train: Cohort, test: Cohort, min_visits: int
) -> None:
    """Write the inputs of the training patients and the accuracy on the test patients, as counts between quantiles."""
    reference = fit_reference(
        SurrogatePredictor(model),
        calibration,
        train,
        test,
        min_visits=min_visits,
        description=f"{len(train)} training patients, and {len(test)} held-out patients for accuracy",
    )
    (draft / FILE).write_text(reference.to_json())
