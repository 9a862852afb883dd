"""Plain words for the page of the report: why something was rejected, what a flag means, how long a time is."""

from neurotwin.ingest import flags
from neurotwin.ingest.accounting import Reason

REASONS = {
    Reason.FIELD_COUNT: "the row has more or fewer fields than the header; nothing of it was used",
    Reason.ROW_UNREADABLE: "the row could not be split into fields",
    Reason.RESOURCE_INVALID: "the resource breaks the rules of its type",
    Reason.MODIFIER_EXTENSION: "the resource has an extension that changes its meaning",
    Reason.ENTERED_IN_ERROR: "the source itself says that this was entered in error",
    Reason.SUBJECT_MISSING: "no subject is named",
    Reason.SUBJECT_UNREADABLE: "the subject's id is too long or has control characters",
    Reason.SUBJECT_WITHOUT_PREFIX: "the subject's id does not begin as the mapping says",
    Reason.SUBJECT_UNKNOWN: "the table of persons does not know the subject",
    Reason.SUBJECT_LINKED: "the source says that the patient is also recorded as another one",
    Reason.REFERENCE_UNRESOLVED: "it refers to a patient or medication that is not in the source",
    Reason.TIME_MISSING: "there is no time",
    Reason.TIME_UNREADABLE: "the time does not fit the declared unit or format",
    Reason.TIME_ZONE_MIXED: "some times have a zone and this one has none, or the reverse",
    Reason.TIME_IMPLAUSIBLE: "the time is outside the believed range, or a placeholder such as 1970-01-01",
    Reason.TIME_IN_FUTURE: "dated later than the mapping allows",
    Reason.INDEX_MISSING: "the subject's index event, from which time counts, is not known",
    Reason.INDEX_CONFLICT: "rows disagree about the subject's index event",
    Reason.BEFORE_INDEX: "before the subject's index event",
    Reason.BEFORE_BIRTH: "before the subject's birth",
    Reason.AFTER_DEATH: "after the subject's death",
    Reason.AFTER_FOLLOW_UP: "after the end of the subject's follow-up",
    Reason.CODE_MISSING: "the row does not say what was measured",
    Reason.CODE_AMBIGUOUS: "its codes stand for two things at once",
    Reason.VALUE_MISSING: "there is no value",
    Reason.VALUE_NOT_A_NUMBER: "the value is not a number",
    Reason.VALUE_NOT_FINITE: "the value is infinite, NaN, or too large for any number",
    Reason.UNIT_MISSING: "no unit is declared or given",
    Reason.UNIT_UNKNOWN: "the unit is not UCUM, and the mapping does not translate it",
    Reason.UNIT_INCOMPATIBLE: "the unit measures something else, or needs a molar mass that is not declared",
    Reason.IMPLAUSIBLE: "outside the plausible range, after conversion",
    Reason.LEVEL_UNKNOWN: "the level, or the status of a follow-up, is not declared",
    Reason.FOLD_UNKNOWN: "the fold or split is not declared",
    Reason.FOLD_MISSING: "the source does not tell the subject's fold",
    Reason.FOLD_CONFLICT: "rows disagree about the subject's fold",
    Reason.RESET_EVENT: "a reset of the system, and all of the subject that comes after it",
    Reason.STEADY_STATE: "a dose at steady state whose previous doses are not told",
    Reason.MODELLED_RATE: "a dose whose rate or duration a model estimates",
    Reason.ADDITIONAL_DOSES: "additional doses without their interval, or too many of them",
    Reason.STOP_MISSING: "a period without an end",
    Reason.STOP_NOT_AFTER_START: "a period that ends before or when it begins",
    Reason.DUPLICATE_CONFLICT: "the same subject, time and variable stand with another value: none of them was used",
}

FLAGS = {
    flags.COPIED: "Where both were measured at one instant, they agree: one of them may be a copied column.",
    flags.HOUR_TWINS: "Typical of a time zone that was applied twice.",
    flags.CONSTANT: "A signal that never changes tells nothing; it may be a default.",
    flags.STUCK: "A sensor may be stuck, or values were carried on to times at which nobody measured.",
    flags.STRAIGHT_LINES: "Values between visits may have been interpolated: forecasting them is too easy, and such a "
    "variable is unfit as a benchmark.",
    flags.OUTSIDE: "They were rejected. Many of them point to a wrong unit or to a range that does not fit the source.",
}

_UNITS = (("a", 31_557_600.0), ("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3))


def reason(name: str) -> str:
    """A reason in plain words."""
    return REASONS.get(Reason(name), name.replace("_", " "))


def between(low: float, high: float) -> str:
    """Two times in seconds, to two digits: ``250 to 370 d``."""
    first, last = duration(low), duration(high)
    number, unit = first.split()
    return f"{number} to {last}" if unit == last.split()[1] else f"{first} to {last}"


def duration(seconds: float) -> str:
    """A time to two digits, in a unit that suits it: days up to two years."""
    for unit, length in _UNITS:
        if seconds >= (2 * length if unit == "a" else length):
            break
    count = float(f"{seconds / length:.2g}")
    return f"{count:,.0f}\N{NO-BREAK SPACE}{unit}" if count >= 10 else f"{count:g}\N{NO-BREAK SPACE}{unit}"
