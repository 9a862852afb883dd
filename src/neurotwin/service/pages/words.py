"""Reasons in words: what a reason means, and what can be done."""

from neurotwin.runtime import Reason

SENTENCES: dict[str, tuple[str, str]] = {
    Reason.MISSING_REQUIRED: (
        "Something that the model needs was not told.",
        "Tell a measurement, or ask about a time after the plan's start.",
    ),
    Reason.UNIT_MISSING: ("A value has no unit.", "Give its unit; none is assumed."),
    Reason.UNIT_UNKNOWN: ("A unit is not one that the model accepts for this quantity.", "Choose an accepted unit."),
    Reason.IMPLAUSIBLE_INPUT: (
        "A value is outside what is possible for a person, often a slip of the unit or of the decimal point.",
        "Check the value and its unit.",
    ),
    Reason.CONFLICTING_INPUT: (
        "Two entries contradict each other: one quantity has two values at one time.",
        "Take back the one that is wrong.",
    ),
    Reason.STALE_INPUT: ("The last measurement is too old.", "Measure again."),
    Reason.STUCK_SIGNAL: ("A signal repeats itself as if its sensor were stuck.", "Check the sensor."),
    Reason.FUTURE_DATED: ("An entry lies after the plan's start.", "Check the times, or move the plan's start."),
    Reason.TOO_FEW_OBSERVATIONS: (
        "There are fewer visits than the model needs to know this patient.",
        "Wait for further measurements.",
    ),
    Reason.UNKNOWN_TREATMENT: (
        "A treatment, or the way it is given, is unknown to the model.",
        "The model cannot tell what it does: it was not trained on it.",
    ),
    Reason.INTERACTION_NOT_MODELLED: (
        "Treatments are combined whose interaction the model does not know.",
        "Ask about plans without this combination.",
    ),
    Reason.EXTRAPOLATION: (
        "A value or dose is beyond the range that the model was trained on.",
        "Stay within the ranges of the model card.",
    ),
    Reason.OOD: (
        "This patient is unlike those that the model was trained on.",
        "Check the entries; if they are right, the model does not serve this patient.",
    ),
    Reason.HORIZON_TOO_LONG: (
        "The forecast is asked further ahead than the model was trained or calibrated for.",
        "Choose an earlier end.",
    ),
    Reason.SOLVER_FAILURE: ("The model's equations could not be solved for these inputs.", "Check the entries."),
    Reason.IMPLAUSIBLE_OUTPUT: (
        "The forecast itself leaves what is possible for a person.",
        "It is not shown; check the entries.",
    ),
    Reason.INTERVAL_TOO_WIDE: ("The forecast is too uncertain to be of use.", "Wait for further measurements."),
    Reason.NOT_IDENTIFIED: (
        "The model cannot tell this: it has no joint draws, or the data do not determine it.",
        "Forecasts of single plans may still be available.",
    ),
    Reason.MODEL_EXPIRED: ("The model is past the date until which it may be used.", "Ask for a newer version."),
    Reason.INTEGRITY: ("The model's files are not those that were released.", "Tell the operator of the service."),
}
"""Reason -> what it means, and what can be done."""
