"""The same virtual patients under two plans, by their own mechanism: what a difference between plans really is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.failsafe.documents import patient_of
from benchmarks.failsafe.twins import Kind
from numpy.typing import NDArray

from neurotwin import compose
from neurotwin.cohort import Cohort
from neurotwin.runtime import Predictor, Twin
from neurotwin.runtime.channels import FIELD_OF
from neurotwin.simulators.regimens import Listed
from neurotwin.simulators.simulate import simulate_plans

Array = NDArray[np.float64]
SEED = 20_265


@dataclass(frozen=True)
class Contrast:
    """Two plans for one population, from ``cut`` on; each is (treatment, times, amounts, length of each or None)."""

    kind: str
    cut: float
    horizon: float
    plans: dict[str, tuple[str, tuple[float, ...], float, float | None]]


CONTRASTS = (
    Contrast(
        "lung_tumour", 25.0, 30.0,
        {"radiotherapy": ("radiotherapy", tuple(range(0, 20, 2)), 2.0, None),
         "chemotherapy": ("chemotherapy", (0, 7, 14, 21), 5.0, None)},
    ),
    Contrast(
        "vancomycin", 48.0, 40.0,
        {"500 mg": ("vancomycin", tuple(range(0, 36, 12)), 500.0, 1.0),
         "1500 mg": ("vancomycin", tuple(range(0, 36, 12)), 1500.0, 1.0)},
    ),
    Contrast(
        "warfarin", 240.0, 300.0,
        {"2.5 mg": ("warfarin", tuple(range(0, 288, 24)), 2.5, None),
         "7.5 mg": ("warfarin", tuple(range(0, 288, 24)), 7.5, None)},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """True and foretold differences of one channel, one row for each patient and visit.

    Attributes:
        after: from the plans' start.
        patient: number of each.
        truth, median, low, high: second plan minus the first.
    """

    channel: str
    after: Array
    patient: NDArray[np.int64]
    truth: Array
    median: Array
    low: Array
    high: Array


def cohorts_of(contrast: Contrast, kind: Kind, patients: int) -> tuple[dict[str, Cohort], dict[str, Cohort]]:
    """Records with assay errors, and outcomes without, under each plan; alike before the cut."""
    config = compose.compose("simulate", [f"simulator={kind.simulator}", f"protocol={kind.protocol}"])
    parts = [compose.build(config[name], name) for name in ("simulator", "population", "protocol")]
    plans = {
        name: (Listed(what, when, [amount] * len(when), None if length is None else [length] * len(when)),)
        for name, (what, when, amount, length) in contrast.plans.items()
    }
    seen, true = (
        simulate_plans(*parts, plans=plans, cut=contrast.cut, n_subjects=patients, seed=SEED, noise=noise)
        for noise in (True, False)
    )
    return seen, true


def pairs_of(contrast: Contrast, predictor: Predictor, kind: Kind, patients: int) -> tuple[list[Pair], dict[str, int]]:
    """Each channel's differences at the patients' own visits, and how many patients each status was given."""
    seen, true = cohorts_of(contrast, kind, patients)
    first, second = contrast.plans
    rows: dict[str, list[tuple[float, ...]]] = {channel.name: [] for channel in predictor.signature.variables}
    counts = {"ok": 0, "degraded": 0, "abstain": 0}
    for subject in range(len(true[first])):
        gaps = _true_differences(true[first], true[second], subject, contrast)
        if not gaps:
            continue
        patient = patient_of(seen[first], subject, contrast.cut)
        at = sorted({time - contrast.cut for time, _ in gaps})
        plans = [_plan(contrast, name, predictor, at) for name in (first, second)]
        answer = Twin.of(predictor, patient).compare(plans)
        counts[max((one["status"] for one in answer["plans"]), key=list(counts).index)] += 1
        for row in answer["differences"] or ():
            own = ((time, gap) for (time, name), gap in gaps.items() if name == row["channel"])
            found = [gap for time, gap in own if abs(time - row["t"]) < 1e-6]
            if found:
                told = (row["after"], subject, found[0], row["median"], row["interval"]["lo"], row["interval"]["hi"])
                rows[row["channel"]].append(told)
    pairs = []
    for name, table in rows.items():
        columns = np.array(table, dtype=np.float64).reshape(-1, 6).T
        pairs.append(Pair(name, columns[0], columns[1].astype(np.int64), *columns[2:]))
    return pairs, counts


def _true_differences(a: Cohort, b: Cohort, subject: int, contrast: Contrast) -> dict[tuple[float, str], float]:
    """(time, channel) -> outcome under the second plan minus that under the first, at visits after the cut."""
    tables = []
    for cohort in (a, b):
        own = cohort.observations.take(cohort.observations.subject == subject)
        own = own.take((own.time > contrast.cut) & (own.time <= contrast.cut + contrast.horizon))
        names = [cohort.schema.variables[index].name for index in own.variable]
        tables.append(dict(zip(zip(own.time.tolist(), names, strict=True), own.value.tolist(), strict=True)))
    return {key: tables[1][key] - tables[0][key] for key in tables[0].keys() & tables[1].keys()}


def _plan(contrast: Contrast, name: str, predictor: Predictor, at: list[float]) -> dict[str, Any]:
    what, when, amount, length = contrast.plans[name]
    channel = predictor.reader.treatments[what][1]
    given = [
        {"t": float(t), "treatment": what, FIELD_OF[channel.kind]: amount, "unit": channel.unit}
        | ({} if length is None else {"t_end": t + length})
        for t in when
    ]
    return {"name": name, "time_unit": predictor.signature.time_unit, "treatments": given, "query": {"at": at}}
