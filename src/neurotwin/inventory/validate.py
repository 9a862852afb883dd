"""validate: is a cohort whole and sound? Every check by name, with counts and places, never with values."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from neurotwin.cohort import N_FOLDS, Cohort, read_manifest, shards_digest
from neurotwin.errors import CohortError, SchemaError


class Finding(NamedTuple):
    """One check: its ``name``, whether it ``holds``, and what was found."""

    name: str
    holds: bool
    detail: str


def validate(folder: Path) -> list[Finding]:
    """Check a cohort's files against their hashes, then its tables against its schema.

    Raises:
        CohortError: there is no cohort.
    """
    manifest = read_manifest(folder)
    try:
        digest = shards_digest(manifest["shards"], manifest["schema"])
        cohort = Cohort.load(folder, verify=True)
    except (CohortError, SchemaError) as error:
        return [Finding("files", False, str(error))]
    whole = digest == manifest["sha256"]
    detail = f"{len(manifest['shards'])} shards, sha256 {digest[:12]}"
    return [Finding("files", whole, detail if whole else "cohort.json does not match its own hash"), *_checks(cohort)]


def _checks(cohort: Cohort) -> Iterator[Finding]:
    yield _count("subject ids are distinct", len(cohort) - len(np.unique(cohort.ids)), len(cohort))
    yield _count("folds are 0 to 4", int(((cohort.fold < 0) | (cohort.fold >= N_FOLDS)).sum()), len(cohort))
    yield from _observations(cohort)
    yield from _doses(cohort)
    yield from _statics(cohort)


def _observations(cohort: Cohort) -> Iterator[Finding]:
    seen, n = cohort.observations, len(cohort.observations)
    known = (seen.variable >= 0) & (seen.variable < len(cohort.schema.variables))
    known &= (seen.subject >= 0) & (seen.subject < len(cohort))
    yield _count("observations name a subject and a variable", int((~known).sum()), n)
    yield _count("observations are finite", int((~(np.isfinite(seen.time) & np.isfinite(seen.value))).sum()), n)
    yield _count("observations are sorted", _falls(seen.subject, seen.time), n)
    yield _count("censoring is -1, 0 or 1", int((~np.isin(seen.censor, (-1, 0, 1))).sum()), n)
    for index, variable in enumerate(cohort.schema.variables):
        value = seen.value[(seen.variable == index) & (seen.censor == 0)]
        low, high = variable.plausible
        outside = int(((value < low) | (value > high)).sum())
        yield _count(f"{variable.name} lies in {low:g} to {high:g} {variable.unit}", outside, len(value))


def _doses(cohort: Cohort) -> Iterator[Finding]:
    doses, n = cohort.doses, len(cohort.doses)
    known = (doses.treatment >= 0) & (doses.treatment < len(cohort.schema.treatments))
    known &= (doses.subject >= 0) & (doses.subject < len(cohort))
    yield _count("doses name a subject and a treatment", int((~known).sum()), n)
    yield _count("doses are finite", int((~(np.isfinite(doses.time) & np.isfinite(doses.amount))).sum()), n)
    yield _count("doses are sorted", _falls(doses.subject, doses.time), n)
    yield _count("periods end after they begin", int((~doses.is_bolus & (doses.end <= doses.time)).sum()), n)
    bolus = np.array([item.kind == "bolus" for item in cohort.schema.treatments], dtype=bool)
    wrong = bolus[doses.treatment[known]] != doses.is_bolus[known]
    yield _count("boluses have no end, infusions and settings have one", int(wrong.sum()), n)


def _statics(cohort: Cohort) -> Iterator[Finding]:
    for index, static in enumerate(cohort.schema.statics):
        known = cohort.statics[np.isfinite(cohort.statics[:, index]), index]
        if static.levels:
            wrong = (known != np.floor(known)) | (known < 0) | (known >= len(static.levels))
            name = f"{static.name} is one of {len(static.levels)} levels"
        else:
            wrong = (known < static.plausible[0]) | (known > static.plausible[1])
            name = f"{static.name} lies in {static.plausible[0]:g} to {static.plausible[1]:g} {static.unit}"
        yield _count(name, int(wrong.sum()), len(known))


def _falls(subject: np.ndarray, time: np.ndarray) -> int:
    """How many rows come after one of a later subject, or of a later time of the same subject."""
    back = np.diff(subject) < 0
    return int((back | ((np.diff(subject) == 0) & (np.diff(time) < 0))).sum())


def _count(name: str, wrong: int, total: int) -> Finding:
    return Finding(name, wrong == 0, f"{total} checked" if wrong == 0 else f"{wrong} of {total} are not")
