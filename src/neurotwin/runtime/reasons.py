"""Why a predictor does not answer, or answers with a warning: a closed list."""

from enum import StrEnum


class Reason(StrEnum):
    """Each is a word that an application can act on."""

    MISSING_REQUIRED = "missing_required"
    UNIT_MISSING = "unit_missing"
    UNIT_UNKNOWN = "unit_unknown"
    IMPLAUSIBLE_INPUT = "implausible_input"
    CONFLICTING_INPUT = "conflicting_input"
    STALE_INPUT = "stale_input"
    STUCK_SIGNAL = "stuck_signal"
    FUTURE_DATED = "future_dated"
    TOO_FEW_OBSERVATIONS = "too_few_observations"
    UNKNOWN_TREATMENT = "unknown_treatment"
    INTERACTION_NOT_MODELLED = "interaction_not_modelled"
    EXTRAPOLATION = "extrapolation"
    OOD = "ood"
    HORIZON_TOO_LONG = "horizon_too_long"
    SOLVER_FAILURE = "solver_failure"
    IMPLAUSIBLE_OUTPUT = "implausible_output"
    INTERVAL_TOO_WIDE = "interval_too_wide"
    NOT_IDENTIFIED = "not_identified"
    MODEL_EXPIRED = "model_expired"
    INTEGRITY = "integrity"


INPUT_FAULTS = frozenset(
    {
        Reason.UNIT_MISSING,
        Reason.UNIT_UNKNOWN,
        Reason.CONFLICTING_INPUT,
        Reason.TOO_FEW_OBSERVATIONS,
        Reason.UNKNOWN_TREATMENT,
        Reason.IMPLAUSIBLE_INPUT,
        Reason.FUTURE_DATED,
    }
)
"""Reasons that lie in the document, not in the model: the command line calls them bad input (exit code 2)."""
