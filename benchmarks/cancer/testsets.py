"""The benchmark's test sets, with the published faults that its numbers carry.

In both test simulators the policy reads row ``i`` of the table of finished rows where patient ``i``'s own volumes are
meant: treatments depend on gamma, but not on the patient's own tumour. Factual volumes are clipped to [0, death],
counterfactual ones are not; a course that is not a number is left out.
"""

from dataclasses import dataclass

import numpy as np
from benchmarks.cancer.simulator import (
    CAPACITY,
    CELLS_PER_CM3,
    CHEMO_DECAY,
    CHEMO_DOSE,
    DEATH_VOLUME,
    N_DAYS,
    NOISE,
    RADIO_KILL,
    WINDOW,
    Array,
    Flags,
    Patients,
    diameter_of,
    treatment_chance,
)
from numpy.typing import NDArray

HORIZON = 5
"""Days of a plan."""
N_PLANS = 2 * HORIZON
OPTIONS = np.array([(0, 0), (0, 1), (1, 0), (1, 1)], dtype=np.uint8)
"""The four treatments of a day: (chemotherapy, radiotherapy)."""


@dataclass(frozen=True)
class TestSet:
    """Test patients and what is asked of them.

    Attributes:
        patients: their parameters; only ``kind`` may be shown to a model.
        volume, chemo, radio: ``[patient, day]`` the factual course.
        last: ``[patient]`` last day with a volume.
        patient, day: ``[row]`` whom a row is about, and the last day whose volume may be seen.
        plan: ``[row, step, 2]`` (chemotherapy, radiotherapy) on the row's day, the day after, ...
        outcome: ``[row, step]`` volume a day after each step of the plan, cm3; NaN where it is not scored.
    """

    __test__ = False  # not a test of pytest's

    patients: Patients
    volume: Array
    chemo: Flags
    radio: Flags
    last: NDArray[np.int64]
    patient: NDArray[np.int64]
    day: NDArray[np.int64]
    plan: Flags
    outcome: Array


def one_step_set(random: np.random.RandomState, patients: Patients, gamma: float) -> TestSet:
    """Each of the four treatments on each day; the first row of a day is the factual one."""
    return _Builder(random, patients, gamma, None).build()


def sequence_set(random: np.random.RandomState, patients: Patients, gamma: float, plans: str) -> TestSet:
    """Ten plans of five days, from the day after each day on: ``sliding`` (one treatment on one day) or ``random``."""
    return _Builder(random, patients, gamma, plans).build()


def sliding_plans() -> Flags:
    """``[plan, step, 2]``: chemotherapy on one of the days, then radiotherapy on one of the days."""
    found = np.zeros((N_PLANS, HORIZON, 2), np.uint8)
    for step in range(HORIZON):
        found[step, step, 0] = found[HORIZON + step, step, 1] = 1
    return found


