"""The reference of a bundle, from the patients that it was trained and tested on."""

from neurotwin.calibration import Calibration
from neurotwin.cohort import Cohort
from neurotwin.episodes import Predict
from neurotwin.monitoring.features import Table, input_features
from neurotwin.monitoring.performance import performance_features, try_to_ask
from neurotwin.monitoring.reference import Reference


def fit_reference(
    predict: Predict, calibration: Calibration, inputs: Cohort, judged: Cohort, *, min_visits: int, description: str
) -> Reference:
    """A reference for `neurotwin.monitoring.monitor`.

    Args:
        predict: the model or bundle, before calibration.
        inputs: what patients are like, of whom forecasts are asked.
        judged: whom the model has not seen, for how good it is.
        min_visits: visits up to the cut that a subject of ``judged`` needs.
        description: whose data these are.
    """
    tables: list[Table] = [input_features(inputs)]
    answered = try_to_ask(predict, calibration, judged, min_visits=min_visits)
    if answered is not None:
        tables.append(performance_features(answered, calibration, len(judged)))
    return Reference.of(*tables, description=description)
