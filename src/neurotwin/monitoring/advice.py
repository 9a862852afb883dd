"""What to do about what was found, in sentences."""

from collections.abc import Sequence

from neurotwin.monitoring.report import Check, StreamReport

_DO = {
    "visits": "Visits follow another pattern than in training: check which records reached the cohort.",
    "values": "The patients' values differ from those of training: look at units, assays and mappings first; if the "
    "patients truly differ, look at calibration and accuracy below before the bundle is used on.",
    "missingness": "Something is recorded at another rate than in training: check the feed of that channel.",
    "treatments": "Treatments differ from those of training: forecasts under plans not seen there are extrapolations.",
    "covariates": "The case mix differs from that of training: look at the scores by subgroup.",
    "calibration": "Intervals no longer hold what they say: fit them again on this site's own patients with "
    "neurotwin calibrate --cohort, and judge the new version with neurotwin promote.",
    "accuracy": "Errors are larger than on the bundle's own held-out patients: recalibration widens the intervals but "
    "does not repair the medians; train again with this site's patients.",
}


def advise(checks: Sequence[Check], stream: StreamReport | None) -> list[str]:
    """A sentence for each group with an alarm, causes before their effects, and one for the stream."""
    groups = {one.group for one in checks if one.verdict == "alarm"}
    told = [text for group, text in _DO.items() if group in groups]
    if stream is not None and stream.flags:
        first = stream.flags[0]
        told.append(
            f"The stream raised its first alarm after {first.patients} patients, about {first.feature}: look at what "
            f"changed among the {first.window} before."
        )
    return told or ["Nothing to do: run it again when as many new patients have come."]
