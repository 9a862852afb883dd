"""The same virtual patients under two plans, by their own mechanism: what a difference between plans really is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.failsafe.documents import patient_of, treatments_of
from benchmarks.failsafe.twins import Kind
from numpy.typing import NDArray

from neurotwin import compose
from neurotwin.calibrating.pairs import Trial
from neurotwin.cohort import Cohort
from neurotwin.runtime import Predictor, Twin
from neurotwin.simulators.regimens import Listed
from neurotwin.simulators.simulate import simulate_plans

Array = NDArray[np.float64]
SEED = 20_265
ROUNDING = 1e-9


@dataclass(frozen=True)
class Contrast:
    """Two plans for one population, from ``cut`` on; each is (treatment, times, amount, length of each or None)."""

    kind: str
    cut: float
    horizon: float
    plans: dict[str, tuple[str, tuple[float, ...], float, float | None]]

    @property
    def name(self) -> str:
        """The second plan less the first."""
        first, second = self.plans
        return f"{second} less {first}"

    def trial(self, kind: Kind) -> Trial:
        """Who is simulated under them."""
        config = compose.compose("simulate", [f"simulator={kind.simulator}", f"protocol={kind.protocol}"])
        parts = [compose.build(config[name], name) for name in ("simulator", "population", "protocol")]
        plans = {
            name: (Listed(what, when, [amount] * len(when), None if length is None else [length] * len(when)),)
            for name, (what, when, amount, length) in self.plans.items()
        }
        return Trial(*parts, plans, [self.cut], SEED)


CONTRASTS = (
    Contrast(
        "lung_tumour", 25.0, 30.0,
        {"radiotherapy": ("radiotherapy", tuple(range(0, 20, 2)), 2.0, None),
         "chemotherapy": ("chemotherapy", (0, 7, 14, 21), 5.0, None)},
    ),
    Contrast(
        "vancomycin_titrated", 48.0, 40.0,
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
        n: patients behind the interval; 0 where the answer says that the plans lie outside what was tried, NaN where
            the interval is that of the joint draws.
    """

    channel: str
    after: Array
    patient: NDArray[np.int64]
    truth: Array
    median: Array
    low: Array
    high: Array
    n: Array


def cohorts_of(trial: Trial, cut: float, patients: int, first: int = 0) -> tuple[list[Cohort], list[Cohort]]:
    """Records with assay errors, and outcomes without, under each plan; alike before the cut."""
    seen, true = (
        simulate_plans(
            trial.simulator, trial.population, trial.protocol, plans=trial.plans, cut=cut, n_subjects=patients,
            seed=trial.seed, first_subject=first, noise=noise,
        )
        for noise in (True, False)
    )  # fmt: skip
    return list(seen.values()), list(true.values())


def pairs_of(predictor: Predictor, trial: Trial, horizon: float, patients: int) -> tuple[list[Pair], dict[str, int]]:
    """Each channel's differences at the patients' own visits, and how many patients each status was given."""
    rows: dict[str, list[tuple[float, ...]]] = {channel.name: [] for channel in predictor.signature.variables}
    counts = {"ok": 0, "degraded": 0, "abstain": 0, "extrapolation": 0}
    each = -(-patients // len(trial.cuts))
    for number, cut in enumerate(trial.cuts):
        seen, true = cohorts_of(trial, cut, each, number * each)
        for subject in range(len(true[0])):
            _ask(predictor, seen, true, subject, cut, horizon, number * each + subject, rows, counts)
    pairs = []
    for name, table in rows.items():
        columns = np.array(table, dtype=np.float64).reshape(-1, 7).T
        pairs.append(Pair(name, columns[0], columns[1].astype(np.int64), *columns[2:]))
    return pairs, counts


def _ask(
    predictor: Predictor, seen: list[Cohort], true: list[Cohort], subject: int, cut: float, horizon: float, number: int,
    rows: dict[str, list[tuple[float, ...]]], counts: dict[str, int],
) -> None:  # fmt: skip
    """Ask a twin as an application would, and set its answer beside the truth."""
    gaps = _true_differences(*true, subject, cut, horizon)
    if not gaps:
        return
    at = sorted({time - cut for time, _ in gaps})
    plans: list[dict[str, Any]] = [
        {"name": name, "time_unit": predictor.signature.time_unit, "query": {"at": at},
         "treatments": treatments_of(cohort, subject, cut, np.inf, cut)}
        for name, cohort in zip("ab", seen, strict=True)
    ]  # fmt: skip
    answer = Twin.of(predictor, patient_of(seen[0], subject, cut)).compare(plans)
    counts[max((one["status"] for one in answer["plans"]), key=["ok", "degraded", "abstain"].index)] += 1
    counts["extrapolation"] += "extrapolation" in answer["difference_reasons"]
    for row in answer["differences"] or ():
        own = ((time, gap) for (time, name), gap in gaps.items() if name == row["channel"])
        found = [gap for time, gap in own if abs(time - row["t"]) < 1e-6]
        if found:
            interval = row["interval"]
            told = (row["median"], interval["lo"], interval["hi"], interval.get("calib_n", np.nan))
            rows[row["channel"]].append((row["after"], number, found[0], *told))


def _true_differences(a: Cohort, b: Cohort, subject: int, cut: float, horizon: float) -> dict[tuple[float, str], float]:
    """(time, channel) -> outcome under the second plan minus that under the first, at visits after the cut from which
    on the plans have given something else: before, both courses are one, and so are the twin's but for rounding."""
    tables = []
    for cohort in (a, b):
        own = cohort.observations.take(cohort.observations.subject == subject)
        own = own.take((own.time > cut) & (own.time <= cut + horizon))
        names = [cohort.schema.variables[index].name for index in own.variable]
        tables.append(dict(zip(zip(own.time.tolist(), names, strict=True), own.value.tolist(), strict=True)))
    both = {key: (tables[0][key], tables[1][key]) for key in tables[0].keys() & tables[1].keys()}
    return {key: other - one for key, (one, other) in both.items() if abs(other - one) > ROUNDING * abs(one)}