class _Builder:
    """Patients one after the other, as the published code goes: its draws and its policy depend on that order."""

    def __init__(self, random: np.random.RandomState, patients: Patients, gamma: float, plans: str | None) -> None:
        self.random, self.patients, self.gamma, self.plans = random, patients, gamma, plans
        self.n, self.ahead = len(patients), HORIZON if plans else 0
        # The first rows of the published table: all that its policy ever reads.
        self.table = np.zeros((self.n, N_DAYS + self.ahead))
        self.count = 0
        self.volume = np.zeros((self.n, N_DAYS))
        self.given = np.zeros((self.n, N_DAYS, 2), np.uint8)
        self.last = np.zeros(self.n, np.int64)
        self.rows: list[tuple[NDArray[np.int64], ...]] = []
        self.plan: list[Flags] = []
        self.outcome: list[Array] = []

    def build(self) -> TestSet:
        """Draw, act out, collect."""
        if self.plans == "random":
            _random_plans(self.random)  # drawn by the published code, and not used
        with np.errstate(invalid="ignore"):
            for patient in range(self.n):
                self._act_out(patient)
        who, day = (np.concatenate(column) for column in zip(*self.rows, strict=True))
        plan, outcome = np.concatenate(self.plan), np.concatenate(self.outcome)
        return TestSet(
            self.patients, self.volume, self.given[..., 0].copy(), self.given[..., 1].copy(), self.last, who, day, plan,
            outcome,
        )  # fmt: skip

    def _act_out(self, patient: int) -> None:
        noise = NOISE * self.random.randn(N_DAYS + self.ahead)
        recovery, chemo, radio = (self.random.rand(N_DAYS) for _ in range(3))
        course, given = self.volume[patient], self.given[patient]
        course[0], concentration = self.patients.volume[patient], 0.0
        rates = _Rates(*(float(getattr(self.patients, name)[patient]) for name in ("alpha", "rho", "beta_c")))
        for day in range(N_DAYS - 1):
            read = self.table[patient, max(day - WINDOW, 0) : day + 1]
            chance = treatment_chance(self.gamma, diameter_of(read).mean())
            given[day] = chemo[day] < chance, radio[day] < chance
            before, concentration = concentration, CHEMO_DECAY * concentration + CHEMO_DOSE * given[day, 0]
            after = rates.step(course[day], concentration, given[day, 1], noise[day + 1], 0.0)
            course[day + 1] = min(max(after, 0.0), DEATH_VOLUME)
            self.last[patient] = day + 1
            if self.plans is None:
                self._four_treatments(patient, day, rates, before, noise)
            else:
                self._ten_plans(patient, day, rates, concentration, noise)
            if course[day + 1] >= DEATH_VOLUME or recovery[day] <= np.exp(-course[day + 1] * CELLS_PER_CM3):
                break

    def _four_treatments(self, patient: int, day: int, rates: "_Rates", before: float, noise: Array) -> None:
        course, factual = self.volume[patient], self.given[patient, day]
        others = OPTIONS[(factual != OPTIONS).any(axis=1)]
        concentration = CHEMO_DECAY * before + CHEMO_DOSE * others[:, 0]
        after = rates.step(course[day], concentration, others[:, 1], noise[day + 1], 0.0)
        outcome = np.append(course[day + 1], after)
        self._keep(patient, day, np.concatenate([factual[None], others])[:, None], outcome[:, None], [outcome])

    def _ten_plans(self, patient: int, day: int, rates: "_Rates", concentration: float, noise: Array) -> None:
        plans = _random_plans(self.random) if self.plans == "random" else sliding_plans()
        size = np.full(N_PLANS, self.volume[patient, day + 1])
        level, found = np.full(N_PLANS, concentration), []
        for step in range(HORIZON):
            level = CHEMO_DECAY * level + CHEMO_DOSE * plans[:, step, 0]
            # The published rollout adds 1e-7 in two places.
            size = rates.step(size, level, plans[:, step, 1], noise[day + 2 + step], 1e-7)
            found.append(size)
        kept = ~np.isnan(np.array(found)).any(axis=0)
        outcome = np.stack([np.full(N_PLANS, np.nan), *found], axis=1)[kept]
        now = np.broadcast_to(self.given[patient, day], (N_PLANS, 1, 2))
        future = [np.full(int(kept.sum()), self.volume[patient, day + 1]), *outcome[:, 1:].T]
        self._keep(patient, day, np.concatenate([now, plans], axis=1)[kept], outcome, future)

    def _keep(self, patient: int, day: int, plan: Flags, outcome: Array, future: list[Array]) -> None:
        """Collect rows, and fill those of the table that the policy will read."""
        n, room = len(plan), max(self.n - self.count, 0)
        if room:
            into = slice(self.count, self.count + min(n, room))
            self.table[into, : day + 1] = self.volume[patient, : day + 1]
            for step, values in enumerate(future):
                self.table[into, day + 1 + step] = values[:room]
        self.count += n
        self.rows.append((np.full(n, patient), np.full(n, day)))
        self.plan.append(plan.astype(np.uint8))
        self.outcome.append(outcome)


@dataclass(frozen=True)
class _Rates:
    """One patient's parameters; as `simulator.grown`, with the small number of the published rollout."""

    alpha: float
    rho: float
    beta_c: float

    def step(self, volume, concentration, radio, noise, small):  # type: ignore[no-untyped-def]  # scalars or arrays
        """Volume a day later."""
        growth = self.rho * np.log(CAPACITY / (volume + small) + small)
        return volume * (1 + growth - self.beta_c * concentration - self.alpha * RADIO_KILL * radio + noise)


def _random_plans(random: np.random.RandomState) -> Flags:
    return random.randint(0, 2, (N_PLANS, HORIZON, 2)).astype(np.uint8)
